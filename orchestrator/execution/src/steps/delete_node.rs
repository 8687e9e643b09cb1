//! A Node object, deleted by its uid.

use super::Step;
use super::gone::gone;
use super::support::{decode, encode, text};
use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::run_dir::Backup;
use async_trait::async_trait;
use replank_planning::object::{Kind, ObjectRef};
use replank_planning::plan::action::NodeAct;
use serde_json::{Value, json};

/// See [`replank_planning::plan::Action::DeleteNode`].
pub struct DeleteNodeStep(pub NodeAct);

#[async_trait]
impl Step for DeleteNodeStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let (name, uid) = cx.node(&self.0.node)?;
        let node = cx.find(&path::node(name.as_str())).await?.unwrap_or_default();
        if !node.is_null() && text(&node, "/metadata/uid") != uid.as_str() {
            return Err(StepError::changed(format!("Node {name}"), "it was deleted and registered again"));
        }
        encode(&cx.back_up("before", &node)?)
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let (name, uid) = cx.node(&self.0.node)?;
        let at = path::node(name.as_str());
        cx.delete(&at, uid.as_str()).await?;
        let node = ObjectRef::new(Kind::cluster("", "v1", "Node", "nodes"), "", name.as_str());
        gone(cx, &node, |now| text(now, "/metadata/uid") != uid.as_str()).await?;
        Ok(Value::Null)
    }

    /// Makes the Node again as it was; its kubelet takes it over when its machine starts.
    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let backup: Backup = decode(before)?;
        let was = cx.restore(&backup)?;
        if was.is_null() {
            return Ok(());
        }
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": was["metadata"]["name"],
                "labels": was["metadata"]["labels"],
                "annotations": was["metadata"]["annotations"],
            },
            "spec": was["spec"],
        });
        match cx.create("/api/v1/nodes", &node).await? {
            Ok(_) => Ok(()),
            Err(error) if error.is_already_there() => Ok(()),
            Err(error) => Err(StepError::server("make the Node again", &error)),
        }
    }
}
