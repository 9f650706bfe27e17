//! The Pod Security levels, as a namespace's labels ask for them.
//!
//! Whatever version a namespace names, the newest checks are made.
//!
//! Source: `staging/src/k8s.io/pod-security-admission/policy`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::{Refusal, Result};
use crate::kinds::Kind;
use crate::value::{at, entries, int, is_true, list, name, namespace, text};
use crate::world::World;

/// Refuses a pod that its namespace's level does not allow.
pub(crate) fn check(world: &World, pod: &Value) -> Result<()> {
    let Some(home) = world.find(Kind::Namespace, "", namespace(pod)) else {
        return Ok(());
    };
    let label = |name: &str| {
        let path = format!("/metadata/labels/pod-security.kubernetes.io~1{name}");
        text(&home, &path).to_owned()
    };
    let level = label("enforce");
    if !matches!(level.as_str(), "baseline" | "restricted") {
        return Ok(());
    }
    let found = violations(pod, level == "restricted");
    if found.is_empty() {
        return Ok(());
    }
    let version = match label("enforce-version") {
        version if version.is_empty() => "latest".to_owned(),
        version => version,
    };
    let why = format!(
        "violates PodSecurity \"{level}:{version}\": {}",
        found.join(", ")
    );
    Err(Refusal::forbidden(Kind::Pod, name(pod), &why))
}

/// What a pod violates, in the order of the checks: those of the level baseline, then the others.
fn violations(pod: &Value, is_restricted: bool) -> Vec<String> {
    let pod = Pod::new(pod);
    let baseline: &[fn(&Pod<'_>) -> Option<String>] = &[
        app_armor,
        capabilities,
        host_namespaces,
        host_paths,
        host_ports,
        probe_hosts,
        privileged,
        proc_mount,
        selinux,
        seccomp,
        sysctls,
        host_process,
    ];
    // Those with a stricter one in their place are left out: host paths, for the types of volumes,
    // capabilities and profiles.
    let restricted: &[fn(&Pod<'_>) -> Option<String>] = &[
        app_armor,
        host_namespaces,
        host_ports,
        probe_hosts,
        privileged,
        proc_mount,
        selinux,
        sysctls,
        host_process,
        escalation,
        dropped_capabilities,
        volume_types,
        non_root,
        root_user,
        required_seccomp,
    ];
    let checks = if is_restricted { restricted } else { baseline };
    checks.iter().filter_map(|check| check(&pod)).collect()
}

/// A pod, and its containers of all kinds.
struct Pod<'a> {
    whole: &'a Value,
    spec: &'a Value,
    containers: Vec<&'a Value>,
}

impl<'a> Pod<'a> {
    fn new(whole: &'a Value) -> Self {
        let spec = at(whole, "/spec");
        let groups = ["/initContainers", "/containers", "/ephemeralContainers"];
        Self {
            whole,
            spec,
            containers: groups.iter().flat_map(|group| list(spec, group)).collect(),
        }
    }

    /// The containers of which this holds, in words.
    fn which(&self, holds: impl Fn(&Value) -> bool) -> Option<Named> {
        let found = self.containers.iter().filter(|one| holds(one));
        let names: Vec<String> = found.map(|one| text(one, "/name").to_owned()).collect();
        (!names.is_empty()).then(|| Named::new("container", &names))
    }

    /// Who sets something that he must not: the pod itself, its containers, or both.
    fn setters(&self, sets: impl Fn(&Value) -> bool) -> Option<String> {
        let pod = sets(at(self.spec, "/securityContext")).then(|| "pod".to_owned());
        let containers = self.which(|one| sets(at(one, "/securityContext")));
        let all: Vec<String> = pod
            .into_iter()
            .chain(containers.map(|one| one.who))
            .collect();
        (!all.is_empty()).then(|| all.join(" and "))
    }

    /// The values that the pod or its containers give a field of their security contexts, where
    /// they are wrong.
    fn values(&self, path: &str, is_wrong: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let own = std::iter::once(&self.spec).chain(&self.containers);
        let values = own.map(|one| text(at(one, "/securityContext"), path));
        let wrong = values.filter(|value| !value.is_empty() && is_wrong(value));
        wrong.map(str::to_owned).collect()
    }
}

/// Some of a kind, such as `containers "a", "b"`.
struct Named {
    who: String,
    is_one: bool,
}

impl Named {
    fn new(kind: &str, names: &[String]) -> Self {
        Self {
            who: format!("{} {}", plural(kind, names.len()), quoted(names)),
            is_one: names.len() == 1,
        }
    }

    fn uses(&self) -> &'static str {
        if self.is_one { "uses" } else { "use" }
    }
}

fn plural(word: &str, many: usize) -> String {
    match many {
        1 => word.to_owned(),
        _ => format!("{word}s"),
    }
}

fn quoted<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    let words = words.into_iter().map(|word| format!("{word:?}"));
    words.collect::<Vec<_>>().join(", ")
}

fn is_profile(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

fn app_armor(pod: &Pod<'_>) -> Option<String> {
    const KEY: &str = "container.apparmor.security.beta.kubernetes.io/";
    const PATH: &str = "/appArmorProfile/type";
    let is_wrong = |value: &str| !is_profile(value);
    let setters = pod.setters(|context| {
        let value = text(context, PATH);
        !value.is_empty() && is_wrong(value)
    });
    let mut values: Vec<String> = pod.values(PATH, is_wrong).into_iter().collect();
    let annotations: BTreeSet<String> = entries(pod.whole, "/metadata/annotations")
        .filter(|(key, _)| key.starts_with(KEY))
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(_, value)| {
            let is_known = value.is_empty() || *value == "runtime/default";
            !is_known && !value.starts_with("localhost/")
        })
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    let many = annotations.len();
    let who: Vec<String> = setters
        .into_iter()
        .chain((many > 0).then(|| plural("annotation", many)))
        .collect();
    values.extend(annotations);
    (!who.is_empty()).then(|| {
        format!(
            "{} ({} must not set AppArmor profile type to {})",
            plural("forbidden AppArmor profile", values.len()),
            who.join(" and "),
            quoted(&values)
        )
    })
}

/// What a container of the level baseline may add.
const DEFAULT_CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Who adds capabilities other than these, and which.
fn added(pod: &Pod<'_>, allowed: &[&str]) -> Option<String> {
    let extra = |container: &Value| -> BTreeSet<String> {
        let added = list(container, "/securityContext/capabilities/add").iter();
        let added = added.filter_map(Value::as_str);
        let extra = added.filter(|added| !allowed.contains(added));
        extra.map(str::to_owned).collect()
    };
    let who = pod.which(|one| !extra(one).is_empty())?.who;
    let all: BTreeSet<String> = pod.containers.iter().flat_map(|one| extra(one)).collect();
    Some(format!(
        "{who} must not include {} in securityContext.capabilities.add",
        quoted(&all)
    ))
}

fn capabilities(pod: &Pod<'_>) -> Option<String> {
    let why = added(pod, DEFAULT_CAPABILITIES)?;
    Some(format!("non-default capabilities ({why})"))
}

fn host_namespaces(pod: &Pod<'_>) -> Option<String> {
    let fields = ["hostNetwork", "hostPID", "hostIPC"];
    let set = fields
        .iter()
        .filter(|field| is_true(pod.spec, &format!("/{field}")));
    let set: Vec<String> = set.map(|field| format!("{field}=true")).collect();
    (!set.is_empty()).then(|| format!("host namespaces ({})", set.join(", ")))
}

fn host_paths(pod: &Pod<'_>) -> Option<String> {
    let volumes = list(pod.spec, "/volumes").iter();
    let found = volumes.filter(|volume| !at(volume, "/hostPath").is_null());
    let names: Vec<String> = found.map(|one| text(one, "/name").to_owned()).collect();
    (!names.is_empty()).then(|| format!("hostPath volumes ({})", Named::new("volume", &names).who))
}

fn host_ports(pod: &Pod<'_>) -> Option<String> {
    let ports = |container: &Value| -> BTreeSet<String> {
        let ports = list(container, "/ports").iter();
        let ports = ports.filter_map(|port| int(port, "/hostPort"));
        ports
            .filter(|port| *port != 0)
            .map(|port| port.to_string())
            .collect()
    };
    let named = pod.which(|one| !ports(one).is_empty())?;
    let all: BTreeSet<String> = pod.containers.iter().flat_map(|one| ports(one)).collect();
    let listed: Vec<&str> = all.iter().map(String::as_str).collect();
    Some(format!(
        "hostPort ({} {} {} {})",
        named.who,
        named.uses(),
        plural("hostPort", all.len()),
        listed.join(", ")
    ))
}

fn probe_hosts(pod: &Pod<'_>) -> Option<String> {
    const HANDLERS: &[&str] = &[
        "/livenessProbe",
        "/readinessProbe",
        "/startupProbe",
        "/lifecycle/postStart",
        "/lifecycle/preStop",
    ];
    let hosts = |container: &Value| -> BTreeSet<String> {
        let handlers = HANDLERS.iter().flat_map(|handler| {
            ["httpGet", "tcpSocket"].map(|how| format!("{handler}/{how}/host"))
        });
        let hosts = handlers.map(|path| text(container, &path).to_owned());
        hosts.filter(|host| !host.is_empty()).collect()
    };
    let named = pod.which(|one| !hosts(one).is_empty())?;
    let all: BTreeSet<String> = pod.containers.iter().flat_map(|one| hosts(one)).collect();
    Some(format!(
        "probe or lifecycle host ({} {} {} {})",
        named.who,
        named.uses(),
        plural("probe or lifecycle host", all.len()),
        quoted(&all)
    ))
}

fn privileged(pod: &Pod<'_>) -> Option<String> {
    let who = pod
        .which(|one| is_true(one, "/securityContext/privileged"))?
        .who;
    Some(format!(
        "privileged ({who} must not set securityContext.privileged=true)"
    ))
}

/// Whether the pod's users are not those of its node: such a pod may do more.
fn has_own_users(pod: &Pod<'_>) -> bool {
    at(pod.spec, "/hostUsers") == &json!(false)
}

fn proc_mount(pod: &Pod<'_>) -> Option<String> {
    const PATH: &str = "/procMount";
    if has_own_users(pod) {
        return None;
    }
    let is_wrong = |value: &str| value != "Default";
    let who = pod.which(|one| {
        let value = text(at(one, "/securityContext"), PATH);
        !value.is_empty() && is_wrong(value)
    })?;
    Some(format!(
        "procMount ({} must not set securityContext.procMount to {})",
        who.who,
        quoted(&pod.values(PATH, is_wrong))
    ))
}

fn selinux(pod: &Pod<'_>) -> Option<String> {
    const TYPES: &[&str] = &[
        "container_t",
        "container_init_t",
        "container_kvm_t",
        "container_engine_t",
    ];
    const FIELDS: [&str; 2] = ["user", "role"];
    let is_wrong = |value: &str| !TYPES.contains(&value);
    let path = |field: &str| format!("/seLinuxOptions/{field}");
    let who = pod.setters(|context| {
        let kind = text(context, &path("type"));
        let is_set = |field: &&str| !text(context, &path(field)).is_empty();
        !kind.is_empty() && is_wrong(kind) || FIELDS.iter().any(is_set)
    })?;
    let types = pod.values(&path("type"), is_wrong);
    let mut what = Vec::new();
    if !types.is_empty() {
        what.push(format!(
            "{} {}",
            plural("type", types.len()),
            quoted(&types)
        ));
    }
    for field in FIELDS {
        if !pod.values(&path(field), |_| true).is_empty() {
            what.push(format!("{field} may not be set"));
        }
    }
    Some(format!(
        "seLinuxOptions ({who} set forbidden securityContext.seLinuxOptions: {})",
        what.join("; ")
    ))
}

const SECCOMP: &str = "/seccompProfile/type";

fn seccomp(pod: &Pod<'_>) -> Option<String> {
    let is_wrong = |value: &str| !is_profile(value);
    let who = pod.setters(|context| {
        let value = text(context, SECCOMP);
        !value.is_empty() && is_wrong(value)
    })?;
    Some(format!(
        "seccompProfile ({who} must not set securityContext.seccompProfile.type to {})",
        quoted(&pod.values(SECCOMP, is_wrong))
    ))
}

fn sysctls(pod: &Pod<'_>) -> Option<String> {
    const SAFE: &[&str] = &[
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    ];
    let all = list(pod.spec, "/securityContext/sysctls").iter();
    let names = all.map(|sysctl| text(sysctl, "/name"));
    let unsafe_ones: Vec<&str> = names.filter(|name| !SAFE.contains(name)).collect();
    (!unsafe_ones.is_empty()).then(|| format!("forbidden sysctls ({})", unsafe_ones.join(", ")))
}

fn host_process(pod: &Pod<'_>) -> Option<String> {
    let who = pod.setters(|context| is_true(context, "/windowsOptions/hostProcess"))?;
    Some(format!(
        "hostProcess ({who} must not set securityContext.windowsOptions.hostProcess=true)"
    ))
}

fn escalation(pod: &Pod<'_>) -> Option<String> {
    let path = "/securityContext/allowPrivilegeEscalation";
    let who = pod.which(|one| at(one, path) != &json!(false))?.who;
    Some(format!(
        "allowPrivilegeEscalation != false ({who} must set \
         securityContext.allowPrivilegeEscalation=false)"
    ))
}

fn dropped_capabilities(pod: &Pod<'_>) -> Option<String> {
    let keeps = pod.which(|one| {
        let mut dropped = list(one, "/securityContext/capabilities/drop").iter();
        !dropped.any(|drop| drop == "ALL")
    });
    let keeps = keeps.map(|named| {
        format!(
            "{} must set securityContext.capabilities.drop=[\"ALL\"]",
            named.who
        )
    });
    let why: Vec<String> = keeps
        .into_iter()
        .chain(added(pod, &["NET_BIND_SERVICE"]))
        .collect();
    (!why.is_empty()).then(|| format!("unrestricted capabilities ({})", why.join("; ")))
}

fn volume_types(pod: &Pod<'_>) -> Option<String> {
    const ALLOWED: &[&str] = &[
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let kind = |volume: &Value| -> Option<String> {
        let fields = volume.as_object().into_iter().flatten();
        let fields: Vec<&String> = fields
            .filter(|(field, value)| *field != "name" && !value.is_null())
            .map(|(field, _)| field)
            .collect();
        match fields.iter().any(|field| ALLOWED.contains(&field.as_str())) {
            true => None,
            false => Some(fields.first().map_or("unknown", |field| field).to_owned()),
        }
    };
    let volumes = list(pod.spec, "/volumes").iter();
    let found =
        volumes.filter_map(|volume| Some((text(volume, "/name").to_owned(), kind(volume)?)));
    let (names, kinds): (Vec<String>, BTreeSet<String>) = found.unzip();
    if names.is_empty() {
        return None;
    }
    let named = Named::new("volume", &names);
    Some(format!(
        "restricted volume types ({} {} {} {})",
        named.who,
        named.uses(),
        plural("restricted volume type", kinds.len()),
        quoted(&kinds)
    ))
}

fn non_root(pod: &Pod<'_>) -> Option<String> {
    const PATH: &str = "/runAsNonRoot";
    if has_own_users(pod) {
        return None;
    }
    if let Some(who) = pod.setters(|context| at(context, PATH) == &json!(false)) {
        return Some(format!(
            "runAsNonRoot != true ({who} must not set securityContext.runAsNonRoot=false)"
        ));
    }
    if is_true(at(pod.spec, "/securityContext"), PATH) {
        return None;
    }
    let who = pod.which(|one| at(at(one, "/securityContext"), PATH).is_null())?;
    Some(format!(
        "runAsNonRoot != true (pod or {} must set securityContext.runAsNonRoot=true)",
        who.who
    ))
}

fn root_user(pod: &Pod<'_>) -> Option<String> {
    if has_own_users(pod) {
        return None;
    }
    let who = pod.setters(|context| int(context, "/runAsUser") == Some(0))?;
    Some(format!("runAsUser=0 ({who} must not set runAsUser=0)"))
}

fn required_seccomp(pod: &Pod<'_>) -> Option<String> {
    if let Some(why) = seccomp(pod) {
        return Some(why);
    }
    if !text(at(pod.spec, "/securityContext"), SECCOMP).is_empty() {
        return None;
    }
    let who = pod.which(|one| text(at(one, "/securityContext"), SECCOMP).is_empty())?;
    Some(format!(
        "seccompProfile (pod or {} must set securityContext.seccompProfile.type to \
         \"RuntimeDefault\" or \"Localhost\")",
        who.who
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(level: &str, spec: Value, expected: &[&str]) {
        let found = violations(&json!({ "spec": spec }), level == "restricted");
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_wrong_is_told_in_the_order_of_the_checks() {
        check(
            "baseline",
            json!({
                "hostNetwork": true,
                "securityContext": {
                    "seLinuxOptions": { "type": "spc_t", "user": "u" },
                    "seccompProfile": { "type": "Unconfined" },
                    "sysctls": [{ "name": "kernel.msgmax" }, { "name": "net.ipv4.tcp_rmem" }],
                },
                "volumes": [{ "name": "a", "hostPath": { "path": "/" } }],
                "containers": [
                    { "name": "one", "ports": [{ "hostPort": 80 }, { "hostPort": 443 }],
                        "livenessProbe": { "httpGet": { "host": "x" } },
                        "securityContext": { "privileged": true, "procMount": "Unmasked",
                            "capabilities": { "add": ["SYS_ADMIN", "CHOWN"] } } },
                    { "name": "two", "ports": [{ "hostPort": 80 }],
                        "securityContext": { "appArmorProfile": { "type": "Unconfined" },
                            "windowsOptions": { "hostProcess": true } } },
                ],
            }),
            &[
                "forbidden AppArmor profile (container \"two\" must not set AppArmor profile type to \
                 \"Unconfined\")",
                "non-default capabilities (container \"one\" must not include \"SYS_ADMIN\" in \
                 securityContext.capabilities.add)",
                "host namespaces (hostNetwork=true)",
                "hostPath volumes (volume \"a\")",
                "hostPort (containers \"one\", \"two\" use hostPorts 443, 80)",
                "probe or lifecycle host (container \"one\" uses probe or lifecycle host \"x\")",
                "privileged (container \"one\" must not set securityContext.privileged=true)",
                "procMount (container \"one\" must not set securityContext.procMount to \"Unmasked\")",
                "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"spc_t\"; \
                 user may not be set)",
                "seccompProfile (pod must not set securityContext.seccompProfile.type to \
                 \"Unconfined\")",
                "forbidden sysctls (kernel.msgmax)",
                "hostProcess (container \"two\" must not set \
                 securityContext.windowsOptions.hostProcess=true)",
            ],
        );
    }

    #[test]
    fn the_level_restricted_asks_for_more() {
        check(
            "restricted",
            json!({
                "securityContext": { "runAsUser": 0 },
                "volumes": [{ "name": "a", "hostPath": {} }, { "name": "b", "nfs": {} },
                    { "name": "c", "emptyDir": {} }],
                "containers": [{ "name": "one",
                    "securityContext": { "capabilities": { "add": ["CHOWN"] } } }],
            }),
            &[
                "allowPrivilegeEscalation != false (container \"one\" must set \
                 securityContext.allowPrivilegeEscalation=false)",
                "unrestricted capabilities (container \"one\" must set \
                 securityContext.capabilities.drop=[\"ALL\"]; container \"one\" must not include \
                 \"CHOWN\" in securityContext.capabilities.add)",
                "restricted volume types (volumes \"a\", \"b\" use restricted volume types \
                 \"hostPath\", \"nfs\")",
                "runAsNonRoot != true (pod or container \"one\" must set \
                 securityContext.runAsNonRoot=true)",
                "runAsUser=0 (pod must not set runAsUser=0)",
                "seccompProfile (pod or container \"one\" must set \
                 securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
            ],
        );
        let context = json!({ "allowPrivilegeEscalation": false, "runAsNonRoot": true,
            "capabilities": { "drop": ["ALL"], "add": ["NET_BIND_SERVICE"] },
            "seccompProfile": { "type": "RuntimeDefault" } });
        let spec = json!({ "containers": [{ "name": "one", "securityContext": context }] });
        check("restricted", spec, &[]);
    }
}
