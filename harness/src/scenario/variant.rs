//! Variants: the same failure with other names, another kind of workload, another number of
//! containers. They show that a rule knows the failure, and not the scenario.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{ApiVersion, Expectation, File, Limits, Needs, Proof, Service, Spec, Verb};

/// The form of a variant's `scenario.yaml`. What it gives stands, as a whole, in the place of what
/// its scenario says; everything else, the source and the lesson always, is the scenario's.
///
/// The variant's folder is `variants/NAME` in that of its scenario. Its files lie over the
/// scenario's: one of the same name replaces it, the others are added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variant {
    /// Always `crashbook.dev/v1`.
    pub api_version: ApiVersion,
    /// Always `Variant`.
    pub kind: VariantKind,
    /// The name, which is that of its folder. On the command line it is `SCENARIO/NAME`.
    pub name: String,
    /// What is different, in one line.
    pub title: String,
    /// What the cluster must have.
    pub needs: Option<Needs>,
    /// Containers beside the cluster.
    pub services: Option<BTreeMap<String, Service>>,
    /// The manifests that are healthy before the fault.
    pub baseline: Option<Vec<File>>,
    /// What must be seen besides before the fault.
    pub healthy: Option<Vec<Proof>>,
    /// How the fault is brought about.
    pub inject: Option<Vec<Verb>>,
    /// What proves that it bites.
    pub symptom: Option<Vec<Proof>>,
    /// The verdicts that a detector must give, of the classes that the scenario expects.
    pub expect: Option<Vec<Expectation>>,
    /// The documented fix.
    pub fix: Option<Vec<Verb>>,
    /// What proves that the fix heals.
    pub recovered: Option<Vec<Proof>>,
    /// How long things may take.
    pub limits: Option<Limits>,
}

/// The kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VariantKind {
    /// The only one.
    Variant,
}

impl Variant {
    /// What the variant is as a scenario of its own.
    pub(super) fn over(self, scenario: &Spec) -> Spec {
        let whole = scenario.clone();
        Spec {
            name: format!("{}/{}", scenario.name, self.name),
            title: self.title,
            needs: self.needs.unwrap_or(whole.needs),
            services: self.services.unwrap_or(whole.services),
            baseline: self.baseline.unwrap_or(whole.baseline),
            healthy: self.healthy.unwrap_or(whole.healthy),
            inject: self.inject.unwrap_or(whole.inject),
            symptom: self.symptom.unwrap_or(whole.symptom),
            expect: self.expect.unwrap_or(whole.expect),
            fix: self.fix.unwrap_or(whole.fix),
            recovered: self.recovered.unwrap_or(whole.recovered),
            limits: self.limits.unwrap_or(whole.limits),
            ..whole
        }
    }
}

/// The JSON schema of a variant's `scenario.yaml`: what `docs/variant.schema.json` holds.
pub fn variant_schema() -> String {
    let schema = schemars::schema_for!(Variant);
    format!("{:#}\n", schema.as_value())
}
