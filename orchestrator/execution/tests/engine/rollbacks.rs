//! The way back: as far as it was asked for, through a lock that lapsed, and paused.

use crate::cluster::Cluster;
use crate::plans;
use crate::runs::{apply, journal};
use futures::FutureExt;
use replank_execution::api::PatchKind;
use replank_execution::engine::mirror;
use replank_execution::journal::{Journal, JournalError};
use replank_execution::lock::LEASE;
use replank_execution::{Engine, Outcome, RunDir, RunError, RunEvent};
use replank_planning::ids::StepId;
use replank_planning::journal::Record;
use replank_planning::plan::Plan;
use replank_planning::waiting::PauseReason;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const BUDGET: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/web";

/// A worker that was replaced by a finished run.
async fn finished() -> (Cluster, Plan, TempDir) {
    let cluster = Cluster::with_workers(&["w1", "w2"]).await;
    cluster.deployment("web", 3).await;
    let plan = plans::replacing(cluster.observed().await, &["w1"]);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    (cluster, plan, directory)
}

/// An engine, what it tells, and a way to ask it for a pause.
fn engine(
    cluster: &Cluster,
    plan: &Plan,
    directory: &Path,
) -> (Engine, UnboundedReceiver<RunEvent>, CancellationToken) {
    let (events, told) = unbounded_channel();
    let pause = CancellationToken::new();
    let run_dir = RunDir::open(directory).unwrap();
    let engine =
        Engine::new(cluster.world(), plan.clone(), run_dir, events, pause.clone()).asked_by("Ctrl-C");
    (engine, told, pause)
}

async fn back(cluster: &Cluster, plan: &Plan, directory: &Path) -> Outcome {
    engine(cluster, plan, directory).0.rollback(None).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_way_back_to_a_step_that_was_not_begun_undoes_nothing_and_says_which_may_be_named() {
    let (cluster, plan, directory) = finished().await;
    let to = |step: &str| engine(&cluster, &plan, directory.path()).0.rollback(Some(StepId::new(step)));
    let before = journal(directory.path());

    let error = to("w1/drian").await.unwrap_err();

    assert!(matches!(error, RunError::NothingStays { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("w1/drian") && said.contains("w1/drain"), "{said}");
    assert_eq!(journal(directory.path()), before);

    // One that was undone does not stay either.
    assert_eq!(to("w1/drain").await.unwrap(), Outcome::RolledBack);
    assert!(matches!(to("w1/stop").await, Err(RunError::NothingStays { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_way_back_of_what_never_began_is_refused_if_a_step_shall_stay() {
    let cluster = Cluster::with_workers(&["w1"]).await;
    let plan = plans::holding(cluster.observed().await);
    let directory = tempfile::tempdir().unwrap();
    let to = Some(StepId::new("hold/cp1"));
    let error = engine(&cluster, &plan, directory.path()).0.rollback(to).await.unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
}

/// A computer that sleeps for as long as a Lease right after a step was undone.
struct Sleeping(Box<dyn Journal>, bool);

impl Journal for Sleeping {
    fn append(&mut self, line: &[u8]) -> Result<(), JournalError> {
        self.0.append(line)?;
        if !self.1 && String::from_utf8_lossy(line).contains("undoSucceeded") {
            self.1 = true;
            tokio::time::advance(LEASE).now_or_never();
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_lapsed_between_two_steps_is_waited_for_on_the_way_back() {
    let (cluster, plan, directory) = finished().await;
    let (engine, _told, _) = engine(&cluster, &plan, directory.path());
    let engine = engine.with_journal(Box::new(|inner| Box::new(Sleeping(inner, false))));

    let outcome = engine.rollback(None).await.unwrap();

    assert_eq!(outcome, Outcome::RolledBack, "{}", journal(directory.path()));
    assert!(journal(directory.path()).contains("lockNotRenewed"));
}

/// A budget that keeps every pod where it is.
async fn frozen() -> (Cluster, Plan, TempDir) {
    let (cluster, plan, directory) = finished().await;
    cluster.budget("web", json!({"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}})).await;
    (cluster, plan, directory)
}

/// Waits until the undoing of a step has begun.
async fn until_undoing(told: &mut UnboundedReceiver<RunEvent>, step: &str) {
    while let Some(event) = told.recv().await {
        if let RunEvent::Recorded(entry) = event
            && matches!(&entry.record, Record::UndoStarted { step: s, .. } if s.as_str() == step)
        {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_back_that_drains_pauses_at_once_and_goes_on() {
    for elsewhere in [false, true] {
        let (cluster, plan, directory) = frozen().await;
        let api = cluster.world().api();
        let (engine, mut told, pause) = engine(&cluster, &plan, directory.path());
        let ask = async {
            until_undoing(&mut told, "w1/admit").await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            if elsewhere {
                mirror::request(&api, Some(mirror::Request::Pause)).await.unwrap();
            } else {
                pause.cancel();
            }
            Instant::now()
        };

        let (outcome, asked) = tokio::join!(engine.rollback(None), ask);

        let by = if elsewhere { mirror::BY } else { "Ctrl-C" };
        let reason = PauseReason::Requested { by: by.into() };
        assert_eq!(outcome.unwrap(), Outcome::Paused { reason, step: Some(StepId::new("w1/admit")) });
        assert!(asked.elapsed() < Duration::from_secs(10), "after {:?}", asked.elapsed());

        // What is half undone can't be gone on with forward.
        let before = journal(directory.path());
        let error = apply(&cluster, &plan, directory.path()).await.unwrap_err();
        assert!(matches!(error, RunError::HalfUndone { .. }), "{error:?}");
        assert_eq!(journal(directory.path()), before);

        let loose = json!({"spec": {"minAvailable": 1}});
        api.patch(BUDGET, PatchKind::Merge, &loose).await.unwrap();
        assert_eq!(back(&cluster, &plan, directory.path()).await, Outcome::RolledBack);
    }
}
