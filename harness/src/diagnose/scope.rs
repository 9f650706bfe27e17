//! Which kinds an input lists in full, and for which namespaces: there an absence means something.

use std::collections::{BTreeMap, BTreeSet};

use crashbook_detector::Kind;

use super::objects::List;

/// The namespaces that every cluster has.
///
/// Source: `pkg/controlplane/controller/systemnamespaces`.
const SYSTEM_NAMESPACES: [&str; 2] = ["default", "kube-system"];

/// The Lists of an input, by file.
#[derive(Debug, Default)]
pub(super) struct Scopes(Vec<(String, List)>);

/// A kind, and the one namespace in which it was listed; none where it was everywhere.
pub(super) type Listed = BTreeSet<(Kind, Option<String>)>;

impl Scopes {
    pub(super) fn add(&mut self, file: &str, list: List) {
        self.0.push((file.to_owned(), list));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What counts as fully listed.
    ///
    /// - Where the layout has a file for each namespace, its kind for this namespace.
    /// - A List of one kind: this kind. Of kinds that every cluster has in several namespaces, one
    ///   that holds those of a single namespace was asked for this namespace alone, and so were the
    ///   Lists beside it that hold nothing of another.
    /// - A mixed List that holds Namespaces and Nodes: every kind, for the namespaces it holds.
    ///
    /// What is listed in all namespaces of a whole list of Namespaces is listed everywhere.
    pub(super) fn listed(&self) -> Listed {
        let mut listed = Listed::new();
        let mut namespaces = BTreeSet::new();
        let dumped = self.dumped_namespaces();
        let asked_for = self.only_namespace();
        for (file, list) in &self.0 {
            let mut holds = list.holds.clone();
            let is_mixed = holds.len() + usize::from(list.holds_others) > 1;
            if let Some(held) = holds.get(&Kind::Namespace) {
                namespaces.extend(held.iter().cloned());
            }
            if is_mixed {
                let (Some(held), true) = (
                    holds.remove(&Kind::Namespace),
                    holds.contains_key(&Kind::Node),
                ) else {
                    continue;
                };
                for kind in Kind::ALL.iter().copied() {
                    if kind.is_namespaced() {
                        listed.extend(held.iter().map(|name| (kind, Some(name.clone()))));
                    } else {
                        listed.insert((kind, None));
                    }
                }
                continue;
            }
            let Some((kind, held)) = holds
                .pop_first()
                .or_else(|| (!list.holds_others).then_some((list.kind?, BTreeSet::new())))
            else {
                continue;
            };
            let folder = file.rsplit_once('/').map(|(folder, _)| folder);
            let one = match (&list.namespace, folder) {
                (Some(namespace), _) => Some(namespace.clone()),
                (None, Some(folder)) if dumped.contains(folder) => {
                    folder.rsplit('/').next().map(str::to_owned)
                }
                _ if is_everywhere(kind) && held.len() == 1 => held.first().cloned(),
                _ => asked_for
                    .filter(|name| held.iter().all(|held| held == *name))
                    .cloned(),
            };
            listed.insert((kind, one.filter(|_| kind.is_namespaced())));
        }
        self.widen(&mut listed, &namespaces);
        listed
    }

    /// The one namespace that the Lists were asked for, if there is but one: then the kinds that not
    /// every namespace has were asked for it too.
    fn only_namespace(&self) -> Option<&String> {
        let held = |kind| {
            let held = self
                .0
                .iter()
                .filter_map(move |(_, list)| list.holds.get(&kind));
            held.flatten().collect::<BTreeSet<_>>()
        };
        let [pods, namespaces] = [Kind::Pod, Kind::Namespace].map(held);
        let only = pods.first().copied().filter(|_| pods.len() == 1)?;
        namespaces.iter().all(|name| *name == only).then_some(only)
    }

    fn widen(&self, listed: &mut Listed, namespaces: &BTreeSet<String>) {
        let is_whole = listed.contains(&(Kind::Namespace, None))
            && SYSTEM_NAMESPACES
                .iter()
                .all(|name| namespaces.contains(*name));
        if !is_whole {
            return;
        }
        // Every cluster runs pods in it; a state without them was cut down.
        let has_system_pods = self.0.iter().any(|(_, list)| {
            let pods = list.holds.get(&Kind::Pod);
            pods.is_some_and(|held| held.contains("kube-system"))
        });
        let mut by_kind: BTreeMap<Kind, BTreeSet<&str>> = BTreeMap::new();
        for (kind, namespace) in listed.iter() {
            by_kind
                .entry(*kind)
                .or_default()
                .extend(namespace.as_deref());
        }
        let everywhere: Vec<Kind> = by_kind
            .into_iter()
            .filter(|(_, listed)| namespaces.iter().all(|name| listed.contains(name.as_str())))
            .map(|(kind, _)| kind)
            .filter(|kind| *kind != Kind::Pod || has_system_pods)
            .collect();
        listed.extend(everywhere.into_iter().map(|kind| (kind, None)));
    }

    /// The folders in which `kubectl cluster-info dump` wrote a namespace: nothing else writes a
    /// file of this name.
    fn dumped_namespaces(&self) -> BTreeSet<&str> {
        self.0
            .iter()
            .filter_map(|(file, _)| {
                let (folder, name) = file.rsplit_once('/')?;
                let name = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
                (name == "replication-controllers").then_some(folder)
            })
            .collect()
    }
}

/// Whether every cluster has objects of this kind in more than one namespace.
fn is_everywhere(kind: Kind) -> bool {
    matches!(kind, Kind::Pod | Kind::ConfigMap | Kind::ServiceAccount)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(lists: &[(&str, Kind, &[&str])]) -> Scopes {
        let mut scopes = Scopes::default();
        for (file, kind, held) in lists {
            let held = held.iter().map(|name| (*name).to_owned()).collect();
            let list = List {
                holds: BTreeMap::from([(*kind, held)]),
                ..List::default()
            };
            scopes.add(file, list);
        }
        scopes
    }

    #[test]
    fn what_was_asked_of_one_namespace_tells_of_that_alone() {
        let pods = ("pods.json", Kind::Pod, ["shop"].as_slice());
        let services = ("services.json", Kind::Service, ["shop"].as_slice());
        let of_shop = |kind| (kind, Some("shop".to_owned()));
        let listed = scopes(&[pods, services]).listed();
        assert_eq!(
            listed,
            Listed::from([of_shop(Kind::Pod), of_shop(Kind::Service)])
        );
        // All of the cluster was asked for, though only one namespace has pods.
        let namespaces = (
            "namespaces.json",
            Kind::Namespace,
            ["default", "shop"].as_slice(),
        );
        let listed = scopes(&[pods, services, namespaces]).listed();
        assert!(listed.contains(&(Kind::Service, None)));
    }
}
