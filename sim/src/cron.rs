//! The schedules of CronJobs.

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Checks the five fields of a schedule, or one of the names such as `@hourly`.
///
/// # Errors
///
/// What is wrong, in the words of the library that Kubernetes reads them with.
pub(crate) fn check(line: &str) -> Result<(), String> {
    let names = [
        "@yearly",
        "@annually",
        "@monthly",
        "@weekly",
        "@daily",
        "@midnight",
        "@hourly",
    ];
    if names.contains(&line.trim()) {
        return Ok(());
    }
    let parts: Vec<&str> = line.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = parts.as_slice() else {
        return Err(format!(
            "expected exactly 5 fields, found {}: [{}]",
            parts.len(),
            parts.join(" ")
        ));
    };
    field(minute, 0, 59, &[])?;
    field(hour, 0, 23, &[])?;
    field(day, 1, 31, &[])?;
    field(month, 1, 12, &MONTHS)?;
    field(weekday, 0, 6, &DAYS)
}

fn field(text: &str, low: u32, high: u32, names: &[&str]) -> Result<(), String> {
    let number = |text: &str| -> Result<u32, String> {
        let named = names
            .iter()
            .position(|name| text.eq_ignore_ascii_case(name));
        if let Some(index) = named.and_then(|index| u32::try_from(index).ok()) {
            return Ok(index + low);
        }
        text.parse().map_err(|_| {
            format!(
                "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"
            )
        })
    };
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, number(step)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (low, high),
            Some((first, last)) => (number(first)?, number(last)?),
            None if part.contains('/') => (number(range)?, high),
            None => (number(range)?, number(range)?),
        };
        if first < low {
            return Err(format!(
                "beginning of range ({first}) below minimum ({low}): {text}"
            ));
        }
        if last > high {
            return Err(format!(
                "end of range ({last}) above maximum ({high}): {text}"
            ));
        }
        if first > last {
            return Err(format!(
                "beginning of range ({first}) beyond end of range ({last}): {text}"
            ));
        }
        if step == 0 {
            return Err(format!("step of range should be a positive number: {text}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_told_from_what_is_none() {
        for right in ["*/5 * * * *", "0 9 * * mon-fri", "@hourly", "0 0 13 1,7 5"] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "* * * *",
            "60 * * * *",
            "x * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
