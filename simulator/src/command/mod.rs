//! What `replank-simulator` does: build a cluster, serve it, end when told to.

mod arguments;

pub(crate) use arguments::Arguments;

use k8s_openapi::jiff::Timestamp;
use replank_simulator::Clock;
use replank_simulator::faults::Faults;
use replank_simulator::scenario::{Cluster, ClusterSpec, Manifest, ManifestError, ScenarioError};
use replank_simulator::standalone::{self, API_VERSION, Access, AccessError, Record};
use serde_json::{Value, json};
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// How many of the last requests stay in memory: it serves for as long as somebody wants a cluster.
const REQUESTS_KEPT: usize = 10_000;

/// Why the simulator ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// A file.
    #[error("{path} can't be used")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The cluster did not come up.
    #[error("the cluster did not come up: {0}")]
    Cluster(#[from] ScenarioError),
    /// It can't be served.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The runtime, the signals or stdout.
    #[error("the system refused what the simulator needs")]
    System(#[from] io::Error),
}

/// An error's text, followed by its causes'.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// Runs until a signal ends it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    if arguments.fault.iter().any(|fault| fault == "list") {
        let lines: Vec<String> =
            Faults::names().iter().map(|(name, what)| format!("{name:<26} {what}")).collect();
        return print(&lines.join("\n"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(live(arguments));
    // The cluster's tasks have nothing to finish.
    runtime.shutdown_background();
    ended
}

async fn live(arguments: &Arguments) -> Result<(), CommandError> {
    let stopped = stop_signal()?;
    tokio::pin!(stopped);
    let opened = tokio::select! {
        biased;
        () = &mut stopped => return Ok(()),
        opened = open(arguments) => opened,
    };
    let Opened { cluster, access, record } = opened?;
    print(&ready(&access).to_string())?;
    stopped.await;
    let recorded = match &record {
        Some(record) => record.end(&cluster, &access).await,
        None => Ok(()),
    };
    access.close().await;
    recorded.map_err(|e| file_error(arguments.record.as_deref().unwrap_or(Path::new(".")), e))
}

/// A cluster that is served.
struct Opened {
    cluster: Cluster,
    access: Access,
    record: Option<Record>,
}

async fn open(arguments: &Arguments) -> Result<Opened, CommandError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a cluster that stays begins now, and goes on in real time"
    )]
    let now = Timestamp::now();
    let cluster = Cluster::build(spec(arguments)?, Clock::starting_at(now)).await?;
    cluster.server.requests().keep(REQUESTS_KEPT);
    for fault in arguments.faults() {
        cluster.server.faults().raise(fault);
    }
    let begin = |directory: &Path| Record::begin(&cluster, directory).map_err(|e| file_error(directory, e));
    let record = arguments.record.as_deref().map(begin).transpose()?;
    let access = standalone::open(&cluster, arguments.listen, &arguments.kubeconfig).await?;
    Ok(Opened { cluster, access, record })
}

fn spec(arguments: &Arguments) -> Result<ClusterSpec, CommandError> {
    let manifests = arguments.cni_manifest.iter().map(|path| manifest(path)).collect::<Result<_, _>>()?;
    let spec = ClusterSpec::default();
    Ok(ClusterSpec {
        control_planes: arguments.control_planes.into(),
        workers: arguments.workers.into(),
        pods: usize::try_from(arguments.pods).unwrap_or(usize::MAX),
        seed: arguments.seed,
        manifests,
        durations: spec.durations.scaled(arguments.speed),
        ..spec
    })
}

fn manifest(path: &Path) -> Result<Manifest, CommandError> {
    let name = path.file_name().map_or_else(|| path.to_string_lossy(), |n| n.to_string_lossy());
    let text = std::fs::read_to_string(path).map_err(|e| file_error(path, e))?;
    Ok(Manifest::read(&name, &text)?)
}

fn file_error(path: &Path, source: io::Error) -> CommandError {
    CommandError::File { path: path.to_owned(), source }
}

fn ready(access: &Access) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": "SimulatorReady",
        "url": access.url, "control": access.control, "kubeconfig": access.kubeconfig,
    })
}

/// Data goes to stdout, whole lines at once: whoever started the simulator waits for them.
fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Ends with the first SIGTERM or SIGINT from now on.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
