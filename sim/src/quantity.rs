//! Amounts as Kubernetes writes them.

/// How many billionths are one.
const ONE: i128 = 1_000_000_000;

/// The most that an amount can be: larger ones are cut to it, so that sums cannot overflow.
const MOST: Nanos = ONE * i64::MAX as i128;

/// An amount in billionths.
pub(crate) type Nanos = i128;

/// Reads an amount such as `100m`, `1.5Gi` or `1e3`.
///
/// Source: `staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go`.
pub(crate) fn parse(text: &str) -> Option<Nanos> {
    let end = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || (whole.len() + fraction.len()) > 24 {
        return None;
    }
    if !whole
        .bytes()
        .chain(fraction.bytes())
        .all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let scale = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => ONE,
        "k" => ONE * 1_000,
        "M" => ONE * 1_000_000,
        "G" => ONE * 1_000_000_000,
        "T" => ONE * 1_000_000_000_000,
        "P" => ONE * 1_000_000_000_000_000,
        "E" => ONE * 1_000_000_000_000_000_000,
        "Ki" => ONE << 10,
        "Mi" => ONE << 20,
        "Gi" => ONE << 30,
        "Ti" => ONE << 40,
        "Pi" => ONE << 50,
        "Ei" => ONE << 60,
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            if !(-9..=18).contains(&exponent) {
                return None;
            }
            if exponent < 0 {
                ONE / 10i128.pow(exponent.unsigned_abs())
            } else {
                ONE.checked_mul(10i128.pow(exponent.unsigned_abs()))?
            }
        }
    };
    let divisor = 10i128.pow(u32::try_from(fraction.len()).ok()?);
    let product = digits.checked_mul(scale)?;
    // What is finer than a billionth is rounded away from zero.
    let nanos = (product.checked_add(divisor - 1)? / divisor).min(MOST);
    Some(if negative { -nanos } else { nanos })
}

/// The amount of a field that holds a quantity as text or as a number.
pub(crate) fn of(value: &serde_json::Value) -> Option<Nanos> {
    match value {
        serde_json::Value::String(text) => parse(text),
        serde_json::Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

/// So many whole units.
pub(crate) fn whole(units: i64) -> Nanos {
    i128::from(units) * ONE
}

/// The shortest exact form, in binary suffixes.
pub(crate) fn binary(nanos: Nanos) -> String {
    let mut units = nanos.div_euclid(ONE);
    if nanos == 0 {
        return "0".to_owned();
    }
    if nanos % ONE != 0 {
        return decimal(nanos);
    }
    let mut suffix = "";
    for next in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
        if units % 1024 != 0 {
            break;
        }
        units /= 1024;
        suffix = next;
    }
    format!("{units}{suffix}")
}

/// The shortest exact form, in decimal suffixes.
pub(crate) fn decimal(nanos: Nanos) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    let mut number = nanos;
    let mut suffix = "n";
    for next in ["u", "m", "", "k", "M", "G", "T", "P", "E"] {
        if number % 1000 != 0 {
            break;
        }
        number /= 1000;
        suffix = next;
    }
    format!("{number}{suffix}")
}

/// A sum, in the style that the first of its parts is written in.
pub(crate) fn like(example: &str, nanos: Nanos) -> String {
    if example.ends_with('i') {
        binary(nanos)
    } else {
        decimal(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, nanos: Option<i128>) {
        assert_eq!(parse(text), nanos, "{text}");
    }

    #[test]
    fn amounts_are_read() {
        check("1", Some(ONE));
        check("100m", Some(100_000_000));
        check("1.5Gi", Some(3 * (ONE << 29)));
        check("1e3", Some(1000 * ONE));
        check("-2k", Some(-2000 * ONE));
        check(".5", Some(ONE / 2));
        check("1n", Some(1));
        check("0.1n", Some(1));
        check("99999999999E", Some(MOST));
        for wrong in ["", "Gi", "1Kb", "1.2.3", "one", "1e99", "--1", "1 Gi"] {
            check(wrong, None);
        }
    }

    #[test]
    fn amounts_are_written() {
        assert_eq!(binary(parse("65536Ki").unwrap()), "64Mi");
        assert_eq!(binary(parse("1000Ki").unwrap()), "1000Ki");
        assert_eq!(decimal(parse("0.5").unwrap()), "500m");
        assert_eq!(like("48Mi", parse("96Mi").unwrap()), "96Mi");
    }
}
