//! Incidents of many shapes: other workloads, other containers, other programs' words, objects of
//! other versions.

use crashbook_detector::facts::Run;
use crashbook_detector::{Kind, Observation};

use crate::support::State;

/// A pod of `shop` that is owned, with what its specification and status have besides.
fn pod(name: &str, owner: &str, spec: &str, status: &str) -> String {
    let owner = match owner.split_once('/') {
        Some((kind, owner)) => format!(
            ", ownerReferences: [{{apiVersion: x/v1, kind: {kind}, name: {owner}, uid: {owner}, controller: true}}]"
        ),
        None => String::new(),
    };
    format!(
        "
- apiVersion: v1
  kind: Pod
  metadata: {{name: {name}, namespace: shop, uid: {name}, creationTimestamp: '2026-11-24T11:50:00Z', labels: {{app: {name}}}{owner}}}
  spec: {{nodeName: n1, {spec}}}
  status: {{{status}}}
"
    )
}

/// A container that failed three times and waits to be started again.
fn failing(name: &str, run: &str) -> String {
    format!(
        "{{name: {name}, ready: false, restartCount: 3, state: {{waiting: {{reason: CrashLoopBackOff}}}}, \
         lastState: {{terminated: {{{run}, startedAt: '2026-11-24T11:59:20Z', finishedAt: '2026-11-24T11:59:21Z'}}}}}}"
    )
}

fn event(about: &str, reason: &str, message: &str) -> String {
    let (kind, name) = about.split_once('/').unwrap();
    format!(
        "
- apiVersion: v1
  kind: Event
  metadata: {{name: {name}.{reason}, namespace: shop}}
  involvedObject: {{kind: {kind}, namespace: shop, name: {name}, uid: {name}}}
  reason: {reason}
  message: {message:?}
  eventTime: '2026-11-24T11:58:00.000000Z'
"
    )
}

const CRON_JOB: &str = "
- apiVersion: batch/v1
  kind: CronJob
  metadata: {name: backup, namespace: shop, uid: backup}
  spec: {schedule: '0 * * * *', jobTemplate: {spec: {template: {spec: {containers: []}}}}}
- apiVersion: batch/v1
  kind: Job
  metadata: {name: backup-29924640, namespace: shop, uid: backup-29924640, ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: backup, uid: backup, controller: true}]}
  spec: {template: {spec: {containers: []}}}
  status:
    failed: 1
    conditions:
    - {type: Failed, status: 'True', reason: BackoffLimitExceeded, message: Job has reached the specified backoff limit, lastTransitionTime: '2026-11-24T11:59:30Z'}
";

/// A pod of that Job, whose container `dump` ended for good.
fn dump(spec: &str, run: &str) -> String {
    let status = format!(
        "phase: Failed, containerStatuses: [{{name: dump, ready: false, restartCount: 0, \
         state: {{terminated: {{{run}, startedAt: '2026-11-24T11:59:20Z', finishedAt: '2026-11-24T11:59:21Z'}}}}}}]"
    );
    pod("backup-29924640-x", "Job/backup-29924640", spec, &status)
}

#[test]
fn a_scheduled_job_outgrows_its_limit() {
    let limit = "restartPolicy: Never, containers: [{name: proxy}, {name: dump, resources: {limits: {memory: 64Mi}}}]";
    let killed = dump(limit, "exitCode: 137, reason: OOMKilled");
    let expected = "certain oom-killed CronJob shop/backup <- CronJob shop/backup \
                    spec.jobTemplate.spec.template.spec.containers[1].resources.limits.memory";
    State::of(CRON_JOB).and(&killed).names(&[expected]);
    // Neither Job nor CronJob is known: the Job's name tells.
    State::of(&killed)
        .without_list_of(Kind::Job)
        .names(&[expected]);
}

#[test]
fn a_scheduled_job_that_succeeded_since_is_history() {
    let later = "
- apiVersion: batch/v1
  kind: Job
  metadata: {name: backup-29924645, namespace: shop, uid: later, ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: backup, uid: backup, controller: true}]}
  spec: {template: {spec: {containers: []}}}
  status: {succeeded: 1, completionTime: '2026-11-24T11:59:50Z', conditions: [{type: Complete, status: 'True'}]}
";
    let failed = dump("containers: [{name: dump}]", "exitCode: 3, reason: Error");
    let before = State::of(CRON_JOB).and(&failed);
    let crash = "likely crash-unexplained CronJob shop/backup <- CronJob shop/backup";
    before.names(&[crash]);
    before.and(later).names(&[]);
}

#[test]
fn a_scheduled_job_cannot_log_in() {
    let spec = "restartPolicy: Never, containers: [{name: dump, env: [\
                {name: PGHOST, value: db}, {name: PGPASSWORD, valueFrom: {secretKeyRef: {name: db-login, key: pass}}}]}]";
    let words = "pg_dump: error: connection to server at \"db\" (10.96.0.7), port 5432 failed: FATAL:  \
                 password authentication failed for user \"backup\"";
    State::of(CRON_JOB)
        .and(&dump(spec, "exitCode: 1, reason: Error"))
        .log_of("backup-29924640-x", "dump", Run::Current, words)
        .names(&[
            "certain login-refused CronJob shop/backup <- Secret shop/db-login data[\"pass\"]",
        ]);
}

#[test]
fn a_password_that_a_config_map_gives_with_all_else() {
    let map = "
apiVersion: v1
kind: ConfigMap
metadata: {name: env, namespace: shop}
data: {DB_HOST: mysql, DB_PASSWORD: x}
";
    let spec =
        "restartPolicy: Never, containers: [{name: dump, envFrom: [{configMapRef: {name: env}}]}]";
    let words =
        "SQLSTATE[HY000] [1045] Access denied for user 'app'@'10.244.1.9' (using password: YES)";
    State::of(CRON_JOB)
        .and(&dump(spec, "exitCode: 1, reason: Error"))
        .and(map)
        .log_of("backup-29924640-x", "dump", Run::Current, words)
        .names(&[
            "certain login-refused CronJob shop/backup <- ConfigMap shop/env data[\"DB_PASSWORD\"]",
        ]);
}

#[test]
fn a_quota_that_counts_jobs_refuses_the_next_one() {
    let quota = "
apiVersion: v1
kind: ResourceQuota
metadata: {name: objects, namespace: shop}
spec: {hard: {count/jobs.batch: '2'}}
status: {hard: {count/jobs.batch: '2'}, used: {count/jobs.batch: '2'}}
";
    let message = "Error creating job: jobs.batch \"backup-29924641\" is forbidden: exceeded quota: objects, \
                   requested: count/jobs.batch=1, used: count/jobs.batch=2, limited: count/jobs.batch=2";
    let cron_job = &CRON_JOB[..CRON_JOB
        .find("- apiVersion: batch/v1\n  kind: Job\n")
        .unwrap()];
    State::of(cron_job)
        .and(quota)
        .and(&event("CronJob/backup", "FailedCreate", message))
        .names(&[
            "certain quota-exceeded CronJob shop/backup <- ResourceQuota shop/objects spec.hard[\"count/jobs.batch\"]",
        ]);
}

#[test]
fn an_event_tells_what_a_replica_sets_condition_does_not() {
    let objects = "
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata: {name: web-1, namespace: shop, uid: web-1, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]}
  spec: {replicas: 2, selector: {}}
  status: {replicas: 0}
- apiVersion: v1
  kind: ResourceQuota
  metadata: {name: pods, namespace: shop}
  spec: {hard: {pods: '4'}}
  status: {hard: {pods: '4'}, used: {pods: '4'}}
";
    let message = "Error creating: pods \"web-1-x\" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=4, limited: pods=4";
    let refused = event("ReplicaSet/web-1", "FailedCreate", message);
    let said =
        "certain quota-exceeded Deployment shop/web <- ResourceQuota shop/pods spec.hard.pods";
    State::of(objects).and(&refused).names(&[said]);
    let all = objects.replace("status: {replicas: 0}", "status: {replicas: 2}");
    State::of(&all).and(&refused).names(&[]);
}

#[test]
fn a_deployment_alone_tells_of_its_quota() {
    let deployment = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, uid: d}
spec: {replicas: 3, selector: {}, template: {}}
status:
  replicas: 1
  conditions:
  - type: ReplicaFailure
    status: 'True'
    reason: FailedCreate
    lastTransitionTime: '2026-11-24T11:59:00Z'
    message: 'pods \"web-1-x\" is forbidden: exceeded quota: compute, requested: limits.cpu=1,requests.memory=1Gi, used: limits.cpu=1,requests.memory=1Gi, limited: limits.cpu=8,requests.memory=1Gi'
";
    State::of(deployment)
        .without_list_of(Kind::ReplicaSet)
        .without_list_of(Kind::ResourceQuota)
        .says(&[
            "likely quota-exceeded Deployment shop/web <- ResourceQuota shop/compute spec.hard[\"requests.memory\"] \
             {\"hard\":\"1Gi\",\"requested\":\"1Gi\",\"resource\":\"requests.memory\",\"used\":\"1Gi\"}",
        ]);
}

#[test]
fn a_limit_range_that_demands_a_limit() {
    let objects = "
- apiVersion: v1
  kind: LimitRange
  metadata: {name: bounds, namespace: shop}
  spec: {limits: [{type: Pod, max: {cpu: '4'}}, {type: Container, max: {memory: 1Gi}}]}
- apiVersion: apps/v1
  kind: DaemonSet
  metadata: {name: agent, namespace: shop, uid: agent}
  spec: {selector: {}, template: {}}
  status: {currentNumberScheduled: 0, desiredNumberScheduled: 2}
";
    let message = "Error creating: pods \"agent-x\" is forbidden: [maximum memory usage per Container is 1Gi.  No limit is specified, \
                   minimum cpu usage per Container is 10m, but request is 1m]";
    State::of(objects)
        .and(&event("DaemonSet/agent", "FailedCreate", message))
        .says(&[
            "certain limit-range-violated DaemonSet shop/agent <- LimitRange shop/bounds spec.limits[1].max.memory \
             {\"constraint\":\"maximum memory usage per Container is 1Gi.  No limit is specified\"}",
        ]);
}

#[test]
fn a_claim_of_a_stateful_set_is_refused_by_a_quota() {
    let objects = "
- apiVersion: v1
  kind: ResourceQuota
  metadata: {name: disk, namespace: shop}
  spec: {hard: {requests.storage: 10Gi}}
  status: {hard: {requests.storage: 10Gi}, used: {requests.storage: 8Gi}}
- apiVersion: apps/v1
  kind: StatefulSet
  metadata: {name: db, namespace: shop, uid: db}
  spec: {replicas: 3, serviceName: db, selector: {}, template: {}}
  status: {replicas: 1}
";
    let message = "create Claim data-db-1 for Pod db-1 in StatefulSet db failed error: persistentvolumeclaims \"data-db-1\" \
                   is forbidden: exceeded quota: disk, requested: requests.storage=4Gi, used: requests.storage=8Gi, limited: requests.storage=10Gi";
    State::of(objects)
        .and(&event("StatefulSet/db", "FailedCreate", message))
        .names(&[
            "certain quota-exceeded StatefulSet shop/db <- ResourceQuota shop/disk spec.hard[\"requests.storage\"]",
        ]);
}

#[test]
fn a_sidecar_refuses_its_configuration() {
    let spec = "initContainers: [{name: envoy, restartPolicy: Always, volumeMounts: [{name: c, mountPath: /etc/envoy}]}], \
                containers: [{name: app}], volumes: [{name: c, configMap: {name: envoy-config}}]";
    let status = format!(
        "phase: Pending, initContainerStatuses: [{}], containerStatuses: [{{name: app, ready: false, restartCount: 0, state: {{waiting: {{reason: PodInitializing}}}}}}]",
        failing("envoy", "exitCode: 1, reason: Error")
    );
    let words = "[2026-11-24 11:59:20.100][1][critical][main] [source/server/server.cc:131] error initializing configuration \
                 '/etc/envoy/envoy.yaml': Protobuf message (type envoy.config.bootstrap.v3.Bootstrap reason INVALID_ARGUMENT: no such field: 'lissteners') has unknown fields";
    State::of(&pod("cart-0", "StatefulSet/cart", spec, &status))
        .log_of("cart-0", "envoy", Run::Current, words)
        .names(&[
            "certain app-config-invalid StatefulSet shop/cart <- ConfigMap shop/envoy-config data[\"envoy.yaml\"]",
        ]);
}

#[test]
fn the_line_that_tells_the_place_counts_more_than_the_sum() {
    let spec = "containers: [{name: lb, volumeMounts: [{name: c, mountPath: /usr/local/etc/haproxy}]}], \
                volumes: [{name: c, configMap: {name: haproxy}}]";
    let status = format!(
        "phase: Running, containerStatuses: [{}]",
        failing("lb", "exitCode: 1, reason: Error")
    );
    let words = "[NOTICE]   (1) : haproxy version is 2.8.3
[ALERT]    (1) : config : parsing [/usr/local/etc/haproxy/haproxy.cfg:12] : unknown keyword 'bimd' in 'frontend' section
[ALERT]    (1) : config : Error(s) found in configuration file : /usr/local/etc/haproxy/haproxy.cfg
[ALERT]    (1) : config : Fatal errors found in configuration.";
    State::of(&pod("lb-x", "DaemonSet/lb", spec, &status))
        .log_of("lb-x", "lb", Run::Current, words)
        .says(&[
            "certain app-config-invalid DaemonSet shop/lb <- ConfigMap shop/haproxy data[\"haproxy.cfg\"] \
             {\"file\":\"/usr/local/etc/haproxy/haproxy.cfg\",\"line\":12,\"problem\":\"unknown keyword 'bimd' in 'frontend' section\"}",
        ]);
}

#[test]
fn files_that_are_missing_are_whose_name_they_bear() {
    let check = |container: &str, volumes: &str, words: &str, expected: &[&str]| {
        let status = format!(
            "phase: Running, containerStatuses: [{}]",
            failing("app", "exitCode: 1, reason: Error")
        );
        let spec = format!("containers: [{{name: app, {container}}}], volumes: [{volumes}]");
        State::of(&pod("worker", "", &spec, &status))
            .log_of("worker", "app", Run::Current, words)
            .names(expected);
    };
    // The configuration names it.
    check(
        "args: ['--model', /models/a.bin]",
        "",
        "FileNotFoundError: [Errno 2] No such file or directory: '/models/a.bin'",
        &[
            "certain app-config-invalid Pod shop/worker <- Pod shop/worker spec.containers[0].args[1]",
        ],
    );
    check(
        "volumeMounts: [{name: c, mountPath: /config}]",
        "{name: c, configMap: {name: settings}}",
        "Error: ENOENT: no such file or directory, open '/config/rules.txt'",
        &[
            "certain app-config-invalid Pod shop/worker <- ConfigMap shop/settings data[\"rules.txt\"]",
        ],
    );
    // Nothing names it: it should be in the image.
    check(
        "image: 'x:1'",
        "",
        "java.nio.file.NoSuchFileException: /opt/app/dictionary.dat",
        &["certain library-missing Pod shop/worker <- Pod shop/worker spec.containers[0].image"],
    );
    check(
        "image: 'x:1'",
        "",
        "exec /entrypoint.sh: no such file or directory",
        &[
            "certain command-not-found Pod shop/worker <- Pod shop/worker spec.containers[0].command",
        ],
    );
    check(
        "image: 'x:1'",
        "",
        "mysqld: Can't create/write to file '/var/lib/mysql/is_writable' (OS errno 13 - Permission denied)\n\
         [ERROR] [Server] Aborting",
        &[
            "certain permission-denied Pod shop/worker <- Pod shop/worker spec.containers[0].securityContext",
        ],
    );
    check(
        "securityContext: {runAsUser: 1000}",
        "",
        "FATAL:  data directory \"/var/lib/postgresql/data\" has wrong ownership\n\
         HINT:  The server must be started by the user that owns the data directory.",
        &[
            "certain permission-denied Pod shop/worker <- Pod shop/worker spec.containers[0].securityContext.runAsUser",
        ],
    );
}

#[test]
fn a_container_without_a_command() {
    let status = "phase: Pending, containerStatuses: [{name: app, ready: false, restartCount: 0, \
                  state: {waiting: {reason: CreateContainerError, message: 'failed to generate container \"a\" spec: no command specified'}}}]";
    State::of(&pod("w", "ReplicaSet/w-1", "containers: [{name: app}]", status)).names(&[
        "certain command-not-found ReplicaSet shop/w-1 <- ReplicaSet shop/w-1 spec.template.spec.containers[0].command",
    ]);
}

#[test]
fn a_user_that_breaks_the_policy() {
    let spec = "securityContext: {runAsNonRoot: true, runAsUser: 0}, containers: [{name: app}]";
    let status = "phase: Pending, containerStatuses: [{name: app, ready: false, restartCount: 0, \
                  state: {waiting: {reason: CreateContainerConfigError, message: \"container's runAsUser breaks non-root policy (pod: x, container: app)\"}}}]";
    State::of(&pod("w", "DaemonSet/w", spec, status)).names(&[
        "certain permission-denied DaemonSet shop/w <- DaemonSet shop/w spec.template.spec.securityContext.runAsUser",
    ]);
}

#[test]
fn a_folder_that_is_mounted_onto_a_file() {
    let spec = "containers: [{name: web, volumeMounts: [{name: conf, mountPath: /etc/nginx/nginx.conf}]}], \
                volumes: [{name: data, emptyDir: {}}, {name: conf, configMap: {name: nginx}}]";
    let message = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: \
                   unable to start container process: error during container init: error mounting \\\"/var/lib/kubelet/pods/u/volumes/conf\\\" \
                   to rootfs at \\\"/etc/nginx/nginx.conf\\\": mount /a:/etc/nginx/nginx.conf, flags: 0x5000: not a directory: unknown";
    let run = format!("exitCode: 128, reason: StartError, message: \"{message}\"");
    let status = format!(
        "phase: Running, containerStatuses: [{}]",
        failing("web", &run)
    );
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nginx, namespace: shop}\ndata: {nginx.conf: ''}";
    State::of(&pod("web", "", spec, &status))
        .and(map)
        .names(&["certain volume-mount-failed Pod shop/web <- Pod shop/web spec.volumes[1]"]);
    let waiting = "phase: Pending, containerStatuses: [{name: web, ready: false, restartCount: 0, \
                   state: {waiting: {reason: CreateContainerConfigError, message: 'failed to prepare subPath for volumeMount \"conf\" of container \"web\"'}}}]";
    State::of(&pod("web", "", spec, waiting))
        .and(map)
        .names(&["certain volume-mount-failed Pod shop/web <- Pod shop/web spec.volumes[1]"]);
}

#[test]
fn volumes_of_a_stateful_set_are_named_where_they_are_written() {
    let set = "
- apiVersion: apps/v1
  kind: StatefulSet
  metadata: {name: w, namespace: shop, uid: o}
  spec:
    selector: {}
    serviceName: w
    template: {spec: {volumes: [{name: conf, configMap: {name: nginx}}]}}
    volumeClaimTemplates: [{metadata: {name: logs}}, {metadata: {name: data}}]
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: nginx, namespace: shop}
";
    let spec = "containers: [{name: web, volumeMounts: [{name: conf, mountPath: /a}, {name: data, mountPath: /b}]}], \
                volumes: [{name: data, persistentVolumeClaim: {claimName: data-w}}, \
                {name: logs, persistentVolumeClaim: {claimName: logs-w}}, {name: conf, configMap: {name: nginx}}]";
    for (volume, field) in [
        ("conf", "spec.template.spec.volumes[0]"),
        ("data", "spec.volumeClaimTemplates[1]"),
    ] {
        let waiting = format!(
            "phase: Pending, containerStatuses: [{{name: web, ready: false, restartCount: 0, \
             state: {{waiting: {{reason: CreateContainerConfigError, message: 'failed to prepare subPath for volumeMount \"{volume}\" of container \"web\"'}}}}}}]"
        );
        let state = State::of(&pod("w", "StatefulSet/w", spec, &waiting)).and(set);
        let verdict =
            format!("certain volume-mount-failed StatefulSet shop/w <- StatefulSet shop/w {field}");
        state.names(&[&verdict]);
    }
}

const CLAIM: &str = "
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata: {name: data, namespace: shop, annotations: {volume.kubernetes.io/selected-node: n1}}
  spec: {storageClassName: cloud, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
  status: {phase: Pending}
- apiVersion: storage.k8s.io/v1
  kind: StorageClass
  metadata: {name: cloud}
  provisioner: disk.example.com
  volumeBindingMode: WaitForFirstConsumer
";

#[test]
fn a_volume_that_is_made_for_the_first_pod() {
    let waiting = "
- apiVersion: v1
  kind: Pod
  metadata: {name: db-0, namespace: shop, uid: db-0, creationTimestamp: '2026-11-24T11:56:00Z'}
  spec: {containers: [{name: db}], volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]}
  status: {phase: Pending}
";
    // The scheduler waits for it and says nothing meanwhile.
    State::of(CLAIM).and(waiting).names(&[]);
    let failed = event(
        "PersistentVolumeClaim/data",
        "ProvisioningFailed",
        "failed to provision volume with StorageClass \"cloud\": rpc error: code = ResourceExhausted desc = no space in zone a",
    );
    let failed = failed.replace("11:58:00", "11:57:30");
    State::of(CLAIM)
        .and(waiting)
        .and(&failed)
        .names(&["likely volume-mount-failed Pod shop/db-0 <- Pod shop/db-0 spec.volumes[0]"]);
}

#[test]
fn a_provisioner_that_is_not_there() {
    let claim = CLAIM
        .replace(
            ", annotations: {volume.kubernetes.io/selected-node: n1}",
            "",
        )
        .replace("WaitForFirstConsumer", "Immediate");
    let stuck = "
- apiVersion: v1
  kind: Pod
  metadata: {name: db-0, namespace: shop, uid: db-0, creationTimestamp: '2026-11-24T11:50:00Z'}
  spec: {containers: [{name: db}], volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]}
  status:
    phase: Pending
    conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: '0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.', lastTransitionTime: '2026-11-24T11:50:00Z'}]
";
    let waits = event(
        "PersistentVolumeClaim/data",
        "ExternalProvisioning",
        "Waiting for a volume to be created either by the external provisioner 'disk.example.com' or manually by the system administrator.",
    );
    State::of(&claim)
        .and(stuck)
        .and(&waits)
        .names(&["likely no-matching-volume Pod shop/db-0 <- PersistentVolumeClaim shop/data"]);
}

#[test]
fn an_operator_that_may_not_watch_and_runs_on() {
    let status = "phase: Running, conditions: [{type: Ready, status: 'True'}], \
                  containerStatuses: [{name: manager, ready: true, restartCount: 0, state: {running: {startedAt: '2026-11-24T11:00:00Z'}}}]";
    let spec = "serviceAccountName: operator, containers: [{name: manager}]";
    let words = "2026-11-24T11:59:30Z W1124 reflector.go:561] failed to list *v1.Secret: secrets is forbidden: User \"system:serviceaccount:shop:operator\" cannot list resource \"secrets\" in API group \"\" at the cluster scope
2026-11-24T11:59:50Z W1124 reflector.go:561] failed to list *v1.Secret: secrets is forbidden: User \"system:serviceaccount:shop:operator\" cannot list resource \"secrets\" in API group \"\" at the cluster scope";
    let state = State::of(&pod("operator", "", spec, status)).log_of(
        "operator",
        "manager",
        Run::Current,
        words,
    );
    state
        .clone()
        .names(&["certain access-denied Pod shop/operator <- ServiceAccount shop/operator"]);
    // Whether it is denied now is not known, and it serves.
    state.clone().without_list_of(Kind::ClusterRole).names(&[]);
    // It may by now.
    state
        .and(
            "
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRole
  metadata: {name: reader}
  rules: [{apiGroups: [''], resources: [secrets], verbs: [list, watch]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: reader}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
  subjects: [{kind: ServiceAccount, name: operator, namespace: shop}]
",
        )
        .names(&[]);
}

#[test]
fn a_program_that_waits_for_its_login_is_not_ready() {
    let status = "phase: Running, conditions: [{type: Ready, status: 'False'}], \
                  containerStatuses: [{name: api, ready: false, restartCount: 0, state: {running: {startedAt: '2026-11-24T11:50:00Z'}}}]";
    let spec = "containers: [{name: api, readinessProbe: {httpGet: {port: 8080}}, env: [{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: login, key: p}}}]}]";
    let words = "2026-11-24T11:59:40Z ERROR pool: Access denied for user 'shop'@'10.1.2.3' (using password: YES), retrying
2026-11-24T11:59:55Z ERROR pool: Access denied for user 'shop'@'10.1.2.3' (using password: YES), retrying";
    State::of(&pod("api", "", spec, status))
        .log_of("api", "api", Run::Current, words)
        .names(&["certain login-refused Pod shop/api <- Secret shop/login data[\"p\"]"]);
}

fn autoscaler(conditions: &str, status: &str) -> String {
    format!(
        "
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata:
  name: web
  namespace: shop
  creationTimestamp: '2026-11-24T10:00:00Z'
  annotations: {{autoscaling.alpha.kubernetes.io/conditions: '{conditions}'}}
spec: {{maxReplicas: 4, targetCPUUtilizationPercentage: 50, scaleTargetRef: {{kind: Deployment, name: web}}}}
status: {{currentReplicas: 4, desiredReplicas: 4{status}}}
"
    )
}

#[test]
fn an_autoscaler_of_version_one() {
    let blind = r#"[{"type":"ScalingActive","status":"False","lastTransitionTime":"2026-11-24T11:00:00Z","reason":"FailedGetResourceMetric","message":"the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server is currently unable to handle the request (get pods.metrics.k8s.io)"}]"#;
    let stuck = "certain autoscaler-stuck HorizontalPodAutoscaler shop/web <- HorizontalPodAutoscaler shop/web";
    State::of(&autoscaler(blind, "")).names(&[&format!("{stuck} spec.metrics")]);
    let limited = r#"[{"type":"ScalingLimited","status":"True","lastTransitionTime":"2026-11-24T11:00:00Z","reason":"TooManyReplicas","message":"the desired replica count is more than the maximum replica count"}]"#;
    let above = ", currentCPUUtilizationPercentage: 93";
    State::of(&autoscaler(limited, above)).names(&[&format!("{stuck} spec.maxReplicas")]);
    State::of(&autoscaler(
        limited,
        ", currentCPUUtilizationPercentage: 49",
    ))
    .names(&[]);
    // What serves the metrics is down.
    let server = "
- apiVersion: v1
  kind: Service
  metadata: {name: metrics-server, namespace: kube-system, creationTimestamp: '2026-11-24T10:00:00Z'}
  spec: {selector: {k8s-app: metrics-server}, ports: [{port: 443, targetPort: https}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: metrics-server-x, namespace: kube-system, uid: m, labels: {k8s-app: metrics-server}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: metrics-server-1, uid: rs, controller: true}]}
  spec: {nodeName: n1, containers: [{name: metrics-server, image: 'registry.k8s.io/metrics-server:v0', ports: [{name: https, containerPort: 10250}]}]}
  status:
    phase: Pending
    containerStatuses: [{name: metrics-server, ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff, message: 'Back-off pulling image \"registry.k8s.io/metrics-server:v0\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"registry.k8s.io/metrics-server:v0\": failed to resolve reference \"registry.k8s.io/metrics-server:v0\": registry.k8s.io/metrics-server:v0: not found'}}}]
";
    State::of(&autoscaler(blind, "")).and(server).names(&[
        "certain image-not-found ReplicaSet kube-system/metrics-server-1 <- ReplicaSet kube-system/metrics-server-1 \
         spec.template.spec.containers[0].image affects HorizontalPodAutoscaler shop/web",
    ]);
}

#[test]
fn images_by_the_words_of_other_runtimes() {
    let check = |image: &str, words: &str, expected: &str| {
        let status = format!(
            "phase: Pending, containerStatuses: [{{name: app, ready: false, restartCount: 0, state: {{waiting: {{reason: ErrImagePull, message: {words:?}}}}}}}]"
        );
        let spec = format!("containers: [{{name: app, image: {image:?}}}]");
        let state = State::of(&pod("w", "StatefulSet/w", &spec, &status));
        let classes: Vec<_> = state
            .verdicts()
            .iter()
            .map(|one| one.class.name())
            .collect();
        assert_eq!(classes, [expected], "{words}");
    };
    check(
        "quay.io/shop/tls:1",
        "reading manifest 1 in quay.io/shop/tls: manifest unknown",
        "image-not-found",
    );
    check(
        "quay.io/shop/cart@sha256:0000",
        "initializing source docker://quay.io/shop/cart@sha256:0000: reading manifest sha256:0000 in quay.io/shop/cart: unauthorized: access to the requested resource is not authorized",
        "image-auth-failed",
    );
    check(
        "registry.shop.local/a/b:2",
        "rpc error: code = Unknown desc = pinging container registry registry.shop.local: Get \"https://registry.shop.local/v2/\": dial tcp: lookup registry.shop.local on 10.0.0.2:53: no such host",
        "registry-unreachable",
    );
    check(
        "europe-docker.pkg.dev/p/r/i:1",
        "failed to pull and unpack image \"europe-docker.pkg.dev/p/r/i:1\": failed to resolve reference \"europe-docker.pkg.dev/p/r/i:1\": failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://europe-docker.pkg.dev/v2/token: 403 Forbidden",
        "image-auth-failed",
    );
    check(
        "shop/denied:1.0",
        "failed to pull and unpack image \"docker.io/shop/denied:1.0\": failed to resolve reference \"docker.io/shop/denied:1.0\": docker.io/shop/denied:1.0: not found",
        "image-not-found",
    );
    check(
        "r.io/a/arm:1",
        "choosing an image from manifest list docker://r.io/a/arm:1: no image found in image index for architecture arm64, variant \"v8\", OS linux",
        "image-invalid",
    );
}

#[test]
fn nothing_at_all_behind_a_service_is_proven_by_a_client() {
    let objects = "
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: db, namespace: shop, uid: d, creationTimestamp: '2026-11-24T10:00:00Z'}
  spec: {replicas: 0, selector: {}, template: {metadata: {labels: {app: db}}}}
- apiVersion: v1
  kind: Service
  metadata: {name: db, namespace: shop}
  spec: {clusterIP: 10.96.0.7, selector: {app: db}, ports: [{port: 5432}]}
";
    let zero = "scaled-to-zero Deployment shop/db <- Deployment shop/db spec.replicas affects";
    State::of(objects).names(&[&format!("likely {zero} Service shop/db")]);
    let status = format!(
        "phase: Running, containerStatuses: [{}]",
        failing("api", "exitCode: 1, reason: Error")
    );
    let client = pod(
        "api-0",
        "StatefulSet/api",
        "containers: [{name: api}]",
        &status,
    );
    State::of(objects)
        .and(&client)
        .log_of(
            "api-0",
            "api",
            Run::Current,
            "dial tcp 10.96.0.7:5432: connect: connection refused",
        )
        .names(&[&format!(
            "certain {zero} Service shop/db, StatefulSet shop/api"
        )]);
}

#[test]
fn a_port_that_nothing_names_and_a_client_fails_on() {
    let server = |more: &str| {
        let status = "phase: Running, podIP: 10.1.1.1, conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-11-24T10:00:00Z'}], \
                      containerStatuses: [{name: app, ready: true, restartCount: 0, state: {running: {startedAt: '2026-11-24T10:00:00Z'}}}]";
        let spec = format!("containers: [{{name: app{more}}}]");
        pod("server", "", &spec, status)
    };
    let service = "
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop, creationTimestamp: '2026-11-24T10:00:00Z'}
spec: {clusterIP: 10.96.0.7, selector: {app: server}, ports: [{port: 80, targetPort: 8081}]}
";
    let status = format!(
        "phase: Running, containerStatuses: [{}]",
        failing("api", "exitCode: 1, reason: Error")
    );
    let client = pod(
        "api-0",
        "StatefulSet/api",
        "containers: [{name: api}]",
        &status,
    );
    let words = "requests.exceptions.ConnectionError: HTTPConnectionPool(host='server', port=80): Max retries exceeded with url: / \
                 (Caused by NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused'))";
    let state = |more: &str| {
        State::of(&server(more)).and(service).and(&client).log_of(
            "api-0",
            "api",
            Run::Current,
            words,
        )
    };
    state("").names(&[
        "likely service-port-mismatch Service shop/server <- Service shop/server spec.ports[0].targetPort affects StatefulSet shop/api",
    ]);
    // The port is right, and nothing listens there.
    state(", env: [{name: PORT, value: '8081'}]")
        .names(&["likely dependency-unreachable StatefulSet shop/api <- Service shop/server"]);
}

fn calico(kind: &str, name: &str, spec: &str) -> String {
    let namespace = if kind == "NetworkPolicy" {
        ", namespace: shop"
    } else {
        ""
    };
    format!(
        "apiVersion: crd.projectcalico.org/v1\nkind: {kind}\nmetadata: {{name: {name}{namespace}}}\nspec: {spec}"
    )
}

#[test]
fn calicos_own_policies() {
    let loki = "
- apiVersion: v1
  kind: Namespace
  metadata: {name: shop, labels: {team: shop}}
- apiVersion: v1
  kind: Service
  metadata: {name: loki, namespace: shop, creationTimestamp: '2026-11-24T10:00:00Z'}
  spec: {clusterIP: 10.96.0.9, selector: {app: loki}, ports: [{port: 3100}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: loki, namespace: shop, uid: l, labels: {app: loki}}
  spec: {nodeName: n2, containers: [{name: loki, ports: [{containerPort: 3100}]}]}
  status: {phase: Running, podIP: 10.1.1.7, conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-11-24T10:00:00Z'}]}
";
    let status = format!(
        "phase: Running, podIP: 10.1.1.8, containerStatuses: [{}]",
        failing("gateway", "exitCode: 1, reason: Error")
    );
    let gateway = pod("gateway", "", "containers: [{name: gateway}]", &status);
    let check = |policies: &[String], expected: &[&str]| {
        let mut state = State::of(loki).and(&gateway).log_of(
            "gateway",
            "gateway",
            Run::Current,
            "Post \"http://loki:3100/push\": dial tcp 10.96.0.9:3100: i/o timeout",
        );
        for policy in policies {
            state = state.and(policy);
        }
        state.names(expected);
    };
    let egress = |ports: &str| {
        let spec = format!(
            "{{selector: app == 'gateway', types: [Egress], egress: [{{action: Allow, protocol: TCP, destination: {{ports: [{ports}]}}}}]}}"
        );
        calico("NetworkPolicy", "loggw-traffic", &spec)
    };
    let crash = "likely crash-unexplained Pod shop/gateway <- Pod shop/gateway";
    let blocked = |by: &str| {
        format!("certain network-policy-blocks-egress Pod shop/gateway <- {by} spec.egress")
    };
    check(
        &[egress("8443, 9093")],
        &[&blocked("NetworkPolicy shop/loggw-traffic")],
    );
    check(&[egress("8443, '3000:3200'")], &[crash]);
    // A rule that denies by name comes before one that allows.
    let global = |order: u32, action: &str| {
        calico(
            "GlobalNetworkPolicy",
            "lockdown",
            &format!(
                "{{order: {order}, selector: all(), namespaceSelector: team == 'shop', types: [Egress], egress: [{{action: {action}, destination: {{selector: app == 'loki'}}}}]}}"
            ),
        )
    };
    check(
        &[egress("3100"), global(10, "Deny")],
        &[&blocked("GlobalNetworkPolicy lockdown")],
    );
    check(&[egress("8443"), global(10, "Allow")], &[crash]);
    // A rule that cannot be evaluated proves nothing.
    let odd = calico(
        "NetworkPolicy",
        "odd",
        "{selector: app == 'gateway', types: [Egress], egress: [{action: Allow, destination: {selector: 'app =='}}]}",
    );
    check(&[odd], &[crash]);
}

#[test]
fn the_name_service_is_down_whatever_the_reason() {
    let objects = "
- apiVersion: v1
  kind: Service
  metadata: {name: kube-dns, namespace: kube-system, creationTimestamp: '2026-11-24T09:00:00Z'}
  spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{port: 53, protocol: UDP}]}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: coredns, namespace: kube-system, uid: d, creationTimestamp: '2026-11-24T09:00:00Z'}
  spec: {replicas: 1, selector: {}, template: {metadata: {labels: {k8s-app: kube-dns}}}}
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata: {name: coredns-1, namespace: kube-system, uid: rs, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: coredns, uid: d, controller: true}]}
  spec: {replicas: 1, selector: {}}
- apiVersion: v1
  kind: Pod
  metadata: {name: coredns-1-x, namespace: kube-system, uid: p, creationTimestamp: '2026-11-24T11:50:00Z', labels: {k8s-app: kube-dns}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: coredns-1, uid: rs, controller: true}]}
  spec: {nodeName: n1, containers: [{name: coredns, image: 'registry.k8s.io/coredns:v9'}]}
  status:
    phase: Pending
    conditions: [{type: Ready, status: 'False', lastTransitionTime: '2026-11-24T11:50:00Z'}]
    containerStatuses: [{name: coredns, ready: false, restartCount: 0, state: {waiting: {reason: ErrImagePull, message: 'registry.k8s.io/coredns:v9: not found'}}}]
";
    State::of(objects).names(&[
        "certain dns-unavailable Deployment kube-system/coredns <- Deployment kube-system/coredns",
    ]);
}

#[test]
fn what_an_input_cannot_decide() {
    let classes = |state: &State| -> Vec<&'static str> {
        let mut engine = state.engine();
        let missing = engine.not_evaluable();
        missing.into_iter().map(|one| one.class.name()).collect()
    };
    // CPU metrics come from kubelets alone.
    assert_eq!(classes(&State::of("[]")), ["cpu-throttled"]);
    let state = State::of("[]")
        .without_list_of(Kind::NetworkPolicy)
        .without_list_of(Kind::PersistentVolumeClaim)
        .without_list_of(Kind::HorizontalPodAutoscaler);
    let missing = classes(&state);
    for class in [
        "network-policy-blocks-egress",
        "network-policy-blocks-ingress",
        "no-matching-volume",
        "storage-class-missing",
        "autoscaler-stuck",
    ] {
        assert!(missing.contains(&class), "{class} of {missing:?}");
    }
    assert!(!missing.contains(&"claim-missing"), "its message tells");
    // A container failed and nobody knows its last words.
    let status = format!(
        "phase: Running, containerStatuses: [{}]",
        failing("api", "exitCode: 1, reason: Error")
    );
    let silent = State::of(&pod("api", "", "containers: [{name: api}]", &status));
    let missing = classes(&silent);
    assert!(missing.contains(&"app-config-invalid"), "{missing:?}");
    let heard = silent.log_of("api", "api", Run::Current, "boom");
    assert_eq!(classes(&heard), ["cpu-throttled"]);
}

#[test]
fn a_refused_kind_is_named_with_the_reason() {
    let state = State::default().without_list_of(Kind::HorizontalPodAutoscaler);
    let mut engine = state
        .seen(Observation::Unreadable {
            kind: Kind::HorizontalPodAutoscaler,
            because: "forbidden".to_owned(),
        })
        .engine();
    let missing = engine.not_evaluable();
    let because = missing
        .iter()
        .find(|one| one.class.name() == "autoscaler-stuck");
    assert_eq!(
        because.map(|one| one.because.as_str()),
        Some("HorizontalPodAutoscaler cannot be read: forbidden")
    );
}

#[test]
fn objects_of_former_versions() {
    let objects = "
- apiVersion: v1
  kind: Node
  metadata: {name: n1}
  spec: {unschedulable: true}
- apiVersion: policy/v1beta1
  kind: PodDisruptionBudget
  metadata: {name: web, namespace: shop}
  spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
  status: {disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1}
- apiVersion: batch/v1beta1
  kind: CronJob
  metadata: {name: backup, namespace: shop}
  spec: {schedule: '* * * * *', jobTemplate: {}}
- apiVersion: autoscaling/v2beta2
  kind: HorizontalPodAutoscaler
  metadata: {name: web, namespace: shop, creationTimestamp: '2026-11-24T10:00:00Z'}
  spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: web}}
  status: {conditions: [{type: AbleToScale, status: 'False', reason: FailedGetScale, message: 'deployments.apps \"web\" not found', lastTransitionTime: '2026-11-24T10:00:00Z'}]}
";
    let running = "phase: Running, conditions: [{type: Ready, status: 'True'}]";
    State::of(objects)
        .and(&pod("web", "", "containers: [{name: web}]", running))
        .names(&[
            "certain autoscaler-stuck HorizontalPodAutoscaler shop/web <- HorizontalPodAutoscaler shop/web spec.scaleTargetRef",
            "certain disruption-blocked PodDisruptionBudget shop/web <- PodDisruptionBudget shop/web spec.minAvailable",
        ]);
}

/// A claim that is never bound keeps the database Pending, and what needs the database fails.
#[test]
fn a_claim_explains_the_database_and_the_database_what_needs_it() {
    let objects = "
- apiVersion: v1
  kind: Node
  metadata: {name: n1}
  status: {allocatable: {cpu: '4', memory: 8Gi, pods: '110'}, conditions: [{type: Ready, status: 'True'}]}
- apiVersion: v1
  kind: Service
  metadata: {name: db, namespace: shop, creationTimestamp: '2026-11-24T09:00:00Z'}
  spec: {clusterIP: None, selector: {app: db-0}, ports: [{port: 5432}]}
- apiVersion: apps/v1
  kind: StatefulSet
  metadata: {name: db, namespace: shop, uid: db}
  spec: {replicas: 1, serviceName: db, selector: {}, template: {metadata: {labels: {app: db-0}}}, volumeClaimTemplates: [{metadata: {name: data}, spec: {storageClassName: fast}}]}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata: {name: data-db-0, namespace: shop}
  spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}
  status: {phase: Pending}
- apiVersion: v1
  kind: Pod
  metadata: {name: db-0, namespace: shop, uid: db-0, creationTimestamp: '2026-11-24T11:50:00Z', labels: {app: db-0}, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: db, controller: true}]}
  spec: {containers: [{name: db}], volumes: [{name: data, persistentVolumeClaim: {claimName: data-db-0}}]}
  status:
    phase: Pending
    conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: '0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.', lastTransitionTime: '2026-11-24T11:50:00Z'}]
";
    let status = format!(
        "phase: Running, containerStatuses: [{}]",
        failing("api", "exitCode: 1, reason: Error")
    );
    let waits = "phase: Pending, initContainerStatuses: [{name: wait, ready: false, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}, \
                 lastState: {terminated: {exitCode: 1, reason: Error, startedAt: '2026-11-24T11:59:20Z', finishedAt: '2026-11-24T11:59:50Z'}}}]";
    State::of(objects)
        .and(&pod("api-0", "StatefulSet/api", "containers: [{name: api}]", &status))
        .and(&pod("worker", "", "initContainers: [{name: wait, args: ['--wait-for=db:5432']}], containers: [{name: worker}]", waits))
        .log_of("api-0", "api", Run::Previous, "x")
        .log_of("api-0", "api", Run::Current, "Error: could not connect to server at db.shop.svc.cluster.local:5432: Connection refused")
        .log_of("worker", "wait", Run::Current, "db:5432 - no response\nnc: db (10.244.0.9:5432): Connection refused")
        .names(&[
            "certain storage-class-missing StatefulSet shop/db <- StatefulSet shop/db spec.volumeClaimTemplates[0].spec.storageClassName \
             affects Pod shop/worker, StatefulSet shop/api",
        ]);
}

#[test]
fn a_node_explains_what_ran_on_it_and_a_fault_beside_it_stands() {
    let objects = "
- apiVersion: v1
  kind: Node
  metadata: {name: n1, creationTimestamp: '2026-11-20T10:00:00Z'}
  spec: {taints: [{key: node.kubernetes.io/unreachable, effect: NoExecute}]}
  status: {conditions: [{type: Ready, status: Unknown, reason: NodeStatusUnknown, message: Kubelet stopped posting node status., lastTransitionTime: '2026-11-24T11:58:00Z'}]}
- apiVersion: v1
  kind: Service
  metadata: {name: cache, namespace: shop, creationTimestamp: '2026-11-24T09:00:00Z'}
  spec: {clusterIP: 10.96.0.7, selector: {app: cache-0}, ports: [{port: 6379}]}
";
    let gone = "phase: Running, podIP: 10.1.1.1, conditions: [{type: Ready, status: 'False', lastTransitionTime: '2026-11-24T11:58:00Z'}], \
                containerStatuses: [{name: redis, ready: true, restartCount: 0, state: {running: {startedAt: '2026-11-24T10:00:00Z'}}}]";
    let status = format!(
        "phase: Running, containerStatuses: [{}]",
        failing("api", "exitCode: 1, reason: Error")
    );
    let client = pod(
        "api-0",
        "StatefulSet/api",
        "containers: [{name: api}]",
        &status,
    );
    let client = client.replace("nodeName: n1", "nodeName: n2");
    let waiting = "phase: Pending, containerStatuses: [{name: job, ready: false, restartCount: 0, state: {waiting: {reason: CreateContainerConfigError, message: 'secret \"token\" not found'}}}]";
    let other = pod(
        "other",
        "",
        "containers: [{name: job, env: [{name: T, valueFrom: {secretKeyRef: {name: token, key: t}}}]}]",
        waiting,
    );
    State::of(objects)
        .and(&pod("cache-0", "StatefulSet/cache", "containers: [{name: redis, readinessProbe: {tcpSocket: {port: 6379}}}]", gone))
        .and(&client)
        .and(&other.replace("nodeName: n1", "nodeName: n2"))
        .log_of("api-0", "api", Run::Current, "redis.exceptions.ConnectionError: Error 113 connecting to cache:6379. No route to host.")
        .names(&[
            "certain node-not-ready Node n1 <- Node n1 affects StatefulSet shop/api, StatefulSet shop/cache",
            "certain secret-missing Pod shop/other <- Secret shop/token",
        ]);
}

#[test]
fn a_webhook_whose_own_pods_do_not_run() {
    let objects = "
- apiVersion: admissionregistration.k8s.io/v1
  kind: MutatingWebhookConfiguration
  metadata: {name: injector}
  webhooks: [{name: inject.example.com, clientConfig: {service: {name: injector, namespace: mesh}}}]
- apiVersion: v1
  kind: Service
  metadata: {name: injector, namespace: mesh, creationTimestamp: '2026-11-24T09:00:00Z'}
  spec: {selector: {app: injector}, ports: [{port: 443}]}
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata: {name: web-1, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]}
  spec: {replicas: 2, selector: {}}
  status:
    replicas: 0
    conditions:
    - type: ReplicaFailure
      status: 'True'
      reason: FailedCreate
      lastTransitionTime: '2026-11-24T11:58:00Z'
      message: 'Internal error occurred: failed calling webhook \"inject.example.com\": failed to call webhook: Post \"https://injector.mesh.svc:443/?timeout=10s\": no endpoints available for service \"injector\"'
";
    let webhook = "certain webhook-unavailable Deployment shop/web <- MutatingWebhookConfiguration injector webhooks[0].clientConfig";
    State::of(objects).names(&[webhook]);
    let broken = "
- apiVersion: v1
  kind: Pod
  metadata: {name: injector-0, namespace: mesh, uid: i, labels: {app: injector}, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: injector, uid: s, controller: true}]}
  spec: {nodeName: n1, containers: [{name: injector, envFrom: [{configMapRef: {name: settings}}]}]}
  status: {phase: Pending, containerStatuses: [{name: injector, ready: false, restartCount: 0, state: {waiting: {reason: CreateContainerConfigError, message: 'configmap \"settings\" not found'}}}]}
";
    State::of(objects).and(broken).names(&[
        "certain config-map-missing StatefulSet mesh/injector <- ConfigMap mesh/settings affects Deployment shop/web",
    ]);
}

/// What a noisy and healthy cluster shows.
#[test]
fn noise_is_no_trouble() {
    let quiet = |yaml: &str| State::of(yaml).names(&[]);
    // A restart of long ago, with its events and its old words.
    let restarted = "phase: Running, conditions: [{type: Ready, status: 'True'}], containerStatuses: [{name: app, ready: true, restartCount: 7, \
                     state: {running: {startedAt: '2026-11-24T08:00:00Z'}}, lastState: {terminated: {exitCode: 137, reason: OOMKilled, startedAt: '2026-11-24T07:00:00Z', finishedAt: '2026-11-24T07:59:59Z'}}}]";
    let spec = "containers: [{name: app, resources: {limits: {memory: 1Gi}}, livenessProbe: {httpGet: {port: 80}}}]";
    State::of(&pod("web", "ReplicaSet/web-1", spec, restarted))
        .and(&event(
            "Pod/web",
            "BackOff",
            "Back-off restarting failed container app in pod web",
        ))
        .and(&event(
            "Pod/web",
            "Unhealthy",
            "Liveness probe failed: HTTP probe failed with statuscode: 500",
        ))
        .names(&[]);
    // A bare pod that was evicted an hour ago; its node is fine.
    quiet(&pod(
        "old",
        "",
        "containers: [{name: app}]",
        "phase: Failed, reason: Evicted, message: 'The node was low on resource: memory. ', startTime: '2026-11-24T10:00:00Z', \
         conditions: [{type: DisruptionTarget, status: 'True', reason: TerminationByKubelet, lastTransitionTime: '2026-11-24T11:00:00Z'}]",
    ));
    // Optional references, and a projected volume with an optional source.
    quiet(&pod(
        "optional",
        "",
        "containers: [{name: app, envFrom: [{secretRef: {name: a, optional: true}}], env: [{name: X, valueFrom: {configMapKeyRef: {name: b, key: k, optional: true}}}]}], \
         volumes: [{name: v, projected: {sources: [{configMap: {name: c, optional: true}}]}}]",
        "phase: Pending, startTime: '2026-11-24T11:50:00Z', containerStatuses: [{name: app, ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}}]",
    ));
    // A paused Deployment behind its deadline, and one whose former rollout failed.
    quiet("
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: paused, namespace: shop, generation: 4}
  spec: {paused: true, replicas: 2, selector: {}, template: {}}
  status: {observedGeneration: 4, updatedReplicas: 1, availableReplicas: 2, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, lastTransitionTime: '2026-11-24T10:00:00Z'}]}
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: anew, namespace: shop, generation: 5}
  spec: {replicas: 2, selector: {}, template: {}}
  status: {observedGeneration: 4, updatedReplicas: 1, availableReplicas: 2, conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded, lastTransitionTime: '2026-11-24T10:00:00Z'}]}
");
    // A pod that is going, whatever it ends with.
    let going = pod(
        "going",
        "ReplicaSet/web-1",
        "containers: [{name: app}]",
        &format!(
            "phase: Running, containerStatuses: [{}]",
            failing("app", "exitCode: 1, reason: Error")
        ),
    );
    quiet(&going.replace(
        "uid: going,",
        "uid: going, deletionTimestamp: '2026-11-24T11:59:00Z',",
    ));
    // Events of a pod that is gone, and of one that took its name since.
    let stale = [
        event(
            "Pod/gone",
            "FailedMount",
            "MountVolume.SetUp failed for volume \"c\" : configmap \"c\" not found",
        ),
        event(
            "Pod/gone",
            "FailedScheduling",
            "0/3 nodes are available: 3 Insufficient memory.",
        ),
        event(
            "ReplicaSet/web-1",
            "FailedCreate",
            "Error creating: pods \"x\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
        ),
    ];
    quiet(&stale.join(""));
    // A spare node is cordoned, another's pressure has cleared.
    quiet("
- apiVersion: v1
  kind: Node
  metadata: {name: spare, creationTimestamp: '2026-11-20T10:00:00Z'}
  spec: {unschedulable: true, taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]}
  status: {conditions: [{type: Ready, status: 'True'}]}
- apiVersion: v1
  kind: Node
  metadata: {name: n1, creationTimestamp: '2026-11-20T10:00:00Z'}
  status: {conditions: [{type: Ready, status: 'True'}, {type: DiskPressure, status: 'False', lastTransitionTime: '2026-11-24T11:30:00Z'}]}
- apiVersion: v1
  kind: Event
  metadata: {name: n1.x, namespace: default}
  involvedObject: {kind: Node, name: n1, uid: n1}
  reason: EvictionThresholdMet
  message: Attempting to reclaim ephemeral-storage
  lastTimestamp: '2026-11-24T11:28:00Z'
");
    // A probe that fails while the program starts, within its time.
    let starting = "phase: Running, conditions: [{type: Ready, status: 'False'}], containerStatuses: [{name: app, ready: false, started: false, restartCount: 0, state: {running: {startedAt: '2026-11-24T11:58:00Z'}}}]";
    State::of(&pod("slow", "", "containers: [{name: app, startupProbe: {httpGet: {port: 80}, failureThreshold: 60}, readinessProbe: {httpGet: {port: 80}}}]", starting))
        .and(&event("Pod/slow", "Unhealthy", "Startup probe failed: Get \"http://10.1.1.1:80/\": dial tcp 10.1.1.1:80: connect: connection refused"))
        .names(&[]);
    // An init container that failed once and then succeeded; a database that was late.
    let late = "phase: Running, conditions: [{type: Ready, status: 'True'}], \
                initContainerStatuses: [{name: migrate, ready: true, restartCount: 1, state: {terminated: {exitCode: 0, reason: Completed, startedAt: '2026-11-24T11:30:00Z', finishedAt: '2026-11-24T11:30:05Z'}}, \
                lastState: {terminated: {exitCode: 1, reason: Error, startedAt: '2026-11-24T11:29:00Z', finishedAt: '2026-11-24T11:29:05Z'}}}], \
                containerStatuses: [{name: app, ready: true, restartCount: 0, state: {running: {startedAt: '2026-11-24T11:30:06Z'}}}]";
    State::of(&pod("api", "ReplicaSet/api-1", "initContainers: [{name: migrate}], containers: [{name: app}]", late))
        .log_of("api", "app", Run::Current, "ERROR dial tcp: lookup db: i/o timeout\nERROR dial tcp 10.96.0.7:5432: connect: connection refused\nINFO connected\nINFO serving")
        .names(&[]);
}

#[test]
fn an_address_stands_for_the_only_name_that_leads_outside() {
    let status = format!(
        "phase: Running, containerStatuses: [{}]",
        failing("api", "exitCode: 1, reason: Error")
    );
    let said = |env: &str, words: &str| {
        let spec = format!("containers: [{{name: api, env: [{env}]}}]");
        let client = pod("api-0", "StatefulSet/api", &spec, &status);
        let state = State::of(&client).log_of("api-0", "api", Run::Current, words);
        let verdicts = state.verdicts();
        let [verdict] = verdicts.as_slice() else {
            panic!("{verdicts:?}");
        };
        let field = verdict.culprit.field.clone().unwrap_or_default();
        let port = verdict.detail.get("port").cloned().unwrap_or_default();
        format!("{} {field} {port}", verdict.class)
    };
    let rates = "{name: RATES, value: 'http://rates.partner.example.com:8080/eur'}";
    let log = "{name: LOG, value: 'https://log.example.com/in'}";
    let words = "wget: can't connect to remote host (203.0.113.9): Connection refused";
    let class = "dependency-unreachable spec.template.spec.containers[0]";
    assert_eq!(said(rates, words), format!("{class}.env[0].value 8080"));
    // Which of two it was, nobody can tell.
    assert_eq!(
        said(&format!("{rates}, {log}"), words),
        format!("{class} null")
    );
    let name = "{name: BEHIND, value: 'db.other.svc.cluster.local'}";
    let unknown = "psql: error: could not translate host name \"db.other.svc.cluster.local\" to address: Name or service not known";
    assert_eq!(said(name, unknown), format!("{class}.env[0].value null"));
    let address = "{name: RATES, value: 'http://203.0.113.9:8080/eur'}";
    assert_eq!(
        said(&format!("{log}, {address}"), words),
        format!("{class}.env[1].value 8080")
    );
}

#[test]
fn a_stack_trace_goes_on_with_what_it_says() {
    let status = "phase: Running, podIP: 10.1.1.8, conditions: [{type: Ready, status: 'False'}], \
                  containerStatuses: [{name: api, ready: false, restartCount: 0, state: {running: {startedAt: '2026-11-24T11:50:00Z'}}}]";
    let trace = "2026-11-24T11:59:40Z ERROR HikariPool-1 - Exception during pool initialization.
2026-11-24T11:59:40Z org.postgresql.util.PSQLException: Connection to orders-db:5432 refused. Check that the hostname and port are correct.
2026-11-24T11:59:40Z \tat org.postgresql.core.v3.ConnectionFactoryImpl.openConnectionImpl(ConnectionFactoryImpl.java:331)
2026-11-24T11:59:40Z Caused by: java.net.ConnectException: Connection refused
2026-11-24T11:59:40Z \tat java.base/sun.nio.ch.Net.pollConnect(Native Method)
2026-11-24T11:59:40Z \t... 23 common frames omitted
";
    let trace = format!("{trace}{}", trace.replace(":40Z", ":55Z"));
    let down = "
- apiVersion: v1
  kind: Service
  metadata: {name: orders-db, namespace: shop, creationTimestamp: '2026-11-24T10:00:00Z'}
  spec: {clusterIP: 10.96.0.9, selector: {app: orders-db}, ports: [{port: 5432}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: orders-db, namespace: shop, uid: o, labels: {app: orders-db}}
  spec: {nodeName: n2, containers: [{name: db}]}
  status: {phase: Running, podIP: 10.1.1.7, conditions: [{type: Ready, status: 'False', lastTransitionTime: '2026-11-24T10:00:00Z'}]}
";
    let probe = "containers: [{name: api, readinessProbe: {httpGet: {port: 8080}}}]";
    State::of(&pod("api", "", probe, status))
        .and(down)
        .log_of("api", "api", Run::Current, &trace)
        .names(&["certain dependency-unreachable Pod shop/api <- Service shop/orders-db"]);
}

/// What is said of a Deployment whose container `app` ends with these words.
#[track_caller]
fn ends_with(container: &str, objects: &str, code: u8, words: &str, expected: &[&str]) {
    let status = format!(
        "phase: Running, podIP: 10.1.1.8, containerStatuses: [{}]",
        failing("app", &format!("exitCode: {code}, reason: Error"))
    );
    let spec = format!(
        "containers: [{{name: app, {container}}}], volumes: [{{name: c, configMap: {{name: settings}}}}]"
    );
    State::of(&pod("w", "ReplicaSet/w-1", &spec, &status))
        .and(if objects.is_empty() { "[]" } else { objects })
        .log_of("w", "app", Run::Current, words)
        .names(expected);
}

fn database(ready: &str) -> String {
    format!(
        "
- apiVersion: v1
  kind: Service
  metadata: {{name: db, namespace: shop, creationTimestamp: '2026-11-24T10:00:00Z'}}
  spec: {{clusterIP: 10.96.0.9, selector: {{app: db}}, ports: [{{port: 5432}}]}}
- apiVersion: v1
  kind: Pod
  metadata: {{name: db, namespace: shop, uid: db, labels: {{app: db}}}}
  spec: {{nodeName: n2, containers: [{{name: db}}]}}
  status: {{phase: Running, podIP: 10.1.1.7, conditions: [{{type: Ready, status: '{ready}', lastTransitionTime: '2026-11-24T10:00:00Z'}}]}}
"
    )
}

#[test]
fn words_of_many_programs() {
    let unreachable = "certain dependency-unreachable ReplicaSet shop/w-1 <- Service shop/db";
    for words in [
        "OperationalError: could not connect to server: Connection refused\n\tIs the server running on host \"db\" (10.96.0.9) and accepting\n\tTCP/IP connections on port 5432?",
        "WARN [AdminClient clientId=a] Connection to node -1 (db/10.96.0.9:5432) could not be established. Broker may not be available.",
        "wait-for-it.sh: timeout occurred after waiting 15 seconds for db:5432",
        "2026/11/24 11:59:21 Timeout after 10s waiting on dependencies to become available: [tcp://db:5432]",
    ] {
        ends_with("", &database("False"), 1, words, &[unreachable]);
    }
    let refusing = "certain dependency-refusing ReplicaSet shop/w-1 <- Pod shop/db";
    for words in [
        "connection to server at \"db\" (10.96.0.9), port 5432 failed: FATAL:  the database system is starting up",
        "psql: error: connection to server at \"db\" (10.96.0.9), port 5432 failed: FATAL:  database \"shopp\" does not exist",
    ] {
        ends_with("", &database("True"), 2, words, &[refusing]);
    }
    // A port that the Service lacks: what gives the address is wrong.
    ends_with(
        "env: [{name: DB, value: 'db:5433'}]",
        &database("True"),
        1,
        "dial tcp 10.96.0.9:5433: connect: connection refused",
        &[
            "certain dependency-unreachable ReplicaSet shop/w-1 <- ReplicaSet shop/w-1 spec.template.spec.containers[0].env[0].value",
        ],
    );
    let not_found = "certain command-not-found ReplicaSet shop/w-1 <- ReplicaSet shop/w-1 spec.template.spec.containers[0].command";
    for words in [
        "[FATAL tini (7)] exec /app/start.sh failed: No such file or directory",
        "[dumb-init] /app/start.sh: No such file or directory",
    ] {
        ends_with("command: [/app/start.sh]", "", 127, words, &[not_found]);
    }
    let invalid = "certain app-config-invalid ReplicaSet shop/w-1 <- ConfigMap shop/settings";
    ends_with(
        "volumeMounts: [{name: c, mountPath: /etc/app}]",
        "",
        1,
        "failed to parse config /etc/app/config.json: invalid character '}' looking for beginning of object key string",
        &[&format!("{invalid} data[\"config.json\"]")],
    );
    let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop}, data: {my.cnf: 'bufer_size=1G', other: ''}}";
    ends_with(
        "volumeMounts: [{name: c, mountPath: /etc/mysql/conf.d}]",
        map,
        1,
        "[ERROR] [MY-000067] [Server] unknown variable 'bufer_size=1G'.\n[ERROR] [MY-010119] [Server] Aborting",
        &[&format!("{invalid} data[\"my.cnf\"]")],
    );
}

#[test]
fn a_pod_of_the_same_name_took_the_place_of_one_that_a_taint_removed() {
    let objects = "
- apiVersion: v1
  kind: Node
  metadata: {name: n1}
  spec: {taints: [{key: team, value: a, effect: NoSchedule}]}
  status: {allocatable: {cpu: '4', memory: 8Gi, pods: '110'}, conditions: [{type: Ready, status: 'True'}]}
- apiVersion: v1
  kind: Node
  metadata: {name: n2}
  spec: {taints: [{key: maintenance, effect: NoExecute, timeAdded: '2026-11-24T11:57:50Z'}]}
  status: {allocatable: {cpu: '4', memory: 8Gi, pods: '110'}, conditions: [{type: Ready, status: 'True'}]}
- apiVersion: apps/v1
  kind: StatefulSet
  metadata: {name: queue, namespace: shop, uid: queue}
  spec: {replicas: 1, serviceName: queue, selector: {}, template: {}}
  status: {replicas: 1, readyReplicas: 0}
- apiVersion: v1
  kind: Pod
  metadata: {name: queue-0, namespace: shop, uid: anew, creationTimestamp: '2026-11-24T11:57:59Z', ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: queue, uid: queue, controller: true}]}
  spec: {containers: [{name: queue}]}
  status:
    phase: Pending
    conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: '0/2 nodes are available: 2 node(s) had untolerated taint(s).', lastTransitionTime: '2026-11-24T11:57:59Z'}]
";
    let removed = event(
        "Pod/queue-0",
        "TaintManagerEviction",
        "Marking for deletion Pod shop/queue-0",
    );
    let removed = removed.replace("uid: queue-0", "uid: former");
    let said = "likely taint-evicted StatefulSet shop/queue <- Node n2";
    State::of(objects).and(&removed).names(&[said]);
    // The StatefulSet's status still counts the pod that was removed.
    let late = objects.replace("readyReplicas: 0", "readyReplicas: 1");
    State::of(&late).and(&removed).names(&[said]);
}

/// A pod that runs and is not ready, for its probe is answered with 503; given this address.
fn unready(name: &str, upstream: &str) -> String {
    let spec = format!(
        "containers: [{{name: {name}, readinessProbe: {{httpGet: {{path: /ready, port: 8080}}}}, \
         env: [{{name: UPSTREAM, value: 'http://{upstream}:80/api'}}]}}]"
    );
    let status = format!(
        "phase: Running, conditions: [{{type: Ready, status: 'False', lastTransitionTime: '2026-11-24T11:51:00Z'}}], \
         containerStatuses: [{{name: {name}, ready: false, restartCount: 0, state: {{running: {{startedAt: '2026-11-24T11:50:10Z'}}}}}}]"
    );
    let words = "Readiness probe failed: HTTP probe failed with statuscode: 503";
    pod(name, "", &spec, &status)
        + &event(&format!("Pod/{name}"), "Unhealthy", words)
        + &service(name)
}

fn service(name: &str) -> String {
    format!(
        "
- apiVersion: v1
  kind: Service
  metadata: {{name: {name}, namespace: shop}}
  spec: {{clusterIP: 10.96.0.9, selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}
"
    )
}

#[test]
fn a_cause_three_steps_away() {
    let stock = pod(
        "stock",
        "",
        "containers: [{name: stock, image: stock, env: [{name: MODE, valueFrom: {configMapKeyRef: {name: stock, key: mode}}}]}]",
        "phase: Pending, containerStatuses: [{name: stock, ready: false, restartCount: 0, \
         state: {waiting: {reason: CreateContainerConfigError, message: 'configmap \"stock\" not found'}}}]",
    );
    let chain = State::of(&(unready("gateway", "cart") + &unready("cart", "prices")))
        .and(&(unready("prices", "stock") + &stock + &service("stock")));
    chain.names(&[
        "certain config-map-missing Pod shop/stock <- ConfigMap shop/stock \
         affects Pod shop/cart, Pod shop/gateway, Pod shop/prices",
    ]);
    // What is given something that serves has a trouble of its own.
    let serves = pod(
        "stock",
        "",
        "containers: [{name: stock}]",
        "phase: Running, conditions: [{type: Ready, status: 'True'}], \
         containerStatuses: [{name: stock, ready: true, restartCount: 0, state: {running: {startedAt: '2026-11-24T11:50:10Z'}}}]",
    );
    State::of(&(unready("prices", "stock") + &serves + &service("stock"))).names(&[
        "certain readiness-probe-failing Pod shop/prices <- Pod shop/prices spec.containers[0].readinessProbe",
    ]);
}

/// That a volume is in use elsewhere is said once, and the pod waits for as long as it is.
#[test]
fn a_volume_that_is_in_use_for_long() {
    let waits = pod(
        "cms",
        "",
        "containers: [{name: cms}], volumes: [{name: up, persistentVolumeClaim: {claimName: up}}]",
        "phase: Pending, containerStatuses: [{name: cms, ready: false, restartCount: 0, state: {waiting: {reason: ContainerCreating}}}]",
    );
    let claim = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: up, namespace: shop}
spec: {volumeName: pv-1}
status: {phase: Bound}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-1}
spec: {capacity: {storage: 1Gi}}
status: {phase: Bound}
";
    let words = "Multi-Attach error for volume \"pv-1\" Volume is already used by pod(s) cms-old";
    let refused = event("Pod/cms", "FailedAttachVolume", words);
    let state = State::of(&waits)
        .and(claim)
        .and(&refused)
        .at("2026-11-24T12:20:00Z");
    let said = "certain volume-mount-failed Pod shop/cms <- Pod shop/cms spec.volumes[0]";
    state.names(&[said]);
    let attached = event(
        "Pod/cms",
        "SuccessfulAttachVolume",
        "AttachVolume.Attach succeeded",
    )
    .replace("11:58:00", "11:59:00");
    state.and(&attached).names(&[]);
}
