//! Everything that will be edited or removed, kept and read back.

use super::Step;
use super::support::encode;
use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::run_dir::Backup;
use async_trait::async_trait;
use replank_planning::plan::action::Export;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// See [`replank_planning::plan::Action::Export`].
pub struct ExportStep(pub Export);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    backup: Backup,
    objects: usize,
    /// Kinds and objects that are not there (any more).
    missing: Vec<String>,
}

#[async_trait]
impl Step for ExportStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let mut objects = Vec::new();
        let mut missing = Vec::new();
        for kind in &self.0.kinds {
            let api = cx.api();
            let collection = path::collection(kind, "");
            match cx.patiently(|| api.list(&collection, "")).await? {
                Ok((found, _)) => objects.extend(found.into_iter().map(|mut object| {
                    // Items of a list name neither.
                    object["apiVersion"] = json!(kind.api_version());
                    object["kind"] = json!(kind.kind);
                    object
                })),
                Err(error) if error.is_not_found() => missing.push(format!("{}.{}", kind.plural, kind.group)),
                Err(error) => return Err(StepError::server(format!("list {collection}"), &error)),
            }
        }
        for object in &self.0.objects {
            match cx.find(&path::object(object)).await? {
                Some(found) => objects.push(found),
                None => missing.push(object.to_string()),
            }
        }
        for object in &mut objects {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
        }
        let count = objects.len();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        // Keeping a document reads it back and compares it.
        let backup = cx.back_up("export", &list)?;
        encode(&Exported { backup, objects: count, missing })
    }

    async fn undo(
        &self,
        _cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}
