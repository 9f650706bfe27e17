//! Kubernetes quantities, as far as templates compute with them.

use std::fmt;
use std::str::FromStr;

/// A quantity of bytes, or of anything that is counted.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Quantity(f64);

/// The suffixes and what they stand for. Source: the API's reference of `Quantity`.
const SUFFIXES: &[(&str, f64)] = &[
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
];

impl Quantity {
    /// So many bytes, or so many of what is counted.
    pub fn from_bytes(bytes: f64) -> Self {
        Self(bytes)
    }

    /// How many bytes, or how many of what is counted.
    pub fn bytes(self) -> f64 {
        self.0
    }

    /// How many whole mebibytes.
    pub fn mebibytes(self) -> f64 {
        (self.0 / 1_048_576.0).floor()
    }
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, factor) = SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
            .unwrap_or((text, 1.0));
        match number.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Self(number * factor)),
            _ => Err(format!(
                "`{text}` is no quantity: expected a number with a suffix, such as `64Mi`"
            )),
        }
    }
}

/// Whole mebibytes where there is at least one, else a plain number: both are rounded down.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mebibytes() >= 1.0 {
            write!(f, "{}Mi", self.mebibytes())
        } else {
            write!(f, "{}", self.0.floor())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_written() {
        let check = |text: &str, written: &str| {
            let quantity = text.parse::<Quantity>().map(|q| q.to_string());
            assert_eq!(quantity, Ok(written.to_owned()), "{text}");
        };
        check("5Gi", "5120Mi");
        check("1500", "1500");
        check("2M", "1Mi");
        check("7864320Ki", "7680Mi");
        check("1.5Gi", "1536Mi");
        check("1e3", "1000");
        assert!("five".parse::<Quantity>().is_err());
        assert!("".parse::<Quantity>().is_err());
    }
}
