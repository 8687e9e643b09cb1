//! A host's CNI configuration, swapped for one whose DEL needs no API.

use super::Step;
use super::support::{decode, encode};
use crate::engine::{StepContext, StepError};
use crate::run_dir::Backup;
use async_trait::async_trait;
use replank_planning::plan::action::SwapCni;
use serde_json::{Value, json};

/// See [`replank_planning::plan::Action::SwapCni`].
pub struct SwapCniStep(pub SwapCni);

#[async_trait]
impl Step for SwapCniStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let host = cx.host(cx.machine(&self.0.node)?);
        let mut files = Vec::new();
        for file in &self.0.remove {
            let found = host.read(file).await?;
            files.push(match found {
                Some((content, mode)) => json!({"path": file, "content": content, "mode": mode}),
                None => json!({"path": file}),
            });
        }
        encode(&cx.back_up("before", &Value::Array(files))?)
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let host = cx.host(cx.machine(&self.0.node)?);
        // The new one first: a host without any configuration is NotReady within seconds.
        let there = host.read(&self.0.path).await?;
        if there.is_none_or(|(content, _)| content != self.0.content.as_bytes()) {
            host.write("swap-cni", &self.0.path, Some((self.0.content.as_bytes(), 0o644))).await?;
        }
        for (at, file) in self.0.remove.iter().enumerate() {
            if host.read(file).await?.is_some() {
                host.write(&format!("remove-cni-{at}"), file, None).await?;
            }
        }
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let backup: Backup = decode(before)?;
        let files = cx.restore(&backup)?;
        let host = cx.host(cx.machine(&self.0.node)?);
        for (at, file) in files.as_array().into_iter().flatten().enumerate() {
            let content: Option<Vec<u8>> = serde_json::from_value(file["content"].clone()).ok();
            if let (Some(content), Some(path)) = (content, file["path"].as_str()) {
                let mode = file["mode"].as_u64().and_then(|m| u32::try_from(m).ok()).unwrap_or(0o644);
                host.write(&format!("put-back-cni-{at}"), path, Some((&content, mode))).await?;
            }
        }
        if host.read(&self.0.path).await?.is_some() {
            host.write("unswap-cni", &self.0.path, None).await?;
        }
        Ok(())
    }
}
