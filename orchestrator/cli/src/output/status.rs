//! Where a run stands, for people and for scripts.

use super::wrap::wrapped;
use replank_planning::intent::API_VERSION;
use replank_planning::journal::{Standing, Status};
use serde::Serialize;
use std::path::PathBuf;

/// A run's status as a document.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusDocument {
    api_version: &'static str,
    kind: &'static str,
    /// Which run.
    pub(crate) run: String,
    /// The cluster's uid, where the run's own plan could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<String>,
    /// Its directory, where it is on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Who carries it out, where the cluster's mirror says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) holder: Option<String>,
    /// When that process was heard of last, where it should have been heard of since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_sign: Option<String>,
    /// Where it stands.
    #[serde(flatten)]
    pub(crate) status: Status,
}

impl StatusDocument {
    /// The status of a run that is known by its name only.
    pub(crate) fn new(run: String, status: Status) -> Self {
        Self {
            api_version: API_VERSION,
            kind: "RunStatus",
            run,
            cluster: None,
            run_dir: None,
            holder: None,
            last_sign: None,
            status,
        }
    }

    /// The status in a few lines.
    pub(crate) fn text(&self) -> String {
        let status = &self.status;
        let mut lines = vec![format!("run      {}", self.run), format!("state    {}", word(status.state))];
        let mut tell = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                lines.push(wrapped(&format!("{name:<9}"), "         ", value));
            }
        };
        tell("reason", status.reason.as_deref());
        tell("step", status.step.as_ref().map(replank_planning::ids::StepId::as_str));
        tell("node", status.node.as_ref().map(replank_planning::ids::SlotId::as_str));
        tell("waits", status.waiting_for.as_ref().map(|w| w.message.as_str()));
        tell("since", status.waiting_for.as_ref().map(|w| w.since.as_str()));
        let mut nodes = format!("{} of {} replaced", status.nodes.replaced, status.nodes.total);
        if status.nodes.in_place > 0 {
            nodes = format!("{nodes}, {} in place", status.nodes.in_place);
        }
        tell("nodes", Some(&nodes));
        tell("holder", self.holder.as_deref());
        tell("silent", self.last_sign.as_ref().map(|at| format!("since {at}")).as_deref());
        lines.join("\n")
    }

    /// The status in one line, for a list.
    pub(crate) fn row(&self) -> String {
        let at = self.status.step.as_ref().map(|step| format!("  at {step}")).unwrap_or_default();
        format!(
            "{}  {:<11}  {:>3}/{:<3}{at}",
            self.run,
            word(self.status.state),
            self.status.nodes.replaced,
            self.status.nodes.total
        )
    }
}

/// A state in words.
fn word(state: Standing) -> &'static str {
    match state {
        Standing::New => "new",
        Standing::Running => "running",
        Standing::Interrupted => "interrupted",
        Standing::Paused => "paused",
        Standing::Stuck => "stuck",
        Standing::Finished => "finished",
        Standing::RolledBack => "rolled back",
        Standing::Finalized => "finalized",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replank_planning::journal::{NodeCount, WaitingFor};

    #[test]
    fn a_status_says_what_is_waited_for_and_since_when() {
        let document = StatusDocument::new(
            "run-0123456789".into(),
            Status {
                state: Standing::Running,
                reason: None,
                step: Some("worker-1/drain".into()),
                node: Some("worker-1".into()),
                waiting_for: Some(WaitingFor {
                    code: "draining".into(),
                    message:
                        "waiting for 3 pods to leave worker-1; 1 blocked by a budget, such as a/b by a/c"
                            .into(),
                    since: "2026-01-01T00:00:00.000Z".into(),
                }),
                nodes: NodeCount { total: 3, replaced: 1, in_place: 0 },
            },
        );
        insta::assert_snapshot!(document.text());
        insta::assert_snapshot!(document.row());
        insta::assert_json_snapshot!(document);
        let mut in_place = document;
        in_place.status.nodes.in_place = 3;
        assert!(in_place.text().contains("nodes    1 of 3 replaced, 3 in place"), "{}", in_place.text());
    }
}
