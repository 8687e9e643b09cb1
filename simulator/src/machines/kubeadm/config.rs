//! kubeadm's configuration documents, of v1beta3 and v1beta4.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Failure;
use crate::machines::api::text;

/// The documents of a file by kind.
pub(super) fn documents(content: &str) -> Result<BTreeMap<String, Value>, Failure> {
    let all: Vec<Value> = serde_saphyr::from_multiple(content)?;
    Ok(all
        .into_iter()
        .filter_map(|document| Some((document["kind"].as_str()?.to_owned(), document)))
        .collect())
}

/// `extraArgs`, which are a map in v1beta3 and a list of names and values in v1beta4.
pub(super) fn extra_args(arguments: &Value) -> Vec<(String, String)> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match arguments {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        Value::Array(list) => {
            list.iter().map(|entry| (text(entry, "/name").to_owned(), plain(&entry["value"]))).collect()
        }
        _ => Vec::new(),
    }
}

/// A field of the cluster's configuration, or kubeadm's default.
pub(super) fn field<'a>(config: &'a Value, pointer: &str, default: &'a str) -> &'a str {
    match text(config, pointer) {
        "" => default,
        value => value,
    }
}

/// The name that a machine's Node will have.
pub(super) fn node_name(registration: &Value, hostname: &str) -> String {
    match text(registration, "/name") {
        "" => hostname.to_lowercase(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn extra_args_are_read_in_both_shapes() {
        let old = json!({"allocate-node-cidrs": "false"});
        let new = json!([{"name": "allocate-node-cidrs", "value": "false"}]);
        assert_eq!(extra_args(&old), extra_args(&new));
        let documents = documents("kind: A\nx: 1\n---\nkind: B\n").unwrap();
        assert_eq!(documents.keys().collect::<Vec<_>>(), ["A", "B"]);
    }
}
