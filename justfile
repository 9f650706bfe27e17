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

# A web server's configuration includes a file that is not there.
[group('scenarios')]
bad-include: (run "bad-include")

# A NetworkPolicy forgets the port that a log gateway needs.
[group('scenarios')]
blocked-egress: (run "blocked-egress")

# A pod takes its environment from a ConfigMap that does not exist.
[group('scenarios')]
missing-configmap: (run "missing-configmap")

# A node runs short of disk space and evicts a pod.
[group('scenarios')]
node-pressure-disk: (run "node-pressure-disk")

# A node runs short of memory and evicts a pod.
[group('scenarios')]
node-pressure-memory: (run "node-pressure-memory")

# A Deployment asks for more memory than any node has.
[group('scenarios')]
oversized-requests: (run "oversized-requests")

# A pod of higher priority takes the room of one that runs.
[group('scenarios')]
priority-preemption: (run "priority-preemption")
