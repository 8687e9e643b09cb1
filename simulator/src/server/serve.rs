//! The API over TCP with TLS, until told to stop.

use super::authn::Peer;
use super::core::Server;
use super::tls::{Pki, PkiError};
use ::http::Request;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How long open requests have to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon a port is asked for again that something else took while the API server was away.
const BIND_AGAIN: Duration = Duration::from_millis(200);

/// What is served: it says which faults strike the connections themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The API server's own: gone while the fault `api-server-away` is raised for everybody.
    ApiServer,
    /// One beside it, which stays: whoever raised a fault can lift it there.
    Control,
}

/// Why serving could not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be listened on.
    #[error("can't listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// TLS can't be set up.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// A served API.
pub struct Serving {
    addr: SocketAddr,
    server: Server,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Serving {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// Stops: no new connections, watches end, open requests are answered or, after a while, dropped.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.end_watches();
        self.tasks.close();
        // Whoever is still connected after that is cut off with the runtime.
        let _ = tokio::time::timeout(PATIENCE, self.tasks.wait()).await;
    }
}

/// Serves a router (the server's own, perhaps with others merged in) at `addr`.
pub async fn serve(
    server: &Server,
    router: Router,
    addr: SocketAddr,
    pki: &Pki,
) -> Result<Serving, ServeError> {
    serve_as(Endpoint::ApiServer, server, router, addr, pki).await
}

/// The same, as an endpoint that some faults strike and others don't.
pub async fn serve_as(
    endpoint: Endpoint,
    server: &Server,
    router: Router,
    addr: SocketAddr,
    pki: &Pki,
) -> Result<Serving, ServeError> {
    let listener = TcpListener::bind(addr).await.map_err(|source| ServeError::Listen { addr, source })?;
    let bound = listener.local_addr().map_err(|source| ServeError::Listen { addr, source })?;
    let acceptor = TlsAcceptor::from(Arc::new(pki.server_config()?));
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let door = Door { acceptor, router, stop: stop.clone(), tasks: tasks.clone(), server: server.clone() };
    tasks.spawn(async move {
        tokio::select! {
            biased;
            () = door.stop.cancelled() => {}
            () = door.keep(endpoint, listener, bound) => {}
        }
    });
    Ok(Serving { addr: bound, server: server.clone(), stop, tasks })
}

/// Where connections come in.
struct Door {
    acceptor: TlsAcceptor,
    router: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
    server: Server,
}

impl Door {
    async fn keep(&self, endpoint: Endpoint, mut listener: TcpListener, addr: SocketAddr) {
        if endpoint == Endpoint::Control {
            return self.accept(&listener, &CancellationToken::new()).await;
        }
        loop {
            let cut = CancellationToken::new();
            tokio::select! {
                biased;
                () = self.away(true) => {}
                () = self.accept(&listener, &cut) => {}
            }
            drop(listener);
            cut.cancel();
            self.away(false).await;
            listener = self.bind_again(addr).await;
        }
    }

    /// Returns once the API server is away, or is not.
    async fn away(&self, wanted: bool) {
        let mut changed = self.server.faults().changed();
        while self.server.faults().refuses_connections() != wanted {
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn bind_again(&self, addr: SocketAddr) -> TcpListener {
        loop {
            match TcpListener::bind(addr).await {
                Ok(listener) => return listener,
                Err(error) => {
                    tracing::warn!(%error, "the address can't be listened on again yet");
                    tokio::time::sleep(BIND_AGAIN).await;
                }
            }
        }
    }

    async fn accept(&self, listener: &TcpListener, cut: &CancellationToken) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let connection =
                        connection(stream, self.acceptor.clone(), self.router.clone(), self.stop.clone());
                    let cut = cut.clone();
                    self.tasks.spawn(async move {
                        let ended = tokio::select! {
                            biased;
                            () = cut.cancelled() => Ok(()),
                            ended = connection => ended,
                        };
                        if let Err(error) = ended {
                            tracing::debug!(%peer, error, "a connection ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    stop: CancellationToken,
) -> Result<(), String> {
    // Watch events are small; waiting to fill a segment would delay them.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream = acceptor.accept(stream).await.map_err(|error| error.to_string())?;
    // Certificates that our authority did not sign ended the handshake.
    let peer = match stream.get_ref().1.peer_certificates() {
        Some([_, ..]) => Peer::Administrator,
        _ => Peer::Unknown,
    };
    let builder = Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(tower::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    }));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            done = connection.as_mut() => return done.map_err(|error| error.to_string()),
        }
    }
}
