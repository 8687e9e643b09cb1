//! The API server: store, verbs, watches, admission and serving.
//!
//! A request comes in at [`http`](self) over a router or an in-process client, is authenticated
//! ([`authn`](self)) and authorised ([`rbac`](self)), and is carried out on the one [`State`](self)
//! behind the server's lock: [`verbs`](self) write, `read` and `watch` read. [`Direct`] is the same
//! without HTTP.

mod admission;
mod aggregated;
mod authn;
mod bootstrap;
mod core;
mod crds;
mod direct;
mod documents;
mod event;
mod eviction;
mod history;
mod http;
mod kinds;
pub(crate) mod names;
pub(crate) mod object;
mod options;
mod other;
mod pages;
pub(crate) mod passing;
mod patching;
mod path;
mod pod_facts;
mod protobuf;
mod rbac;
mod read;
mod render;
mod request_log;
mod resources;
mod reviews;
mod rules;
mod scale;
mod selectors;
mod serve;
mod service_ips;
mod state;
mod status;
mod store;
#[cfg(test)]
mod stories;
mod tls;
mod token;
mod tracking;
mod verbs;
mod watch;
mod watchers;

pub use self::core::{AggregatedHandler, Effort, Server};
pub use admission::{PolicyEvaluator, PolicyRequest};
pub use direct::Direct;
pub use event::{Changes, Event, EventKind};
pub use object::Object;
pub use options::{DeleteOptions, Propagation, Subresource};
pub(crate) use pod_facts::{Phase, REVISION};
pub use request_log::{Counted, Request, RequestLog};
pub use selectors::LabelSelector;
pub use serve::{Endpoint, ServeError, Serving, serve, serve_as};
pub use state::EtcdHealth;
pub use status::{Cause, Status};
pub use tls::{Pki, PkiError};
