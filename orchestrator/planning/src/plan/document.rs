//! The plan as a document.

use super::{Action, Slot, Undo};
use crate::canonical::{self, NotCanonical};
use crate::checks::{Consent, Finding};
use crate::ids::{ClusterUid, Digest, RunId, SlotId, StepId};
use crate::intent::Intent;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`crate::intent::API_VERSION`].
    pub api_version: String,
    /// `Plan`.
    pub kind: String,
    /// The version of replank that made it.
    pub tool_version: String,
    /// The cluster and the facts it rests on.
    pub cluster: Binding,
    /// What was wanted.
    pub intent: Intent,
    /// What was found; blockers never are in a plan.
    pub findings: Vec<Finding>,
    /// The consents that cover every finding that needs one, each with its object.
    pub consents: Vec<Consent>,
    /// One place per node, in the order of replacement.
    pub slots: Vec<Slot>,
    /// The steps, in an order that respects `after`.
    pub steps: Vec<PlannedStep>,
}

/// The cluster that a plan is for, and the facts it rests on. They are compared before the first
/// record of a run only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Which cluster.
    pub uid: ClusterUid,
    /// What mattered to the plan: a readable name of the fact, such as `nodes` or `Pod default/db-0 emptyDir`,
    /// with the value's digest or short text.
    pub facts: BTreeMap<String, String>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// Its name.
    pub id: StepId,
    /// The steps that must have succeeded before it starts.
    pub after: Vec<StepId>,
    /// The slot it belongs to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotId>,
    /// What it does.
    pub action: Action,
    /// How it is undone.
    pub undo: Undo,
}

impl Plan {
    /// The plan's digest over its canonical form.
    ///
    /// # Errors
    /// When the plan can't be written as JSON.
    pub fn digest(&self) -> Result<Digest, NotCanonical> {
        canonical::digest(self)
    }

    /// The run that carries out this plan: one plan, one run, so that asking again resumes.
    ///
    /// # Errors
    /// As [`Plan::digest`].
    pub fn run_id(&self) -> Result<RunId, NotCanonical> {
        let digest = self.digest()?;
        Ok(RunId::new(format!("run-{}", &digest.as_str()[..10])))
    }

    /// A step by name.
    pub fn step(&self, id: &StepId) -> Option<&PlannedStep> {
        self.steps.iter().find(|s| s.id == *id)
    }

    /// A slot by name.
    pub fn slot(&self, id: &SlotId) -> Option<&Slot> {
        self.slots.iter().find(|s| s.id == *id)
    }
}
