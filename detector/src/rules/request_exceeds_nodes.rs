//! # What it finds
//!
//! A pod stays Pending because it asks for more of a resource than any node that it could run on
//! has at all.
//!
//! # How it tells
//!
//! The scheduler says that the pod is unschedulable. Each node that its selector, affinity and
//! tolerations leave has less allocatable than the pod asks for, even if it ran there alone but for
//! the pods of DaemonSets and static pods. What the pod asks for is computed as the scheduler does,
//! from its containers, init containers, sidecars and overhead. In an input without nodes, the
//! scheduler's message decides.
//!
//! # Not before
//!
//! At once; but for ten minutes after an autoscaler said that it makes a node for the pod, nothing
//! is said.
//!
//! # Looks like
//!
//! - `capacity-exhausted`: a node is large enough, and full. The message is the same:
//!   `Insufficient memory`.
//! - `nodes-cordoned`: the node that is large enough is cordoned.
//! - `taint-untolerated`: a control plane with a taint is background, whatever its size.
//!
//! # Remedy
//!
//! Ask for less, or add a larger node.

use crate::facts::Pod;
use crate::finding::Finding;
use crate::kubernetes::resources::{self, Side};
use crate::rules::unschedulable::{self, Obstacle};
use crate::rules::{Judge, Rule};
use crate::verdict::{Class, Evidence, Reference};
use crate::view::View;

pub(super) const RULE: Rule = Rule {
    class: Class::RequestExceedsNodes,
    needs: &[],
    judges: &[Judge::Pod(judge)],
};

fn judge(pod: &Pod, view: &View<'_>, findings: &mut Vec<Finding>) {
    let Some(stuck) = unschedulable::of(pod, view) else {
        return;
    };
    if stuck.obstacle != Obstacle::Size {
        return;
    }
    let subject = &stuck.workload.reference;
    let edit = format!("kubectl edit {}", subject.kubectl());
    let Some(lack) = unschedulable::scarcest(&stuck.scan.too_small) else {
        let summary = format!("{subject} asks for more than any node has");
        let resource = stuck.scarce_by_message();
        let field = resource
            .as_ref()
            .and_then(|resource| resources::largest_field(&pod.spec, resource, Side::Requests));
        let culprit = match field {
            Some(field) => stuck.workload.culprit(&field),
            None => subject.clone().whole(),
        };
        let request = |resource: &String| Some(stuck.scan.requests.get(resource)?.text(resource));
        let finding = stuck
            .finding(Class::RequestExceedsNodes, culprit, summary)
            .detail("request", resource.as_ref().and_then(request))
            .detail("resource", resource);
        findings.push(finding.remedy("Ask for less", edit));
        return;
    };
    let (request, largest) = (
        lack.request.text(&lack.resource),
        lack.available.text(&lack.resource),
    );
    let summary = format!(
        "{subject} asks for {request} of {}, and no node that it could run on has more than \
         {largest}",
        lack.resource
    );
    let culprit = match resources::largest_field(&pod.spec, &lack.resource, Side::Requests) {
        Some(field) => stuck.workload.culprit(&field),
        None => subject.clone().whole(),
    };
    let largest_node = stuck
        .scan
        .too_small
        .iter()
        .find(|(_, lacks)| lacks.contains(&lack));
    let evidence = largest_node.map(|(node, _)| Evidence {
        object: Reference::cluster("Node", &node.name),
        field: format!("status.allocatable.{}", lack.resource),
        quote: node.allocatable(&lack.resource).text(&lack.resource),
        at: None,
    });
    let finding = stuck
        .finding(Class::RequestExceedsNodes, culprit, summary)
        .detail("resource", lack.resource.clone())
        .detail("request", request)
        .detail("largestAllocatable", largest)
        .detail("nodes", unschedulable::with_reasons(&stuck.scan.too_small))
        .evidence(evidence)
        .remedy(
            format!(
                "Ask for less {} than a node has, or add a larger node",
                lack.resource
            ),
            edit,
        );
    findings.push(finding);
}
