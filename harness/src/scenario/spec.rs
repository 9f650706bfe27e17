//! The form of `scenario.yaml`.
//!
//! Every string may be a template; see [`super::Context`] for what it can name. Unknown fields are
//! errors. An enum is written as a map of one key: `apply: policy.yaml`.

use std::collections::BTreeMap;
use std::time::Duration;

use crashbook_detector::Class;
use jiff::fmt::serde::unsigned_duration::friendly::compact::required as human;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use super::name::{Labels, Name, ObjectName, Text};

/// A failure: how it is brought about, what proves it, and what a detector must say of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// Always `crashbook.dev/v1`.
    pub api_version: ApiVersion,
    /// Always `Scenario`.
    pub kind: Kind,
    /// The name, which is that of its folder.
    pub name: String,
    /// The failure in one line.
    pub title: String,
    /// Where the failure is documented.
    pub source: String,
    /// What the cluster must have.
    #[serde(default)]
    pub needs: Needs,
    /// Containers beside the cluster, on its network, by name.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
    /// The manifests that are applied, in this order, and healthy before the fault: every
    /// workload available, every pod that is no Job's ready, every Job of the baseline complete.
    pub baseline: Vec<File>,
    /// What must be seen besides before the fault.
    #[serde(default)]
    pub healthy: Vec<Proof>,
    /// How the fault is brought about.
    pub inject: Vec<Verb>,
    /// What proves, from the API alone, that the fault bites. Each must be seen at least once
    /// since the injection began, in any order.
    pub symptom: Vec<Proof>,
    /// The verdicts that a detector must give. Any other is wrong; with none, every verdict is.
    pub expect: Vec<Expectation>,
    /// The documented fix.
    pub fix: Vec<Verb>,
    /// What proves that the fix heals. All must hold at once, in states seen since the fix.
    pub recovered: Vec<Proof>,
    /// How long things may take.
    #[serde(default)]
    pub limits: Limits,
    /// What training tells.
    pub lesson: Lesson,
}

/// The version of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first.
    #[serde(rename = "crashbook.dev/v1")]
    V1,
}

/// The kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// The only one.
    Scenario,
}

/// A file of the scenario's folder: a template of one or more manifests.
pub type File = String;

/// A pool of nodes, by the value of their label `crashbook.dev/pool`: `general`, `small`,
/// `pressure`.
pub type Pool = String;

/// What a cluster must have, so that the failure can happen there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Needs {
    /// Something that enforces NetworkPolicies.
    pub network_policy: bool,
    /// So many nodes of the pool `general`.
    pub workers: u32,
    /// A node of this pool, for this scenario alone.
    pub node: Option<Pool>,
    /// The whole cluster for this scenario alone.
    pub cluster: Sharing,
    /// The containers of [`Spec::services`] that run from before the baseline; the others are
    /// started by a step.
    pub services: Vec<String>,
    /// The kubelets' statistics: for the detector, or for a proof by [`Proof::Number`].
    pub node_stats: bool,
}

/// Who else may use the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Sharing {
    /// Other scenarios run beside it.
    #[default]
    Shared,
    /// Nothing runs beside it.
    Exclusive,
}

/// A container beside the cluster, on the network of its nodes. Templates know it as
/// `service.NAME.host`, the name by which pods and nodes reach it, which no other run's service
/// has, and `service.NAME.address`; its own strings can name no service. Both stay when it is
/// stopped: nobody listens there then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// The image, with its tag.
    pub image: String,
    /// The arguments, in place of the image's own.
    #[serde(default)]
    pub args: Vec<String>,
    /// The environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files of the scenario's folder, by the path at which the container sees them.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What tells that it serves.
    pub ready: ServiceReady,
    /// What it holds, where it is an image registry. The nodes are told to speak to it without
    /// TLS, at `service.NAME.host` and its port.
    pub registry: Option<Registry>,
}

/// What tells that a container beside the cluster serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ServiceReady {
    /// A line that it prints.
    Log(Text),
    /// A port that accepts connections.
    Tcp(u16),
    /// A port that answers an HTTP request for `/` with any status.
    Http(u16),
}

/// An image registry's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Registry {
    /// Images that are pushed before the baseline: the repository and tag there, and the local
    /// image that it is.
    pub push: BTreeMap<String, String>,
    /// The user to push as, where the registry asks.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
}

/// One step of an injection or a fix. Steps are done in order, each when the one before has been
/// answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Verb {
    /// Creates the file's objects, or makes those that exist as the file says, as
    /// `kubectl apply` does.
    Apply(File),
    /// Creates the file's objects; one that exists is an error.
    Create(File),
    /// Deletes an object, with what it owns. The step ends with the API's answer; see
    /// [`Verb::Wait`].
    Delete(ObjectName),
    /// Changes part of an object.
    Patch(Patch),
    /// Changes how many replicas a workload asks for.
    Scale(Scale),
    /// Replaces a workload's pods, as `kubectl rollout restart` does.
    Restart(ObjectName),
    /// Marks the pool's nodes unschedulable.
    Cordon(Pool),
    /// Takes that back.
    Uncordon(Pool),
    /// Adds a taint to the pool's nodes.
    Taint(Taint),
    /// Takes a taint off the pool's nodes.
    Untaint(Taint),
    /// Cordons the pool's nodes and asks once for the eviction of every pod of the run's namespace
    /// there. A refusal is no error: see [`Proof::Refused`].
    Drain(Pool),
    /// Asks once for the eviction of these pods. A refusal is no error.
    Evict(Labels),
    /// Something done to the pool's nodes themselves.
    Node(NodeFault),
    /// Something done to a container beside the cluster.
    Service(ServiceFault),
    /// Waits until this has been seen, since the injection, or the fix, began. The limit is that
    /// of the symptom, or of the recovery.
    Wait(Proof),
}

impl Verb {
    /// The file of manifests that it applies or creates.
    pub fn file(&self) -> Option<&File> {
        match self {
            Verb::Apply(file) | Verb::Create(file) => Some(file),
            _ => None,
        }
    }
}

/// A change of part of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    /// The object.
    pub object: ObjectName,
    /// How the change is written.
    #[serde(default, rename = "type")]
    pub type_: PatchType,
    /// The part of the object that is changed in a way of its own.
    pub subresource: Option<Subresource>,
    /// The change.
    pub body: Value,
}

/// How a change is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PatchType {
    /// The part that changes; lists are merged by their keys.
    #[default]
    Strategic,
    /// The part that changes; lists are replaced (RFC 7396).
    Merge,
    /// A list of operations (RFC 6902).
    Json,
}

/// A part of an object with a path of its own in the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Subresource {
    /// What a controller reports.
    Status,
    /// The number of replicas.
    Scale,
}

/// A number of replicas for a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scale {
    /// The workload.
    pub object: ObjectName,
    /// How many it asks for.
    pub replicas: u32,
}

/// A taint of a pool's nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// The pool.
    pub pool: Pool,
    /// The taint's key.
    pub key: String,
    /// The taint's value.
    #[serde(default)]
    pub value: String,
    /// What it does to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// They are not scheduled there.
    NoSchedule,
    /// They are scheduled there only if there is no other node.
    PreferNoSchedule,
    /// They are evicted.
    NoExecute,
}

/// Something done to the nodes of a pool themselves, by the container engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum NodeFault {
    /// Stops a program.
    Stop(NodeUnit),
    /// Starts it again.
    Start(NodeUnit),
    /// Uses up something, until [`NodeFault::Empty`] or the end of the run.
    Fill(NodeFill),
    /// Ends what a `fill` began.
    Empty(NodeFill),
    /// Sets the kubelet's hard eviction threshold for a signal, until the end of the run, and
    /// restarts it.
    Threshold(NodeThreshold),
    /// Sets how much memory the kubelet reserves for the system, until the end of the run, and
    /// restarts it. The kernel lets all pods together use what is left.
    Reserve(NodeReserve),
}

impl NodeFault {
    /// The pool whose nodes this is done to.
    pub fn pool(&self) -> &Pool {
        match self {
            Self::Stop(unit) | Self::Start(unit) => &unit.pool,
            Self::Fill(fill) | Self::Empty(fill) => &fill.pool,
            Self::Threshold(threshold) => &threshold.pool,
            Self::Reserve(reserve) => &reserve.pool,
        }
    }
}

/// A program of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeUnit {
    /// The pool of the nodes.
    pub pool: Pool,
    /// The program.
    pub unit: Unit,
}

/// A program of a node, by the name of its systemd unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// The kubelet.
    Kubelet,
    /// The container runtime.
    Containerd,
}

/// An amount of something to use up outside every pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeFill {
    /// The pool of the nodes.
    pub pool: Pool,
    /// What is used up.
    pub resource: FillResource,
    /// How much: a quantity, or a number of inodes or processes.
    pub amount: String,
}

/// Something of which a node has only so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FillResource {
    /// Memory.
    Memory,
    /// Bytes of the kubelet's file system.
    Disk,
    /// Bytes of the image file system.
    ImageDisk,
    /// Inodes of the kubelet's file system.
    Inodes,
    /// Process ids.
    Pids,
}

/// A kubelet's hard eviction threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeThreshold {
    /// The pool of the nodes.
    pub pool: Pool,
    /// The signal, as the kubelet names it: `pid.available`.
    pub signal: String,
    /// The least that must be available: a quantity, a number or a percentage.
    pub value: String,
}

/// How much memory a kubelet reserves for the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeReserve {
    /// The pool of the nodes.
    pub pool: Pool,
    /// How much: a quantity.
    pub memory: String,
}

/// Something done to a container beside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ServiceFault {
    /// Starts it and waits until it is ready.
    Start(String),
    /// Stops it.
    Stop(String),
}

/// Something to be seen through the API. Where several fields are given, one object must show all
/// of them at one time; where none is, that the object is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Proof {
    /// A pod.
    Pod(PodProof),
    /// A container of a pod, init and ephemeral containers included.
    Container(ContainerProof),
    /// An event.
    Event(EventProof),
    /// A condition of an object.
    Condition(ConditionProof),
    /// A workload has rolled out: the controller has seen its newest form, every replica is of
    /// that form and available, and no other is left. A pod is ready, a Job complete.
    Available(ObjectName),
    /// An object was there and has been deleted, or did not survive: the watch said so.
    Deleted(ObjectName),
    /// A pod with these labels was deleted or has ended, and one that is younger is there.
    Replaced(Labels),
    /// A line of a container's log, of its present or a former run.
    Log(LogProof),
    /// The eviction of one of these pods was refused by a PodDisruptionBudget.
    Refused(Labels),
    /// A number of a kubelet's statistics.
    Number(NumberProof),
    /// How many endpoints of a Service are ready.
    Endpoints(EndpointsProof),
    /// A field of an object.
    Field(FieldProof),
}

/// What a pod shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodProof {
    /// The pods.
    pub pods: Labels,
    /// `status.phase`.
    pub phase: Option<String>,
    /// `status.reason`.
    pub reason: Option<String>,
    /// Part of `status.message`.
    pub message: Option<Text>,
    /// The pool of the node that it is bound to.
    pub node: Option<Pool>,
    /// So many pods at least show it.
    #[serde(default = "one")]
    pub times: u32,
}

/// What a container shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerProof {
    /// The pods.
    pub pods: Labels,
    /// The container's name; any container's where there is none.
    pub name: Option<String>,
    /// It waits, with this.
    pub waiting: Option<Waiting>,
    /// It ended, with this: its present or its last state.
    pub terminated: Option<Terminated>,
    /// It runs, or does not.
    pub running: Option<bool>,
    /// It is ready, or is not.
    pub ready: Option<bool>,
    /// Its startup probe has succeeded, or has not.
    pub started: Option<bool>,
    /// It was restarted so many times at least.
    pub restarts: Option<u32>,
}

/// Why a container waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Waiting {
    /// The reason.
    pub reason: Option<String>,
    /// Part of the message.
    pub message: Option<Text>,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Terminated {
    /// The exit code.
    pub exit_code: Option<i32>,
    /// The signal.
    pub signal: Option<i32>,
    /// The reason.
    pub reason: Option<String>,
    /// Part of the message.
    pub message: Option<Text>,
    /// So many different runs, told apart by their container ids, have ended in this way.
    #[serde(default = "one")]
    pub times: u32,
}

/// What an event says. Of a series, each repetition since the injection counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventProof {
    /// What it is about.
    pub regarding: ObjectName,
    /// The reason.
    pub reason: Option<String>,
    /// Part of the message.
    pub message: Option<Text>,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// So many times at least.
    #[serde(default = "one")]
    pub times: u32,
}

/// What a condition of an object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConditionProof {
    /// The object.
    pub object: ObjectName,
    /// The condition's type.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: Option<String>,
    /// The reason.
    pub reason: Option<String>,
    /// Part of the message.
    pub message: Option<Text>,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogProof {
    /// The pods.
    pub pods: Labels,
    /// The container's name; any container's where there is none.
    pub container: Option<String>,
    /// Part of the line.
    pub line: Text,
}

/// A number of a kubelet's statistics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NumberProof {
    /// The pool whose nodes' statistics are read.
    pub node: Pool,
    /// The pods whose number it is; the node's own where there are none.
    pub pods: Option<Labels>,
    /// The path in `stats/summary`, from the node or the pod: `memory.availableBytes`.
    pub path: String,
    /// It is less than this quantity.
    pub below: Option<String>,
    /// It is more than this quantity.
    pub above: Option<String>,
}

/// How many endpoints of a Service are ready, over all of its slices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointsProof {
    /// The Service's name.
    pub service: String,
    /// Exactly so many.
    pub ready: u32,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldProof {
    /// The object.
    pub object: ObjectName,
    /// The path from the object's root, as a JSON pointer: `/status/phase`.
    pub path: String,
    /// What stands there; null where nothing does.
    pub is: Value,
}

/// A verdict that the detector must give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// The class.
    #[serde(deserialize_with = "class")]
    #[schemars(with = "String", extend("enum" = class_names()))]
    pub class: Class,
    /// What suffers.
    pub subject: ObjectName,
    /// What is to be changed.
    pub culprit: Culprit,
    /// What the verdict's detail must hold; it may hold more, in each of its maps and lists. A
    /// string that holds `*` is a pattern.
    #[serde(default)]
    pub detail: Map<String, Value>,
    /// What the verdict must list as affected; it may list more.
    #[serde(default)]
    pub affected: Vec<ObjectName>,
    /// The verdict's budget, from the symptom.
    #[serde(default = "seconds::<10>", with = "human")]
    #[schemars(with = "String")]
    pub within: Duration,
}

/// The object to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Culprit {
    /// The kind.
    pub kind: String,
    /// The namespace, where it is not the run's.
    pub namespace: Option<String>,
    /// The name.
    pub name: Name,
    /// The path of the field to change; where there is none, any will do.
    pub field: Option<String>,
}

impl Culprit {
    /// The object.
    pub fn object(&self) -> ObjectName {
        ObjectName {
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// From applying the baseline to its health.
    #[serde(with = "human")]
    #[schemars(with = "String")]
    pub baseline: Duration,
    /// From the injection to the symptom.
    #[serde(with = "human")]
    #[schemars(with = "String")]
    pub symptom: Duration,
    /// How long the fault stands, at least, from the symptom to the fix: for what must not be said
    /// in the meantime.
    #[serde(with = "human")]
    #[schemars(with = "String")]
    pub stands: Duration,
    /// From the fix to the recovery.
    #[serde(with = "human")]
    #[schemars(with = "String")]
    pub recovered: Duration,
    /// From the recovery to the end of the verdict.
    #[serde(with = "human")]
    #[schemars(with = "String")]
    pub clear: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            baseline: Duration::from_secs(60),
            symptom: Duration::from_secs(60),
            stands: Duration::ZERO,
            recovered: Duration::from_secs(60),
            clear: Duration::from_secs(30),
        }
    }
}

/// What training tells, in Markdown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lesson {
    /// The situation, as the person on call hears of it: no word of the cause.
    pub briefing: String,
    /// One after the other, each says more.
    pub hints: Vec<String>,
    /// What it was, and what to remember.
    pub debrief: String,
}

fn one() -> u32 {
    1
}

fn seconds<const N: u64>() -> Duration {
    Duration::from_secs(N)
}

fn class_names() -> Vec<&'static str> {
    Class::ALL.iter().map(|class| class.name()).collect()
}

/// Reads a class, and offers the nearest one for a name that is none.
fn class<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Class, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map_err(|unknown| {
        let near = super::nearest(&name, class_names());
        de::Error::custom(match near.first() {
            Some(near) => format!("{unknown}; did you mean `{near}`?"),
            None => format!("{unknown}: `crashbook explain` lists them"),
        })
    })
}
