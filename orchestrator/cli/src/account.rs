//! What is told at the end of a run, from its plan and its journal alone.

use crate::timeline::{self, StepAccount};
use replank_execution::Outcome;
use replank_execution::journal::Journalled;
use replank_planning::checks::Consent;
use replank_planning::intent::{API_VERSION, Strategy};
use replank_planning::journal::{NodeCount, Status, StepPhase};
use replank_planning::plan::Plan;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The account of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunAccount {
    api_version: &'static str,
    kind: &'static str,
    result: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    run: String,
    cluster: String,
    strategy: Strategy,
    nodes: NodeCount,
    consents: Vec<Consent>,
    steps: Vec<StepAccount>,
    waits: BTreeMap<String, u64>,
    seconds: f64,
    run_dir: PathBuf,
    /// The command that goes on from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Verdict {
    Succeeded,
    RolledBack,
    Paused,
    NoWayBack,
    Stuck,
}

impl RunAccount {
    /// The account of what a journal holds.
    pub(crate) fn new(
        plan: &Plan,
        journalled: Option<&Journalled>,
        outcome: &Outcome,
        run_dir: &Path,
        next: Option<String>,
    ) -> Self {
        let entries = journalled.map(|j| j.entries.as_slice()).unwrap_or_default();
        let state = journalled.map(|j| j.state.clone()).unwrap_or_default();
        let (result, reason) = match outcome {
            Outcome::Finished => (Verdict::Succeeded, None),
            Outcome::RolledBack => (Verdict::RolledBack, None),
            Outcome::Paused { reason, step: Some(step) } => {
                (Verdict::Paused, Some(format!("{step}: {reason}")))
            }
            Outcome::Paused { reason, step: None } => (Verdict::Paused, Some(reason.to_string())),
            Outcome::NoWayBack { step, reason } => (Verdict::NoWayBack, Some(format!("{step}: {reason}"))),
            Outcome::Stuck { step, reason } => (Verdict::Stuck, Some(format!("{step}: {reason}"))),
        };
        let seconds = entries.first().zip(entries.last());
        Self {
            api_version: API_VERSION,
            kind: "RunAccount",
            result,
            reason,
            run: plan.run_id().map(|run| run.to_string()).unwrap_or_default(),
            cluster: plan.cluster.uid.to_string(),
            strategy: plan.intent.strategy,
            nodes: Status::of(plan, &state).nodes,
            consents: plan.consents.clone(),
            steps: timeline::steps(plan, entries),
            waits: timeline::waits(entries),
            seconds: seconds.and_then(|(a, b)| timeline::seconds_between(&a.time, &b.time)).unwrap_or(0.0),
            run_dir: run_dir.to_owned(),
            next,
        }
    }

    /// The account in a few lines, for people.
    pub(crate) fn text(&self) -> String {
        let verdict = match self.result {
            Verdict::Succeeded => "succeeded",
            Verdict::RolledBack => "rolled back",
            Verdict::Paused => "paused",
            Verdict::NoWayBack => "no way back",
            Verdict::Stuck => "stuck",
        };
        let mut lines = vec![format!("result   {verdict}")];
        if let Some(reason) = &self.reason {
            lines.push(crate::output::wrap::wrapped("reason   ", "         ", reason));
        }
        lines.push(format!("nodes    {} of {} replaced", self.nodes.replaced, self.nodes.total));
        lines.push(format!("consents {} accepted", self.consents.len()));
        lines.push(format!("time     {:.0} s", self.seconds));
        lines.push(format!("run      {} in {}", self.run, self.run_dir.display()));
        if let Some(next) = &self.next {
            lines.push(format!("next     {next}"));
        }
        lines.join("\n")
    }
}

/// What was begun and is not over, for whoever stopped a run at once.
pub(crate) fn half_done(plan: &Plan, journalled: Option<&Journalled>) -> String {
    let state = journalled.map(|j| j.state.clone()).unwrap_or_default();
    let steps: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| {
            matches!(state.step(&step.id).phase, StepPhase::Started | StepPhase::Failed | StepPhase::Undoing)
        })
        .map(|step| step.id.as_str())
        .collect();
    if steps.is_empty() {
        "stopped; no step is half done".to_owned()
    } else {
        format!("stopped; half done: {}. The same command goes on from there", steps.join(", "))
    }
}
