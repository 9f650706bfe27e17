//! The time that stands for now in a state that does not say when it was recorded.

use crashbook_detector::Object;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// How far two machines' clocks may differ.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

/// The times found in a state.
#[derive(Debug, Default)]
pub(super) struct Times(Vec<Timestamp>);

impl Times {
    pub(super) fn add(&mut self, time: Option<Timestamp>) {
        self.0.extend(time);
    }

    fn add_time(&mut self, time: &Option<Time>) {
        self.add(time.as_ref().map(|time| time.0));
    }

    /// Takes the times of an object's creation, conditions, occurrences and renewal.
    pub(super) fn of_object(&mut self, object: &Object) {
        self.add(object.meta().created);
        macro_rules! conditions {
            ($status:expr, $($time:ident)*) => {
                for condition in $status.iter().flat_map(|status| status.conditions.iter().flatten()) {
                    $(self.add_time(&condition.$time);)*
                }
            };
        }
        match object {
            Object::Event(event) => {
                self.add(event.first);
                self.add(event.last);
            }
            Object::Lease(lease) => {
                let renewed = lease
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.renew_time.as_ref());
                self.add(renewed.map(|time| time.0));
            }
            Object::Pod(pod) => {
                for condition in &pod.status.conditions {
                    self.add_time(&condition.last_transition_time);
                }
            }
            Object::Node(node) => {
                conditions!(node.status, last_transition_time last_heartbeat_time)
            }
            Object::Deployment(object) => {
                conditions!(object.status, last_transition_time last_update_time)
            }
            Object::ReplicaSet(object) => conditions!(object.status, last_transition_time),
            Object::ReplicationController(object) => {
                conditions!(object.status, last_transition_time)
            }
            Object::StatefulSet(object) => conditions!(object.status, last_transition_time),
            Object::DaemonSet(object) => conditions!(object.status, last_transition_time),
            Object::Job(object) => conditions!(object.status, last_transition_time last_probe_time),
            Object::Namespace(object) => conditions!(object.status, last_transition_time),
            Object::PersistentVolumeClaim(object) => {
                conditions!(object.status, last_transition_time last_probe_time)
            }
            Object::HorizontalPodAutoscaler(object) => {
                conditions!(object.status, last_transition_time)
            }
            Object::PodDisruptionBudget(object) => {
                let conditions = object.status.iter().flat_map(|status| &status.conditions);
                for condition in conditions.flatten() {
                    self.add(Some(condition.last_transition_time.0));
                }
            }
            _ => {}
        }
    }

    /// The newest time, less what cannot be: a few times beyond the present are wrong, where many
    /// are it is this machine's clock that is. Without any time, the present.
    pub(super) fn newest(mut self, present: Timestamp) -> Timestamp {
        self.0.sort_unstable();
        let Some(newest) = self.0.last() else {
            return present;
        };
        let limit = present.checked_add(SKEW).unwrap_or(present);
        let beyond = self.0.len() - self.0.partition_point(|time| *time <= limit);
        if beyond == 0 || beyond * 10 >= self.0.len() {
            return *newest;
        }
        self.0[self.0.len() - beyond - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(times: &[&str], present: &str) -> String {
        let mut all = Times::default();
        for time in times {
            all.add(Some(time.parse().unwrap()));
        }
        all.newest(present.parse().unwrap()).to_string()
    }

    const PRESENT: &str = "2026-11-24T12:00:00Z";

    #[test]
    fn the_newest_time_stands_for_now() {
        let times = ["2026-11-20T08:00:00Z", "2026-11-21T08:00:00Z"];
        assert_eq!(newest(&times, PRESENT), "2026-11-21T08:00:00Z");
        assert_eq!(newest(&[], PRESENT), PRESENT);
    }

    #[test]
    fn a_few_times_in_the_future_are_wrong() {
        let mut times = vec!["2026-11-21T08:00:00Z"; 20];
        times.push("2999-01-01T00:00:00Z");
        assert_eq!(newest(&times, PRESENT), "2026-11-21T08:00:00Z");
    }

    #[test]
    fn many_times_in_the_future_mean_that_this_clock_is_wrong() {
        let times = ["2026-11-21T08:00:00Z", "2026-11-22T08:00:00Z"];
        assert_eq!(
            newest(&times, "2025-01-01T00:00:00Z"),
            "2026-11-22T08:00:00Z"
        );
    }
}
