//! Discovery and schemas.

use super::http::{Answer, Asked};
use super::status::Status;

/// Answers discovery and schema paths.
pub(crate) fn answer(_asked: &Asked<'_>, _path: &str) -> Result<Answer, Status> {
    Err(Status::no_such_path())
}
