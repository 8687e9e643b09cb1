//! Label and field selectors, as queries and objects write them.

use super::status::Status;
use serde_json::Value;
use std::collections::BTreeSet;

/// One requirement on labels.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    Missing(String),
}

/// A label selector; the default one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Reads the query form: `a=b,c!=d,e in (f,g),!h`.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut requirements = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            requirements.push(requirement(part).ok_or_else(|| {
                Status::bad_request(format!(
                    "unable to parse requirement: couldn't parse the selector string \"{part}\""
                ))
            })?);
        }
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a `metav1.LabelSelector`; a missing one matches nothing, an empty one everything.
    pub fn from_object(selector: &Value) -> Self {
        let Some(map) = selector.as_object() else { return Self { requirements: Vec::new(), nothing: true } };
        let mut requirements = Vec::new();
        for (key, value) in map.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or("").to_owned();
            requirements.push(Requirement::In(key.clone(), BTreeSet::from([value])));
        }
        for expression in map.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = expression["key"].as_str().unwrap_or("").to_owned();
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.filter_map(|v| v.as_str().map(str::to_owned)).collect();
            requirements.push(match expression["operator"].as_str() {
                Some("In") => Requirement::In(key, values),
                Some("NotIn") => Requirement::NotIn(key, values),
                Some("Exists") => Requirement::Exists(key),
                _ => Requirement::Missing(key),
            });
        }
        Self { requirements, nothing: false }
    }

    /// Reads a plain map of labels, as Services and ReplicationControllers have it; an empty or
    /// missing one matches nothing.
    pub fn from_map(labels: &Value) -> Self {
        let mut requirements = Vec::new();
        for (key, value) in labels.as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or("").to_owned();
            requirements.push(Requirement::In(key.clone(), BTreeSet::from([value])));
        }
        Self { nothing: requirements.is_empty(), requirements }
    }

    /// Whether it asks for anything at all.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Whether these labels (an object, or null for none) satisfy it.
    pub fn matches(&self, labels: &Value) -> bool {
        !self.nothing
            && self.requirements.iter().all(|requirement| {
                let value = |key: &str| labels.get(key).and_then(Value::as_str);
                match requirement {
                    Requirement::In(key, values) => value(key).is_some_and(|v| values.contains(v)),
                    Requirement::NotIn(key, values) => value(key).is_none_or(|v| !values.contains(v)),
                    Requirement::Exists(key) => value(key).is_some(),
                    Requirement::Missing(key) => value(key).is_none(),
                }
            })
    }
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Option<Requirement> {
    if let Some(open) = part.find('(') {
        let values = part[open + 1..].strip_suffix(')')?.split(',').map(|v| v.trim().to_owned()).collect();
        let head = part[..open].trim_end();
        return if let Some(key) = head.strip_suffix(" notin") {
            Some(Requirement::NotIn(key.trim().to_owned(), values))
        } else {
            Some(Requirement::In(head.strip_suffix(" in")?.trim().to_owned(), values))
        };
    }
    let one = |value: &str| BTreeSet::from([value.trim().to_owned()]);
    if let Some((key, value)) = part.split_once("!=") {
        return Some(Requirement::NotIn(key.trim().to_owned(), one(value)));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(key.trim().to_owned(), one(value)));
    }
    if let Some(key) = part.strip_prefix('!') {
        return Some(Requirement::Missing(key.trim().to_owned()));
    }
    (!part.contains(char::is_whitespace)).then(|| Requirement::Exists(part.to_owned()))
}

/// A field selector: paths that must (or must not) have a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector {
    terms: Vec<(String, String, bool)>,
}

impl FieldSelector {
    /// Reads the query form: `metadata.name=a,status.phase!=Running`; `allowed` says which paths
    /// the kind can be selected by.
    pub(crate) fn parse(text: &str, allowed: impl Fn(&str) -> bool) -> Result<Self, Status> {
        let mut terms = Vec::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (path, value, wanted) = if let Some((path, value)) = part.split_once("!=") {
                (path, value, false)
            } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (path, value, true)
            } else {
                return Err(Status::bad_request(format!(
                    "invalid field selector: invalid selector: '{text}'; can't understand '{part}'"
                )));
            };
            let path = path.trim();
            if !allowed(path) {
                return Err(Status::bad_request(format!("field label not supported: {path}")));
            }
            terms.push((path.to_owned(), value.trim().to_owned(), wanted));
        }
        Ok(Self { terms })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value a path must have, if it must have one.
    pub(crate) fn exact(&self, path: &str) -> Option<&str> {
        self.terms.iter().find(|(p, _, wanted)| p == path && *wanted).map(|(_, value, _)| value.as_str())
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|(path, value, wanted)| (field(object, path) == *value) == *wanted)
    }
}

/// The value of a field as selectors compare it.
fn field(object: &Value, path: &str) -> String {
    let mut at = object;
    for part in path.trim_start_matches('.').split('.') {
        at = &at[part];
    }
    match at {
        Value::String(text) => text.clone(),
        Value::Null if path == "spec.unschedulable" || path == "spec.hostNetwork" => "false".to_owned(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_are_selected_in_every_way_a_query_can_write() {
        let labels = json!({"app": "web", "tier": "front"});
        for (text, wanted) in [
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (api, web),!gone", true),
            ("app notin (web)", false),
            ("tier", true),
            ("!tier", false),
            ("", true),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(&labels), wanted, "{text}");
        }
        assert!(LabelSelector::parse("a b").is_err());
    }

    #[test]
    fn fields_are_selected_only_where_the_kind_allows() {
        let pod = json!({"spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
        let parse =
            |text| FieldSelector::parse(text, |path| ["spec.nodeName", "status.phase"].contains(&path));
        assert!(parse("spec.nodeName=n1,status.phase!=Failed").unwrap().matches(&pod));
        assert!(!parse("spec.nodeName=n2").unwrap().matches(&pod));
        assert_eq!(parse("spec.color=red").unwrap_err().code, 400);
    }
}
