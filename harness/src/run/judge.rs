//! Holds what a detector said against what it should have said.
//!
//! A pure function of a timeline: whichever detector delivered it, live or replayed, is judged
//! alike. Moments are compared by their order, not by their times alone, so that what stood only
//! between two observations of one instant counts as well.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crashbook_detector::verdict::{Class, Confidence, Identity, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::scenario::{Expectation, ObjectName};

/// The verdicts that stand from a time on, until the next moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Since when.
    pub at: Timestamp,
    /// What stands.
    pub verdicts: Vec<Arc<Verdict>>,
}

/// What happened in a run, and when. What did not happen has no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Marks {
    /// The detector had seen the healthy baseline.
    pub healthy: Timestamp,
    /// The injection began.
    pub injected: Option<Timestamp>,
    /// The symptom was seen.
    pub symptom: Option<Timestamp>,
    /// The fix began.
    pub fixed: Option<Timestamp>,
    /// The recovery was seen.
    pub recovered: Option<Timestamp>,
    /// The watching ended: what comes later is the clearing away's. In virtual time much happens at
    /// one instant, so what stood first at this one still counts.
    pub swept: Timestamp,
}

impl Marks {
    /// A run of which no more is known than that its baseline was healthy.
    pub fn healthy(at: Timestamp) -> Self {
        Self {
            healthy: at,
            injected: None,
            symptom: None,
            fixed: None,
            recovered: None,
            swept: at,
        }
    }
}

/// What a detector did wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(
    tag = "reason",
    rename_all = "kebab-case",
    rename_all_fields = "snake_case"
)]
pub enum Wrong {
    /// An expected verdict never came.
    Missing {
        /// What was expected.
        expected: String,
    },
    /// In its place came one of another class.
    WrongClass {
        /// What was expected.
        expected: String,
        /// What came.
        seen: Identity,
    },
    /// In its place came one of another subject.
    WrongSubject {
        /// What was expected.
        expected: String,
        /// What came.
        seen: Identity,
    },
    /// In its place came one that blames another object.
    WrongCulprit {
        /// What was expected.
        expected: String,
        /// What came.
        seen: Identity,
    },
    /// It came, and never with the field, the detail or the affected that were expected.
    WrongDetail {
        /// What came.
        seen: Identity,
        /// What differs.
        difference: String,
    },
    /// Nobody expected it.
    ExtraVerdict {
        /// What came.
        seen: Identity,
        /// How sure the detector was.
        confidence: Confidence,
        /// Since when.
        from: Timestamp,
        /// Until when; none if it stood to the end.
        until: Option<Timestamp>,
        /// In the detector's words.
        summary: String,
    },
    /// It came, and went before the fix.
    Gap {
        /// What came.
        seen: Identity,
        /// When it was missing.
        from: Timestamp,
        /// When it came back; none if it did not.
        until: Option<Timestamp>,
    },
    /// It came after its budget.
    TooLate {
        /// What came.
        seen: Identity,
        /// How long after the symptom, in milliseconds.
        after_ms: i64,
        /// The budget, in milliseconds.
        within_ms: i64,
    },
    /// It did not end in time after the recovery.
    StillThere {
        /// What came.
        seen: Identity,
        /// How long after the recovery it ended, in milliseconds; none if it never did.
        after_ms: Option<i64>,
        /// How long it might have stood, in milliseconds.
        clear_ms: i64,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Missing { expected } => write!(f, "missing: {expected}"),
            Wrong::WrongClass { expected, seen } => {
                write!(f, "wrong class: {seen}, expected {expected}")
            }
            Wrong::WrongSubject { expected, seen } => {
                write!(f, "wrong subject: {seen}, expected {expected}")
            }
            Wrong::WrongCulprit { expected, seen } => {
                write!(f, "wrong culprit: {seen}, expected {expected}")
            }
            Wrong::WrongDetail { seen, difference } => {
                write!(f, "wrong detail: {seen}: {difference}")
            }
            Wrong::ExtraVerdict {
                seen,
                confidence,
                from,
                until,
                summary,
            } => {
                write!(f, "extra verdict: {seen} ({confidence}), ")?;
                match until {
                    Some(until) => write!(f, "for {} ms", from.duration_until(*until).as_millis())?,
                    None => f.write_str("to the end")?,
                }
                write!(f, ": {summary}")
            }
            Wrong::Gap {
                seen,
                from,
                until: Some(until),
            } => {
                let gap = from.duration_until(*until).as_millis();
                write!(f, "gap: {seen} was gone for {gap} ms before the fix")
            }
            Wrong::Gap {
                seen, until: None, ..
            } => write!(f, "gap: {seen} went before the fix, for good"),
            Wrong::TooLate {
                seen,
                after_ms,
                within_ms,
            } => write!(
                f,
                "too late: {seen} came {after_ms} ms after the symptom, its budget was {within_ms} ms"
            ),
            Wrong::StillThere {
                seen,
                after_ms: Some(after),
                clear_ms,
            } => write!(
                f,
                "still there: {seen} ended {after} ms after the recovery, and might have stood for {clear_ms} ms"
            ),
            Wrong::StillThere {
                seen,
                after_ms: None,
                clear_ms,
            } => write!(
                f,
                "still there: {seen} stood to the end, more than {clear_ms} ms after the recovery"
            ),
        }
    }
}

/// What became of one expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The verdict that answered it.
    pub identity: Identity,
    /// When it stood as expected for the first time since the injection; none if it never did.
    pub came: Option<Timestamp>,
    /// When it ended for the last time; none while it stands.
    pub cleared: Option<Timestamp>,
}

/// The judge's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What was wrong; nothing if the detector passed.
    pub wrong: Vec<Wrong>,
    /// By expectation, in their order, the verdict that answers it.
    pub answers: Vec<Option<Answer>>,
}

/// Judges what stood in a timeline, whose moments are in the order of their times.
///
/// `namespace` is the run's own, and `clear` how long a verdict may stand after the recovery.
pub fn judge(
    timeline: &[Moment],
    expect: &[Expectation],
    namespace: &str,
    marks: &Marks,
    clear: Duration,
) -> Judgement {
    let window = window(timeline, marks);
    let mut seen: BTreeMap<Identity, Spell<'_>> = BTreeMap::new();
    for (index, moment) in window.iter().enumerate() {
        for verdict in &moment.verdicts {
            let spell = seen.entry(verdict.identity()).or_insert_with(|| Spell {
                first: verdict,
                stands: Vec::new(),
            });
            spell.stands.push((index, verdict));
        }
    }
    let mut judgement = Judgement::default();
    let mut unanswered = Vec::new();
    for expected in expect {
        let answer = marks.injected.and_then(|injected| {
            let candidates = seen.iter().filter(|(_, spell)| {
                spell.any_since(&window, injected, |v| names(expected, v, namespace))
            });
            let first = candidates.min_by_key(|(_, spell)| {
                let is_whole = |v: &Verdict| difference(expected, v, namespace).is_none();
                let whole = spell.any_since(&window, injected, is_whole);
                (!whole, spell.start_since(&window, injected))
            });
            first.map(|(identity, _)| identity.clone())
        });
        let Some((identity, spell)) = answer.and_then(|answer| seen.remove_entry(&answer)) else {
            judgement.answers.push(None);
            unanswered.push(expected);
            continue;
        };
        let answer = follow(
            expected,
            identity,
            &spell,
            &window,
            namespace,
            marks,
            clear,
            &mut judgement.wrong,
        );
        judgement.answers.push(Some(answer));
    }
    if marks.symptom.is_some() {
        for expected in unanswered {
            let wrong = mistaken(expected, &mut seen, namespace);
            judgement.wrong.push(wrong);
        }
    }
    for (identity, spell) in &seen {
        judgement.wrong.push(spell.extra(identity, &window, None));
    }
    judgement
}

/// An identity's standing in a window.
struct Spell<'a> {
    first: &'a Verdict,
    /// The moments in which it stands, by their index, and how.
    stands: Vec<(usize, &'a Arc<Verdict>)>,
}

impl Spell<'_> {
    fn since<'a>(
        &'a self,
        window: &'a [Moment],
        from: Timestamp,
    ) -> impl Iterator<Item = &'a (usize, &'a Arc<Verdict>)> {
        let stood = move |index: usize| end(window, index).is_none_or(|end| end > from);
        self.stands.iter().filter(move |(index, _)| stood(*index))
    }

    fn any_since(&self, window: &[Moment], from: Timestamp, is: impl Fn(&Verdict) -> bool) -> bool {
        self.since(window, from).any(|(_, verdict)| is(verdict))
    }

    fn start_since(&self, window: &[Moment], from: Timestamp) -> usize {
        self.since(window, from)
            .next()
            .map_or(usize::MAX, |(index, _)| *index)
    }

    /// Says of it, as far as it stood before this time, that nobody expected it.
    fn extra(&self, identity: &Identity, window: &[Moment], before: Option<Timestamp>) -> Wrong {
        let from = self.stands.first().map_or(0, |(index, _)| *index);
        let mut last = from;
        for (index, _) in &self.stands {
            if *index > last + 1 {
                break;
            }
            last = *index;
        }
        let until = end(window, last);
        Wrong::ExtraVerdict {
            seen: identity.clone(),
            confidence: self.first.confidence,
            from: window[from].at,
            until: match (until, before) {
                (Some(until), Some(before)) => Some(until.min(before)),
                (until, before) => until.or(before),
            },
            summary: self.first.summary.clone(),
        }
    }
}

/// The moments between the healthy baseline and the end of the watching.
fn window(timeline: &[Moment], marks: &Marks) -> Vec<Moment> {
    let before = timeline.iter().rposition(|m| m.at <= marks.healthy);
    let mut window: Vec<Moment> = timeline[before.unwrap_or(0)..]
        .iter()
        .take_while(|moment| moment.at <= marks.swept)
        .cloned()
        .collect();
    if let Some(first) = window.first_mut() {
        first.at = first.at.max(marks.healthy);
    }
    window
}

/// When a moment of a window ended: with the next one.
fn end(window: &[Moment], index: usize) -> Option<Timestamp> {
    window.get(index + 1).map(|next| next.at)
}

/// Judges the verdict that answers an expectation.
#[expect(
    clippy::too_many_arguments,
    reason = "one half of `judge`, cut at its longest loop"
)]
fn follow(
    expected: &Expectation,
    identity: Identity,
    spell: &Spell<'_>,
    window: &[Moment],
    namespace: &str,
    marks: &Marks,
    clear: Duration,
    wrong: &mut Vec<Wrong>,
) -> Answer {
    let injected = marks.injected.unwrap_or(marks.healthy);
    if spell
        .stands
        .first()
        .is_some_and(|(index, _)| window[*index].at < injected)
    {
        wrong.push(spell.extra(&identity, window, Some(injected)));
    }
    let since: Vec<_> = spell.since(window, injected).collect();
    let whole = since
        .iter()
        .find(|(_, verdict)| difference(expected, verdict, namespace).is_none());
    let came = whole.map(|(index, _)| window[*index].at.max(injected));
    if let (Some(came), Some(symptom)) = (came, marks.symptom) {
        let after = symptom.duration_until(came);
        let within = SignedDuration::try_from(expected.within).unwrap_or(SignedDuration::MAX);
        if after > within {
            wrong.push(Wrong::TooLate {
                seen: identity.clone(),
                after_ms: millis(after),
                within_ms: millis(within),
            });
        }
    }
    let until_fix = |index: &usize| marks.fixed.is_none_or(|fixed| window[*index].at < fixed);
    if marks.symptom.is_some()
        && let Some((_, verdict)) = since.iter().rev().find(|(index, _)| until_fix(index))
        && let Some(difference) = difference(expected, verdict, namespace)
    {
        wrong.push(Wrong::WrongDetail {
            seen: identity.clone(),
            difference,
        });
    }
    if let Some((first, _)) = since.first() {
        let stands = |index: usize| since.iter().any(|(at, _)| *at == index);
        let gap = (*first..window.len())
            .take_while(until_fix)
            .find(|index| !stands(*index));
        if let Some(gap) = gap {
            let back = (gap..window.len()).find(|index| stands(*index));
            wrong.push(Wrong::Gap {
                seen: identity.clone(),
                from: window[gap].at,
                until: back.map(|index| window[index].at),
            });
        }
    }
    let cleared = since.last().and_then(|(index, _)| end(window, *index));
    if let Some(recovered) = marks.recovered {
        let clear = SignedDuration::try_from(clear).unwrap_or(SignedDuration::MAX);
        let after = cleared.map(|cleared| recovered.duration_until(cleared));
        if after.is_none_or(|after| after > clear) {
            wrong.push(Wrong::StillThere {
                seen: identity.clone(),
                after_ms: after.map(millis),
                clear_ms: millis(clear),
            });
        }
    }
    Answer {
        identity,
        came,
        cleared,
    }
}

/// Says what came in place of an expected verdict, and takes it out of what was seen.
fn mistaken(
    expected: &Expectation,
    seen: &mut BTreeMap<Identity, Spell<'_>>,
    namespace: &str,
) -> Wrong {
    let likeness = |identity: &Identity| {
        let same = (
            identity.class == expected.class,
            is_named(&expected.subject, &identity.subject, namespace),
            is_named(&expected.culprit.object(), &identity.culprit, namespace),
        );
        match same {
            (true, true, _) => Some(0),
            (true, false, true) => Some(1),
            (false, true, _) => Some(2),
            (false, false, true) => Some(3),
            _ => None,
        }
    };
    let nearest = seen
        .keys()
        .filter_map(|identity| Some((likeness(identity)?, identity.clone())))
        .min();
    let text = describe(expected);
    let Some((likeness, identity)) = nearest else {
        return Wrong::Missing { expected: text };
    };
    seen.remove(&identity);
    match likeness {
        0 => Wrong::WrongCulprit {
            expected: text,
            seen: identity,
        },
        1 => Wrong::WrongSubject {
            expected: text,
            seen: identity,
        },
        _ => Wrong::WrongClass {
            expected: text,
            seen: identity,
        },
    }
}

/// An expectation in one line, as an identity is written.
pub fn describe(expected: &Expectation) -> String {
    let mut text = format!("{} of {}", expected.class, expected.subject);
    let culprit = expected.culprit.object();
    if culprit != expected.subject {
        text = format!("{text} by {culprit}");
    }
    text
}

fn is_named(
    name: &ObjectName,
    object: &crashbook_detector::verdict::Reference,
    namespace: &str,
) -> bool {
    name.matches(
        &object.kind,
        object.namespace.as_deref(),
        &object.name,
        namespace,
    )
}

/// Whether the verdict's identity is the expected one. Of several NetworkPolicies that together
/// admit no path any is the culprit, as long as all are listed.
fn names(expected: &Expectation, verdict: &Verdict, namespace: &str) -> bool {
    let culprit = expected.culprit.object();
    let is_among_policies = || {
        let of_policies = matches!(
            expected.class,
            Class::NetworkPolicyBlocksEgress | Class::NetworkPolicyBlocksIngress
        );
        let policies = verdict.detail.get("policies").and_then(Value::as_array);
        of_policies
            && policies.is_some_and(|policies| {
                policies.iter().any(|policy| {
                    serde_json::from_value(policy.clone())
                        .is_ok_and(|policy| is_named(&culprit, &policy, namespace))
                })
            })
    };
    verdict.class == expected.class
        && is_named(&expected.subject, &verdict.subject, namespace)
        && (is_named(&culprit, &verdict.culprit.object, namespace) || is_among_policies())
}

/// How a verdict of the expected identity differs from what is expected besides; none if it does
/// not.
fn difference(expected: &Expectation, verdict: &Verdict, namespace: &str) -> Option<String> {
    if !names(expected, verdict, namespace) {
        return Some(format!("expected {}", describe(expected)));
    }
    if let Some(field) = &expected.culprit.field
        && verdict.culprit.field.as_ref() != Some(field)
    {
        let seen = verdict.culprit.field.as_deref().unwrap_or("null");
        return Some(format!("the culprit's field is {seen}, expected {field}"));
    }
    for (key, value) in &expected.detail {
        match verdict.detail.get(key) {
            None => return Some(format!("detail lacks {key}, expected {value}")),
            Some(seen) if !is_within(value, seen) => {
                return Some(format!("detail {key} is {seen}, expected {value}"));
            }
            Some(_) => {}
        }
    }
    let missing = expected.affected.iter().find(|name| {
        let is = |affected| is_named(name, affected, namespace);
        !verdict.affected.iter().any(is)
    });
    missing.map(|name| format!("{name} is not among the affected"))
}

/// Whether a value holds at least what is expected: maps and lists may hold more, and a string that
/// holds `*` is a pattern.
fn is_within(expected: &Value, seen: &Value) -> bool {
    match (expected, seen) {
        (Value::Object(expected), Value::Object(seen)) => expected
            .iter()
            .all(|(key, value)| seen.get(key).is_some_and(|seen| is_within(value, seen))),
        (Value::Array(expected), Value::Array(seen)) => expected
            .iter()
            .all(|expected| seen.iter().any(|seen| is_within(expected, seen))),
        (Value::String(expected), Value::String(seen)) => {
            crate::scenario::Name(expected.clone()).matches(seen)
        }
        (expected, seen) => expected == seen,
    }
}

fn millis(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
