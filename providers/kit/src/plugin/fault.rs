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
    #[error("it did not answer {verb} within {seconds} s{}", left_over(*.unfinished))]
    Hung {
        /// The call.
        verb: &'static str,
        /// The bound.
        seconds: u64,
        /// How many bytes of a line without an end it had printed.
        unfinished: usize,
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
    /// It answered a call once more.
    #[error("it answered id {id} again, which had been answered")]
    AnsweredTwice {
        /// The id.
        id: u64,
    },
    /// A text that nobody would want whole, and that would be another thing if it were cut.
    #[error("it sent a text of {bytes} bytes as {field}, where at most {most} make sense")]
    LongText {
        /// In which field, escaped and cut.
        field: String,
        /// How long it is.
        bytes: usize,
        /// The bound.
        most: usize,
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

fn left_over(bytes: usize) -> String {
    if bytes == 0 { String::new() } else { format!("; it printed {bytes} bytes of a line and not its end") }
}

impl PluginFault {
    /// The fault as the provider's error: lasting, so that the run pauses and names it.
    pub(super) fn into_error(self, plugin: &str) -> ProviderError {
        ProviderError::lasting(ErrorCode::Internal, format!("provider plugin {plugin} failed: {self}"))
    }
}
