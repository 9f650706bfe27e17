//! Amounts as Kubernetes writes them: `100m`, `1.5Gi`, `1e3`.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::api::resource;

/// An amount of something, exact to a billionth: Kubernetes itself keeps nothing finer.
///
/// Sums and differences stop at the largest and smallest amounts instead of wrapping.
///
/// Source: `staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nanos: i128,
}

/// How many billionths are one.
const ONE: i128 = 1_000_000_000;

const BINARY: [(&str, i128); 6] = [
    ("Ei", 1 << 60),
    ("Pi", 1 << 50),
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
];

/// The decimal suffixes, in billionths.
const DECIMAL: [(&str, i128); 10] = [
    ("E", ONE * 1_000_000_000_000_000_000),
    ("P", ONE * 1_000_000_000_000_000),
    ("T", ONE * 1_000_000_000_000),
    ("G", ONE * 1_000_000_000),
    ("M", ONE * 1_000_000),
    ("k", ONE * 1_000),
    ("", ONE),
    ("m", 1_000_000),
    ("u", 1_000),
    ("n", 1),
];

/// The text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a quantity: a number such as 0.5, with a suffix such as m, k, Mi or e3")]
pub struct NotAQuantity(pub String);

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0 };

    /// A whole number of something.
    pub const fn whole(number: i64) -> Self {
        Self {
            nanos: number as i128 * ONE,
        }
    }

    /// The amount of an object's field; none where it is malformed, which the API would refuse.
    pub fn of(quantity: &resource::Quantity) -> Option<Self> {
        quantity.0.parse().ok()
    }

    /// The number, as near as a floating-point number comes: for shares, not for comparing.
    pub fn as_f64(self) -> f64 {
        self.nanos as f64 / ONE as f64
    }

    /// The amount in whole units, rounded up as Kubernetes does.
    pub fn ceil(self) -> i128 {
        self.nanos.div_euclid(ONE) + i128::from(self.nanos.rem_euclid(ONE) != 0)
    }

    /// The amount as Kubernetes writes it for a resource of this name: memory and storage in
    /// powers of 1024 where that is exact and shorter, all else in powers of ten.
    pub fn text(self, resource: &str) -> String {
        let is_bytes = matches!(resource, "memory" | "ephemeral-storage" | "storage")
            || resource.starts_with("hugepages-")
            || resource.ends_with(".memory")
            || resource.ends_with("storage");
        let decimal = self.to_string();
        let exact = |(_, unit): &&(&str, i128)| self.nanos % (unit * ONE) == 0;
        match BINARY.iter().find(exact) {
            Some((suffix, unit)) if is_bytes && self.nanos != 0 => {
                let binary = format!("{}{suffix}", self.nanos / (unit * ONE));
                if binary.len() <= decimal.len() {
                    binary
                } else {
                    decimal
                }
            }
            _ => decimal,
        }
    }
}

/// In powers of ten, in the largest unit that is exact.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.pad("0");
        }
        let exact = DECIMAL.iter().find(|(_, unit)| self.nanos % unit == 0);
        match exact {
            Some((suffix, unit)) => f.pad(&format!("{}{suffix}", self.nanos / unit)),
            None => f.pad(&format!("{}n", self.nanos)),
        }
    }
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        parse(text).ok_or_else(|| NotAQuantity(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit = unit(suffix)?;
    let whole = magnitude(whole, unit);
    let nanos = whole.saturating_add(part(fraction, unit));
    Some(Quantity {
        nanos: if negative { -nanos } else { nanos },
    })
}

/// What one of a suffix is in billionths: as a whole, or, for small exponents, as a divisor.
#[derive(Clone, Copy)]
enum Unit {
    Times(i128),
    PerOne(i128),
}

fn unit(suffix: &str) -> Option<Unit> {
    if let Some((_, unit)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some(Unit::Times(unit * ONE));
    }
    if let Some((_, unit)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some(Unit::Times(*unit));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let nanos = exponent.saturating_add(9);
    let power = 10_i128
        .checked_pow(nanos.unsigned_abs())
        .unwrap_or(i128::MAX);
    Some(if nanos < 0 {
        Unit::PerOne(power)
    } else {
        Unit::Times(power)
    })
}

/// So many units, in billionths, rounded up.
fn magnitude(digits: &str, unit: Unit) -> i128 {
    let number = digits.bytes().fold(0_i128, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(i128::from(digit - b'0'))
    });
    match unit {
        Unit::Times(times) => number.saturating_mul(times),
        Unit::PerOne(divisor) => number / divisor + i128::from(number % divisor != 0),
    }
}

/// The digits after the point, of a unit, in billionths, rounded up.
fn part(digits: &str, unit: Unit) -> i128 {
    let Unit::Times(mut rest) = unit else {
        // Less than a billionth, whatever the digits.
        return i128::from(digits.bytes().any(|digit| digit != b'0'));
    };
    // Long division, digit by digit: exact however many there are.
    let mut sum = 0_i128;
    let mut divided = 1_i128;
    let mut left_over = false;
    for digit in digits.bytes().map(|digit| i128::from(digit - b'0')) {
        if rest % 10 == 0 && divided == 1 {
            rest /= 10;
            sum = sum.saturating_add(rest.saturating_mul(digit));
        } else if let Some(next) = divided.checked_mul(10).filter(|next| *next < ONE * ONE) {
            // From here on in fractions of a billionth.
            sum = sum
                .saturating_mul(10)
                .saturating_add(rest.saturating_mul(digit));
            divided = next;
        } else {
            left_over |= digit != 0;
        }
    }
    sum / divided + i128::from(sum % divided != 0 || left_over)
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_add(other.nanos),
        }
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_sub(other.nanos),
        }
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, nanos: i128, written: &str) {
        let quantity: Quantity = text.parse().unwrap();
        assert_eq!(quantity.nanos, nanos, "{text}");
        assert_eq!(quantity.text("memory"), written, "{text}");
    }

    #[test]
    fn reads_what_kubernetes_writes() {
        check("0", 0, "0");
        check("100m", 100_000_000, "100m");
        check("1", ONE, "1");
        check("1.5", 1_500_000_000, "1500m");
        check(".5", 500_000_000, "500m");
        check("5.", 5 * ONE, "5");
        check("64Gi", 64 * (1 << 30) * ONE, "64Gi");
        check("24684092Ki", 24_684_092 * 1024 * ONE, "24684092Ki");
        check("1024", 1024 * ONE, "1Ki");
        check("1e3", 1000 * ONE, "1k");
        check("1E3", 1000 * ONE, "1k");
        check("1E", 1_000_000_000_000_000_000 * ONE, "1E");
        check("2e-3", 2_000_000, "2m");
        check("-1Ki", -1024 * ONE, "-1Ki");
        check("+1", ONE, "1");
        check("0.1Gi", 107_374_182_400_000_000, "107374182400m");
    }

    #[test]
    fn rounds_up_below_a_billionth() {
        check("1e-12", 1, "1n");
        check("0.0000000001", 1, "1n");
        check("0.5n", 1, "1n");
        check("1.0000000000000000000000000000001", ONE + 1, "1000000001n");
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "", "-", ".", "Gi", "1.2.3", "1 Gi", "1gi", "0x1", "1e", "1Kib", "ten", "1K",
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(NotAQuantity(text.to_owned())));
        }
    }

    #[test]
    fn writes_processors_in_powers_of_ten() {
        assert_eq!(Quantity::whole(1024).text("cpu"), "1024");
        assert_eq!(Quantity::whole(2048).text("example.com/gpu"), "2048");
        assert_eq!(Quantity::whole(2048).text("requests.memory"), "2Ki");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(nanos in any::<i64>()) {
            let quantity = Quantity { nanos: i128::from(nanos) };
            prop_assert_eq!(quantity.to_string().parse(), Ok(quantity));
            prop_assert_eq!(quantity.text("memory").parse(), Ok(quantity));
        }

        #[test]
        fn fractions_are_exact(whole in 0_i64..1_000_000, thousandths in 0_i64..1000) {
            let text = format!("{whole}.{thousandths:03}");
            let quantity: Quantity = text.parse().unwrap();
            let nanos = i128::from(whole * 1000 + thousandths) * 1_000_000;
            prop_assert_eq!(quantity.nanos, nanos);
        }

        #[test]
        fn binary_fractions_round_up(mebi in 0_u32..4096, digits in "[0-9]{1,25}") {
            let text = format!("{mebi}.{digits}Mi");
            let quantity: Quantity = text.parse().unwrap();
            let low = i128::from(mebi) * (1 << 20) * ONE;
            prop_assert!(quantity.nanos >= low && quantity.nanos <= low + (1 << 20) * ONE);
        }

        #[test]
        fn nothing_panics(text in "[-+.0-9eEKMGTPimunk]{0,60}") {
            if let Ok(quantity) = text.parse::<Quantity>() {
                let _ = (quantity.to_string(), quantity.text("memory"), quantity.ceil());
                let _ = quantity + quantity - Quantity::whole(i64::MAX);
            }
        }
    }
}
