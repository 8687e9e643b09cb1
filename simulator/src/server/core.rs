//! The server as others hold it.

use super::admission::PolicyEvaluator;
use super::direct::Direct;
use super::http;
use super::request_log::RequestLog;
use super::service_ips::ServiceRange;
use super::state::{EtcdHealth, State};
use crate::clock::Clock;
use crate::faults::Faults;
use axum::body::Body;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Serves an aggregated group: gets the request as it came, answers as the backend would.
pub type AggregatedHandler =
    Arc<dyn Fn(::http::Request<bytes::Bytes>) -> BoxFuture<'static, ::http::Response<Body>> + Send + Sync>;

pub(crate) struct Inner {
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) requests: RequestLog,
    pub(crate) token_key: [u8; 32],
    /// What tokens that were shown say.
    pub(crate) tokens: Mutex<BTreeMap<String, Arc<serde_json::Value>>>,
    pub(crate) aggregated: Mutex<BTreeMap<(String, String), AggregatedHandler>>,
    pub(crate) documents: super::documents::Cache,
    written: AtomicU64,
    state: Mutex<State>,
}

/// What a server has done so far, in figures that are the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Versions of objects that were stored, the last ones of deleted objects among them.
    pub versions: u64,
    /// Bytes of JSON in answers and in what watches told.
    pub bytes: u64,
}

/// The in-memory API server; cheap to clone.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Inner>);

impl Server {
    /// A server with what a real one makes at its first start: its namespaces, the `kubernetes`
    /// Service, priority classes and the cluster roles everybody has.
    pub fn new(clock: Clock, seed: u64) -> Self {
        let server = Self(Arc::new(Inner {
            clock,
            faults: Faults::new(seed),
            requests: RequestLog::default(),
            token_key: super::token::key(seed),
            tokens: Mutex::default(),
            aggregated: Mutex::new(BTreeMap::new()),
            documents: super::documents::Cache::default(),
            written: AtomicU64::new(0),
            state: Mutex::new(State::new(seed, clock)),
        }));
        super::bootstrap::bootstrap(&server);
        server
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("the state's lock is never poisoned: no code panics under it")
    }

    /// What the server has done so far.
    pub fn effort(&self) -> Effort {
        let versions = self.state().store.revision - super::store::FIRST_REVISION;
        Effort { versions, bytes: self.0.written.load(Ordering::Relaxed) }
    }

    /// Notes that so many bytes of JSON were written to a client.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.0.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The Kubernetes API as a router; other routers can be merged into it.
    pub fn router(&self) -> axum::Router {
        let server = self.clone();
        axum::Router::new().fallback(move |request: axum::extract::Request| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                match body.collect().await {
                    Ok(body) => http::handle(&server, parts, body.to_bytes()).await,
                    Err(error) => http::unreadable(&error.to_string()),
                }
            }
        })
    }

    /// An in-process client with full rights.
    pub fn client(&self, user_agent: &str) -> kube::Client {
        self.in_process(user_agent, None)
    }

    /// An in-process client that shows a token.
    pub fn client_with_token(&self, user_agent: &str, token: &str) -> kube::Client {
        self.in_process(user_agent, Some(format!("Bearer {token}")))
    }

    fn in_process(&self, user_agent: &str, authorization: Option<String>) -> kube::Client {
        let server = self.clone();
        let agent = ::http::HeaderValue::from_str(user_agent)
            .unwrap_or_else(|_| ::http::HeaderValue::from_static("unnamed"));
        let authorization = authorization.and_then(|value| ::http::HeaderValue::from_str(&value).ok());
        let service = tower::service_fn(move |request: ::http::Request<kube::client::Body>| {
            let server = server.clone();
            let (agent, authorization) = (agent.clone(), authorization.clone());
            async move {
                let (mut parts, body) = request.into_parts();
                parts.headers.entry(::http::header::USER_AGENT).or_insert(agent);
                if let Some(authorization) = authorization {
                    parts.headers.insert(::http::header::AUTHORIZATION, authorization);
                }
                let answer = match body.collect().await {
                    Ok(body) => http::handle(&server, parts, body.to_bytes()).await,
                    Err(error) => http::unreadable(&error.to_string()),
                };
                Ok::<_, Infallible>(answer)
            }
        });
        kube::Client::new(service, "default")
    }

    /// An in-process client without HTTP, known by this name.
    pub fn direct(&self, client: &'static str) -> Direct {
        Direct::new(self.clone(), client)
    }

    /// The faults raised now.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The requests answered so far.
    pub fn requests(&self) -> RequestLog {
        self.0.requests.clone()
    }

    /// The server's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Whether whoever sends this request is known by certificate or token.
    pub(crate) fn knows(&self, parts: &::http::request::Parts) -> bool {
        super::authn::authenticate(self, &self.state(), parts).is_ok_and(|user| !user.is_anonymous())
    }

    /// Serves an aggregated group through this handler while its backend is ready.
    pub fn set_aggregated(&self, group: &str, version: &str, handler: AggregatedHandler) {
        let mut handlers = self.0.aggregated.lock().expect("the handlers' lock is never poisoned");
        handlers.insert((group.to_owned(), version.to_owned()), handler);
    }

    /// Evaluates ValidatingAdmissionPolicies with this.
    pub fn set_policy_evaluator(&self, evaluator: PolicyEvaluator) {
        self.state().policies.evaluator = Some(evaluator);
    }

    /// Says whether etcd can commit; while it can't, nothing is written or read anew.
    pub fn set_etcd_health(&self, health: EtcdHealth) {
        self.state().etcd = health;
    }

    /// How long a request waits for an etcd that can't commit, if not the real server's seven seconds.
    pub fn set_etcd_timeout(&self, timeout: Duration) {
        self.state().etcd_timeout = timeout;
    }

    /// Gives Services their addresses from these ranges, at most one of each family and the primary one
    /// first; moves `default/kubernetes` there.
    pub fn set_service_ranges(&self, nets: Vec<IpNet>) {
        self.state().services = ServiceRange::new(nets);
        super::bootstrap::kubernetes_service(self);
    }

    /// Forgets the history up to now: watches and pages from before get 410 Gone.
    pub fn compact(&self) {
        let mut state = self.state();
        let revision = state.store.revision;
        state.store.history.compact(revision);
        state.pages.compact(revision);
    }

    /// Ends every watch, as a restarting server does.
    pub fn end_watches(&self) {
        self.state().store.end_watches();
    }

    /// The store's revision: the resourceVersion of the last change.
    pub fn revision(&self) -> u64 {
        self.state().store.revision
    }
}
