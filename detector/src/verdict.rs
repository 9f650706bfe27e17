//! What the detector says: the vocabulary shared by detector, scenarios and reports.
//!
//! The JSON form is a contract: [`Report`] is what `crashbook diagnose --format json` prints.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! classes {
    ($($phase:ident { $($variant:ident $name:literal,)* })*) => {
        /// The cause that a verdict names. The names are stable: a rename is a breaking change.
        ///
        /// What each class finds, how it tells, and what looks like it is told by the
        /// documentation of its rule; see [`crate::rules`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "a variant says no more than its name, which the rule explains")]
        pub enum Class {
            $($(#[serde(rename = $name)] $variant,)*)*
        }

        impl Class {
            /// Every class, in the order of the phases in which it strikes.
            pub const ALL: &[Class] = &[$($(Class::$variant,)*)*];

            /// The stable name, in kebab-case.
            pub fn name(self) -> &'static str {
                match self { $($(Class::$variant => $name,)*)* }
            }

            /// The phase of a pod's life that the class belongs to, whatever the pod's own phase.
            pub fn phase(self) -> Phase {
                match self { $($(Class::$variant => Phase::$phase,)*)* }
            }
        }
    };
}

classes! {
    Preparation {
        QuotaExceeded "quota-exceeded",
        LimitRangeViolated "limit-range-violated",
        ServiceAccountMissing "service-account-missing",
        PodSecurityRejected "pod-security-rejected",
        WebhookUnavailable "webhook-unavailable",
        NodeNameUnknown "node-name-unknown",
        NodeSelectorUnmatched "node-selector-unmatched",
        TaintUntolerated "taint-untolerated",
        NodesCordoned "nodes-cordoned",
        RequestExceedsNodes "request-exceeds-nodes",
        HostPortConflict "host-port-conflict",
        PodAffinityUnsatisfiable "pod-affinity-unsatisfiable",
        CapacityExhausted "capacity-exhausted",
        Preempted "preempted",
        KubeletRejected "kubelet-rejected",
        SchedulerUnavailable "scheduler-unavailable",
        ClaimMissing "claim-missing",
        StorageClassMissing "storage-class-missing",
        NoMatchingVolume "no-matching-volume",
        VolumeNodeConflict "volume-node-conflict",
        VolumeMountFailed "volume-mount-failed",
        ConfigMapMissing "config-map-missing",
        ConfigMapKeyMissing "config-map-key-missing",
        SecretMissing "secret-missing",
        SecretKeyMissing "secret-key-missing",
        ImageNotFound "image-not-found",
        ImageAuthFailed "image-auth-failed",
        RegistryUnreachable "registry-unreachable",
        ImageInvalid "image-invalid",
        SandboxFailed "sandbox-failed",
    }
    Initialization {
        AppConfigInvalid "app-config-invalid",
        CommandNotFound "command-not-found",
        LibraryMissing "library-missing",
        PermissionDenied "permission-denied",
        AccessDenied "access-denied",
        PortInUse "port-in-use",
        LoginRefused "login-refused",
        InitContainerFailing "init-container-failing",
        StartupProbeFailing "startup-probe-failing",
        LivenessProbeFailing "liveness-probe-failing",
        ExitsNormally "exits-normally",
        CrashUnexplained "crash-unexplained",
        JobFailed "job-failed",
    }
    Run {
        OomKilled "oom-killed",
        NodeOutOfMemory "node-out-of-memory",
        NetworkPolicyBlocksEgress "network-policy-blocks-egress",
        NetworkPolicyBlocksIngress "network-policy-blocks-ingress",
        DependencyUnreachable "dependency-unreachable",
        DependencyRefusing "dependency-refusing",
        DnsUnavailable "dns-unavailable",
        ServiceSelectorUnmatched "service-selector-unmatched",
        ServicePortMismatch "service-port-mismatch",
        ReadinessProbeFailing "readiness-probe-failing",
        NodePressureEviction "node-pressure-eviction",
        StorageLimitEviction "storage-limit-eviction",
        NodeNotReady "node-not-ready",
        TaintEvicted "taint-evicted",
        DisruptionBlocked "disruption-blocked",
        CpuThrottled "cpu-throttled",
        AutoscalerStuck "autoscaler-stuck",
        ScaledToZero "scaled-to-zero",
        RolloutStalled "rollout-stalled",
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The name is not one of [`Class::ALL`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("there is no class `{0}`")]
pub struct UnknownClass(pub String);

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(name: &str) -> Result<Self, UnknownClass> {
        Class::ALL
            .iter()
            .copied()
            .find(|class| class.name() == name)
            .ok_or_else(|| UnknownClass(name.to_owned()))
    }
}

/// When in a pod's life a class strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before a container's process exists.
    Preparation,
    /// The process starts and cannot get going.
    Initialization,
    /// It runs, or ran, and does not serve.
    Run,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Preparation => "preparation",
            Phase::Initialization => "initialization",
            Phase::Run => "run",
        })
    }
}

/// An object of the cluster, by kind, namespace and name. It need not exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// The kind, as Kubernetes spells it: `Deployment`.
    pub kind: String,
    /// The namespace; none for objects of the whole cluster.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl Reference {
    /// Refers to an object in a namespace.
    pub fn namespaced(
        kind: impl Into<String>,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self {
            kind: kind.into(),
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// Refers to an object of the whole cluster, such as a Node.
    pub fn cluster(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            namespace: None,
            name: name.into(),
        }
    }

    /// The culprit that this object is, with the field to change in it.
    pub fn field(self, field: impl Into<String>) -> Culprit {
        Culprit {
            object: self,
            field: Some(field.into()),
        }
    }

    /// The culprit that this object is as a whole.
    pub fn whole(self) -> Culprit {
        Culprit {
            object: self,
            field: None,
        }
    }

    /// The arguments by which kubectl names the object: `deployment/web -n shop`.
    pub fn kubectl(&self) -> String {
        let kind = self.kind.to_lowercase();
        match &self.namespace {
            Some(namespace) => format!("{kind}/{} -n {namespace}", self.name),
            None => format!("{kind}/{}", self.name),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// The object to change, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Culprit {
    /// The object. It may be absent from the cluster, and may be the subject itself.
    #[serde(flatten)]
    pub object: Reference,
    /// A path from the object's root, such as `spec.egress` or `data["httpd.conf"]`.
    pub field: Option<String>,
}

/// A fact that a verdict rests on, as the cluster showed it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    /// The object that showed it.
    #[serde(flatten)]
    pub object: Reference,
    /// The path of the field, or `log` for what a program printed.
    pub field: String,
    /// What stood there, word for word.
    pub quote: String,
    /// When it became so, where that is known.
    pub at: Option<Timestamp>,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// The step in words.
    pub text: String,
    /// The command that does it, or that opens the place to change.
    pub command: Option<String>,
}

/// How sure the detector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// The state proves it.
    Certain,
    /// The state fits it, and nothing else that was looked at.
    Likely,
    /// The state fits it, among others.
    Possible,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Confidence::Certain => "certain",
            Confidence::Likely => "likely",
            Confidence::Possible => "possible",
        })
    }
}

/// What more is known, by the keys that the class promises.
pub type Detail = Map<String, Value>;

/// One named cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The cause.
    pub class: Class,
    /// The class's phase.
    pub phase: Phase,
    /// What suffers most directly.
    pub subject: Reference,
    /// What to change.
    pub culprit: Culprit,
    /// What else suffers from the same cause, and the victims of the victims.
    pub affected: Vec<Reference>,
    /// What more is known, by the keys that the class promises.
    pub detail: Detail,
    /// One sentence a person can act on.
    pub summary: String,
    /// What it rests on, the decisive first.
    pub evidence: Vec<Evidence>,
    /// What to do about it, the best first.
    pub remedy: Vec<Remedy>,
    /// How sure it is.
    pub confidence: Confidence,
    /// When the trouble became visible, never when it was noticed.
    pub since: Timestamp,
}

/// What makes two verdicts the same one: all else may grow while it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The cause.
    pub class: Class,
    /// What suffers.
    pub subject: Reference,
    /// The object to change.
    pub culprit: Reference,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.class, self.subject)?;
        if self.culprit != self.subject {
            write!(f, " by {}", self.culprit)?;
        }
        Ok(())
    }
}

impl Verdict {
    /// What makes it the same verdict as another.
    pub fn identity(&self) -> Identity {
        Identity {
            class: self.class,
            subject: self.subject.clone(),
            culprit: self.culprit.object.clone(),
        }
    }
}

/// A class that the input cannot decide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NotEvaluable {
    /// The class.
    pub class: Class,
    /// What is missing: `no NetworkPolicy list in this input`.
    pub because: String,
}

/// The name and version of [`Report`]'s form.
pub const SCHEMA: &str = "crashbook.dev/verdicts/v1";

/// Everything there is to say about a cluster at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The verdicts: the surest first, then those that most suffer from.
    pub verdicts: Vec<Verdict>,
    /// What could not be decided.
    pub not_evaluable: Vec<NotEvaluable>,
}
