//! Controllers whose pods the API server refuses, and pods that no scheduler looks at.

use crashbook_detector::Kind;

use crate::support::State;

/// A Deployment's ReplicaSet that is short of a pod, with the API server's words for it.
fn refused(message: &str) -> State {
    State::of(&format!(
        "
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-5d
  namespace: shop
  uid: rs
  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}}]
spec: {{replicas: 2, selector: {{}}}}
status:
  replicas: 1
  conditions:
  - type: ReplicaFailure
    status: 'True'
    reason: FailedCreate
    lastTransitionTime: '2026-11-24T11:50:00Z'
    message: '{message}'
"
    ))
}

/// A Job whose pod is refused, as its events tell.
fn refused_job(message: &str, later: &str) -> State {
    State::of(&format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: report, namespace: shop, uid: job}}
spec: {{template: {{}}}}
status: {{}}
---
apiVersion: v1
kind: Event
metadata: {{name: report.1, namespace: shop}}
involvedObject: {{kind: Job, namespace: shop, name: report, uid: job}}
reason: FailedCreate
message: 'Error creating: {message}'
type: Warning
firstTimestamp: '2026-11-24T11:50:00Z'
lastTimestamp: '2026-11-24T11:59:00Z'
---
apiVersion: v1
kind: Event
metadata: {{name: report.2, namespace: shop}}
involvedObject: {{kind: Job, namespace: shop, name: report, uid: job}}
reason: SuccessfulCreate
message: 'Created pod: report-x'
type: Normal
firstTimestamp: '{later}'
lastTimestamp: '{later}'
"
    ))
}

const QUOTA: &str = "pods \"web-5d-x\" is forbidden: exceeded quota: compute, requested: \
    requests.memory=48Mi, used: requests.memory=48Mi, limited: requests.memory=64Mi";

fn quota(used: &str, hard: &str) -> String {
    format!(
        "
apiVersion: v1
kind: ResourceQuota
metadata: {{name: compute, namespace: shop}}
spec: {{hard: {{requests.memory: {hard}}}}}
status: {{hard: {{requests.memory: {hard}}}, used: {{requests.memory: {used}}}}}
"
    )
}

#[test]
fn a_quota_that_is_used_up() {
    refused(QUOTA).and(&quota("48Mi", "64Mi")).says(&[
        "certain quota-exceeded Deployment shop/web <- ResourceQuota shop/compute \
         spec.hard[\"requests.memory\"] {\"hard\":\"64Mi\",\"requested\":\"48Mi\",\
         \"resource\":\"requests.memory\",\"used\":\"48Mi\"}",
    ]);
}

#[test]
fn a_quota_that_has_room_again_or_is_gone() {
    refused(QUOTA).and(&quota("16Mi", "64Mi")).says(&[]);
    refused(QUOTA).and(&quota("48Mi", "1Gi")).says(&[]);
    refused(QUOTA).says(&[]);
}

#[test]
fn a_quota_that_is_not_known() {
    refused(QUOTA).without_list_of(Kind::ResourceQuota).says(&[
        "likely quota-exceeded Deployment shop/web <- ResourceQuota shop/compute \
         spec.hard[\"requests.memory\"] {\"hard\":\"64Mi\",\"requested\":\"48Mi\",\
         \"resource\":\"requests.memory\",\"used\":\"48Mi\"}",
    ]);
}

#[test]
fn a_quota_that_demands_limits() {
    let message = "pods \"web-5d-x\" is forbidden: failed quota: compute: must specify \
        limits.memory for: app";
    let quota = quota("0", "1Gi").replace("requests.memory", "limits.memory");
    refused(message).and(&quota).says(&[
        "certain quota-exceeded Deployment shop/web <- ResourceQuota shop/compute \
         spec.hard[\"limits.memory\"] {\"hard\":\"1Gi\",\"resource\":\"limits.memory\",\"used\":\"0\"}",
    ]);
}

/// Each step says where to take it.
#[test]
fn commands_that_mend() {
    let commands = |state: State| -> Vec<Option<String>> {
        let verdicts = state.verdicts();
        verdicts[0]
            .remedy
            .iter()
            .map(|remedy| remedy.command.clone())
            .collect()
    };
    let demand =
        "pods \"web-5d-x\" is forbidden: failed quota: compute: must specify limits.cpu for: app";
    let edit = |object: &str| Some(format!("kubectl edit {object} -n shop"));
    let demanded = refused(demand).and(&quota("0", "64Mi"));
    assert_eq!(
        commands(demanded),
        [edit("deployment/web"), edit("resourcequota/compute")]
    );
    let pod = |metadata: &str| {
        let message = "exec: \\\"/srv\\\": stat /srv: no such file or directory";
        State::of(&format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, uid: web{metadata}}}
spec: {{nodeName: a, containers: [{{name: app, command: [/srv]}}]}}
status:
  phase: Running
  containerStatuses: [{{name: app, image: '', imageID: '', ready: false, restartCount: 5, state: {{waiting: {{reason: CrashLoopBackOff}}}}, lastState: {{terminated: {{exitCode: 128, reason: StartError, message: \"{message}\", startedAt: '2026-11-24T11:58:00Z', finishedAt: '2026-11-24T11:58:00Z'}}}}}}]
"
        ))
    };
    let owned = |kind: &str| {
        format!(
            ", ownerReferences: [{{apiVersion: x/v1, kind: {kind}, name: o, uid: o, controller: true}}]"
        )
    };
    let bare = commands(pod(""));
    let bare = bare[0].as_deref().unwrap_or_default();
    assert!(
        bare.ends_with("kubectl replace --force -f web.yaml"),
        "{bare}"
    );
    assert_eq!(commands(pod(&owned("Node"))), [None]);
    assert_eq!(commands(pod(&owned("Cluster"))), [edit("cluster/o")]);
}

#[test]
fn a_job_that_is_refused() {
    let expected = "certain quota-exceeded Job shop/report <- ResourceQuota shop/compute \
        spec.hard[\"requests.memory\"] {\"hard\":\"64Mi\",\"requested\":\"48Mi\",\
        \"resource\":\"requests.memory\",\"used\":\"48Mi\"}";
    let quota = quota("48Mi", "64Mi");
    refused_job(QUOTA, "2026-11-24T11:40:00Z")
        .and(&quota)
        .says(&[expected]);
    refused_job(QUOTA, "2026-11-24T11:59:30Z")
        .and(&quota)
        .says(&[]);
    let old = refused_job(QUOTA, "2026-11-24T11:40:00Z").and(&quota);
    old.at("2026-11-24T12:20:00Z").says(&[]);
}

#[test]
fn a_limit_range() {
    let message = "pods \"web-5d-x\" is forbidden: maximum memory usage per Container is 100Mi, \
        but limit is 1Gi";
    let range = |most: &str| {
        format!(
            "
apiVersion: v1
kind: LimitRange
metadata: {{name: bounds, namespace: shop}}
spec: {{limits: [{{type: Pod, max: {{memory: 100Mi}}}}, {{type: Container, max: {{memory: {most}}}}}]}}
"
        )
    };
    refused(message).and(&range("100Mi")).says(&[
        "certain limit-range-violated Deployment shop/web <- LimitRange shop/bounds \
         spec.limits[1].max.memory {\"constraint\":\
         \"maximum memory usage per Container is 100Mi, but limit is 1Gi\"}",
    ]);
    refused(message).and(&range("2Gi")).says(&[]);
    let several = "pods \"web-5d-x\" is forbidden: [minimum cpu usage per Container is 10m, but \
        request is 1m, maximum memory usage per Container is 100Mi, but limit is 1Gi]";
    let said = refused(several).and(&range("100Mi")).verdicts();
    assert_eq!(
        said[0].detail["constraint"],
        "maximum memory usage per Container is 100Mi, but limit is 1Gi"
    );
}

#[test]
fn a_service_account_that_does_not_exist() {
    let message = "pods \"web-5d-x\" is forbidden: error looking up service account shop/robot: \
        serviceaccount \"robot\" not found";
    refused(message).says(&[
        "certain service-account-missing Deployment shop/web <- ServiceAccount shop/robot {}",
    ]);
    let account = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: shop}
";
    refused(message).and(account).says(&[]);
}

#[test]
fn a_pod_security_level() {
    let message = "pods \"web-5d-x\" is forbidden: violates PodSecurity \"restricted:latest\": \
        allowPrivilegeEscalation != false (containers \"a\", \"b\" must set it), runAsNonRoot != true (pod)";
    let namespace = |level: &str| {
        format!(
            "
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{pod-security.kubernetes.io/enforce: {level}}}}}
"
        )
    };
    refused(message).and(&namespace("restricted")).says(&[
        "certain pod-security-rejected Deployment shop/web <- Namespace shop \
         metadata.labels[\"pod-security.kubernetes.io/enforce\"] {\"level\":\"restricted\",\
         \"violations\":[\"allowPrivilegeEscalation != false (containers \\\"a\\\", \\\"b\\\" must set it)\",\
         \"runAsNonRoot != true (pod)\"]}",
    ]);
    refused(message).and(&namespace("baseline")).says(&[]);
}

#[test]
fn a_webhook_that_cannot_be_reached() {
    let message = "Internal error occurred: failed calling webhook \"check.example.com\": failed \
        to call webhook: Post \"https://guard.infra.svc:443/?timeout=10s\": no endpoints available \
        for service \"guard\"";
    let webhook = |policy: &str, client: &str| {
        format!(
            "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: guard}}
webhooks:
- name: check.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: {policy}
  clientConfig: {{{client}}}
"
        )
    };
    let service = "service: {namespace: infra, name: guard}";
    refused(message).and(&webhook("Fail", service)).says(&[
        "certain webhook-unavailable Deployment shop/web <- ValidatingWebhookConfiguration guard \
         webhooks[0].clientConfig {\"service\":{\"kind\":\"Service\",\"name\":\"guard\",\
         \"namespace\":\"infra\"},\"webhook\":\"check.example.com\"}",
    ]);
    let by_url = refused(message).and(&webhook("Fail", "url: 'https://guard.example.com'"));
    assert_eq!(
        by_url.verdicts()[0].detail["service"],
        "https://guard.example.com"
    );
    refused(message).and(&webhook("Ignore", service)).says(&[]);
    refused(message).says(&[]);
    // Without the configurations in the input, the API server's words tell where it calls.
    let words = "Internal error occurred: failed calling webhook \"guard.example.com\": failed to call \
        webhook: Post \"https://guard.ops.svc:443/check?timeout=10s\": context deadline exceeded";
    let unlisted = refused(words)
        .without_list_of(Kind::ValidatingWebhookConfiguration)
        .without_list_of(Kind::MutatingWebhookConfiguration);
    unlisted.names(&["likely webhook-unavailable Deployment shop/web <- Service ops/guard"]);
}

#[test]
fn a_controller_that_has_its_pods_again() {
    let message = QUOTA;
    let state = refused(message).and(&quota("48Mi", "64Mi"));
    let enough = "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-5d, namespace: shop, uid: rs}
spec: {replicas: 1, selector: {}}
status: {replicas: 1}
";
    state.and(enough).says(&[]);
}

fn unseen(spec: &str, status: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, uid: web, creationTimestamp: '2026-11-24T11:59:00Z'}}
spec: {{{spec}containers: [{{name: app}}]}}
status: {{phase: Pending{status}}}
"
    )
}

#[test]
fn a_node_that_does_not_exist() {
    let named = unseen("nodeName: nowhere, ", "");
    State::of(&named).says(&[
        "certain node-name-unknown Pod shop/web <- Pod shop/web spec.nodeName {\"node\":\"nowhere\"}",
    ]);
    let scheduled = ", conditions: [{type: PodScheduled, status: 'True'}]";
    State::of(&unseen("nodeName: nowhere, ", scheduled)).says(&[]);
}

#[test]
fn no_scheduler_looks() {
    let state = State::of(&unseen("schedulerName: batch, ", ""));
    state.says(&[
        "certain scheduler-unavailable Pod shop/web <- Pod shop/web spec.schedulerName \
         {\"schedulerName\":\"batch\"}",
    ]);
    state.at("2026-11-24T11:59:29Z").says(&[]);
    State::of(&unseen("schedulingGates: [{name: later}], ", "")).says(&[]);
    let scheduler = "
apiVersion: v1
kind: Pod
metadata: {name: kube-scheduler-a, namespace: kube-system, labels: {component: kube-scheduler}}
spec: {nodeName: a, containers: []}
status: {phase: Running}
";
    State::of(&unseen("", "")).and(scheduler).says(&[
        "certain scheduler-unavailable Pod shop/web <- Pod kube-system/kube-scheduler-a \
         {\"schedulerName\":\"default-scheduler\"}",
    ]);
}
