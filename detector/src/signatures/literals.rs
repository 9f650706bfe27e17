//! What text a line must hold for a pattern to match it: looking for that is much cheaper than to
//! compile and try every pattern.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Finds the patterns that may match a line.
pub(super) struct Sieve {
    literals: AhoCorasick,
    /// The patterns that each literal stands for.
    patterns: Vec<Vec<usize>>,
    /// The patterns that no literal stands for.
    always: Vec<usize>,
}

impl Sieve {
    /// A sieve of these patterns, which are known by their places.
    pub(super) fn new<'p>(patterns: impl Iterator<Item = &'p str>) -> Self {
        let mut by_literal: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
        let mut always = Vec::new();
        let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
        for (index, pattern) in patterns.enumerate() {
            match parser.parse(pattern).ok().and_then(|hir| required(&hir)) {
                Some(literals) => {
                    for literal in literals {
                        by_literal.entry(literal).or_default().push(index);
                    }
                }
                None => always.push(index),
            }
        }
        let (literals, patterns): (Vec<_>, Vec<_>) = by_literal.into_iter().unzip();
        match AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&literals)
        {
            Ok(literals) => Self {
                literals,
                patterns,
                always,
            },
            // Too many of them: then every pattern may match.
            Err(_) => {
                always.extend(patterns.into_iter().flatten());
                let literals = AhoCorasick::builder().build::<_, &[u8]>([]);
                let literals = literals.unwrap_or_else(|_| unreachable!("nothing is not too much"));
                Self {
                    literals,
                    patterns: Vec::new(),
                    always,
                }
            }
        }
    }

    /// The places of the patterns that may match, in their order.
    pub(super) fn candidates(&self, line: &[u8]) -> Vec<usize> {
        let found = self.literals.find_overlapping_iter(line);
        let found = found.filter_map(|found| self.patterns.get(found.pattern().as_usize()));
        let mut candidates: Vec<usize> = found.flatten().chain(&self.always).copied().collect();
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}

/// The least length of a literal that is worth to look for.
const SHORTEST: usize = 3;

/// Literals, in lower case, of which every match holds at least one; none where there are no such,
/// or only short ones.
fn required(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => all_long(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Capture(capture) => required(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub),
        HirKind::Alternation(branches) => {
            let branches = branches.iter().map(required).collect::<Option<Vec<_>>>()?;
            Some(branches.concat())
        }
        HirKind::Concat(parts) => {
            // Letters in either case are classes of their own: they are joined.
            let mut sets = Vec::new();
            let mut run = Vec::new();
            for part in parts {
                if let Some(bytes) = exact(part) {
                    run.extend(bytes);
                } else {
                    sets.extend(all_long(vec![std::mem::take(&mut run)]));
                    sets.extend(required(part));
                }
            }
            sets.extend(all_long(vec![run]));
            // The longer a literal, the rarer.
            let shortest = |set: &Vec<Vec<u8>>| set.iter().map(Vec::len).min();
            sets.into_iter()
                .max_by_key(|set| (shortest(set), std::cmp::Reverse(set.len())))
        }
        _ => None,
    }
}

fn all_long(literals: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    literals
        .iter()
        .all(|literal| literal.len() >= SHORTEST)
        .then_some(literals)
}

/// The text, in lower case, that a part matches and no other: a literal, or a letter in either case.
fn exact(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(literal.0.to_ascii_lowercase()),
        HirKind::Class(Class::Bytes(class)) => {
            let mut bytes = class.iter().flat_map(|range| range.start()..=range.end());
            let first = bytes.next()?.to_ascii_lowercase();
            bytes
                .all(|other| other.to_ascii_lowercase() == first)
                .then(|| vec![first])
        }
        HirKind::Capture(capture) => exact(&capture.sub),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_match_must_hold() {
        let check = |pattern: &str, expected: &[&str]| {
            let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
            let found = required(&parser.parse(pattern).unwrap()).unwrap_or_default();
            let found: Vec<_> = found
                .iter()
                .map(|literal| String::from_utf8_lossy(literal))
                .collect();
            assert_eq!(found, expected, "{pattern}");
        };
        check(
            r"lookup (?P<host>[^\s:]+): no such host",
            &[": no such host"],
        );
        check(r"(?i)Address in use \d+", &["address in use "]);
        check(r"(?:open|create) (?P<file>/\S+)", &["open", "create"]);
        check(r"(?:cannot )?open", &["open"]);
        check(r"(?P<problem>(?i:a|bad))", &[]);
        check(r"\d+ of \w+", &[" of "]);
    }

    #[test]
    fn what_may_match_is_found_in_order() {
        let sieve = Sieve::new(["b: refused", r"\d+", "(?i)REFUSED"].into_iter());
        assert_eq!(sieve.candidates(b"dial a:80: Refused"), [1, 2]);
        assert_eq!(sieve.candidates(b"b: refused"), [0, 1, 2]);
        assert_eq!(sieve.candidates(b""), [1]);
    }
}
