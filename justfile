# Lists the recipes.
[private]
default:
    @{{ just_executable() }} --list

# Formats, lints and tests as continuous integration does, but for what needs a cluster.
check:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --workspace --lib

# Tests everything; scenarios run where a container engine and kind are there.
test:
    cargo test --workspace

# Writes generated files anew.
generate:
    CRASHBOOK_UPDATE=1 cargo test --workspace --lib

# Checks the scenarios without a cluster.
lint:
    cargo run -q -p crashbook -- lint

# Runs scenarios on a kind cluster: all, or those that are named.
run *NAMES:
    cargo run -q -p crashbook -- run {{ NAMES }} --on kind

# What follows is generated from the folder `scenarios`.

# An autoscaler cannot read its metrics.
[group('scenarios')]
autoscaler-without-metrics: (run "autoscaler-without-metrics")

# An autoscaler names a Deployment that does not exist.
[group('scenarios')]
autoscaler-without-target: (run "autoscaler-without-target")

# nginx does not know a directive of its configuration.
[group('scenarios')]
bad-directive: (run "bad-directive")

# A web server's configuration includes a file that is not there.
[group('scenarios')]
bad-include: (run "bad-include")

# PostgreSQL does not take a value of its configuration.
[group('scenarios')]
bad-parameter: (run "bad-parameter")

# A NetworkPolicy forgets the port that a log gateway needs.
[group('scenarios')]
blocked-egress: (run "blocked-egress")

# A NetworkPolicy lets the monitoring in, and forgets the shop.
[group('scenarios')]
blocked-ingress: (run "blocked-ingress")

# A pod would fit a node, but others have taken the room.
[group('scenarios')]
cluster-full: (run "cluster-full")

# A CPU limit holds a busy program back.
[group('scenarios')]
cpu-limit: (run "cpu-limit")

# A database outside the cluster refuses the password.
[group('scenarios')]
database-login-refused: (run "database-login-refused")

# A database outside the cluster is down.
[group('scenarios')]
database-unreachable: (run "database-unreachable")

# A default deny allows what is needed, and forgets the name service.
[group('scenarios')]
default-deny-without-dns: (run "default-deny-without-dns")

# A disruption budget of one pod holds up a drain.
[group('scenarios')]
drain-blocked: (run "drain-blocked")

# A server goes into the background, and its container ends.
[group('scenarios')]
ends-with-zero: (run "ends-with-zero")

# An HTTP service outside the cluster does not answer.
[group('scenarios')]
external-api-down: (run "external-api-down")

# An init container fails, so the pod never gets to its program.
[group('scenarios')]
failing-init: (run "failing-init")

# A second workload asks for a host port that is taken on every node.
[group('scenarios')]
host-port-taken: (run "host-port-taken")

# A private registry refuses the credentials of a pull secret.
[group('scenarios')]
image-auth-failed: (run "image-auth-failed")

# An image may not be pulled, and is not on the node.
[group('scenarios')]
image-never-pulled: (run "image-never-pulled")

# An image's tag is not in its registry.
[group('scenarios')]
image-not-found: (run "image-not-found")

# An image reference does not parse.
[group('scenarios')]
invalid-image-reference: (run "invalid-image-reference")

# A Job runs out of retries, because each of them runs out of time.
[group('scenarios')]
job-out-of-retries: (run "job-out-of-retries")

# A Job waits for what does not come, until its time is over.
[group('scenarios')]
job-out-of-time: (run "job-out-of-time")

# A kubelet refuses a pod that was sent past the scheduler.
[group('scenarios')]
kubelet-rejected: (run "kubelet-rejected")

# A node's kubelet stops, and its pods are replaced elsewhere.
[group('scenarios')]
kubelet-stopped: (run "kubelet-stopped")

# A new version works well for a minute, and then crashes for ever.
[group('scenarios')]
late-exception: (run "late-exception")

# A container asks for more than its namespace's LimitRange allows.
[group('scenarios')]
limit-range-violated: (run "limit-range-violated")

# A liveness probe does not wait until a slow program has started.
[group('scenarios')]
liveness-impatient: (run "liveness-impatient")

# A liveness probe asks a port on which nothing listens.
[group('scenarios')]
liveness-wrong-port: (run "liveness-wrong-port")

# Three containers end with 137, each for another reason.
[group('scenarios')]
lookalike-exit-137: (run "lookalike-exit-137")

# Two programs time out, one for a policy and one for a dead address.
[group('scenarios')]
lookalike-timeouts: (run "lookalike-timeouts")

# A cluster that is loud, and in which nothing is wrong.
[group('scenarios')]
loud-but-healthy: (run "loud-but-healthy")

# A pod names a PersistentVolumeClaim that does not exist.
[group('scenarios')]
missing-claim: (run "missing-claim")

# A container is told to run a command that its image does not have.
[group('scenarios')]
missing-command: (run "missing-command")

# A pod takes its environment from a ConfigMap that does not exist.
[group('scenarios')]
missing-configmap: (run "missing-configmap")

# A ConfigMap is there, and the key that a container asks for is not.
[group('scenarios')]
missing-configmap-key: (run "missing-configmap-key")

# A volume is filled from a ConfigMap that does not exist.
[group('scenarios')]
missing-configmap-volume: (run "missing-configmap-volume")

# A program lacks a file of its own.
[group('scenarios')]
missing-file: (run "missing-file")

# A program runs in an image that lacks a library it loads.
[group('scenarios')]
missing-library: (run "missing-library")

# A program may not ask the API server what it asks.
[group('scenarios')]
missing-role: (run "missing-role")

# A pod asks for a container runtime that its node does not have.
[group('scenarios')]
missing-runtime-handler: (run "missing-runtime-handler")

# A new version takes its token from a Secret that does not exist.
[group('scenarios')]
missing-secret: (run "missing-secret")

# A Secret is there, and the key that a volume asks for is not.
[group('scenarios')]
missing-secret-key: (run "missing-secret-key")

# A Deployment names a ServiceAccount that does not exist.
[group('scenarios')]
missing-service-account: (run "missing-service-account")

# A claim names a StorageClass that does not exist.
[group('scenarios')]
missing-storage-class: (run "missing-storage-class")

# A program is not given a variable that it needs.
[group('scenarios')]
missing-variable: (run "missing-variable")

# Anti-affinity wants one node a replica, and there are fewer nodes.
[group('scenarios')]
more-replicas-than-nodes: (run "more-replicas-than-nodes")

# The cluster's name service is scaled to zero.
[group('scenarios')]
name-service-down: (run "name-service-down")

# A node runs out of memory before its kubelet can evict anybody.
[group('scenarios')]
node-out-of-memory: (run "node-out-of-memory")

# A node runs short of disk space and evicts a pod.
[group('scenarios')]
node-pressure-disk: (run "node-pressure-disk")

# The file system of a node's images and containers fills up.
[group('scenarios')]
node-pressure-images: (run "node-pressure-images")

# A node runs short of inodes while its disk is nearly empty.
[group('scenarios')]
node-pressure-inodes: (run "node-pressure-inodes")

# A node runs short of memory and evicts a pod.
[group('scenarios')]
node-pressure-memory: (run "node-pressure-memory")

# A node runs short of process ids and evicts a pod.
[group('scenarios')]
node-pressure-pids: (run "node-pressure-pids")

# A nodeSelector asks for a label that no node has.
[group('scenarios')]
node-selector-unmatched: (run "node-selector-unmatched")

# The only node that a pod may use was left cordoned.
[group('scenarios')]
nodes-cordoned: (run "nodes-cordoned")

# A program needs more memory than its limit, from the start.
[group('scenarios')]
oom-at-once: (run "oom-at-once")

# A program leaks memory until its limit ends it, again and again.
[group('scenarios')]
oom-slow-leak: (run "oom-slow-leak")

# A Deployment asks for more CPU than any node has.
[group('scenarios')]
oversized-cpu-requests: (run "oversized-cpu-requests")

# A Deployment asks for more memory than any node has.
[group('scenarios')]
oversized-requests: (run "oversized-requests")

# A namespace becomes restricted, and its next pods are refused.
[group('scenarios')]
pod-security-rejected: (run "pod-security-rejected")

# A pod of higher priority takes the room of one that runs.
[group('scenarios')]
priority-preemption: (run "priority-preemption")

# A Deployment grows beyond the quota of its namespace.
[group('scenarios')]
quota-exceeded: (run "quota-exceeded")

# A program writes to a root file system that is read-only.
[group('scenarios')]
read-only-root: (run "read-only-root")

# The name of an image's registry does not resolve.
[group('scenarios')]
registry-unreachable: (run "registry-unreachable")

# A pod must not run as root, and its image would.
[group('scenarios')]
root-image: (run "root-image")

# A node's container runtime stops.
[group('scenarios')]
runtime-stopped: (run "runtime-stopped")

# A Deployment is scaled to zero, and a Service still points there.
[group('scenarios')]
scaled-to-zero: (run "scaled-to-zero")

# A program is ended by a segmentation fault, without a word.
[group('scenarios')]
segfault: (run "segfault")

# Two containers of a pod want to listen on one port.
[group('scenarios')]
shared-port: (run "shared-port")

# A roll-out waits for a readiness gate that nobody opens.
[group('scenarios')]
stalled-rollout: (run "stalled-rollout")

# A startup probe gives a program less time than its start takes.
[group('scenarios')]
startup-impatient: (run "startup-impatient")

# A container writes more to its own disk than its limit.
[group('scenarios')]
storage-limit: (run "storage-limit")

# A taint removes pods that do not tolerate it.
[group('scenarios')]
taint-no-execute: (run "taint-no-execute")

# A node is reserved by a taint that its own pods do not tolerate.
[group('scenarios')]
taint-untolerated: (run "taint-untolerated")

# One cause, and three programs that crash for it.
[group('scenarios')]
three-victims: (run "three-victims")

# A database answers, and has no connection left.
[group('scenarios')]
too-many-connections: (run "too-many-connections")

# Two things break in one namespace at the same time.
[group('scenarios')]
two-faults: (run "two-faults")

# A program's database is down, because its claim is never bound.
[group('scenarios')]
unbound-dependency: (run "unbound-dependency")

# A pod is given to a node that does not exist.
[group('scenarios')]
unknown-node-name: (run "unknown-node-name")

# A pod waits for a scheduler that does not run.
[group('scenarios')]
unknown-scheduler: (run "unknown-scheduler")

# A claim asks for ReadWriteMany, and the volumes are for one node only.
[group('scenarios')]
volume-access-mode: (run "volume-access-mode")

# A pod mounts a folder of its node that is not there.
[group('scenarios')]
volume-mount-failed: (run "volume-mount-failed")

# A volume is pinned to a node that its pod cannot run on.
[group('scenarios')]
volume-on-another-node: (run "volume-on-another-node")

# An emptyDir volume outgrows its size limit.
[group('scenarios')]
volume-size-limit: (run "volume-size-limit")

# A claim asks for more than any volume of its class holds.
[group('scenarios')]
volume-too-small: (run "volume-too-small")

# An admission webhook fails closed after its server was uninstalled.
[group('scenarios')]
webhook-down: (run "webhook-down")

# A readiness probe asks a port that nobody listens on.
[group('scenarios')]
wrong-readiness-probe: (run "wrong-readiness-probe")

# A Service's selector matches no pod.
[group('scenarios')]
wrong-selector: (run "wrong-selector")

# A Service leads to a port that its pods do not listen on.
[group('scenarios')]
wrong-target-port: (run "wrong-target-port")

# A program runs as a user that may not read its file.
[group('scenarios')]
wrong-user: (run "wrong-user")
