//! Who may ask a run for a pause.

use super::mirror;
use crate::api::Api;
use replank_planning::waiting::PauseReason;
use tokio_util::sync::CancellationToken;

/// Returns once a pause is asked for: by whoever holds the token, who is named `asked_by`, or through the mirror.
pub(super) async fn asked(pause: &CancellationToken, asked_by: &str, api: &Api) -> PauseReason {
    let by = tokio::select! {
        biased;
        () = pause.cancelled() => asked_by,
        () = mirror::asked(api, mirror::Request::Pause) => mirror::BY,
    };
    PauseReason::Requested { by: by.to_owned() }
}
