//! Label selectors over what was read.

use crate::steps::support::{items, text};
use serde_json::Value;
use std::collections::BTreeMap;

/// Whether a label selector object selects these labels. An empty one selects all; none selects nothing.
pub(super) fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    if !selector.is_object() {
        return false;
    }
    let equal = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    equal && items(selector, "/matchExpressions").iter().all(|expression| holds(expression, labels))
}

fn holds(expression: &Value, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(text(expression, "/key")).map(String::as_str);
    let named = items(expression, "/values").iter().any(|v| v.as_str() == value);
    match text(expression, "/operator") {
        "In" => value.is_some() && named,
        "NotIn" => value.is_none() || !named,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_select_as_the_server_does() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        assert!(selects(&json!({}), &labels));
        assert!(!selects(&json!(null), &labels));
        assert!(selects(&json!({"matchLabels": {"app": "web"}}), &labels));
        let not_in = json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]});
        assert!(selects(&not_in, &labels));
        let exists = json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]});
        assert!(!selects(&exists, &labels));
    }
}
