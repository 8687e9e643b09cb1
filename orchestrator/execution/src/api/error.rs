//! How the API server says no, and how it says nothing.

use serde_json::Value;

/// A request that had no success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status; 0 if there was no answer.
    pub code: u16,
    /// The machine-readable reason, such as `Conflict`.
    pub reason: String,
    /// The server's sentence.
    pub message: String,
    /// Causes with their reasons, such as `DisruptionBudget`.
    pub causes: Vec<(String, String)>,
    /// After how many seconds to ask again, where the server says so.
    pub retry_after: Option<u64>,
}

impl ApiError {
    /// No answer came: nobody knows whether the request had its effect.
    pub fn unanswered(message: &str) -> Self {
        Self {
            code: 0,
            reason: String::new(),
            message: message.to_owned(),
            causes: Vec::new(),
            retry_after: None,
        }
    }

    /// A request that can't even be sent.
    pub(crate) fn unusable(message: String) -> Self {
        Self { code: 400, message, ..Self::unanswered("") }
    }

    /// From an answer's status and body.
    pub(crate) fn from_status(code: u16, body: &[u8], retry_after: Option<u64>) -> Self {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        let text =
            |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let cause = |cause: &Value| {
            let text = |key: &str| cause[key].as_str().unwrap_or_default().to_owned();
            (text("reason"), text("message"))
        };
        let message = match text("/message") {
            empty if empty.is_empty() => format!("the server answered {code}"),
            message => message,
        };
        let retry_after = retry_after.or_else(|| status.pointer("/details/retryAfterSeconds")?.as_u64());
        Self {
            code: status["code"].as_u64().and_then(|c| u16::try_from(c).ok()).unwrap_or(code),
            reason: text("/reason"),
            message,
            causes: status
                .pointer("/details/causes")
                .and_then(Value::as_array)
                .map(|causes| causes.iter().map(cause).collect())
                .unwrap_or_default(),
            retry_after,
        }
    }

    /// There is no such object (or kind).
    pub fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// Someone else changed the object, or it is another incarnation.
    pub fn is_conflict(&self) -> bool {
        self.code == 409 && self.reason != "AlreadyExists"
    }

    /// A conflict that is only about who was quicker: not about another incarnation, nor about fields that
    /// someone else owns.
    pub fn is_lost_race(&self) -> bool {
        let owned = self.causes.iter().any(|(reason, _)| reason == "FieldManagerConflict");
        self.is_conflict() && !owned && !self.message.contains("recondition")
    }

    /// An object of that name is there already.
    pub fn is_already_there(&self) -> bool {
        self.code == 409 && self.reason == "AlreadyExists"
    }

    /// Asking again may help: no answer, too many requests, or a failure of the server's own.
    pub fn may_pass(&self) -> bool {
        matches!(self.code, 0 | 408 | 429) || self.code >= 500
    }
}

/// An error with its causes, as one sentence.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    crate::journal::chain::chain_text(error)
}
