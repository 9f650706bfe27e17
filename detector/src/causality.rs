//! Tells causes from symptoms: findings that another one explains become part of its verdict.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::verdict::{Class, Confidence, Culprit, Phase, Reference, Verdict};

/// The most pieces of evidence that a verdict shows.
const MOST_EVIDENCE: usize = 12;

/// How far a class is from a cause: of one subject's findings, the nearer explains the farther.
///
/// What the state of objects proves is 0. What a program says of its surroundings comes after it:
/// a policy explains a connection that times out. What only tells that something is wrong, and
/// not what, comes last.
fn distance(class: Class) -> u8 {
    match class {
        Class::DependencyUnreachable | Class::DependencyRefusing => 1,
        Class::StartupProbeFailing | Class::LivenessProbeFailing | Class::ReadinessProbeFailing => {
            2
        }
        Class::ExitsNormally | Class::InitContainerFailing => 3,
        Class::CrashUnexplained => 4,
        Class::JobFailed | Class::RolloutStalled => 5,
        _ => 0,
    }
}

/// Whether a finding explains another of the same subject.
fn is_nearer(finding: &Finding, of: &Finding) -> bool {
    let (cause, symptom) = (finding.class, of.class);
    let leads_to = match cause {
        // What was removed is made again, and finds no place.
        Class::Preempted => matches!(
            symptom,
            Class::CapacityExhausted | Class::HostPortConflict | Class::PodAffinityUnsatisfiable
        ),
        Class::TaintEvicted => matches!(
            symptom,
            Class::TaintUntolerated
                | Class::CapacityExhausted
                | Class::HostPortConflict
                | Class::PodAffinityUnsatisfiable
                | Class::VolumeNodeConflict
        ),
        // Whatever keeps the name service itself from running is a part of that; of those who ask
        // it, whatever they suffer once they run.
        Class::DnsUnavailable => {
            symptom != Class::DnsUnavailable
                && (symptom.phase() != Phase::Preparation
                    || finding.culprit.object == finding.subject && finding.container.is_none())
        }
        _ => false,
    };
    leads_to || distance(cause) < distance(symptom)
}

/// Makes verdicts of findings: one for each cause and culprit that nothing else explains.
pub(crate) fn verdicts(mut findings: Vec<Finding>) -> Vec<Verdict> {
    // The order in which rules and objects were judged must not show.
    findings.sort_by(|a, b| order(a).cmp(&order(b)));
    let roots = roots(&findings);
    let mut groups: BTreeMap<(Class, &Culprit), Vec<usize>> = BTreeMap::new();
    for (index, root) in roots.iter().enumerate() {
        if *root == index {
            let finding = &findings[index];
            groups
                .entry((finding.class, &finding.culprit))
                .or_default()
                .push(index);
        }
    }
    let mut explained: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, root) in roots.iter().enumerate() {
        if *root != index {
            explained.entry(*root).or_default().push(index);
        }
    }
    let mut groups: Vec<Vec<usize>> = merge_same_object(groups, &findings);
    for group in &mut groups {
        group.sort_unstable();
    }
    let mut verdicts: Vec<Verdict> = groups
        .iter()
        .map(|group| {
            let causes = group.iter().map(|index| &findings[*index]);
            let symptoms = group
                .iter()
                .filter_map(|index| explained.get(index))
                .flatten();
            verdict(
                causes.collect(),
                symptoms.map(|index| &findings[*index]).collect(),
            )
        })
        .collect();
    verdicts.sort_by(|a, b| {
        let key = |verdict: &Verdict| {
            (
                verdict.confidence,
                std::cmp::Reverse(verdict.affected.len()),
                verdict.since,
                verdict.class,
            )
        };
        key(a).cmp(&key(b)).then_with(|| a.subject.cmp(&b.subject))
    });
    verdicts
}

/// The identity of a verdict has no field: culprits that differ only in it are one. But each
/// resource that a node is short of is a trouble of its own.
fn merge_same_object(
    groups: BTreeMap<(Class, &Culprit), Vec<usize>>,
    findings: &[Finding],
) -> Vec<Vec<usize>> {
    let mut merged: BTreeMap<(Class, &Reference, Option<&str>), Vec<usize>> = BTreeMap::new();
    for indexes in groups.into_values() {
        for index in indexes {
            let finding = &findings[index];
            let resource = (finding.class == Class::NodePressureEviction)
                .then(|| finding.detail.get("resource")?.as_str())
                .flatten();
            merged
                .entry((finding.class, &finding.culprit.object, resource))
                .or_default()
                .push(index);
        }
    }
    merged.into_values().collect()
}

fn order(finding: &Finding) -> impl Ord + use<'_> {
    (
        finding.class,
        &finding.subject.namespace,
        &finding.subject.name,
        &finding.subject.kind,
        &finding.culprit,
        finding.confidence,
        // Of several pods the one whose words are known tells more.
        std::cmp::Reverse(finding.evidence.len()),
        finding.since,
        &finding.container,
        &finding.summary,
    )
}

/// For each finding, the one at the root of what explains it: itself if nothing does.
fn roots(findings: &[Finding]) -> Vec<usize> {
    let mut by_object: BTreeMap<&Reference, Vec<usize>> = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        let objects = [&finding.subject, &finding.culprit.object]
            .into_iter()
            .chain(&finding.affected);
        for object in objects.collect::<BTreeSet<_>>() {
            by_object.entry(object).or_default().push(index);
        }
    }
    let mut by_subject: BTreeMap<&Reference, Vec<usize>> = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        by_subject.entry(&finding.subject).or_default().push(index);
    }
    let explainers: Vec<Vec<usize>> = findings
        .iter()
        .enumerate()
        .map(|(index, finding)| {
            let nearer = by_subject[&finding.subject]
                .iter()
                .copied()
                .filter(|other| {
                    let other = &findings[*other];
                    is_nearer(other, finding)
                        && (other.container.is_none()
                            || finding.container.is_none()
                            || other.container == finding.container)
                });
            // Another that suffers the same of the same is no reason for it, unless it is that itself.
            let is_alike = |other: &usize| {
                let other = &findings[*other];
                other.class == finding.class
                    && other.culprit.object == finding.culprit.object
                    && other.subject != other.culprit.object
            };
            let elsewhere = (finding.explained_by.iter())
                .filter_map(|object| by_object.get(object))
                .flatten()
                .copied()
                .filter(|other| !is_alike(other));
            // That the scheduler is down is the cause, as long as it is not known why it is.
            let is_of_scheduler = |other: &usize| {
                let other = &findings[*other];
                other.class == Class::SchedulerUnavailable
                    && other.culprit.object == finding.subject
                    && distance(finding.class) > 1
            };
            let of_same = by_object[&finding.subject].iter().copied();
            let mut explainers: Vec<usize> = nearer
                .chain(elsewhere)
                .chain(of_same.filter(is_of_scheduler))
                .filter(|other| *other != index)
                .collect();
            explainers.sort_by_key(|other| {
                let other = &findings[*other];
                let names_the_subject =
                    other.subject == finding.subject || other.affected.contains(&finding.subject);
                (
                    distance(other.class),
                    !names_the_subject,
                    other.confidence,
                    other.since,
                    other.class,
                )
            });
            explainers.dedup();
            explainers
        })
        .collect();
    (0..findings.len())
        .map(|index| root(index, &explainers))
        .collect()
}

/// Follows what explains a finding to its root. Findings that explain each other in a circle have
/// the first of the circle as their root, in the findings' order.
fn root(start: usize, explainers: &[Vec<usize>]) -> usize {
    let mut path = vec![start];
    loop {
        let at = path[path.len() - 1];
        match explainers[at].first() {
            None => return at,
            Some(next) => match path.iter().position(|seen| seen == next) {
                None => path.push(*next),
                Some(circle) => return path[circle..].iter().copied().min().unwrap_or(at),
            },
        }
    }
}

fn verdict(causes: Vec<&Finding>, symptoms: Vec<&Finding>) -> Verdict {
    let first = causes[0];
    let mut affected: BTreeSet<&Reference> = BTreeSet::new();
    for finding in causes.iter().chain(&symptoms) {
        affected.insert(&finding.subject);
        affected.extend(&finding.affected);
    }
    affected.remove(&first.subject);
    let mut evidence = Vec::new();
    for finding in causes.iter().chain(&symptoms) {
        for piece in &finding.evidence {
            if evidence.len() < MOST_EVIDENCE && !evidence.contains(piece) {
                evidence.push(piece.clone());
            }
        }
    }
    // A node's condition and its evictions each tell a part.
    let mut detail = first.detail.clone();
    for cause in causes
        .iter()
        .filter(|_| first.class == Class::NodePressureEviction)
    {
        for (key, value) in &cause.detail {
            detail.entry(key).or_insert_with(|| value.clone());
        }
    }
    Verdict {
        class: first.class,
        phase: first.class.phase(),
        subject: first.subject.clone(),
        culprit: first.culprit.clone(),
        affected: affected.into_iter().cloned().collect(),
        detail,
        summary: first.summary.clone(),
        evidence,
        remedy: first.remedy.clone(),
        confidence: causes
            .iter()
            .map(|finding| finding.confidence)
            .chain(proof(first.class, &symptoms))
            .min()
            .unwrap_or(first.confidence),
        since: causes
            .iter()
            .map(|finding| finding.since)
            .min()
            .unwrap_or(first.since),
    }
}

/// How sure a cause is by what it explains: that nothing is there may be meant, until a client fails
/// on it.
fn proof(cause: Class, symptoms: &[&Finding]) -> Option<Confidence> {
    let fails = |symptom: &&Finding| {
        matches!(
            symptom.class,
            Class::DependencyUnreachable | Class::WebhookUnavailable
        )
    };
    let is_proven = cause == Class::ScaledToZero && symptoms.iter().any(fails);
    is_proven.then_some(Confidence::Certain)
}
