//! What serves nodes and does not run: network plugins, storage drivers, what takes taints away. That
//! is the cause, whoever suffers from it.

use crashbook_detector::Kind;
use crashbook_detector::facts::Run;

use crate::support::State;

/// A pod of a DaemonSet in kube-system whose image cannot be had; it runs on node a.
fn agent(name: &str, spec: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata:
  name: {name}-x
  namespace: kube-system
  uid: {name}
  creationTimestamp: '2026-11-24T11:40:00Z'
  ownerReferences: [{{apiVersion: apps/v1, kind: DaemonSet, name: {name}, uid: ds, controller: true}}]
spec: {{nodeName: a, containers: [{{name: agent, image: 'r.io/agent:1'}}]{spec}}}
status:
  phase: Pending
  startTime: '2026-11-24T11:40:00Z'
  conditions: [{{type: Ready, status: 'False', lastTransitionTime: '2026-11-24T11:40:00Z'}}]
  containerStatuses: [{{name: agent, image: '', imageID: '', ready: false, restartCount: 0, state: {{waiting: {{reason: ImagePullBackOff, message: 'Back-off pulling image \"r.io/agent:1\": ErrImagePull: r.io/agent:1: not found'}}}}}}]
"
    )
}

/// A pod on node a that is not made, for what an event says again and again.
fn unmade(reason: &str, message: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, uid: web, creationTimestamp: '2026-11-24T11:50:00Z'}}
spec:
  nodeName: a
  containers: [{{name: app}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
status:
  phase: Pending
  conditions: [{{type: PodScheduled, status: 'True'}}]
  containerStatuses: [{{name: app, image: i, imageID: '', ready: false, restartCount: 0, state: {{waiting: {{reason: ContainerCreating}}}}}}]
---
apiVersion: v1
kind: Event
metadata: {{name: web.1, namespace: shop}}
involvedObject: {{kind: Pod, namespace: shop, name: web, uid: web}}
reason: {reason}
message: '{message}'
type: Warning
count: 30
firstTimestamp: '2026-11-24T11:50:00Z'
lastTimestamp: '2026-11-24T11:59:30Z'
"
    )
}

fn of(name: &str) -> String {
    format!(
        "certain image-not-found DaemonSet kube-system/{name} <- DaemonSet kube-system/{name} \
         spec.template.spec.containers[0].image affects Pod shop/web"
    )
}

#[test]
fn a_network_plugin_that_does_not_run() {
    let message = "(combined from similar events): Failed to create pod sandbox: rpc error: code = Unknown \
        desc = failed to setup network for sandbox \"b63\": plugin type=\"calico\" failed (add): stat \
        /var/lib/calico/nodename: no such file or directory";
    let state = State::of(&unmade("FailedCreatePodSandBox", message));
    let alone = "certain sandbox-failed Pod shop/web <- Node a";
    state.names(&[alone]);
    // What stands for several events is no part of the error.
    let error = state.verdicts()[0].detail["error"].to_string();
    assert!(error.starts_with("\"rpc error"), "{error}");
    let named = agent("calico-node", ", hostNetwork: true");
    state.clone().and(&named).names(&[&of("calico-node")]);
    let folders = ", hostNetwork: true, volumes: [{name: net, hostPath: {path: /etc/cni/net.d}}]";
    state
        .clone()
        .and(&agent("agent", folders))
        .names(&[&of("agent")]);
    let other = agent("exporter", ", hostNetwork: true");
    state.and(&other).names(&[
        "certain image-not-found DaemonSet kube-system/exporter <- DaemonSet kube-system/exporter \
         spec.template.spec.containers[0].image",
        alone,
    ]);
}

const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop}
spec: {volumeName: pv}
status: {phase: Bound}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv}
spec: {csi: {driver: ebs.csi.aws.com, volumeHandle: v}}
";

#[test]
fn a_storage_driver_that_does_not_run() {
    let message = "MountVolume.MountDevice failed for volume \"pv\" : kubernetes.io/csi: \
        attacher.MountDevice failed to create newCsiDriverClient: driver name ebs.csi.aws.com not found \
        in the list of registered CSI drivers";
    let state = State::of(&unmade("FailedMount", message)).and(CLAIM);
    let alone = "certain volume-mount-failed Pod shop/web <- Pod shop/web spec.volumes[0]";
    state.names(&[alone]);
    let says_it =
        ", volumes: [{name: p, hostPath: {path: /var/lib/kubelet/plugins/ebs.csi.aws.com/}}]";
    state
        .clone()
        .and(&agent("disks", says_it))
        .names(&[&of("disks")]);
    state
        .clone()
        .and(&agent("ebs-csi-node", ""))
        .names(&[&of("ebs-csi-node")]);
    let another =
        ", volumes: [{name: p, hostPath: {path: /var/lib/kubelet/plugins/efs.csi.aws.com/}}]";
    let state = state.and(&agent("ebs-csi-efs", another));
    assert_eq!(state.verdicts().len(), 2);
}

const CLAIMING: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: web, creationTimestamp: '2026-11-24T11:40:00Z'}
spec:
  containers: [{name: app}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
status:
  phase: Pending
  conditions: [{type: PodScheduled, status: 'False', reason: SchedulerError, lastTransitionTime: '2026-11-24T11:50:00Z', message: 'running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded'}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop, uid: claim, annotations: {volume.kubernetes.io/selected-node: a, volume.kubernetes.io/storage-provisioner: ebs.csi.aws.com}}
spec: {storageClassName: fast}
status: {phase: Pending}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: ebs.csi.aws.com
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: Event
metadata: {name: data.1, namespace: shop}
involvedObject: {kind: PersistentVolumeClaim, namespace: shop, name: data, uid: claim}
reason: ExternalProvisioning
message: Waiting for a volume to be created either by the external provisioner or manually
type: Normal
firstTimestamp: '2026-11-24T11:40:00Z'
lastTimestamp: '2026-11-24T11:59:50Z'
";

#[test]
fn a_provisioner_that_does_not_run() {
    let state = State::of(CLAIMING);
    state.names(&["likely no-matching-volume Pod shop/web <- PersistentVolumeClaim shop/data"]);
    state.clone().at("2026-11-24T11:44:00Z").says(&[]);
    let controller = agent("ebs-csi-controller", "").replace("DaemonSet", "StatefulSet");
    state.and(&controller).names(&[
        "certain image-not-found StatefulSet kube-system/ebs-csi-controller \
         <- StatefulSet kube-system/ebs-csi-controller spec.template.spec.containers[0].image \
         affects Pod shop/web",
    ]);
}

const NEW_NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {taints: [{key: node.cloudprovider.kubernetes.io/uninitialized, value: 'true', effect: NoSchedule}]}
status: {allocatable: {cpu: '2', memory: 8Gi, pods: '110'}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: web}
spec: {containers: []}
status:
  phase: Pending
  conditions:
  - {type: PodScheduled, status: 'False', reason: Unschedulable, lastTransitionTime: '2026-11-24T11:50:00Z', message: 0/1 nodes are available}
";

#[test]
fn what_takes_a_taint_away_does_not_run() {
    let alone = "certain taint-untolerated Pod shop/web <- Node a \
        spec.taints[key=node.cloudprovider.kubernetes.io/uninitialized]";
    State::of(NEW_NODE).names(&[alone]);
    let tolerates = ", tolerations: [{key: node.cloudprovider.kubernetes.io/uninitialized, value: 'true', effect: NoSchedule}]";
    let state = State::of(NEW_NODE).and(&agent("cloud", tolerates));
    state.names(&[&of("cloud")]);
    let for_a_while = ", tolerations: [{key: node.cloudprovider.kubernetes.io/uninitialized, operator: Exists, tolerationSeconds: 300}]";
    let state = State::of(NEW_NODE).and(&agent("other", for_a_while));
    assert_eq!(state.verdicts().len(), 2);
}

#[test]
fn an_adapter_of_metrics_that_does_not_run() {
    let state = State::of(
        "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  maxReplicas: 3
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  metrics: [{type: External, external: {metric: {name: q}, target: {type: AverageValue, averageValue: '20'}}}]
status:
  desiredReplicas: 1
  conditions: [{type: ScalingActive, status: 'False', reason: FailedGetExternalMetric, lastTransitionTime: '2026-11-24T11:50:00Z', message: 'unable to get external metric shop/q: unable to fetch metrics from external metrics API: the server is currently unable to handle the request'}]
---
apiVersion: v1
kind: Service
metadata: {name: keda-operator-metrics-apiserver, namespace: kube-system}
spec: {selector: {app: keda}}
",
    );
    state.names(
        &["certain autoscaler-stuck HorizontalPodAutoscaler shop/web \
         <- HorizontalPodAutoscaler shop/web spec.metrics"],
    );
    let server = agent("keda", "").replace("  uid: keda\n", "  uid: keda\n  labels: {app: keda}\n");
    let affected = of("keda").replace("Pod shop/web", "HorizontalPodAutoscaler shop/web");
    state.and(&server).names(&[&affected]);
}

#[test]
fn a_name_service_on_every_node() {
    let state = State::of(
        "
apiVersion: v1
kind: Service
metadata: {name: dns-default, namespace: openshift-dns}
spec: {clusterIP: 172.30.0.10, selector: {dns: default}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: dns-default, namespace: openshift-dns}
spec: {selector: {}, template: {metadata: {labels: {dns: default}}}}
status: {desiredNumberScheduled: 1, currentNumberScheduled: 1, numberMisscheduled: 0, numberReady: 0}
",
    );
    let server = agent("dns-default", "")
        .replace("namespace: kube-system", "namespace: openshift-dns")
        .replace(
            "  uid: dns-default\n",
            "  uid: dns-default\n  labels: {dns: default}\n",
        );
    state.clone().and(&server).names(&[
        "certain dns-unavailable DaemonSet openshift-dns/dns-default \
         <- DaemonSet openshift-dns/dns-default",
    ]);
    let ready = server.replace(
        "type: Ready, status: 'False'",
        "type: Ready, status: 'True'",
    );
    let ready = ready.replace("ready: false", "ready: true");
    let ready = ready
        .split("state: {waiting")
        .next()
        .unwrap_or_default()
        .to_owned()
        + "state: {}}]";
    state.and(&ready).says(&[]);
}

#[test]
fn a_scheduler_that_does_not_run() {
    let scheduler = "
apiVersion: v1
kind: Pod
metadata: {name: kube-scheduler-a, namespace: kube-system, uid: s, labels: {component: kube-scheduler}}
spec: {nodeName: a, containers: [{name: kube-scheduler}]}
status:
  phase: Running
  containerStatuses: [{name: kube-scheduler, image: '', imageID: '', ready: false, restartCount: 5, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error, startedAt: '2026-11-24T11:58:00Z', finishedAt: '2026-11-24T11:58:01Z'}}}]
";
    let unseen = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: web, creationTimestamp: '2026-11-24T11:50:00Z'}
spec: {containers: []}
status: {phase: Pending}
";
    let crash = "likely crash-unexplained Pod kube-system/kube-scheduler-a <- Pod kube-system/kube-scheduler-a";
    State::of(scheduler).names(&[crash]);
    State::of(scheduler).and(unseen).names(&[
        "certain scheduler-unavailable Pod shop/web <- Pod kube-system/kube-scheduler-a \
         affects Pod kube-system/kube-scheduler-a",
    ]);
}

/// An input without claims, and without the controllers that make pods of them: their events tell.
#[test]
fn controllers_and_claims_that_only_events_tell_of() {
    let event = |kind: &str, reason: &str, message: &str| {
        format!(
            "
apiVersion: v1
kind: Event
metadata: {{name: e.{kind}.{reason}, namespace: shop}}
involvedObject: {{kind: {kind}, namespace: shop, name: data, uid: o}}
reason: {reason}
message: '{message}'
type: Warning
firstTimestamp: '2026-11-24T11:50:00Z'
lastTimestamp: '2026-11-24T11:59:00Z'
"
        )
    };
    let refused = "create Pod data-0 in StatefulSet data failed error: pods \"data-0\" is forbidden: error \
        looking up service account shop/db: serviceaccount \"db\" not found";
    let state = State::of(&event("StatefulSet", "FailedCreate", refused));
    // It was deleted since.
    state.says(&[]);
    let unlisted = state.without_list_of(Kind::StatefulSet);
    unlisted.names(&[
        "certain service-account-missing StatefulSet shop/data <- ServiceAccount shop/db",
    ]);
    let later = event(
        "StatefulSet",
        "SuccessfulCreate",
        "create Pod data-0 successful",
    );
    unlisted
        .clone()
        .and(&later.replace("11:59:00", "11:59:30"))
        .says(&[]);
    unlisted.at("2026-11-24T12:20:00Z").says(&[]);
    let pending = CLAIMING
        .split("---")
        .next()
        .unwrap_or_default()
        .replace("SchedulerError", "Unschedulable");
    let state = State::of(&pending)
        .without_list_of(Kind::PersistentVolumeClaim)
        .without_list_of(Kind::StorageClass);
    let no_class = "storageclass.storage.k8s.io \"fast\" not found";
    let claim = "PersistentVolumeClaim";
    state
        .clone()
        .and(&event(claim, "ProvisioningFailed", no_class))
        .names(&[
            "likely storage-class-missing Pod shop/web <- PersistentVolumeClaim shop/data \
         spec.storageClassName",
        ]);
    let denied = "failed to provision volume with StorageClass \"fast\": UnauthorizedOperation";
    state
        .and(&event(claim, "ProvisioningFailed", denied))
        .names(&["likely volume-mount-failed Pod shop/web <- Pod shop/web spec.volumes[0]"]);
}

/// A pod on node `a` whose program fails again and again.
const FAILING: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: web}
spec: {nodeName: a, containers: [{name: app}]}
status:
  phase: Running
  containerStatuses: [{name: app, image: '', imageID: '', ready: false, restartCount: 5, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 1, reason: Error, startedAt: '2026-11-24T11:58:00Z', finishedAt: '2026-11-24T11:58:31Z'}}}]
";

#[test]
fn a_proxy_that_does_not_run() {
    let state = State::of(FAILING)
        .and(
            "
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: 10.96.0.9, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, uid: db, labels: {app: db}}
spec: {nodeName: b, containers: [{name: db, ports: [{containerPort: 5432}]}]}
status: {phase: Running, podIP: 10.1.0.9, conditions: [{type: Ready, status: 'True'}]}
",
        )
        .log(Run::Current, "dial tcp 10.96.0.9:5432: i/o timeout");
    let alone = state.verdicts();
    assert_ne!(alone[0].class.name(), "dependency-unreachable");
    let proxy = agent("kube-proxy", ", hostNetwork: true");
    state.and(&proxy).names(&[&of("kube-proxy")]);
}

#[test]
fn a_name_cache_of_the_node_that_does_not_run() {
    let state = State::of(FAILING).and(
        "
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{port: 53, protocol: UDP}]}
---
apiVersion: v1
kind: Pod
metadata: {name: dns, namespace: kube-system, uid: dns, labels: {k8s-app: kube-dns}}
spec: {nodeName: b, containers: [{name: dns}]}
status: {phase: Running, podIP: 10.1.0.9, conditions: [{type: Ready, status: 'True'}]}
",
    )
    .log(Run::Current, "dial tcp: lookup db.shop on 169.254.20.10:53: read udp 169.254.20.10:4->169.254.20.10:53: read: connection refused");
    let cache = agent("node-local-dns", ", hostNetwork: true");
    state.and(&cache).names(&[&of("node-local-dns")]);
}

/// A name service that waits for the nodes of a new cluster.
#[test]
fn a_cluster_that_is_being_made() {
    let state = State::of(
        "
apiVersion: v1
kind: Node
metadata: {name: a, creationTimestamp: '2026-11-24T11:59:00Z'}
spec: {taints: [{key: node.kubernetes.io/not-ready, effect: NoSchedule}]}
status:
  allocatable: {cpu: '2', memory: 8Gi, pods: '110'}
  conditions: [{type: Ready, status: 'False', reason: KubeletNotReady, message: cni plugin not initialized, lastTransitionTime: '2026-11-24T11:59:01Z'}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{port: 53, protocol: UDP}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system, creationTimestamp: '2026-11-24T11:59:00Z'}
spec: {selector: {}, template: {metadata: {labels: {k8s-app: kube-dns}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: coredns-1, namespace: kube-system, uid: d, labels: {k8s-app: kube-dns}, creationTimestamp: '2026-11-24T11:59:00Z'}
spec: {containers: [{name: coredns}]}
status:
  phase: Pending
  conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, lastTransitionTime: '2026-11-24T11:59:02Z', message: 0/1 nodes are available}]
",
    );
    state.clone().says(&[]);
    assert!(!state.at("2026-11-24T12:04:30Z").verdicts().is_empty());
}

/// A Service that is wrong about pods whose workload the input lacks.
#[test]
fn a_selector_of_pods_whose_workload_is_not_known() {
    let state = State::of(
        "
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop, creationTimestamp: '2026-11-24T11:00:00Z'}
spec: {selector: {app: postgres}}
---
apiVersion: v1
kind: Pod
metadata:
  name: db-0
  namespace: shop
  uid: db-0
  labels: {app: db}
  ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: sts, controller: true}]
spec: {nodeName: a, containers: []}
status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}
",
    );
    let state = state.without_list_of(Kind::StatefulSet);
    state.names(&[
        "certain service-selector-unmatched Service shop/db <- Service shop/db spec.selector",
    ]);
    assert_eq!(state.verdicts()[0].detail["nearest"]["kind"], "StatefulSet");
    // A Service for a pod that may come, by a label that no template sets.
    let of_pod = "
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop, creationTimestamp: '2026-11-24T11:00:00Z'}
spec: {selector: {statefulset.kubernetes.io/pod-name: db-1}}
";
    let labelled = "
apiVersion: v1
kind: Pod
metadata:
  name: db-0
  namespace: shop
  uid: db-0
  labels: {app: db, statefulset.kubernetes.io/pod-name: db-0}
  ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: sts, controller: true}]
spec: {nodeName: a, containers: []}
status: {phase: Running, conditions: [{type: Ready, status: 'True'}]}
";
    state.and(of_pod).and(labelled).says(&[]);
}
