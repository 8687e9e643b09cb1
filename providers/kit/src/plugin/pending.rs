//! Calls that wait for their answers.

use super::fault::PluginFault;
use replank_provider_protocol::rpc::{CALL_SECONDS, Request, RpcError, Verb};
use replank_provider_protocol::{ErrorCode, ProviderError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A call gets this much longer than the protocol allows, for the way there and back.
const MARGIN: Duration = Duration::from_secs(5);

/// How a call ends.
pub(super) type Answer = Result<Value, Refused>;

/// Why a call has no result.
#[derive(Clone, Debug)]
pub(super) enum Refused {
    /// The provider said no.
    Provider(ProviderError),
    /// The plugin broke the protocol.
    Fault(PluginFault),
}

/// A call on its way.
pub(super) struct Call {
    pub(super) verb: Verb,
    pub(super) params: Value,
    pub(super) reply: oneshot::Sender<Answer>,
}

struct Waiting {
    call: Call,
    deadline: Instant,
    sent: bool,
    restarts: u32,
}

/// All calls on their way, by id.
#[derive(Default)]
pub(super) struct Pending {
    calls: BTreeMap<u64, Waiting>,
    last_id: u64,
}

impl Pending {
    pub(super) fn add(&mut self, call: Call) {
        self.last_id += 1;
        let waiting = Waiting { call, deadline: deadline(), sent: false, restarts: 0 };
        self.calls.insert(self.last_id, waiting);
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// The requests that were not sent yet.
    pub(super) fn unsent(&mut self) -> Vec<Request> {
        // Each process is greeted once, by the connection itself.
        let unsent = self.calls.iter_mut().filter(|(_, w)| !w.sent && w.call.verb != Verb::Initialize);
        unsent
            .map(|(id, waiting)| {
                waiting.sent = true;
                request(*id, waiting.call.verb, waiting.call.params.clone())
            })
            .collect()
    }

    /// The call whose time runs out first.
    pub(super) fn first_deadline(&self) -> Option<(Instant, Verb)> {
        self.calls.values().map(|w| (w.deadline, w.call.verb)).min_by_key(|(deadline, _)| *deadline)
    }

    /// Gives an answer to its call.
    pub(super) fn answer(&mut self, id: u64, answer: Answer) -> Result<(), PluginFault> {
        let Some(waiting) = self.calls.remove(&id) else {
            let known = (1..=self.last_id).contains(&id);
            return Err(if known { PluginFault::AnsweredTwice { id } } else { PluginFault::WrongId { id } });
        };
        // A caller that was cancelled does not listen any more.
        let _ = waiting.call.reply.send(answer);
        Ok(())
    }

    /// Answers everyone who asked for the greeting.
    pub(super) fn greeted(&mut self, greeting: &Value) {
        for (_, waiting) in self.calls.extract_if(.., |_, w| w.call.verb == Verb::Initialize) {
            let _ = waiting.call.reply.send(Ok(greeting.clone()));
        }
    }

    /// Readies every call to be sent to a new process: the same operation id, so the same effect. A
    /// process that died before it could be sent anything (`greeting`) counts for every call that waits.
    /// Answers the verb of one that was restarted too often.
    pub(super) fn restart(&mut self, greeting: bool, most: u32) -> Result<(), &'static str> {
        for waiting in self.calls.values_mut().filter(|w| w.sent || greeting) {
            waiting.restarts += 1;
            if waiting.restarts > most {
                return Err(if greeting { Verb::Initialize.name() } else { waiting.call.verb.name() });
            }
        }
        for waiting in self.calls.values_mut() {
            waiting.sent = false;
            waiting.deadline = deadline();
        }
        Ok(())
    }

    /// Ends every call with a fault.
    pub(super) fn fail(&mut self, fault: &PluginFault) {
        self.refuse(&Refused::Fault(fault.clone()));
    }

    /// Ends every call with a refusal.
    pub(super) fn refuse(&mut self, refused: &Refused) {
        for (_, waiting) in std::mem::take(&mut self.calls) {
            let _ = waiting.call.reply.send(Err(refused.clone()));
        }
    }
}

/// When a call that is sent now must have been answered.
pub(super) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(CALL_SECONDS) + MARGIN
}

/// A request as it goes over the wire.
pub(super) fn request(id: u64, verb: Verb, params: Value) -> Request {
    Request { jsonrpc: "2.0".into(), id, method: verb.name().into(), params }
}

/// A JSON-RPC error as the provider's refusal.
pub(super) fn refused(error: RpcError) -> Refused {
    Refused::Provider(error.data.unwrap_or_else(|| {
        let code = match error.code {
            RpcError::INVALID_PARAMS | RpcError::METHOD_NOT_FOUND => ErrorCode::Invalid,
            _ => ErrorCode::Internal,
        };
        ProviderError::lasting(code, error.message)
    }))
}
