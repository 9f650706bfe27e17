//! Which objects selectors pick out, by labels and, for nodes, by name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// An object's labels, or what a selector of equalities asks of them.
pub type Labels = BTreeMap<String, String>;

/// Whether the labels have all of these values: `nodeSelector`, or a Service's `selector`.
///
/// No equalities match everything. That a Service without a selector picks nothing is for the
/// caller to know.
pub fn has_all(equalities: &Labels, labels: &Labels) -> bool {
    equalities
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether the labels have some of these values, and none of the others otherwise.
pub fn has_some(equalities: &Labels, labels: &Labels) -> bool {
    let mut held = equalities
        .iter()
        .filter_map(|(key, value)| Some(labels.get(key)? == value));
    held.next() == Some(true) && held.all(|is_same| is_same)
}

/// Whether the selector matches the labels: an empty one matches all, none matches nothing.
///
/// Source: `LabelSelectorAsSelector` in
/// `staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/helpers.go`.
pub fn matches(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    let Some(selector) = selector else {
        return false;
    };
    let has_labels = |equalities: &Labels| has_all(equalities, labels);
    selector.match_labels.as_ref().is_none_or(has_labels)
        && selector.match_expressions.iter().flatten().all(|asked| {
            let values = asked.values.as_deref().unwrap_or_default();
            set_based(&asked.operator, values, labels.get(&asked.key)).unwrap_or(false)
        })
}

/// Whether a label's value, or its absence, is what `In`, `NotIn`, `Exists` or `DoesNotExist` ask;
/// none for another operator.
fn set_based(operator: &str, values: &[String], value: Option<&String>) -> Option<bool> {
    match operator {
        "In" => Some(value.is_some_and(|value| values.contains(value))),
        "NotIn" => Some(value.is_none_or(|value| !values.contains(value))),
        "Exists" => Some(value.is_some()),
        "DoesNotExist" => Some(value.is_none()),
        _ => None,
    }
}

/// Whether one of a node selector's terms matches the node of this name and these labels.
///
/// Source: `staging/src/k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go`.
pub fn matches_node(selector: &NodeSelector, name: &str, labels: &Labels) -> bool {
    selector
        .node_selector_terms
        .iter()
        .any(|term| term_matches_node(term, name, labels))
}

/// Whether all that a term asks holds of the node; a term that asks nothing matches no node.
pub fn term_matches_node(term: &NodeSelectorTerm, name: &str, labels: &Labels) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = name.to_owned();
    (!expressions.is_empty() || !fields.is_empty())
        && expressions
            .iter()
            .all(|asked| requirement_holds(asked, labels.get(&asked.key)))
        && fields.iter().all(|asked| {
            // The only field that there is.
            asked.key == "metadata.name" && requirement_holds(asked, Some(&name))
        })
}

/// Whether a label's value, or its absence, is what the requirement asks of a node.
pub fn requirement_holds(asked: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = asked.values.as_deref().unwrap_or_default();
    set_based(&asked.operator, values, value).unwrap_or_else(|| {
        let number = |text: &String| text.parse::<i64>().ok();
        let (Some(have), [bound]) = (value.and_then(number), values) else {
            return false;
        };
        match (asked.operator.as_str(), number(bound)) {
            ("Gt", Some(bound)) => have > bound,
            ("Lt", Some(bound)) => have < bound,
            _ => false,
        }
    })
}

/// The names that a node selector allows, where it allows only nodes by name, as a DaemonSet's
/// pods do; none where labels alone can match.
pub fn node_names(selector: &NodeSelector) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    for term in &selector.node_selector_terms {
        let field = term
            .match_fields
            .iter()
            .flatten()
            .find(|asked| asked.key == "metadata.name" && asked.operator == "In")?;
        names.extend(field.values.iter().flatten().map(String::as_str));
    }
    Some(names)
}

/// A selector of equalities as `kubectl` writes it: `app=web,tier=front`.
pub fn text_of_labels(equalities: &Labels) -> String {
    let pairs: Vec<String> = equalities
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

/// A label selector as `kubectl` writes it: `app=web,tier in (front, back),!old`.
pub fn text(selector: &LabelSelector) -> String {
    let equalities = selector.match_labels.iter().flatten();
    let equalities = equalities.map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(|asked| {
        let values = asked.values.as_deref().unwrap_or_default();
        text_of_requirement(&asked.key, &asked.operator, values)
    });
    equalities.chain(expressions).collect::<Vec<_>>().join(",")
}

/// A term of a node selector, in the same way.
pub fn text_of_term(term: &NodeSelectorTerm) -> String {
    let expressions = term.match_expressions.iter().flatten();
    let asked = expressions.chain(term.match_fields.iter().flatten());
    let texts = asked.map(|asked| {
        let values = asked.values.as_deref().unwrap_or_default();
        text_of_requirement(&asked.key, &asked.operator, values)
    });
    texts.collect::<Vec<_>>().join(",")
}

fn text_of_requirement(key: &str, operator: &str, values: &[String]) -> String {
    let values = values.join(", ");
    match operator {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "Exists" => key.to_owned(),
        "DoesNotExist" => format!("!{key}"),
        "Gt" => format!("{key} > {values}"),
        "Lt" => format!("{key} < {values}"),
        other => format!("{key} {other} ({values})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn check(selector: Value, expected: bool, written: &str) {
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        let web = labels(&[("app", "web"), ("tier", "front")]);
        assert_eq!(matches(Some(&selector), &web), expected, "{written}");
        assert_eq!(text(&selector), written);
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] })
    }

    #[test]
    fn label_selectors() {
        check(json!({}), true, "");
        check(json!({ "matchLabels": { "app": "web" } }), true, "app=web");
        check(json!({ "matchLabels": { "app": "db" } }), false, "app=db");
        check(
            expression("tier", "In", &["front", "back"]),
            true,
            "tier in (front, back)",
        );
        check(expression("tier", "In", &["back"]), false, "tier in (back)");
        check(expression("none", "In", &["back"]), false, "none in (back)");
        check(
            expression("tier", "NotIn", &["back"]),
            true,
            "tier notin (back)",
        );
        check(
            expression("none", "NotIn", &["back"]),
            true,
            "none notin (back)",
        );
        check(expression("tier", "Exists", &[]), true, "tier");
        check(expression("tier", "DoesNotExist", &[]), false, "!tier");
        check(expression("tier", "Near", &["x"]), false, "tier Near (x)");
        assert!(!matches(None, &labels(&[])));
    }

    fn check_node(term: Value, expected: bool) {
        let selector: NodeSelector =
            serde_json::from_value(json!({ "nodeSelectorTerms": [term] })).unwrap();
        let labels = labels(&[("zone", "a"), ("cores", "8")]);
        assert_eq!(
            matches_node(&selector, "n1", &labels),
            expected,
            "{selector:?}"
        );
    }

    #[test]
    fn node_selectors() {
        check_node(json!({}), false);
        check_node(expression("zone", "In", &["a", "b"]), true);
        check_node(expression("zone", "NotIn", &["a"]), false);
        check_node(expression("cores", "Gt", &["4"]), true);
        check_node(expression("cores", "Gt", &["8"]), false);
        check_node(expression("cores", "Lt", &["9"]), true);
        check_node(expression("zone", "Gt", &["4"]), false);
        check_node(expression("none", "Lt", &["4"]), false);
        let field = |operator: &str, name: &str| {
            json!({ "matchFields": [
                { "key": "metadata.name", "operator": operator, "values": [name] },
            ]})
        };
        check_node(field("In", "n1"), true);
        check_node(field("In", "n2"), false);
        check_node(field("NotIn", "n2"), true);
    }

    #[test]
    fn the_terms_of_a_node_selector_are_alternatives() {
        let selector: NodeSelector = serde_json::from_value(json!({ "nodeSelectorTerms": [
            expression("zone", "In", &["b"]),
            expression("zone", "In", &["a"]),
        ]}))
        .unwrap();
        assert!(matches_node(&selector, "n1", &labels(&[("zone", "a")])));
        assert_eq!(node_names(&selector), None);
    }

    #[test]
    fn the_nodes_that_a_selector_names() {
        let selector: NodeSelector = serde_json::from_value(json!({ "nodeSelectorTerms": [
            { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n1"] }] },
        ]}))
        .unwrap();
        assert_eq!(node_names(&selector), Some(vec!["n1"]));
    }
}
