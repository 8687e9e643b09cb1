//! How a provider says no.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a call had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// There is no such machine, snapshot or volume.
    NotFound,
    /// The operation id is known with other arguments.
    AlreadyExists,
    /// No capacity or quota is left.
    Exhausted,
    /// The caller may not do this: missing permission or an old epoch.
    Denied,
    /// The arguments can never work.
    Invalid,
    /// The provider's own backend can't be reached now.
    Unavailable,
    /// Anything else: a defect of the provider.
    Internal,
}

/// Whether asking again with the same arguments can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It may pass by itself.
    MayHelp,
    /// It will not pass until someone changes something.
    WillNotHelp,
}

/// A provider's refusal or failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase")]
pub struct ProviderError {
    /// Why.
    pub code: ErrorCode,
    /// A sentence for the operator.
    pub message: String,
    /// Whether asking again can help.
    pub retry: Retry,
}

impl ProviderError {
    /// An error that asking again can't mend.
    pub fn lasting(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry: Retry::WillNotHelp }
    }

    /// An error that may pass by itself.
    pub fn passing(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry: Retry::MayHelp }
    }
}
