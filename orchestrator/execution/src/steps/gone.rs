//! The end of an object, which may come a while after its deletion.

use super::support::items;
use crate::api::path;
use crate::engine::{StepContext, StepError};
use replank_planning::object::ObjectRef;
use replank_planning::waiting::Waiting;
use serde_json::Value;

/// Waits until an object is gone, or there is `enough` to be seen of it.
///
/// # Errors
/// When the server can't be asked, or the run is to stop.
pub async fn gone(
    cx: &StepContext<'_>,
    object: &ObjectRef,
    enough: impl Fn(&Value) -> bool + Send,
) -> Result<(), StepError> {
    let query = path::fields(&format!("metadata.name={}", object.name));
    let mut follow = match cx.follow(&path::collection(&object.kind, &object.namespace), &query).await {
        // The kind itself is not served any more.
        Err(StepError::Refused(_)) => return Ok(()),
        other => other?,
    };
    loop {
        match follow.get(&object.namespace, &object.name) {
            Some(body) if !enough(body) => {
                let finalizers = finalizers(body);
                cx.waiting(Waiting::ObjectGone { object: object.clone(), finalizers })?;
            }
            _ => return Ok(()),
        }
        match cx.changed(&mut follow).await {
            Err(StepError::Refused(_)) => return Ok(()),
            other => other?,
        }
    }
}

/// An object's finalizers.
pub fn finalizers(object: &Value) -> Vec<String> {
    items(object, "/metadata/finalizers").iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
