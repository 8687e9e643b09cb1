//! Where pods may be: taints and tolerations, node selectors and node affinity.

use super::objects::{items, name_of, text};
use serde_json::{Value, json};

/// Whether one toleration is about this taint.
pub(crate) fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let field = |value: &Value, name: &str| value[name].as_str().unwrap_or("").to_owned();
    let effect = field(toleration, "effect");
    if !effect.is_empty() && effect != field(taint, "effect") {
        return false;
    }
    let key = field(toleration, "key");
    if !key.is_empty() && key != field(taint, "key") {
        return false;
    }
    match field(toleration, "operator").as_str() {
        "Exists" => true,
        "" | "Equal" => field(toleration, "value") == field(taint, "value"),
        _ => false,
    }
}

/// The first taint with one of these effects that nothing tolerates.
pub(crate) fn untolerated<'a>(
    taints: &'a [Value],
    tolerations: &[Value],
    effects: &[&str],
) -> Option<&'a Value> {
    taints
        .iter()
        .filter(|taint| effects.contains(&taint["effect"].as_str().unwrap_or("")))
        .find(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// Whether a node satisfies what the pod's specification requires of nodes.
pub(crate) fn node_wanted(spec: &Value, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let selected = spec["nodeSelector"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    selected && node_affinity_allows(&spec["affinity"]["nodeAffinity"], node)
}

/// Whether a node satisfies the required part of a node affinity.
pub(crate) fn node_affinity_allows(affinity: &Value, node: &Value) -> bool {
    let required = &affinity["requiredDuringSchedulingIgnoredDuringExecution"];
    required.is_null() || node_selector_matches(required, node)
}

/// Whether a node satisfies one of the terms of a node selector.
pub(crate) fn node_selector_matches(selector: &Value, node: &Value) -> bool {
    items(selector, "/nodeSelectorTerms").iter().any(|term| term_matches(term, node))
}

/// Whether a node satisfies a term; an empty one matches nothing.
pub(crate) fn term_matches(term: &Value, node: &Value) -> bool {
    let expressions = items(term, "/matchExpressions");
    let fields = items(term, "/matchFields");
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let labels = &node["metadata"]["labels"];
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    let field = |key: &str| (key == "metadata.name").then(|| name_of(node));
    expressions.iter().all(|one| requirement(one, label(text(one, "/key"))))
        && fields.iter().all(|one| requirement(one, field(text(one, "/key"))))
}

fn requirement(one: &Value, found: Option<&str>) -> bool {
    let values = || items(one, "/values").iter().filter_map(Value::as_str);
    let first = || values().next().and_then(|value| value.parse::<i64>().ok());
    let number = || found.and_then(|found| found.parse::<i64>().ok());
    match text(one, "/operator") {
        "In" => found.is_some_and(|found| values().any(|value| value == found)),
        "NotIn" => found.is_none_or(|found| values().all(|value| value != found)),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => number().zip(first()).is_some_and(|(found, value)| found > value),
        "Lt" => number().zip(first()).is_some_and(|(found, value)| found < value),
        _ => false,
    }
}

/// The one node that a node affinity names, as the pods of DaemonSets do.
pub(crate) fn named_node(spec: &Value) -> Option<&str> {
    let path = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let terms = items(spec.pointer(path)?, "/nodeSelectorTerms");
    let [term] = terms else { return None };
    let [field] = items(term, "/matchFields") else { return None };
    let [name] = items(field, "/values") else { return None };
    (field["key"] == "metadata.name" && field["operator"] == "In").then(|| name.as_str())?
}

/// A toleration of whatever value a taint has.
pub(crate) fn toleration(key: &str, effect: &str) -> Value {
    json!({"key": key, "operator": "Exists", "effect": effect})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toleration_is_about_key_effect_and_value() {
        let taint = json!({"key": "a", "value": "1", "effect": "NoSchedule"});
        for (toleration, good) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "a", "operator": "Exists"}), true),
            (json!({"key": "a", "value": "1"}), true),
            (json!({"key": "a", "value": "2"}), false),
            (json!({"key": "a", "operator": "Exists", "effect": "NoExecute"}), false),
        ] {
            assert_eq!(tolerates(&toleration, &taint), good, "{toleration}");
        }
    }

    #[test]
    fn terms_are_alternatives_and_empty_ones_match_nothing() {
        let node = json!({"metadata": {"name": "n1", "labels": {"zone": "a", "size": "5"}}});
        let selector = |terms: Value| json!({"nodeSelectorTerms": terms});
        let zone = |values: Value| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": values}]});
        assert!(node_selector_matches(&selector(json!([zone(json!(["b"])), zone(json!(["a"]))])), &node));
        assert!(!node_selector_matches(&selector(json!([{}])), &node));
        let size = json!([{"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["4"]}]}]);
        assert!(node_selector_matches(&selector(size), &node));
    }
}
