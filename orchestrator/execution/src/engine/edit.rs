//! Changes that rest on what was read.

use super::{StepContext, StepError};
use crate::api::PatchKind;
use replank_planning::ids::Uid;
use serde_json::{Value, json};

/// How often a change is worked out anew because someone else was quicker. Controllers that write one
/// object this often in a row are at war with us, and waiting won't end it.
const CONFLICTS: usize = 30;

impl StepContext<'_> {
    /// Changes one incarnation of an object by a merge patch that `change` works out from what is there;
    /// `None` if nothing is to be done. Whoever writes in between makes it work it out anew.
    ///
    /// # Errors
    /// When the object is gone or another incarnation, or the server refuses.
    pub async fn edit(
        &self,
        path: &str,
        uid: Option<&Uid>,
        change: impl Fn(&Value) -> Result<Option<Value>, StepError>,
    ) -> Result<Value, StepError> {
        for _ in 0..CONFLICTS {
            let there = self.find(path).await?.ok_or_else(|| StepError::changed(path, "it is gone"))?;
            same_incarnation(path, &there, uid)?;
            let Some(mut patch) = change(&there)? else { return Ok(there) };
            let metadata = &there["metadata"];
            if !patch["metadata"].is_object() {
                patch["metadata"] = json!({});
            }
            patch["metadata"]["uid"] = metadata["uid"].clone();
            patch["metadata"]["resourceVersion"] = metadata["resourceVersion"].clone();
            match self.patch(path, PatchKind::Merge, &patch).await? {
                Ok(now) => return Ok(now),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(StepError::server(format!("change {path}"), &error)),
            }
        }
        Err(StepError::Failed(format!("{path} was changed by someone else each of {CONFLICTS} times")))
    }
}

/// Refuses another incarnation.
///
/// # Errors
/// When the uid is another one.
pub fn same_incarnation(what: &str, there: &Value, uid: Option<&Uid>) -> Result<(), StepError> {
    match uid {
        Some(uid) if there["metadata"]["uid"] != uid.as_str() => {
            Err(StepError::changed(what, "it was deleted and made again"))
        }
        _ => Ok(()),
    }
}
