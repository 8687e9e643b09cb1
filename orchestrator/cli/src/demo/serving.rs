//! The cluster after the story: for kubectl, until Ctrl-C.

use crate::output;
use replank_simulator::scenario::Cluster;
use replank_simulator::standalone::{self, AccessError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Why the cluster can't be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServingError {
    /// It can't be reached from outside.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// There is no place for the kubeconfig.
    #[error("no directory for the kubeconfig could be made")]
    Directory(#[source] io::Error),
    /// The signals that end it can't be waited for.
    #[error("signals can't be waited for")]
    Signals(#[source] io::Error),
}

/// Lets time go on in real time and serves the cluster until SIGINT or SIGTERM. The kubeconfig lies
/// with the record, if there is one, and else in a directory that goes when the demo ends.
pub(crate) async fn serve(
    cluster: &Cluster,
    listen: SocketAddr,
    record: Option<&Path>,
) -> Result<(), ServingError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServingError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServingError::Signals)?;
    let place = Place::new(record)?;
    // The story was told in virtual time; whoever looks now lives in real time.
    tokio::time::resume();
    let access = standalone::open(cluster, listen, &place.kubeconfig).await?;
    output::say(&format!(
        "the cluster stays up at {} until Ctrl-C; look at it with\n  kubectl --kubeconfig {} get nodes",
        access.url,
        access.kubeconfig.display()
    ));
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    access.close().await;
    Ok(())
}

/// Where the kubeconfig lies.
struct Place {
    kubeconfig: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    fn new(record: Option<&Path>) -> Result<Self, ServingError> {
        if let Some(directory) = record {
            std::fs::create_dir_all(directory).map_err(ServingError::Directory)?;
            return Ok(Self { kubeconfig: directory.join("kubeconfig"), _temporary: None });
        }
        let temporary = tempfile::Builder::new().prefix("replank-demo-").tempdir();
        let temporary = temporary.map_err(ServingError::Directory)?;
        Ok(Self { kubeconfig: temporary.path().join("kubeconfig"), _temporary: Some(temporary) })
    }
}
