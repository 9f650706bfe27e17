//! A program cannot listen: another process of its pod or node holds the port.
//!
//! # What it finds
//!
//! A container that ends because the port that it wants to listen on is taken: by another
//! container of the pod, for they share their ports, or by a process of the node where the pod
//! uses the node's network.
//!
//! # How it tells
//!
//! The last run failed, and the last thing that it printed, of all that is understood, is that the
//! address is in use.
//!
//! # Not before
//!
//! The second failure: an old process may still be ending. Over when the present run has outlasted
//! twice the last plus 10 s.
//!
//! # Looks like
//!
//! - `host-port-conflict`: the scheduler finds no node with the port free.
//! - `permission-denied`: the port is free and may not be used.
//!
//! # Remedy
//!
//! Give one of the two another port.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::rules::failing;
use crate::rules::{Judge, Need, Rule};
use crate::signatures::Meaning;
use crate::verdict::Class;
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::PortInUse,
    needs: &[Need::Words],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    for failing in failing::containers(pod, view) {
        if failing.ended.is_none_or(|ended| ended.exit_code == 0) || !failing.is_lasting(pod) {
            continue;
        }
        let Some((line, _)) = failing.main_if(|meaning| meaning == Meaning::PortInUse) else {
            continue;
        };
        let workload = view.workload(pod);
        let name = failing.container.name();
        let port: Option<u16> =
            failing.field(Meaning::PortInUse, "port").and_then(|text| text.parse().ok());
        let declared = port.and_then(|port| {
            let mut ports = failing.container.spec.ports.iter().flatten();
            ports.position(|declared| declared.container_port == i32::from(port))
        });
        let path = failing.container.path();
        let field = match declared {
            Some(index) => format!("{path}.ports[{index}].containerPort"),
            None => format!("{path}.ports"),
        };
        let place = if pod.spec.host_network == Some(true) { "node" } else { "pod" };
        let text = port.map_or("its port".to_owned(), |port| format!("port {port}"));
        let summary = format!(
            "Container {name} of {} cannot listen on {text}: another process of the {place} holds it",
            workload.reference,
        );
        let finding = Finding::new(
            Class::PortInUse,
            workload.reference.clone(),
            workload.culprit(&field),
            failing.since,
            summary,
        )
        .container(name)
        .detail("port", port)
        .evidence(failing.quote(line))
        .evidence([failing.symptom.clone()])
        .remedy(
            "Give one of the two another port",
            format!("kubectl edit {}", workload.reference.kubectl()),
        );
        findings.push(finding);
    }
}
