//! Serving with TLS and writing the kubeconfig.

use super::faults_api;
use crate::scenario::Cluster;
use crate::server::{Pki, PkiError, ServeError, Serving, serve};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
    /// The file with its address and an administrator's credentials.
    pub kubeconfig: PathBuf,
    serving: Serving,
}

impl Access {
    /// Ends it: watches end, open requests are answered. The kubeconfig stays.
    pub async fn close(self) {
        self.serving.stop().await;
    }
}

/// Serves a cluster's API, its machines' and its faults' at an address, and writes a kubeconfig
/// that only its owner may read.
pub async fn open(cluster: &Cluster, listen: SocketAddr, kubeconfig: &Path) -> Result<Access, AccessError> {
    let pki = Pki::generate(&hosts(listen.ip()))?;
    let router = cluster.router().merge(faults_api::router(cluster.server.faults().clone()));
    let serving = serve(&cluster.server, router, listen, &pki).await?;
    let url = format!("https://{}", reachable(serving.addr()));
    write_private(kubeconfig, &pki.kubeconfig(&url))
        .map_err(|source| AccessError::Kubeconfig { path: kubeconfig.to_owned(), source })?;
    Ok(Access { url, kubeconfig: kubeconfig.to_owned(), serving })
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
