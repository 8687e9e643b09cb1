//! The envelope: JSON-RPC 2.0, one message a line.

use crate::ProviderError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The protocol versions that this crate describes, best first.
pub const VERSIONS: &[u32] = &[1];

/// The longest line that either side may send, in bytes: a host file of 4 MiB in base64 fits.
pub const MAX_LINE: usize = 8 * 1024 * 1024;

/// The longest that one call may take, in seconds. Longer work answers `pending`.
pub const CALL_SECONDS: u64 = 30;

/// Every verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// See [`crate::verbs::InitializeParams`].
    Initialize,
    /// See [`crate::verbs::MachineSpec`].
    Validate,
    /// See [`crate::verbs::FindParams`].
    Find,
    /// See [`crate::verbs::ListParams`].
    List,
    /// See [`crate::verbs::MachineParams`].
    Snapshot,
    /// See [`crate::verbs::RestoreParams`].
    Restore,
    /// See [`crate::verbs::CreateParams`].
    Create,
    /// See [`crate::verbs::GetParams`].
    Get,
    /// See [`crate::verbs::MachineParams`].
    Stop,
    /// See [`crate::verbs::MachineParams`].
    Start,
    /// See [`crate::verbs::DeleteParams`].
    Delete,
    /// See [`crate::verbs::MachineParams`].
    Deregister,
    /// See [`crate::verbs::MachineParams`].
    Register,
    /// See [`crate::verbs::GetParams`].
    ConsoleLog,
    /// See [`crate::verbs::HostRunParams`].
    HostRun,
    /// See [`crate::verbs::HostReadParams`].
    HostRead,
    /// See [`crate::verbs::HostWriteParams`].
    HostWrite,
}

impl Verb {
    /// Every verb, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::Initialize,
        Self::Validate,
        Self::Find,
        Self::List,
        Self::Snapshot,
        Self::Restore,
        Self::Create,
        Self::Get,
        Self::Stop,
        Self::Start,
        Self::Delete,
        Self::Deregister,
        Self::Register,
        Self::ConsoleLog,
        Self::HostRun,
        Self::HostRead,
        Self::HostWrite,
    ];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Validate => "validate",
            Self::Find => "find",
            Self::List => "list",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
            Self::Create => "create",
            Self::Get => "get",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Delete => "delete",
            Self::Deregister => "deregister",
            Self::Register => "register",
            Self::ConsoleLog => "console_log",
            Self::HostRun => "host_run",
            Self::HostRead => "host_read",
            Self::HostWrite => "host_write",
        }
    }

    /// A verb by its name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|v| v.name() == name)
    }
}

/// A call.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// Told again in the answer.
    pub id: u64,
    /// A verb's name.
    pub method: String,
    /// The verb's parameters. May hold secrets, so this type can't be printed.
    #[serde(default)]
    pub params: Value,
}

/// An answer: exactly one of `result` and `error`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// Always `2.0`.
    pub jsonrpc: String,
    /// The call's id.
    pub id: u64,
    /// The verb's result; `null` is a result too.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub result: Option<Value>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RpcError {
    /// JSON-RPC's own number; [`RpcError::PROVIDER`] for a provider's error.
    pub code: i64,
    /// A sentence.
    pub message: String,
    /// The provider's error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ProviderError>,
}

impl RpcError {
    /// The line was no JSON.
    pub const PARSE: i64 = -32700;
    /// The JSON was no request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// There is no such verb.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters do not fit the verb.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The provider said no: `data` says why.
    pub const PROVIDER: i64 = -32000;
}

/// Tells `"result": null` from a missing result.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
