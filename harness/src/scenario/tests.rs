//! What is accepted, what is refused, and how a refusal looks.

use std::collections::BTreeSet;

use super::*;

const SCENARIO: &str = r#"apiVersion: crashbook.dev/v1
kind: Scenario
name: missing
title: A ConfigMap is missing
source: "Guide: Preparation"
needs: { node: small }
baseline: [app.yaml]
inject:
  - scale: { object: Deployment/web, replicas: 2 }
  - node: { stop: { pool: small, unit: kubelet } }
symptom:
  - container: { pods: app=web, waiting: { reason: CreateContainerConfigError } }
  - deleted: Pod/web-*
expect:
  - class: config-map-missing
    subject: Deployment/web
    culprit: { kind: Node, name: "{{ node.small.name }}" }
    detail: { port: 3100 }
    within: 1m30s
fix:
  - delete: ConfigMap/key-cm
recovered:
  - available: Deployment/web
limits: { symptom: 2m }
lesson:
  briefing: "In {{ namespace }}, nothing works."
  hints: [look]
  debrief: done
"#;

const MANIFEST: &str = "apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  template:
    spec:
      containers:
      - image: nginx:1.28
        resources: { requests: { memory: '{{ node.small.allocatable.memory | times(by=0.5) }}' } }
";

fn scenario(spec: &str, manifest: &str) -> Result<Scenario, Problems> {
    let files = [(SPEC, spec), ("app.yaml", manifest)];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    Scenario::new(Path::new("scenarios/missing"), files.into())
}

fn render(spec: &str, manifest: &str) -> Result<Rendered, Problems> {
    scenario(spec, manifest)?.render(&Context::example(["small"], []))
}

/// Refused, with exactly this text.
fn refused(spec: &str, manifest: &str, expected: &str) {
    let problems = render(spec, manifest).expect_err("a mistake");
    assert_eq!(problems.to_string(), expected.trim_start());
}

fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn a_scenario_is_read_and_rendered() {
    let rendered = render(SCENARIO, MANIFEST).expect("a sound scenario");
    assert_eq!(rendered.spec.expect[0].culprit.name.0, "worker-small");
    assert_eq!(rendered.spec.expect[0].within.as_secs(), 90);
    assert_eq!(rendered.spec.limits.symptom.as_secs(), 120);
    assert_eq!(rendered.spec.limits.baseline.as_secs(), 60);
    assert_eq!(
        rendered.spec.lesson.briefing,
        "In crashbook-example, nothing works."
    );
    let object = rendered.baseline().next().expect("an object");
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["requests"]["memory"], "3840Mi");
    assert_eq!(
        rendered.images().into_iter().collect::<Vec<_>>(),
        ["nginx:1.28"]
    );
}

#[test]
fn an_image_that_only_the_injection_names_is_not_needed() {
    let spec = changed(SCENARIO, "inject:\n", "inject:\n  - apply: new.yaml\n");
    let new = changed(MANIFEST, "nginx:1.28", "nginx:0.0");
    let files = [
        (SPEC, spec.as_str()),
        ("app.yaml", MANIFEST),
        ("new.yaml", &new),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let scenario = Scenario::new(Path::new("scenarios/missing"), files.into()).unwrap();
    let rendered = scenario.render(&Context::example(["small"], [])).unwrap();
    let images = |images: BTreeSet<String>| images.into_iter().collect::<Vec<_>>();
    assert_eq!(images(rendered.images()), ["nginx:0.0", "nginx:1.28"]);
    assert_eq!(images(rendered.needed_images()), ["nginx:1.28"]);
}

#[test]
fn an_unknown_field_is_refused() {
    refused(
        &changed(SCENARIO, "title:", "titel:"),
        MANIFEST,
        "
error: unknown field `titel`, expected one of apiVersion, kind, name, title, source, needs, services, baseline, healthy, inject, symptom, expect, fix, recovered, limits, lesson
 --> scenarios/missing/scenario.yaml:4:1
  |
4 | titel: A ConfigMap is missing
  | ^",
    );
}

#[test]
fn an_unknown_verb_is_refused() {
    refused(
        &changed(SCENARIO, "- delete: ConfigMap/key-cm", "- remove: ConfigMap/key-cm"),
        MANIFEST,
        "
error: unknown variant `remove`, expected one of apply, create, delete, patch, scale, restart, cordon, uncordon, taint, untaint, drain, evict, node, service, wait
  --> scenarios/missing/scenario.yaml:21:5
   |
21 |   - remove: ConfigMap/key-cm
   |     ^",
    );
}

#[test]
fn a_wrong_type_is_refused() {
    refused(
        &changed(SCENARIO, "replicas: 2", "replicas: many"),
        MANIFEST,
        "
error: expected a whole number, 0 or more
 --> scenarios/missing/scenario.yaml:9:48
  |
9 |   - scale: { object: Deployment/web, replicas: many }
  |                                                ^",
    );
}

#[test]
fn an_object_without_its_kind_is_refused() {
    refused(
        &changed(SCENARIO, "ConfigMap/key-cm", "key-cm"),
        MANIFEST,
        "
error: `key-cm` names no object: expected `Kind/name`, such as `Deployment/web`, or `Kind/namespace/name`
  --> scenarios/missing/scenario.yaml:21:13
   |
21 |   - delete: key-cm
   |             ^",
    );
}

#[test]
fn a_class_that_does_not_exist_is_refused_with_the_nearest() {
    refused(
        &changed(SCENARIO, "config-map-missing", "configmap-missing"),
        MANIFEST,
        "
error: there is no class `configmap-missing`; did you mean `config-map-missing`?
  --> scenarios/missing/scenario.yaml:15:12
   |
15 |   - class: configmap-missing
   |            ^",
    );
}

#[test]
fn a_duration_that_is_none_is_refused() {
    refused(
        &changed(SCENARIO, "symptom: 2m", "symptom: soon"),
        MANIFEST,
        "
error: failed to parse input in the \"friendly\" duration format: expected duration to start with a unit value (a decimal integer) after an optional sign, but no integer was found
  --> scenarios/missing/scenario.yaml:24:20
   |
24 | limits: { symptom: soon }
   |                    ^",
    );
}

#[test]
fn an_undefined_variable_is_refused_where_it_stands() {
    refused(
        &changed(SCENARIO, "{{ node.small.name }}", "{{ node.large.name }}"),
        MANIFEST,
        "
error: in the template `{{ node.large.name }}`: Field `large` is not defined. Available fields: small
  --> scenarios/missing/scenario.yaml:17:34
   |
17 |     culprit: { kind: Node, name: \"{{ node.large.name }}\" }
   |                                  ^",
    );
    refused(
        SCENARIO,
        &changed(MANIFEST, "node.small", "node.tiny"),
        "
error: Field `tiny` is not defined. Available fields: small
 --> scenarios/missing/app.yaml:9:51
  |
9 |         resources: { requests: { memory: '{{ node.tiny.allocatable.memory | times(by=0.5) }}' } }
  |                                                   ^",
    );
}

#[test]
fn a_missing_file_is_refused() {
    refused(
        &changed(SCENARIO, "[app.yaml]", "[apps.yaml]"),
        MANIFEST,
        "
error: there is no file `apps.yaml`; did you mean `app.yaml`?
 --> scenarios/missing/scenario.yaml:7:12
  |
7 | baseline: [apps.yaml]
  |            ^",
    );
}

#[test]
fn a_manifest_that_is_not_yaml_is_refused() {
    refused(
        SCENARIO,
        "kind: [Pod\nname: x\n",
        "
error: illegal placement of ':' indicator
 --> scenarios/missing/app.yaml:2:5
  |
2 | name: x
  |     ^",
    );
}

#[test]
fn a_manifest_that_is_no_object_is_refused() {
    refused(
        SCENARIO,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n# nothing\n- a\n---\nkind: Pod\n",
        "
error: expected an object with apiVersion and kind
 --> scenarios/missing/app.yaml:6:1
  |
6 | - a
  | ^

error: the object lacks its apiVersion
 --> scenarios/missing/app.yaml:8:1
  |
8 | kind: Pod
  | ^",
    );
}

#[test]
fn a_name_that_does_not_exist_gives_the_nearest() {
    let scenario = scenario(SCENARIO, MANIFEST).expect("a sound scenario");
    let catalogue = Catalogue {
        scenarios: BTreeMap::from([("missing".to_owned(), scenario)]),
    };
    let find = |name: &str| catalogue.find(&[name.to_owned()]).map(|found| found.len());
    assert_eq!(find("missing"), Ok(1));
    let error = find("mising").expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "there is no scenario `mising`; did you mean missing?"
    );
}

#[test]
fn the_schemas_are_the_committed_ones() {
    crate::generated::check("docs/scenario.schema.json", &schema());
    crate::generated::check("docs/variant.schema.json", &variant_schema());
}

/// The scenarios of the repository.
fn repository() -> Catalogue {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    Catalogue::load(&folder).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_scenario_is_sound() {
    for scenario in repository().with_variants() {
        scenario
            .lint()
            .unwrap_or_else(|problems| panic!("{problems}"));
    }
    repository()
        .lint()
        .unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn the_scenarios_built_in_are_those_of_the_repository() {
    let names = |catalogue: &Catalogue| {
        let all = catalogue.with_variants();
        all.map(|s| s.name().to_owned()).collect::<Vec<_>>()
    };
    let built_in = Catalogue::built_in().unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(names(&built_in), names(&repository()));
    let texts = |scenario: &Scenario| {
        let files = scenario.files.iter();
        let files = files.map(|(name, source)| (name.clone(), source.text.clone()));
        files.collect::<BTreeMap<_, _>>()
    };
    let repository = repository();
    for (built_in, repository) in built_in.with_variants().zip(repository.with_variants()) {
        assert_eq!(texts(built_in), texts(repository));
    }
}

#[test]
fn the_page_of_scenarios_is_the_committed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/seconds.json");
    let seconds = std::fs::read_to_string(path).unwrap();
    let seconds: BTreeMap<String, u64> = serde_json::from_str(&seconds).unwrap();
    for name in seconds.keys() {
        let found = repository().find(std::slice::from_ref(name)).map(drop);
        assert_eq!(found, Ok(()), "docs/seconds.json");
    }
    crate::generated::check("docs/scenarios.md", &repository().page(&seconds));
}

#[test]
fn every_scenario_has_a_recipe() {
    const BY_HAND: &str = "# What follows is generated from the folder `scenarios`.\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../justfile");
    let justfile = std::fs::read_to_string(path).unwrap();
    let (by_hand, _) = justfile.split_once(BY_HAND).unwrap();
    let recipes = repository().recipes();
    crate::generated::check("justfile", &format!("{by_hand}{BY_HAND}{recipes}"));
}

/// The scenario with one variant, of these files.
fn with_variant(spec: &str, manifest: (&str, &str)) -> Result<Scenario, Problems> {
    let sound = changed(
        SCENARIO,
        "kind: Node, name: \"{{ node.small.name }}\"",
        "kind: ConfigMap, name: key-cm",
    );
    let sound = changed(&sound, "delete: ConfigMap/key-cm", "delete: Deployment/web");
    let labelled = changed(
        MANIFEST,
        "template:\n",
        "template:\n    metadata: { labels: { app: web } }\n",
    );
    let (name, text) = manifest;
    let files = [
        (SPEC, sound.as_str()),
        ("app.yaml", &labelled),
        ("variants/other/scenario.yaml", spec),
        (&format!("variants/other/{name}"), text),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    Scenario::new(Path::new("scenarios/missing"), files.into())
}

const VARIANT: &str = "apiVersion: crashbook.dev/v1
kind: Variant
name: other
title: It is a StatefulSet
";

#[test]
fn a_variant_takes_over_what_it_does_not_say() {
    let spec = format!("{VARIANT}recovered: [{{ available: StatefulSet/web }}]\n");
    let manifest = MANIFEST.replace("Deployment", "StatefulSet");
    let scenario = with_variant(&spec, ("app.yaml", &manifest)).expect("a sound variant");
    let [variant] = scenario.variants() else {
        panic!("one variant");
    };
    assert_eq!(variant.name(), "missing/other");
    assert_eq!(variant.spec.lesson, scenario.spec.lesson);
    assert_eq!(variant.spec.inject, scenario.spec.inject);
    assert_ne!(variant.spec.recovered, scenario.spec.recovered);
    let object = |scenario: &Scenario| {
        let rendered = scenario.render(&Context::example(["small"], []));
        rendered.expect("an object").baseline().next().cloned()
    };
    assert_eq!(object(&scenario).expect("one")["kind"], "Deployment");
    assert_eq!(object(variant).expect("one")["kind"], "StatefulSet");
}

#[test]
fn lint_says_what_is_wrong_with_a_variant() {
    let check = |spec: &str, manifest: (&str, &str), expected: &[&str]| {
        let scenario = with_variant(spec, manifest).expect("a variant");
        let said = scenario.variants()[0].lint();
        let said = said.map_or_else(|problems| problems.to_string(), |()| String::new());
        let messages: Vec<_> = said
            .lines()
            .filter(|line| line.contains("error: "))
            .collect();
        assert_eq!(messages, expected);
    };
    let renamed = MANIFEST.replace("name: web", "name: shop").replace(
        "template:\n",
        "template:\n    metadata: { labels: { app: web } }\n",
    );
    let taken_over = "(`recovered` is the scenario's: a variant may have its own)";
    let spec = format!(
        "{VARIANT}inject: [{{ scale: {{ object: Deployment/shop, replicas: 2 }} }}]
symptom: [{{ pod: {{ pods: app=web }} }}]
fix: [{{ delete: Deployment/shop }}]
expect:
- class: config-map-missing
  subject: Deployment/shop
  culprit: {{ kind: ConfigMap, name: other }}
"
    );
    let lacks = format!(
        "error: no manifest has `Deployment/web`: expected an object of a manifest, or one that it makes {taken_over}"
    );
    check(&spec, ("app.yaml", &renamed), &[&lacks]);
    let spec = format!("{spec}recovered: [{{ available: Deployment/shop }}]\n");
    check(&spec, ("app.yaml", &renamed), &[]);
    let other_class = changed(&spec, "config-map-missing", "secret-missing");
    check(
        &other_class,
        ("app.yaml", &renamed),
        &["error: a variant expects the classes of its scenario: config-map-missing"],
    );
    check(
        VARIANT,
        ("app2.yaml", &renamed),
        &["error: no step of `scenario.yaml` names this file"],
    );
}

#[test]
fn a_variant_with_an_unknown_field_is_refused() {
    let problems = with_variant(&format!("{VARIANT}source: mine\n"), ("app.yaml", MANIFEST));
    let text = problems.expect_err("a mistake").to_string();
    assert!(
        text.contains("unknown field `source`")
            && text.contains("variants/other/scenario.yaml:5:1"),
        "{text}"
    );
}

/// Lint says exactly this of a scenario that is changed.
fn lints(from: &str, to: &str, expected: &str) {
    let readme = "# A ConfigMap is missing

Phase: preparation · Class: `config-map-missing`

## What one sees
## Why
## Find it by hand
## The fix
";
    let sound = SCENARIO
        .replace(
            "kind: Node, name: \"{{ node.small.name }}\"",
            "kind: ConfigMap, name: key-cm",
        )
        .replace("delete: ConfigMap/key-cm", "delete: Deployment/web");
    let manifest = MANIFEST.replace(
        "template:\n",
        "template:\n    metadata: { labels: { app: web } }\n",
    );
    let files = [
        (SPEC, changed(&sound, from, to)),
        ("app.yaml", manifest),
        ("README.md", readme.to_owned()),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text));
    let scenario = Scenario::new(Path::new("scenarios/missing"), files.into()).expect("a scenario");
    let said = scenario
        .lint()
        .map_or_else(|problems| problems.to_string(), |()| String::new());
    let messages: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(messages.join("\n"), expected);
}

#[test]
fn lint_says_what_is_wrong() {
    lints("[look]", "[look]", "");
    lints("[look]", "[]", "error: expected at least one hint");
    lints(
        "hints: [look]",
        "hints: [\"FILL IN\"]",
        "error: this is still to be written",
    );
    lints(
        "recovered:\n  - available: Deployment/web",
        "recovered: []",
        "error: expected at least one proof that the fix heals",
    );
    lints(
        "available: Deployment/web",
        "available: Deployment/wed",
        "error: no manifest has `Deployment/wed`; did you mean `Deployment/web`?",
    );
    lints(
        "pods: app=web",
        "pods: app=wed",
        "error: no pod of a manifest has the labels `app=wed`",
    );
    lints(
        "needs: { node: small }",
        "needs: { node: small, services: [registry] }",
        "error: there is no service `registry` under `services`",
    );
    lints(
        "title: A ConfigMap is missing",
        "title: Another",
        "error: expected the title as its first line: `# Another`",
    );
    lints(
        "needs: { node: small }",
        "needs: {}",
        "error: Field `small` is not defined. Available fields: general",
    );
}

#[test]
fn a_new_scenario_renders_and_lint_names_only_what_is_to_be_written() {
    let files = skeleton("a-new-one").expect("a name");
    let files = files
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text));
    let scenario = Scenario::new(Path::new("scenarios/a-new-one"), files.collect());
    let problems = scenario
        .and_then(|s| s.lint())
        .expect_err("what is to be written");
    let others: Vec<&Problem> = problems
        .0
        .iter()
        .filter(|problem| !problem.message.ends_with("still to be written"))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(skeleton("No Name").is_err());
}
