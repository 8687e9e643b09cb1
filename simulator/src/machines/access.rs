//! How machines reach an API server: the embedded one, or a real one over the network.

use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use kube::config::AuthInfo;

use super::etcd::Etcd;
use crate::server::Server;

/// A way to an API server. Machines know no other.
pub trait ApiAccess: Send + Sync {
    /// A client with a node's or administrator's rights.
    fn client(&self, user_agent: &str) -> Client;
    /// A client that shows a bearer token.
    fn client_with_token(&self, user_agent: &str, token: &str) -> Client;
    /// The embedded server, if it is that.
    fn server(&self) -> Option<Server> {
        None
    }
}

/// An API server behind a network, as a kubeconfig describes it.
pub struct RemoteApi {
    config: kube::Config,
    plain: Client,
    /// Shows nothing: for whoever has no token that can be shown.
    stranger: Client,
}

impl RemoteApi {
    /// Access by a client configuration with an administrator's rights.
    ///
    /// # Errors
    /// The configuration can't be made into a client.
    pub fn new(mut config: kube::Config) -> Result<Self, kube::Error> {
        config.default_retry = false;
        let plain = Client::try_from(config.clone())?;
        let mut bare = config.clone();
        bare.auth_info = AuthInfo::default();
        Ok(Self { config, plain, stranger: Client::try_from(bare)? })
    }

    /// A client that calls itself so.
    fn named(&self, user_agent: &str, auth_info: AuthInfo) -> Result<Client, kube::Error> {
        let mut config = self.config.clone();
        config.auth_info = auth_info;
        if let Ok(agent) = HeaderValue::from_str(user_agent) {
            config.headers.push((USER_AGENT, agent));
        }
        Client::try_from(config)
    }
}

impl ApiAccess for RemoteApi {
    fn client(&self, user_agent: &str) -> Client {
        self.named(user_agent, self.config.auth_info.clone()).unwrap_or_else(|_| self.plain.clone())
    }

    fn client_with_token(&self, user_agent: &str, token: &str) -> Client {
        let shown = AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
        self.named(user_agent, shown).unwrap_or_else(|_| self.stranger.clone())
    }
}

/// The way to the API server on one's own machine.
#[derive(Clone)]
pub(crate) struct Gate {
    etcd: Etcd,
    machine: String,
}

impl Gate {
    /// The way to a machine's own API server.
    pub(crate) fn new(etcd: Etcd, machine: &str) -> Self {
        Self { etcd, machine: machine.to_owned() }
    }

    /// A client whose requests fail like a refused connection while that API server is down.
    pub(crate) fn guard(&self, client: Client) -> Client {
        let gate = self.clone();
        let namespace = client.default_namespace().to_owned();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (gate, client) = (gate.clone(), client.clone());
            async move { gate.pass(&client, request).await }
        });
        Client::new(service, namespace)
    }

    async fn pass(&self, client: &Client, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        if !self.etcd.api_on(&self.machine) {
            return Err(Box::new(std::io::Error::new(
                std::io::ErrorKind::ConnectionRefused,
                "dial tcp 127.0.0.1:6443: connect: connection refused",
            )));
        }
        client.send(request).await.map_err(Into::into)
    }
}
