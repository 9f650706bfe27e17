//! The schedules of CronJobs.

use jiff::Zoned;
use jiff::civil::Date;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When something is to be done: the minutes, hours, days, months and weekdays, as sets of bits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether every day of the month, or of the week, will do: then the other alone decides.
    any_day: bool,
    any_weekday: bool,
}

impl Schedule {
    /// Reads the five fields of a schedule, or one of the names such as `@hourly`.
    ///
    /// # Errors
    ///
    /// What is wrong, in the words of the library that Kubernetes reads them with.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let line = match line.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            line => line,
        };
        let parts: Vec<&str> = line.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts.as_slice() else {
            return Err(format!(
                "expected exactly 5 fields, found {}: [{}]",
                parts.len(),
                parts.join(" ")
            ));
        };
        let any = |field: &str| field.starts_with(['*', '?']);
        Ok(Self {
            minutes: field(minute, 0, 59, &[])?,
            hours: field(hour, 0, 23, &[])?,
            days: field(day, 1, 31, &[])?,
            months: field(month, 1, 12, &MONTHS)?,
            weekdays: field(weekday, 0, 6, &DAYS)?,
            any_day: any(day),
            any_weekday: any(weekday),
        })
    }

    /// The first time after another at which it is due, within the next five years.
    pub(crate) fn next(&self, after: &Zoned) -> Option<Zoned> {
        let zone = after.time_zone();
        let start = after.datetime();
        let mut day = start.date();
        for ahead in 0..5 * 366 {
            if self.on(day) {
                for hour in (0..24).filter(|hour| has(self.hours, *hour)) {
                    for minute in (0..60).filter(|minute| has(self.minutes, *minute)) {
                        let time = day.at(hour, minute, 0, 0);
                        if ahead == 0 && time <= start {
                            continue;
                        }
                        if let Ok(time) = zone.to_zoned(time)
                            && time > *after
                        {
                            return Some(time);
                        }
                    }
                }
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    fn on(&self, day: Date) -> bool {
        let in_month = has(self.days, day.day());
        let in_week = has(self.weekdays, day.weekday().to_sunday_zero_offset());
        let fits = if self.any_day || self.any_weekday {
            in_month && in_week
        } else {
            in_month || in_week
        };
        has(self.months, day.month()) && fits
    }
}

fn has(set: u64, bit: i8) -> bool {
    set >> bit & 1 == 1
}

fn field(text: &str, low: u32, high: u32, names: &[&str]) -> Result<u64, String> {
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
    let mut set = 0;
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
        for bit in (first..=last).step_by(step as usize) {
            set |= 1 << bit;
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_told_from_what_is_none() {
        for right in ["*/5 * * * *", "0 9 * * mon-fri", "@hourly", "0 0 13 1,7 5"] {
            assert!(Schedule::parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "* * * *",
            "60 * * * *",
            "x * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
        ] {
            assert!(Schedule::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[track_caller]
    fn check(line: &str, after: &str, due: &str) {
        let schedule = Schedule::parse(line).unwrap();
        let after: Zoned = format!("{after}[UTC]").parse().unwrap();
        let next = schedule.next(&after).unwrap();
        assert_eq!(next.timestamp().to_string(), due, "{line}");
    }

    #[test]
    fn the_next_time_is_found() {
        check(
            "*/5 * * * *",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:05:00Z",
        );
        check("* * * * *", "2026-01-01T00:00:01Z", "2026-01-01T00:01:00Z");
        check(
            "0 9 * * mon-fri",
            "2026-01-02T10:00:00Z",
            "2026-01-05T09:00:00Z",
        );
        check("0 0 13 * 5", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z");
        check("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        check("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z");
        let never = Schedule::parse("0 0 31 2 *").unwrap();
        assert_eq!(
            never.next(&"2026-01-01T00:00:00Z[UTC]".parse().unwrap()),
            None
        );
    }
}
