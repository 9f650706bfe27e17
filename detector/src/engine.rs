//! Keeps what is known of a cluster and what follows from it, one observation at a time.

use std::collections::{BTreeSet, hash_map};
use std::sync::{Arc, LazyLock};

use foldhash::HashMap;
use jiff::Timestamp;

use crate::causality;
use crate::facts::Pod;
use crate::finding::Finding;
use crate::key::Key;
use crate::memory::{Id, Memory};
use crate::object::{Kind, Object};
use crate::observation::Observation;
use crate::rules::{Need, RULES, Rule};
use crate::verdict::{Class, NotEvaluable, Reference, Report, SCHEMA, Verdict};
use crate::view::{View, Workload};

/// Names causes from what is observed.
///
/// It reads no clock and does no I/O: whoever drives it says what was seen, and when.
#[derive(Debug, Default)]
pub struct Engine {
    memory: Memory,
    now: Timestamp,
    docket: Docket,
    stale: BTreeSet<Arc<Id>>,
    all_stale: bool,
    verdicts: Option<Vec<Verdict>>,
}

/// The judgements that stand.
#[derive(Debug, Default)]
struct Docket {
    cases: Vec<Option<Case>>,
    /// The cases' places in `cases`.
    places: HashMap<Arc<Id>, Place>,
    /// The places in it that are empty.
    vacant: Vec<Place>,
    readers: HashMap<Key, BTreeSet<Place>>,
    due: BTreeSet<(Timestamp, Place)>,
}

/// A case's place in the docket: what refers to cases is much, and is to be small.
type Place = u32;

/// An object and its judgement.
#[derive(Debug)]
struct Case {
    of: Arc<Id>,
    judgement: Judgement,
}

/// What is found of one object, and what that rests on.
#[derive(Debug)]
struct Judgement {
    findings: Vec<Finding>,
    read: Box<[Key]>,
    deadline: Option<Timestamp>,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new() -> Self {
        Self {
            // Nothing was judged yet.
            all_stale: true,
            ..Self::default()
        }
    }

    /// Takes in what was seen at this time. Times never run backwards: an earlier one counts as
    /// the latest before it.
    pub fn observe(&mut self, observation: Observation, now: Timestamp) {
        self.advance(now);
        // What was absent without meaning may mean something now, whoever looked for it.
        if let Observation::Listed { kind, .. } = &observation {
            self.all_stale |= !self.memory.is_listed_everywhere(*kind);
        }
        // While all is to be judged, what is seen changes no more than that.
        let of = if self.all_stale {
            None
        } else {
            judged_by(&observation)
        };
        let touched = self.memory.observe(observation, self.now, !self.all_stale);
        if touched.is_empty() {
            return;
        }
        self.touch(touched);
        self.stale.extend(of.map(Arc::new));
    }

    /// Tells that time has passed and nothing was seen.
    pub fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let docket = &mut self.docket;
        while let Some((deadline, _)) = docket.due.first()
            && *deadline <= self.now
        {
            if let Some((_, place)) = docket.due.pop_first() {
                self.stale
                    .extend(docket.case(place).map(|case| case.of.clone()));
            }
        }
        let touched = self.memory.forget(self.now);
        self.touch(touched);
    }

    fn touch(&mut self, touched: Vec<Key>) {
        for key in touched {
            let readers = self.docket.readers.get(&key).into_iter().flatten();
            let cases = readers.filter_map(|place| self.docket.case(*place));
            self.stale.extend(cases.map(|case| case.of.clone()));
        }
    }

    /// The verdicts that stand now, the surest first, then those that most suffer from.
    pub fn verdicts(&mut self) -> &[Verdict] {
        if std::mem::take(&mut self.all_stale) {
            self.judge_all();
        }
        let view = View::new(&self.memory, self.now);
        for id in std::mem::take(&mut self.stale) {
            let (kind, namespace, name) = &*id;
            let object = self.memory.get_object(*kind, namespace, name);
            let judgement = object.and_then(|object| judged(object, &self.memory, &view));
            if self.docket.replace(id, judgement) {
                self.verdicts = None;
            }
        }
        let docket = &self.docket;
        self.verdicts.get_or_insert_with(|| {
            let cases = docket.cases.iter().flatten();
            let findings = cases.flat_map(|case| case.judgement.findings.iter().cloned());
            causality::verdicts(findings.collect())
        })
    }

    /// Judges all objects anew, whatever was found of them before.
    fn judge_all(&mut self) {
        self.stale.clear();
        self.verdicts = None;
        self.docket = Docket::default();
        let view = View::for_all(&self.memory, self.now);
        let kinds = || Kind::ALL.iter().copied().filter(|kind| is_judged(*kind));
        // Namespace by namespace: an object is mostly judged by others of its own, which are at hand.
        for namespace in self.memory.namespaces() {
            for object in kinds().flat_map(|kind| self.memory.of_kind_in(kind, namespace)) {
                if let Some(judgement) = judged(object, &self.memory, &view) {
                    self.docket.open(Arc::new(object.id()), judgement);
                }
            }
        }
    }

    /// When a rule's patience runs out: a verdict may come or go then, though nothing is seen.
    pub fn next_deadline(&mut self) -> Option<Timestamp> {
        self.verdicts();
        self.docket.due.first().map(|(deadline, _)| *deadline)
    }

    /// The classes that cannot be decided, and what is missing.
    pub fn not_evaluable(&mut self) -> Vec<NotEvaluable> {
        let found: BTreeSet<Class> = self
            .verdicts()
            .iter()
            .map(|verdict| verdict.class)
            .collect();
        let unheard = self.unheard();
        let mut missing: Vec<NotEvaluable> = RULES
            .iter()
            // What was found could be decided.
            .filter(|rule| !found.contains(&rule.class))
            .filter_map(|rule| {
                let nothing = || self.lack_of_objects(rule);
                let words = || {
                    unheard
                        .clone()
                        .filter(|_| rule.needs.contains(&Need::Words))
                };
                let because = (rule.needs.iter().find_map(|need| self.lack(*need)))
                    .or_else(nothing)
                    .or_else(words)?;
                Some(NotEvaluable {
                    class: rule.class,
                    because,
                })
            })
            .collect();
        missing.sort();
        missing.dedup_by(|a, b| a.class == b.class);
        missing
    }

    /// Why there is nothing that a rule could judge: no object of any of its kinds, and no list that
    /// says so.
    fn lack_of_objects(&self, rule: &Rule) -> Option<String> {
        let is_known = |kind| self.memory.is_listed_anywhere(kind) || self.memory.has_any(kind);
        if rule.judges.iter().any(|judge| is_known(judge.kind())) {
            return None;
        }
        self.lack(Need::List(rule.judges.first()?.kind()))
    }

    /// A container that fails, of which nothing says why, and whose log cannot be had.
    fn unheard(&mut self) -> Option<String> {
        let unexplained = self.verdicts().iter().filter(|verdict| {
            matches!(
                verdict.class,
                Class::CrashUnexplained | Class::InitContainerFailing
            )
        });
        let suffering: BTreeSet<Reference> = unexplained
            .flat_map(|verdict| verdict.affected.iter().chain([&verdict.subject]))
            .cloned()
            .collect();
        let namespaces: BTreeSet<&str> = suffering
            .iter()
            .filter_map(|one| one.namespace.as_deref())
            .collect();
        let view = View::new(&self.memory, self.now);
        let pods = namespaces
            .into_iter()
            .flat_map(|name| self.memory.in_namespace::<Pod>(name));
        let mut pods = pods.filter(|pod| {
            !pod.is_untroubled() && suffering.contains(&view.workload(pod).reference)
        });
        pods.find_map(|pod| {
            let mut containers = pod.containers();
            let unheard = containers.find(|container| {
                view.crash(pod, container)
                    .is_some_and(|crash| crash.words.is_none())
            })?;
            Some(format!(
                "no log of container {} of {} in this input",
                unheard.name(),
                pod.reference()
            ))
        })
    }

    /// Everything there is to say now.
    pub fn report(&mut self) -> Report {
        Report {
            schema: SCHEMA.to_owned(),
            verdicts: self.verdicts().to_vec(),
            not_evaluable: self.not_evaluable(),
        }
    }

    fn lack(&self, need: Need) -> Option<String> {
        match need {
            Need::List(kind) if self.memory.is_listed_anywhere(kind) => None,
            Need::List(kind) => Some(match self.memory.why_unreadable(kind) {
                Some(because) => format!("{kind} cannot be read: {because}"),
                None => format!("no {kind} list in this input"),
            }),
            Need::Words => None,
            Need::NodeStats if self.memory.has_stats() => None,
            Need::NodeStats => {
                Some("no kubelet statistics (stats/summary) in this input".to_owned())
            }
            Need::CpuPeriods if self.memory.has_cpu_periods() => None,
            Need::CpuPeriods => {
                Some("no kubelet CPU metrics (metrics/cadvisor) in this input".to_owned())
            }
        }
    }
}

impl Docket {
    fn case(&self, place: Place) -> Option<&Case> {
        self.cases.get(place as usize)?.as_ref()
    }

    fn open(&mut self, of: Arc<Id>, judgement: Judgement) {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.cases.push(None);
            (self.cases.len() - 1) as Place
        });
        for key in &judgement.read {
            self.readers.entry(*key).or_default().insert(place);
        }
        if let Some(deadline) = judgement.deadline {
            self.due.insert((deadline, place));
        }
        self.places.insert(of.clone(), place);
        self.cases[place as usize] = Some(Case { of, judgement });
    }

    /// Tells whether something else is found now.
    fn replace(&mut self, id: Arc<Id>, new: Option<Judgement>) -> bool {
        let old = self.close(&id);
        let before = old.iter().flat_map(|old| &old.findings);
        let differs = before.ne(new.iter().flat_map(|new| &new.findings));
        if let Some(judgement) = new {
            self.open(id, judgement);
        }
        differs
    }

    fn close(&mut self, id: &Id) -> Option<Judgement> {
        let place = self.places.remove(id)?;
        let old = self.cases.get_mut(place as usize)?.take()?.judgement;
        self.vacant.push(place);
        for key in &old.read {
            if let hash_map::Entry::Occupied(mut readers) = self.readers.entry(*key) {
                readers.get_mut().remove(&place);
                if readers.get().is_empty() {
                    readers.remove();
                }
            }
        }
        if let Some(deadline) = old.deadline {
            self.due.remove(&(deadline, place));
        }
        Some(old)
    }
}

/// Judges an object; none if nothing but the object itself can change that there is nothing to say
/// of it.
fn judged(object: &Object, memory: &Memory, view: &View<'_>) -> Option<Judgement> {
    if let Object::Pod(pod) = object
        && pod.phase() == "Running"
        && pod.is_untroubled()
        && !memory.has_log(&pod.namespace, &pod.name)
    {
        return None; // As most pods are: no rule has anything to say of them.
    }
    let mut findings = Vec::new();
    for rule in rules_of(object.kind()) {
        rule.judge(object, view, &mut findings);
    }
    if let Object::Pod(pod) = object {
        settle(pod, view, &mut findings);
    }
    let (read, deadline) = view.take_read();
    if findings.is_empty() && read.is_empty() && deadline.is_none() {
        return None;
    }
    findings.shrink_to_fit();
    Some(Judgement {
        findings,
        read,
        deadline,
    })
}

/// Says what else manages the subject, where it is of a kind of its own, and where to edit a subject
/// whose specification cannot be edited in place.
fn settle(pod: &Pod, view: &View<'_>, findings: &mut [Finding]) {
    if findings.is_empty() {
        return;
    }
    let Workload {
        reference,
        managed_by,
        ..
    } = view.workload(pod);
    let in_place = format!("kubectl edit {}", reference.kubectl());
    for finding in findings.iter_mut() {
        if finding.subject != reference {
            continue;
        }
        let field = finding.culprit.field.as_deref().unwrap_or_default();
        let is_editable = reference.kind != "Pod" || field.ends_with(".image");
        for remedy in finding.remedy.iter_mut() {
            if remedy.command.as_ref() != Some(&in_place) {
                continue;
            }
            match &managed_by {
                Some(manager) => {
                    remedy.command = Some(format!("kubectl edit {}", manager.kubectl()))
                }
                None if is_editable => {}
                None if pod.is_static() => {
                    let node = pod.node.as_deref().unwrap_or_default();
                    remedy.text += &format!(": a static pod, so in its file on node {node}");
                    remedy.command = None;
                }
                None => {
                    let file = format!("{}.yaml", pod.name);
                    remedy.text += ": a bare pod, so make it again";
                    let get = format!("kubectl get {} -o yaml > {file}", reference.kubectl());
                    let replace = format!("kubectl replace --force -f {file}");
                    remedy.command = Some(format!("{get} && ${{EDITOR:-vi}} {file} && {replace}"));
                }
            }
        }
        if let Some(manager) = &managed_by {
            let manager = serde_json::json!(manager);
            finding.detail.insert("managedBy".to_owned(), manager);
        }
    }
}

/// The object of which an observation tells, if any rule judges its kind.
fn judged_by(observation: &Observation) -> Option<Id> {
    let id = match observation {
        Observation::Applied(object) | Observation::Deleted(object) => object.id(),
        Observation::Vanished {
            kind,
            namespace,
            name,
        } => (*kind, namespace.clone(), name.clone()),
        // What an untroubled pod prints is looked at by none until it is there.
        Observation::Log(log) => (Kind::Pod, log.namespace.clone(), log.pod.clone()),
        _ => return None,
    };
    is_judged(id.0).then_some(id)
}

fn is_judged(kind: Kind) -> bool {
    !rules_of(kind).is_empty()
}

/// The rules that judge objects of a kind.
fn rules_of(kind: Kind) -> &'static [&'static Rule] {
    static OF: LazyLock<Vec<Vec<&Rule>>> = LazyLock::new(|| {
        let judges = |rule: &Rule, kind| rule.judges.iter().any(|judge| judge.kind() == kind);
        let of = |kind| {
            RULES
                .iter()
                .filter(move |rule| judges(rule, kind))
                .collect()
        };
        Kind::ALL.iter().map(|kind| of(*kind)).collect()
    });
    &OF[kind as usize]
}
