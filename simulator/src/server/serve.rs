//! The API over TCP with TLS, until told to stop.

use super::core::Server;
use super::tls::{Pki, PkiError};
use axum::Router;
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

/// How long open requests have to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(2);

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
    let listener = TcpListener::bind(addr).await.map_err(|source| ServeError::Listen { addr, source })?;
    let bound = listener.local_addr().map_err(|source| ServeError::Listen { addr, source })?;
    let acceptor = TlsAcceptor::from(Arc::new(pki.server_config()?));
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(accept(listener, acceptor, router, stop.clone(), tasks.clone()));
    Ok(Serving { addr: bound, server: server.clone(), stop, tasks })
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
                tasks.spawn(async move {
                    if let Err(error) = connection(stream, acceptor, router, stop).await {
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

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    stop: CancellationToken,
) -> Result<(), String> {
    // Watch events are small; waiting to fill a segment would delay them.
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream = acceptor.accept(stream).await.map_err(|error| error.to_string())?;
    let builder = Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(router);
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
