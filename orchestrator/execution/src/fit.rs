//! Whether a plan still fits the cluster that it was made for.

use crate::observe::{ObserveError, Settings, observe};
use crate::world::World;
use replank_planning::plan::Plan;
use replank_planning::planner::facts::{self, Change};
use replank_planning::planner::{Assessment, assess};

/// Why a run does not begin.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// The cluster could not be looked at.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// Something that the plan rests on is not so any more.
    #[error(
        "the plan no longer fits the cluster; nothing was done. Make a new one with `replank plan`.{}",
        listed(.0)
    )]
    Changed(Vec<Change>),
}

fn listed(changes: &[Change]) -> String {
    changes.iter().map(|change| format!("\n  {}", sentence(change))).collect()
}

fn sentence(change: &Change) -> String {
    match (change.planned.as_str(), change.now.as_str()) {
        ("", now) if facts::asks_for_consent(&change.fact) => {
            format!("{}: {now}, and no consent was given", change.fact)
        }
        ("", now) => format!("{}: new since the plan was made ({now})", change.fact),
        (planned, "") => format!("{}: gone since the plan was made (was {planned})", change.fact),
        (planned, now) => format!("{}: was {planned}, is {now}", change.fact),
    }
}

/// Compares the facts that a plan rests on with the cluster as it is now.
///
/// # Errors
/// When one of them changed in a way that matters, or the cluster can't be looked at.
pub async fn compare(world: &World, plan: &Plan, settings: &Settings) -> Result<(), Misfit> {
    let state = observe(world, settings).await?;
    let assessment: Assessment = assess(&state, &plan.intent);
    let changes = facts::changes(&plan.cluster.facts, &facts::of(&state, &assessment));
    if changes.is_empty() { Ok(()) } else { Err(Misfit::Changed(changes)) }
}
