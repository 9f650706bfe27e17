//! What a pod asks a node for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource;

use crate::facts::{ContainerSpec, PodSpec};
use crate::kubernetes::quantity::Quantity;

/// Amounts by resource: `cpu`, `memory`, `nvidia.com/gpu`.
pub type Amounts = BTreeMap<String, Quantity>;

/// The amounts of an object's field; those that are malformed are left out.
pub fn amounts(field: Option<&BTreeMap<String, resource::Quantity>>) -> Amounts {
    let entries = field.into_iter().flatten();
    entries
        .filter_map(|(name, amount)| Some((name.clone(), Quantity::of(amount)?)))
        .collect()
}

/// Adds amounts to others.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    change(sum, more, |sum, more| sum + more);
}

/// Takes amounts away from others.
pub fn subtract(sum: &mut Amounts, less: &Amounts) {
    change(sum, less, |sum, less| sum - less);
}

fn at_least(sum: &mut Amounts, least: &Amounts) {
    change(sum, least, Quantity::max);
}

fn change(amounts: &mut Amounts, by: &Amounts, how: fn(Quantity, Quantity) -> Quantity) {
    for (name, by) in by {
        match amounts.get_mut(name) {
            Some(amount) => *amount = how(*amount, *by),
            None => {
                amounts.insert(name.clone(), how(Quantity::default(), *by));
            }
        }
    }
}

/// What is read of resources: their requests or their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is set aside for a pod.
    Requests,
    /// What a pod may use at most.
    Limits,
}

impl Side {
    /// The name of the field.
    pub fn field(self) -> &'static str {
        match self {
            Side::Requests => "requests",
            Side::Limits => "limits",
        }
    }

    fn of(self, resources: Option<&ResourceRequirements>) -> Amounts {
        amounts(resources.and_then(|resources| match self {
            Side::Requests => resources.requests.as_ref(),
            Side::Limits => resources.limits.as_ref(),
        }))
    }
}

/// What a pod of this specification asks its node for.
///
/// The main containers and sidecars run together; each init container runs beside the sidecars
/// before it; the pod needs the most of these. What the pod asks for as a whole takes the place of
/// what its containers do, and its overhead comes on top.
///
/// Source: `PodRequests` and `PodLimits` in
/// `staging/src/k8s.io/component-helpers/resource/helpers.go`.
pub fn of_spec(spec: &PodSpec, side: Side) -> Amounts {
    total(spec, side, |container| {
        side.of(container.resources.as_deref())
    })
}

fn total(spec: &PodSpec, side: Side, of: impl Fn(&ContainerSpec) -> Amounts) -> Amounts {
    let mut together = Amounts::new();
    for container in &spec.containers {
        add(&mut together, &of(container));
    }
    let mut sidecars = Amounts::new();
    let mut before = Amounts::new();
    for container in spec.init_containers.iter().flatten() {
        let mut peak = of(container);
        if is_sidecar(container) {
            add(&mut together, &peak);
            add(&mut sidecars, &peak);
            peak = sidecars.clone();
        } else {
            add(&mut peak, &sidecars);
        }
        at_least(&mut before, &peak);
    }
    at_least(&mut together, &before);
    together.extend(side.of(spec.resources.as_deref()));
    let overhead = amounts(spec.overhead.as_ref());
    for (name, amount) in overhead {
        // A limit that is not set stays so.
        if side == Side::Requests || together.contains_key(&name) {
            let sum = together.entry(name).or_default();
            *sum = *sum + amount;
        }
    }
    together
}

fn is_sidecar(container: &ContainerSpec) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// The last step of a path that leads to a resource: `.memory`, `["nvidia.com/gpu"]`.
pub fn step(resource: &str) -> String {
    if resource
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '-')
    {
        format!(".{resource}")
    } else {
        format!("[{resource:?}]")
    }
}

/// The field, from the pod's root, that asks for the most of a resource.
pub fn largest_field(spec: &PodSpec, resource: &str, side: Side) -> Option<String> {
    let of = |resources: Option<&ResourceRequirements>| {
        let amount = side.of(resources).get(resource).copied();
        amount.filter(|amount| *amount > Quantity::ZERO)
    };
    let name = step(resource);
    let field = |owner: &str| format!("{owner}.{}{name}", side.field());
    if of(spec.resources.as_deref()).is_some() {
        return Some(field("spec.resources"));
    }
    let listed = |list: &'static str, containers: &[ContainerSpec]| -> Vec<(Quantity, String)> {
        let asking = containers
            .iter()
            .enumerate()
            .filter_map(|(index, container)| {
                let amount = of(container.resources.as_deref())?;
                Some((amount, field(&format!("spec.{list}[{index}].resources"))))
            });
        asking.collect()
    };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let fields = [
        listed("containers", &spec.containers),
        listed("initContainers", init),
    ];
    // Of equals, the first.
    let largest =
        fields.into_iter().flatten().reduce(
            |largest, next| {
                if next.0 > largest.0 { next } else { largest }
            },
        );
    largest.map(|(_, field)| field)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1 as core;
    use serde_json::{Value, json};

    use super::*;

    fn pod_spec(spec: Value) -> PodSpec {
        serde_json::from_value::<core::PodSpec>(spec)
            .unwrap()
            .into()
    }

    fn check(spec: Value, cpu: &str, field: &str) {
        let spec = pod_spec(spec);
        let requests = of_spec(&spec, Side::Requests);
        assert_eq!(requests["cpu"].to_string(), cpu);
        let largest = largest_field(&spec, "cpu", Side::Requests);
        assert_eq!(largest.as_deref(), Some(field));
    }

    fn asking(cpu: &str) -> Value {
        json!({ "name": cpu, "resources": { "requests": { "cpu": cpu } } })
    }

    fn sidecar(cpu: &str) -> Value {
        let mut container = asking(cpu);
        container["restartPolicy"] = json!("Always");
        container
    }

    #[test]
    fn main_containers_add_up() {
        let spec = json!({ "containers": [asking("100m"), asking("300m"), asking("200m")] });
        check(spec, "600m", "spec.containers[1].resources.requests.cpu");
    }

    #[test]
    fn init_containers_run_one_by_one() {
        let spec = json!({
            "initContainers": [asking("2"), asking("1")],
            "containers": [asking("1500m")],
        });
        check(spec, "2", "spec.initContainers[0].resources.requests.cpu");
    }

    #[test]
    fn sidecars_run_beside_what_comes_after() {
        let spec = json!({
            "initContainers": [asking("2"), sidecar("100m"), asking("1950m")],
            "containers": [asking("1")],
        });
        check(
            spec,
            "2050m",
            "spec.initContainers[0].resources.requests.cpu",
        );
    }

    #[test]
    fn sidecars_add_to_the_main_containers() {
        let spec = json!({ "initContainers": [sidecar("1")], "containers": [asking("1500m")] });
        check(spec, "2500m", "spec.containers[0].resources.requests.cpu");
    }

    #[test]
    fn the_pod_as_a_whole_and_its_overhead() {
        let spec = json!({
            "containers": [asking("100m")],
            "resources": { "requests": { "cpu": "3" } },
            "overhead": { "cpu": "250m" },
        });
        check(spec, "3250m", "spec.resources.requests.cpu");
    }

    #[test]
    fn resources_with_a_domain_are_quoted_in_paths() {
        let spec = pod_spec(json!({ "containers": [
            { "name": "app", "resources": { "requests": { "nvidia.com/gpu": "2" } } },
        ]}));
        let field = largest_field(&spec, "nvidia.com/gpu", Side::Requests);
        let expected = "spec.containers[0].resources.requests[\"nvidia.com/gpu\"]";
        assert_eq!(field.as_deref(), Some(expected));
    }
}
