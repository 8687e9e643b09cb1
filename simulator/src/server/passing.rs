//! Objects handed over within the process as they are.
//!
//! Machines and agents talk to an API server through HTTP requests, since it may be a real one at the other end
//! of a connection. In the embedded cluster both sides are in one process, and most of what a node asks for is
//! an object that the store holds already: writing it as JSON and reading that again was a fifth of all work. A
//! request with [`Accepts`] among its extensions may be answered by [`Passed`] in those of the response, beside
//! an empty body. A server that knows nothing of it answers with JSON, as to anybody.

use super::object::Object;
use super::status::Status;
use futures::stream::BoxStream;
use std::sync::{Arc, Mutex};

/// Says with a request that the answer may be passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepts;

/// What a watch tells.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// The object is there like this.
    Applied(Object),
    /// The object is gone; this was its last state.
    Deleted(Object),
    /// Nothing but a newer resource version.
    Bookmark(u64),
    /// The watch can't go on.
    Failed(Status),
}

/// What a watch tells, a few events at a time.
pub(crate) type Events = BoxStream<'static, Vec<Told>>;

/// An answer without its JSON.
#[derive(Clone)]
pub(crate) enum Passed {
    /// An object.
    Object(Object),
    /// All objects of a list, and its revision.
    List(Arc<[Object]>, u64),
    /// A watch. The extensions of a response can be copied, a stream can't: the first who asks gets it.
    Watch(Arc<Mutex<Option<Events>>>),
}

impl Passed {
    /// A watch.
    pub(crate) fn watch(events: Events) -> Self {
        Self::Watch(Arc::new(Mutex::new(Some(events))))
    }
}
