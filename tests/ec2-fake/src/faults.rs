//! What goes wrong, and when.

use crate::request::No;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// One thing that goes wrong with one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused without effect.
    Refused(No),
    /// It is done, and its answer is lost.
    AnswerLost,
    /// It is done, and answered late.
    Late(Duration),
    /// The machine that it makes ends by itself, with this reason.
    EndsByItself {
        /// EC2's word for it.
        code: String,
        /// A sentence.
        message: String,
    },
}

/// What will go wrong.
#[derive(Debug, Default)]
pub struct Faults {
    coming: VecDeque<(String, Fault)>,
    denied: BTreeSet<String>,
}

impl Fault {
    /// Too many calls at once.
    pub fn throttled() -> Self {
        let message = "Request limit exceeded.".into();
        Self::Refused(No { status: 503, code: "RequestLimitExceeded".into(), message })
    }
}

impl Faults {
    /// The next call of an action that has nothing else before it has this fault.
    pub fn next(&mut self, action: &str, fault: Fault) {
        self.coming.push_back((action.to_owned(), fault));
    }

    /// The caller may not do this, such as `ec2:StopInstances`.
    pub fn deny(&mut self, action: &str) {
        self.denied.insert(action.to_owned());
    }

    /// How many have not come yet.
    pub fn left(&self) -> usize {
        self.coming.len()
    }

    /// The fault of a call.
    pub(crate) fn take(&mut self, action: &str) -> Option<Fault> {
        let at = self.coming.iter().position(|(of, _)| of == action)?;
        self.coming.remove(at).map(|(_, fault)| fault)
    }

    /// The refusal of a caller who may not.
    pub(crate) fn denied(&self, action: &str) -> Option<No> {
        let name = action.split(':').next_back().unwrap_or(action);
        self.denied.contains(action).then(|| No {
            status: 403,
            code: if action.starts_with("ec2:") { "UnauthorizedOperation" } else { "AccessDenied" }.into(),
            message: format!(
                "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/fake is \
                 not authorized to perform: {action} on resource: * because no identity-based policy allows the \
                 {name} action"
            ),
        })
    }
}
