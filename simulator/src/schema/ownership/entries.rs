//! The entries of `metadata.managedFields`.

use super::set::FieldSet;
use serde_json::Value;
use std::fmt::Write as _;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By anything else.
    Update,
}

/// A manager's fields; versions of an object share them, and their JSON is written once.
#[derive(Clone, Debug)]
pub struct Owned(Arc<Written>);

#[derive(Debug)]
struct Written {
    fields: FieldSet,
    json: OnceLock<String>,
}

impl Owned {
    fn json(&self) -> &str {
        self.0.json.get_or_init(|| self.0.fields.to_json().to_string())
    }
}

impl From<FieldSet> for Owned {
    fn from(fields: FieldSet) -> Self {
        Self(Arc::new(Written { fields, json: OnceLock::new() }))
    }
}

impl Deref for Owned {
    type Target = FieldSet;

    fn deref(&self) -> &FieldSet {
        &self.0.fields
    }
}

impl PartialEq for Owned {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.fields == other.0.fields
    }
}

impl Eq for Owned {}

/// One manager's part of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub manager: String,
    /// How.
    pub operation: Operation,
    /// Through which version.
    pub api_version: String,
    /// When last.
    pub time: Option<String>,
    /// Through which subresource; empty for the object itself.
    pub subresource: String,
    /// What.
    pub fields: Owned,
}

impl Entry {
    /// Whether this is the entry of that manager, operation and subresource.
    pub fn is(&self, manager: &str, operation: Operation, subresource: &str) -> bool {
        self.manager == manager && self.operation == operation && self.subresource == subresource
    }

    fn parse(json: &Value) -> Self {
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Self {
            manager: text("manager"),
            operation: if json["operation"] == "Apply" { Operation::Apply } else { Operation::Update },
            api_version: text("apiVersion"),
            time: json["time"].as_str().map(str::to_owned),
            subresource: text("subresource"),
            fields: FieldSet::parse(&json["fieldsV1"]).into(),
        }
    }

    fn write(&self, out: &mut String) {
        let operation = match self.operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        let text = |text: &str| Value::from(text);
        // Writing to a String can't fail.
        let _ = write!(
            out,
            "{{\"apiVersion\":{},\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{},\"manager\":{},\"operation\":\"{operation}\"",
            text(&self.api_version),
            self.fields.json(),
            text(&self.manager),
        );
        for (name, value) in [("subresource", Some(&self.subresource)), ("time", self.time.as_ref())] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                let _ = write!(out, ",\"{name}\":{}", text(value));
            }
        }
        out.push('}');
    }
}

/// Who manages which fields of one version of an object: its `managedFields`. They are kept beside the object and not
/// in it, since they are as large as the rest of it and hardly anybody looks at them.
#[derive(Clone, Debug, Default)]
pub struct Managers(Option<Arc<[Entry]>>);

impl Managers {
    /// Those with these entries, in the API server's order; an entry without fields is none.
    pub fn of(mut entries: Vec<Entry>) -> Self {
        entries.retain(|entry| !entry.fields.is_empty());
        entries.sort_by(|a, b| {
            (a.operation, &a.time, &a.manager, &a.subresource).cmp(&(
                b.operation,
                &b.time,
                &b.manager,
                &b.subresource,
            ))
        });
        if entries.is_empty() { Self(None) } else { Self(Some(entries.into())) }
    }

    /// Reads `managedFields`.
    pub fn parse(json: &Value) -> Self {
        let entries = json.as_array().into_iter().flatten();
        Self::of(entries.filter(|entry| entry.is_object()).map(Entry::parse).collect())
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether nobody manages anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// As `managedFields`.
    pub fn to_json(&self) -> String {
        let mut out = String::from("[");
        for entry in self.entries() {
            if out.len() > 1 {
                out.push(',');
            }
            entry.write(&mut out);
        }
        out.push(']');
        out
    }

    /// As `managedFields`, for who wants to change them.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.to_json()).unwrap_or_default()
    }

    /// Whether these differ from others in nothing but the times of writing.
    pub fn same_but_for_times(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.entries(), other.entries());
        ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(a, b)| {
                a.is(&b.manager, b.operation, &b.subresource)
                    && a.api_version == b.api_version
                    && a.fields == b.fields
            })
    }
}

/// Metadata that belongs to the server, and so to no manager.
pub fn without_system_fields(fields: &mut FieldSet) {
    for name in ["apiVersion", "kind"] {
        fields.remove(&[name]);
    }
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ] {
        fields.remove(&["metadata", name]);
    }
}
