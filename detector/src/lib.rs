//! Names the cause of a Kubernetes failure from the cluster's state.
//!
//! The [`Engine`] is told what is seen of a cluster, one [`Observation`] at a time, and says which
//! [`Verdict`]s stand. It does no I/O and reads no clock: the same observations give the same
//! verdicts, in any order of arrival that the API could produce.
//!
//! ```
//! use crashbook_detector::{Engine, Kind, Object, Observation};
//! use serde_json::json;
//!
//! let now = "2026-11-24T12:00:00Z".parse().unwrap();
//! let pod = Object::decode(json!({
//!     "apiVersion": "v1",
//!     "kind": "Pod",
//!     "metadata": { "namespace": "shop", "name": "web" },
//!     "spec": { "containers": [{
//!         "name": "app",
//!         "envFrom": [{ "configMapRef": { "name": "settings" } }],
//!     }]},
//!     "status": { "phase": "Pending", "containerStatuses": [{
//!         "name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 0,
//!         "state": { "waiting": {
//!             "reason": "CreateContainerConfigError",
//!             "message": "configmap \"settings\" not found",
//!         }},
//!     }]},
//! })).unwrap();
//! let mut engine = Engine::new();
//! engine.observe(Observation::Applied(pod), now);
//! engine.observe(Observation::Listed { kind: Kind::ConfigMap, namespace: None }, now);
//! assert_eq!(engine.verdicts()[0].class.name(), "config-map-missing");
//! ```
//!
//! - [`observation`]: what can be seen, and [`object`] and [`facts`]: the objects among it
//! - [`rules`]: what is found, one file each; their documentation is the reference of the classes
//! - [`verdict`]: what is said

mod causality;
mod engine;
pub mod facts;
mod finding;
mod index;
mod key;
pub mod kubernetes;
mod memory;
pub mod object;
pub mod observation;
pub mod rules;
pub mod signatures;
pub mod verdict;
mod view;
mod words;

pub use engine::Engine;
pub use finding::Finding;
pub use memory::Gone;
pub use object::{Kind, Object};
pub use observation::Observation;
pub use verdict::{Class, Report, Verdict};
pub use view::{Lookup, View, Workload, controller};
pub use words::{Crash, Words};
