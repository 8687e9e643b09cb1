//! What a journal says of a run's steps, waits and evictions.

use replank_planning::journal::{Entry, Record};
use replank_planning::plan::Plan;
use serde::Serialize;
use std::collections::BTreeMap;

/// One step, as it went.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepAccount {
    /// Its name.
    pub(crate) name: String,
    /// The slot's node, if it has one.
    pub(crate) node: Option<String>,
    /// When it first began.
    pub(crate) start: String,
    /// Until it succeeded, in seconds.
    pub(crate) duration: Option<f64>,
}

/// The steps in the order of their beginning.
pub(crate) fn steps(plan: &Plan, entries: &[Entry]) -> Vec<StepAccount> {
    let mut found: Vec<StepAccount> = Vec::new();
    for entry in entries {
        match &entry.record {
            Record::Started { step, .. } if !found.iter().any(|s| s.name == step.as_str()) => {
                let node = plan.step(step).and_then(|s| s.slot.as_ref()).map(ToString::to_string);
                found.push(StepAccount {
                    name: step.to_string(),
                    node,
                    start: entry.time.clone(),
                    duration: None,
                });
            }
            Record::Succeeded { step, .. } => {
                if let Some(found) = found.iter_mut().find(|s| s.name == step.as_str()) {
                    found.duration = seconds_between(&found.start, &entry.time);
                }
            }
            _ => {}
        }
    }
    found
}

/// How often each kind of waiting was told.
pub(crate) fn waits(entries: &[Entry]) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in entries {
        if let Record::Waiting { waiting, .. } = &entry.record {
            *found.entry(waiting.code().to_string()).or_default() += 1;
        }
    }
    found
}

/// Seconds between two times of one journal.
pub(crate) fn seconds_between(from: &str, to: &str) -> Option<f64> {
    let parse = |text: &str| text.parse::<k8s_openapi::jiff::Timestamp>().ok();
    let span = parse(to)?.duration_since(parse(from)?);
    Some((span.as_secs_f64() * 1000.0).round() / 1000.0)
}
