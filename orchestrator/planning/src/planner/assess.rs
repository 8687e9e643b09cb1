//! What was found, decided and is in the way.

use super::network::{self, Network};
use crate::checks::{self, Consent, Finding, Severity, Situation};
use crate::cni::calico::detect::{self, Detection, Install};
use crate::cni::calico::objects::{self, Belongings};
use crate::intent::Intent;
use crate::state::ClusterState;

/// Everything that is known before a plan is made.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// The Calico that was found, if there is exactly one.
    pub install: Option<Install>,
    /// What belongs to it.
    pub calico: Belongings,
    /// The new network, if one could be decided on.
    pub network: Option<Network>,
    /// The findings, weightiest first.
    pub findings: Vec<Finding>,
}

impl Assessment {
    /// The findings of one severity.
    pub fn of(&self, severity: Severity) -> Vec<Finding> {
        self.findings.iter().filter(|f| f.severity == severity).cloned().collect()
    }

    /// The findings that need a consent which none of these gives.
    pub fn unconsented(&self, consents: &[Consent]) -> Vec<Finding> {
        let open = |f: &Finding| !consents.iter().any(|c| c.covers(f));
        self.of(Severity::Consent).into_iter().filter(open).collect()
    }
}

/// Looks at a cluster.
pub fn assess(state: &ClusterState, intent: &Intent) -> Assessment {
    let detection = detect::detect(&state.inventory);
    let calico = match &detection {
        Detection::Found(_) => objects::find(state),
        Detection::Nothing | Detection::Several(_) => Belongings::default(),
    };
    let situation = Situation { state, intent, detection: &detection, calico: &calico };
    let mut findings = checks::all(&situation);
    let network = match network::decide(state, intent) {
        Ok(network) => Some(network),
        Err(problems) => {
            findings.extend(problems);
            findings.sort();
            None
        }
    };
    Assessment { install: detection.install().cloned(), calico, network, findings }
}
