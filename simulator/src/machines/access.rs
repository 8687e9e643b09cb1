//! How machines reach an API server: the embedded one, or a real one over the network.

use http::{Request, Response};
use kube::Client;
use kube::client::Body;

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
}

impl RemoteApi {
    /// Access by a client configuration with an administrator's rights.
    ///
    /// # Errors
    /// The configuration can't be made into a client.
    pub fn new(mut config: kube::Config) -> Result<Self, kube::Error> {
        config.default_retry = false;
        let plain = Client::try_from(config.clone())?;
        Ok(Self { config, plain })
    }
}

impl ApiAccess for RemoteApi {
    fn client(&self, _user_agent: &str) -> Client {
        self.plain.clone()
    }

    fn client_with_token(&self, _user_agent: &str, token: &str) -> Client {
        let mut config = self.config.clone();
        config.auth_info =
            kube::config::AuthInfo { token: Some(token.to_owned().into()), ..Default::default() };
        Client::try_from(config).unwrap_or_else(|_| self.plain.clone())
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
