//! What a CustomResourceDefinition adds to the API.

use super::info::{ALL_VERBS, READ_AND_WRITE, ResourceInfo, SubresourceInfo};
use crate::schema::definitions;
use crate::schema::resource::Resource;
use crate::schema::structural::{Kind, Schema, compile};
use serde_json::{Value, json};
use std::sync::Arc;

/// A column that a CustomResourceDefinition adds to tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrinterColumn {
    /// The heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// A further hint at the form.
    pub format: String,
    /// What it shows.
    pub description: String,
    /// 0 is always shown, more only in wide output.
    pub priority: i64,
    /// Where its value lies.
    pub json_path: String,
}

/// Where the scale subresource finds its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// The path of the wanted number.
    pub spec_replicas: String,
    /// The path of the current number.
    pub status_replicas: String,
    /// The path of the selector, if there is one.
    pub label_selector: Option<String>,
}

impl ScalePaths {
    /// Where built-in kinds have their numbers.
    pub fn builtin() -> Self {
        Self {
            spec_replicas: ".spec.replicas".to_owned(),
            status_replicas: ".status.replicas".to_owned(),
            label_selector: None,
        }
    }
}

/// What one version of a CustomResourceDefinition brings beyond names and schema.
#[derive(Clone, Debug)]
pub struct CrdVersion {
    /// The name of the CustomResourceDefinition.
    pub crd: String,
    /// Columns of tables.
    pub columns: Vec<PrinterColumn>,
    /// Fields that field selectors may name.
    pub selectable: Vec<String>,
    /// The scale subresource.
    pub scale: Option<ScalePaths>,
    /// The JSON schema as written, for the OpenAPI documents.
    pub json_schema: Value,
}

/// Why a CustomResourceDefinition can't be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CrdError {
    /// A field that must be there is not.
    #[error("{0}: Required value")]
    Missing(&'static str),
    /// The name is not `plural.group`.
    #[error("metadata.name: Invalid value: {0:?}: must be spec.names.plural+\".\"+spec.group")]
    Name(String),
    /// Not exactly one version is the storage version.
    #[error("spec.versions: Invalid value: must have exactly one version marked as storage version")]
    Storage,
}

/// Reads every served version of a CustomResourceDefinition.
///
/// # Errors
/// Says what the definition lacks.
pub fn read(crd: &Value) -> Result<Vec<ResourceInfo>, CrdError> {
    let spec = &crd["spec"];
    let text = |value: &Value, name| value.as_str().map(str::to_owned).ok_or(CrdError::Missing(name));
    let group = text(&spec["group"], "spec.group")?;
    let plural = text(&spec["names"]["plural"], "spec.names.plural")?;
    let kind = text(&spec["names"]["kind"], "spec.names.kind")?;
    let name = text(&crd["metadata"]["name"], "metadata.name")?;
    if name != format!("{plural}.{group}") {
        return Err(CrdError::Name(name));
    }
    let versions = spec["versions"].as_array().ok_or(CrdError::Missing("spec.versions"))?;
    let mut storage = versions.iter().filter(|version| version["storage"] == true);
    let storage_version = match (storage.next(), storage.next()) {
        (Some(only), None) => text(&only["name"], "spec.versions[0].name")?,
        _ => return Err(CrdError::Storage),
    };
    let namespaced = spec["scope"] == "Namespaced";
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let names = &spec["names"];
    let or = |value: &Value, other: String| value.as_str().map_or(other, str::to_owned);
    let mut infos = Vec::new();
    for version in versions.iter().filter(|version| version["served"] == true) {
        let version_name = text(&version["name"], "spec.versions[0].name")?;
        let extra = read_version(&name, version);
        let schema = compile_version(&extra.json_schema);
        infos.push(ResourceInfo {
            resource: Resource::new(&group, &version_name, &plural, &kind, namespaced),
            storage_version: storage_version.clone(),
            singular: or(&names["singular"], kind.to_lowercase()),
            list_kind: or(&names["listKind"], format!("{kind}List")),
            short_names: texts(&names["shortNames"]),
            categories: texts(&names["categories"]),
            verbs: ALL_VERBS,
            subresources: subresources(&version["subresources"]),
            schema: Arc::new(schema),
            crd: Some(Arc::new(extra)),
        });
    }
    Ok(infos)
}

/// Compiles a version's schema, with the fields every object has.
fn compile_version(json: &Value) -> Schema {
    let mut schema = compile(json, &|_| None);
    if let Kind::Any = schema.kind {
        schema.kind = Kind::Object(std::collections::BTreeMap::new());
        schema.preserve_unknown = true;
    }
    schema.nullable = false;
    if let Kind::Object(properties) = &mut schema.kind {
        properties.insert("apiVersion".to_owned(), Schema::of(Kind::String));
        properties.insert("kind".to_owned(), Schema::of(Kind::String));
        let mut metadata = definitions::object_meta().clone();
        metadata.rules = properties.get("metadata").and_then(|own| own.rules.clone());
        properties.insert("metadata".to_owned(), metadata);
    }
    schema
}

fn subresources(json: &Value) -> Vec<SubresourceInfo> {
    let mut found = Vec::new();
    if json["scale"].is_object() {
        found.push(SubresourceInfo {
            name: "scale",
            kind: Some(("autoscaling", "v1", "Scale")),
            verbs: READ_AND_WRITE,
        });
    }
    if json["status"].is_object() {
        found.push(SubresourceInfo { name: "status", kind: None, verbs: READ_AND_WRITE });
    }
    found
}

fn read_version(crd: &str, version: &Value) -> CrdVersion {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let columns =
        version["additionalPrinterColumns"].as_array().into_iter().flatten().map(|column| PrinterColumn {
            name: text(&column["name"]),
            kind: text(&column["type"]),
            format: text(&column["format"]),
            description: text(&column["description"]),
            priority: column["priority"].as_i64().unwrap_or(0),
            json_path: text(&column["jsonPath"]),
        });
    let selectable = version["selectableFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|field| text(&field["jsonPath"]).trim_start_matches('.').to_owned());
    let scale = version["subresources"]["scale"].as_object().map(|scale| ScalePaths {
        spec_replicas: text(&scale["specReplicasPath"]),
        status_replicas: text(&scale["statusReplicasPath"]),
        label_selector: scale.get("labelSelectorPath").and_then(Value::as_str).map(str::to_owned),
    });
    let json_schema = version["schema"]["openAPIV3Schema"].clone();
    CrdVersion {
        crd: crd.to_owned(),
        columns: columns.collect(),
        selectable: selectable.collect(),
        scale,
        json_schema,
    }
}

/// Writes the status that the API server gives a CustomResourceDefinition it serves.
pub fn establish(crd: &mut Value, now: &str) {
    let names = crd["spec"]["names"].clone();
    let stored: Vec<Value> = crd["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect();
    let since = |kind: &str| {
        crd["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == kind && condition["status"] == "True")
            .and_then(|condition| condition["lastTransitionTime"].as_str().map(str::to_owned))
            .unwrap_or_else(|| now.to_owned())
    };
    let conditions = json!([
        {
            "type": "NamesAccepted", "status": "True", "reason": "NoConflicts",
            "message": "no conflicts found", "lastTransitionTime": since("NamesAccepted"),
        },
        {
            "type": "Established", "status": "True", "reason": "InitialNamesAccepted",
            "message": "the initial names have been accepted", "lastTransitionTime": since("Established"),
        },
    ]);
    let mut all_stored: Vec<Value> = crd["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    for version in stored {
        if !all_stored.contains(&version) {
            all_stored.push(version);
        }
    }
    crd["status"] = json!({ "acceptedNames": names, "conditions": conditions, "storedVersions": all_stored });
}

/// The finalizer that holds a CustomResourceDefinition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The condition of a CustomResourceDefinition whose objects are being deleted.
pub fn mark_terminating(crd: &mut Value, now: &str) {
    let condition = json!({
        "type": "Terminating", "status": "True", "reason": "InstanceDeletionInProgress",
        "message": "CustomResource deletion is in progress", "lastTransitionTime": now,
    });
    match crd["status"]["conditions"].as_array_mut() {
        Some(conditions) => {
            conditions.retain(|c| c["type"] != "Terminating");
            conditions.push(condition);
        }
        None => crd["status"]["conditions"] = json!([condition]),
    }
}
