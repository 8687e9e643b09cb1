//! Serving with TLS and writing the kubeconfig.

use super::witness::Witness;
use super::{faults_api, strangers, witness_api};
use crate::scenario::Cluster;
use crate::server::{Endpoint, Pki, PkiError, ServeError, Serving, serve, serve_as};
use axum::middleware;
use serde_json::Value;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

/// Why a cluster can't be reached from outside.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Its certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Its address.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Its kubeconfig.
    #[error("the kubeconfig can't be written to {path}")]
    Kubeconfig {
        /// Where it was to be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A cluster that is reached from outside.
pub struct Access {
    /// Where clients on this machine find it.
    pub url: String,
    /// Where the simulator's own API is found even while a fault keeps the API server away.
    pub control: String,
    /// The file with its address and an administrator's credentials.
    pub kubeconfig: PathBuf,
    serving: [Serving; 2],
    witness: Witness,
    watching: JoinHandle<()>,
}

impl Access {
    /// Ends it: watches end, open requests are answered. The kubeconfig stays.
    pub async fn close(self) {
        let [one, other] = self.serving;
        tokio::join!(one.stop(), other.stop());
        self.watching.abort();
    }

    /// What was seen broken so far, as `GET /simulator/v1/violations` answers it.
    pub async fn violations(&self) -> Value {
        self.witness.violations().await
    }

    /// What replank did so far, as `GET /simulator/v1/effects` answers it.
    pub async fn effects(&self) -> Value {
        self.witness.effects().await
    }
}

/// Serves a cluster's API, its machines' and the simulator's own at an address, and writes a kubeconfig
/// that only its owner may read. The simulator's own is served on a port of its own too.
pub async fn open(cluster: &Cluster, listen: SocketAddr, kubeconfig: &Path) -> Result<Access, AccessError> {
    let pki = Pki::generate(&hosts(listen.ip()))?;
    let server = &cluster.server;
    let (witness, watching) = Witness::of(cluster);
    let known = || middleware::from_fn_with_state(server.clone(), strangers::refuse);
    let own = faults_api::router(server.faults().clone()).merge(witness_api::router(witness.clone()));
    let own = own.route_layer(known());
    let machines = cluster.datacenter.router().route_layer(known());
    let router = machines.merge(own.clone()).merge(server.router());
    let serving = serve(server, router, listen, &pki).await?;
    let beside = serve_as(Endpoint::Control, server, own, SocketAddr::new(listen.ip(), 0), &pki).await?;
    let at = |serving: &Serving| format!("https://{}", reachable(serving.addr()));
    let (url, control) = (at(&serving), at(&beside));
    write_private(kubeconfig, &pki.kubeconfig(&url))
        .map_err(|source| AccessError::Kubeconfig { path: kubeconfig.to_owned(), source })?;
    let kubeconfig = kubeconfig.to_owned();
    Ok(Access { url, control, kubeconfig, serving: [serving, beside], witness, watching })
}

/// The names and addresses the server's certificate is for.
fn hosts(listen: IpAddr) -> Vec<String> {
    let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let listen = listen.to_string();
    if !hosts.contains(&listen) {
        hosts.push(listen);
    }
    hosts
}

/// Nobody can connect to "every address"; this machine's own clients take loopback.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// Whoever waits for the file never sees half of it: it is written beside and moved into place.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_a_server_that_listens_everywhere() {
        assert_eq!(reachable("0.0.0.0:6443".parse().unwrap()), "127.0.0.1:6443".parse().unwrap());
        assert_eq!(reachable("[::]:6443".parse().unwrap()), "[::1]:6443".parse().unwrap());
        assert_eq!(reachable("10.0.0.5:1".parse().unwrap()), "10.0.0.5:1".parse().unwrap());
    }
}
