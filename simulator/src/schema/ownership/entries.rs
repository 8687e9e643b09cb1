//! The entries of `metadata.managedFields`.

use super::set::FieldSet;
use serde_json::{Value, json};

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By anything else.
    Update,
}

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
    pub fields: FieldSet,
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
            fields: FieldSet::parse(&json["fieldsV1"]),
        }
    }

    fn to_json(&self) -> Value {
        let mut json = json!({
            "manager": self.manager,
            "operation": match self.operation { Operation::Apply => "Apply", Operation::Update => "Update" },
            "apiVersion": self.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.to_json(),
        });
        if let Some(time) = &self.time {
            json["time"] = json!(time);
        }
        if !self.subresource.is_empty() {
            json["subresource"] = json!(self.subresource);
        }
        json
    }
}

/// Reads an object's entries.
pub fn read(object: &Value) -> Vec<Entry> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten().map(Entry::parse).collect()
}

/// Writes an object's entries, in the API server's order; none takes the field away.
pub fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| {
        (a.operation, &a.time, &a.manager, &a.subresource).cmp(&(
            b.operation,
            &b.time,
            &b.manager,
            &b.subresource,
        ))
    });
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), entries.iter().map(Entry::to_json).collect());
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
