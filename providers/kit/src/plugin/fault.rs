//! How a plugin can fail that is no answer of the protocol.

use replank_provider_protocol::rpc::MAX_LINE;
use replank_provider_protocol::{ErrorCode, ProviderError};

/// A plugin that broke the protocol. It was ended; the next call starts it again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginFault {
    /// It can't be started.
    #[error("it could not be started: {reason}")]
    NotStarted {
        /// The system's sentence.
        reason: String,
    },
    /// It ended while calls were under way, also after it was started again.
    #[error("it ended ({status}) {times} times during {verb}{stderr}")]
    Died {
        /// Its exit status or signal.
        status: String,
        /// How often it was tried.
        times: u32,
        /// The call that was under way.
        verb: &'static str,
        /// The last it said on standard error, as ` and said: …`; empty if nothing.
        stderr: String,
    },
    /// It did not answer in time.
    #[error("it did not answer {verb} within {seconds} s")]
    Hung {
        /// The call.
        verb: &'static str,
        /// The bound.
        seconds: u64,
    },
    /// It printed something that is no answer.
    #[error("it printed a line that is no JSON-RPC answer: {line}")]
    Rubbish {
        /// The line, escaped and cut.
        line: String,
    },
    /// It answered a call that nobody made.
    #[error("it answered id {id}, which was not asked")]
    WrongId {
        /// The id.
        id: u64,
    },
    /// It printed a line without an end.
    #[error("it printed a line of more than {MAX_LINE} bytes")]
    EndlessLine,
    /// It wrote faster than anyone can read.
    #[error("it wrote more than {bytes} bytes a second to its standard error")]
    Flooded {
        /// The bound.
        bytes: usize,
    },
}

impl PluginFault {
    /// The fault as the provider's error: lasting, so that the run pauses and names it.
    pub(super) fn into_error(self, plugin: &str) -> ProviderError {
        ProviderError::lasting(ErrorCode::Internal, format!("provider plugin {plugin} failed: {self}"))
    }
}
