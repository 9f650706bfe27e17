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
