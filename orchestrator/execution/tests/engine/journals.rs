//! Journals that are damaged, full, foreign, or in use.

use crate::cluster::Cluster;
use crate::plans;
use crate::runs::{apply, journal};
use replank_execution::journal::{CrashPoint, CrashingJournal, Journal, JournalError, Side};
use replank_execution::run_dir::RunDirError;
use replank_execution::{Engine, Outcome, RunDir, RunError};
use replank_planning::plan::Plan;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

/// A run that was killed after ten lines.
async fn half_done() -> (Cluster, Plan, TempDir) {
    let cluster = Cluster::with_workers(&["w1"]).await;
    let plan = plans::holding(cluster.observed().await);
    let directory = tempfile::tempdir().unwrap();
    let hooked = hooked(&cluster, &plan, directory.path(), |inner| {
        Box::new(CrashingJournal::new(inner, CrashPoint { line: 5, side: Side::After }))
    });
    assert!(matches!(hooked.await, Err(RunError::Journal(JournalError::Crashed))));
    (cluster, plan, directory)
}

async fn hooked(
    cluster: &Cluster,
    plan: &Plan,
    directory: &Path,
    hook: impl FnOnce(Box<dyn Journal>) -> Box<dyn Journal> + Send + 'static,
) -> Result<Outcome, RunError> {
    let (events, _told) = unbounded_channel();
    let run_dir = RunDir::open(directory)?;
    Engine::new(cluster.world(), plan.clone(), run_dir, events, CancellationToken::new())
        .with_journal(Box::new(hook))
        .apply()
        .await
}

fn rewrite(directory: &Path, change: impl Fn(&str) -> String) {
    let path = directory.join("journal.ndjson");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, change(&text)).unwrap();
}

/// What applying says, and that it changed nothing.
async fn refused(cluster: &Cluster, plan: &Plan, directory: &Path) -> String {
    let writes = || cluster.server.requests().count(|r| r.client.starts_with("replank") && r.is_write());
    let written = writes();
    let before = journal(directory);
    let error = apply(cluster, plan, directory).await.unwrap_err();
    assert_eq!(writes(), written, "something was changed");
    assert_eq!(journal(directory), before);
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_torn_last_record_is_cut_off_and_the_run_goes_on() {
    let (cluster, plan, directory) = half_done().await;
    rewrite(directory.path(), |text| format!("{text}{{\"sequence\":99,\"ti"));
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    assert!(!journal(directory.path()).contains("99,\"ti"));
    // What was written behind the torn line reads well.
    assert!(RunDir::look(directory.path()).unwrap().1.is_some());
}

#[tokio::test(start_paused = true)]
async fn any_other_damage_is_refused_by_its_line() {
    let (cluster, plan, directory) = half_done().await;
    let whole = journal(directory.path());
    let said = |text: String| {
        std::fs::write(directory.path().join("journal.ndjson"), text).unwrap();
        refused(&cluster, &plan, directory.path())
    };
    let changed = said(whole.replacen("\"attempt\":1", "\"attempt\":2", 1)).await;
    assert!(changed.contains("damaged at line 4") && changed.contains("does not follow"), "{changed}");
    let without_third: Vec<&str> =
        whole.lines().enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| line).collect();
    let missing = said(without_third.join("\n") + "\n").await;
    assert!(missing.contains("damaged at line 3"), "{missing}");
    let garbage = said(whole.replacen('{', "<", 1)).await;
    assert!(garbage.contains("damaged at line 1") && garbage.contains("not a record"), "{garbage}");
    let newer = said(whole.replacen("\"schema\":1", "\"schema\":7", 1)).await;
    assert!(newer.contains("version 7"), "{newer}");
}

#[tokio::test(start_paused = true)]
async fn another_plan_and_another_cluster_are_refused() {
    let (cluster, plan, directory) = half_done().await;
    let mut other = plan.clone();
    other.steps.pop();
    let text = refused(&cluster, &other, directory.path()).await;
    assert!(text.contains("another plan"), "{text}");

    let elsewhere = Cluster::with_uid(8).await;
    let text = refused(&elsewhere, &plan, directory.path()).await;
    assert!(text.contains("--context"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn two_processes_never_share_a_directory() {
    let (cluster, plan, directory) = half_done().await;
    let held = RunDir::open(directory.path()).unwrap();
    assert!(matches!(
        apply(&cluster, &plan, directory.path()).await,
        Err(RunError::RunDir(RunDirError::Locked(_)))
    ));
    drop(held);
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
}

/// A disk that is full after some lines.
struct Full {
    inner: Box<dyn Journal>,
    room: Arc<AtomicU64>,
    kind: io::ErrorKind,
}

impl Journal for Full {
    fn append(&mut self, line: &[u8]) -> Result<(), JournalError> {
        if self.room.load(Ordering::Relaxed) == 0 {
            return Err(JournalError::write(Path::new("journal.ndjson"), self.kind.into()));
        }
        self.room.fetch_sub(1, Ordering::Relaxed);
        self.inner.append(line)
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_written_stops_the_run_before_the_act() {
    for (kind, hint) in [
        (io::ErrorKind::StorageFull, "Make room"),
        (io::ErrorKind::ReadOnlyFilesystem, "writable"),
        (io::ErrorKind::Other, "Look at the disk"),
    ] {
        let cluster = Cluster::with_workers(&["w1"]).await;
        let plan = plans::holding(cluster.observed().await);
        let directory = tempfile::tempdir().unwrap();
        // Header, resumed, the snapshot's start and end: the next act is a change of kubeadm-config.
        let room = Arc::new(AtomicU64::new(4));
        let config = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
        let before = cluster.world().api().get(config).await.unwrap();
        let error =
            hooked(&cluster, &plan, directory.path(), move |inner| Box::new(Full { inner, room, kind }))
                .await
                .unwrap_err();
        assert!(error.to_string().contains(hint), "{error}");
        assert_eq!(cluster.world().api().get(config).await.unwrap(), before);
        // There is room again.
        assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_cluster, _plan, directory) = half_done().await;
    for file in ["journal.ndjson", "plan.json", "lock"] {
        let mode = std::fs::metadata(directory.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} {mode:o}");
    }
    let backup = std::fs::metadata(directory.path().join("backup")).unwrap().permissions().mode();
    assert_eq!(backup & 0o077, 0, "{backup:o}");
}
