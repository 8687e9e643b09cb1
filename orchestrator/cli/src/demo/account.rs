//! What is told at the end.

use super::{DemoArguments, unplanned};
use crate::timeline::{self, StepAccount};
use ipnet::IpNet;
use replank_execution::Outcome;
use replank_execution::journal::Journalled;
use replank_planning::checks::{Code, Consent};
use replank_planning::cidr;
use replank_planning::cni::calico::detect::{Datastore, Encapsulation, InstallKind};
use replank_planning::ids::{MachineId, NodeName, Uid};
use replank_planning::intent::{API_VERSION, Strategy};
use replank_planning::plan::{Plan, Slot};
use replank_planning::planner::Assessment;
use replank_planning::state::ClusterState;
use replank_simulator::observer::{self, Inventory, Violation};
use replank_simulator::scenario::Cluster;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The account, as `-o json` prints it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    /// The version of this document.
    pub(crate) api_version: &'static str,
    /// `DemoAccount`.
    pub(crate) kind: &'static str,
    /// `succeeded`, `paused` or `failed`.
    pub(crate) result: Verdict,
    /// Why, if it did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The seed.
    pub(crate) seed: u64,
    /// The strategy.
    pub(crate) strategy: Strategy,
    /// What was found.
    pub(crate) cni: Cni,
    /// The old and the new network.
    pub(crate) network: Network,
    /// The nodes.
    pub(crate) nodes: Nodes,
    /// Pods that left a node.
    pub(crate) pods: Pods,
    /// Evictions.
    pub(crate) evictions: Evictions,
    /// What was accepted.
    pub(crate) consents: Vec<Consent>,
    /// Policies that nobody enforces any more.
    pub(crate) unenforced_policies: Vec<String>,
    /// What is left of the old network, by the simulator's own look.
    pub(crate) leftovers: Vec<String>,
    /// Bystanders that changed, by the simulator's own look.
    pub(crate) changed_bystanders: Vec<String>,
    /// What its observer saw broken.
    pub(crate) invariant_violations: Vec<String>,
    /// The steps, in the order of their beginning.
    pub(crate) steps: Vec<StepAccount>,
    /// How often each kind of waiting was told.
    pub(crate) waits: BTreeMap<String, u64>,
    /// What the API server did.
    pub(crate) requests: Requests,
    /// How long the run took in the cluster's own time.
    pub(crate) virtual_seconds: f64,
    /// How long the whole demo took in real time.
    pub(crate) wall_seconds: f64,
    /// The journal.
    pub(crate) journal: PathBuf,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Verdict {
    /// Everything is done, and nothing was broken on the way.
    Succeeded,
    /// The run waits for a person.
    Paused,
    /// The run ended otherwise, or something was broken or left.
    Failed,
}

/// The nodes of the account.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Nodes {
    /// How many there were.
    pub(crate) total: usize,
    /// How many are replaced.
    pub(crate) replaced: usize,
    /// Each of them.
    pub(crate) items: Vec<NodeAccount>,
}

/// One node of the account.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeAccount {
    /// Its name before.
    pub(crate) old: NodeName,
    /// What stands in its place, once the old Node is gone.
    pub(crate) new: Option<Replacement>,
}

/// What stands in a node's place.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Replacement {
    pub(crate) name: NodeName,
    pub(crate) uid: Uid,
    pub(crate) machine: Option<MachineId>,
    #[serde(rename = "podCIDR")]
    pub(crate) pod_cidr: Option<IpNet>,
}

/// The network that was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cni {
    pub(crate) detected: Option<Detected>,
}

/// A Calico install.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Detected {
    pub(crate) kind: InstallKind,
    pub(crate) version: String,
    pub(crate) datastore: Datastore,
    pub(crate) encapsulation: Encapsulation,
}

/// Pod networks, the ranges of each separated by commas.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Network {
    pub(crate) from: String,
    pub(crate) to: Option<String>,
}

/// Pods that left their nodes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Pods {
    /// Those whose eviction was accepted.
    pub(crate) moved: usize,
}

/// Evictions that the API server saw.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Evictions {
    pub(crate) requested: usize,
    /// By a budget, for a while.
    pub(crate) blocked: usize,
}

/// What the API server did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Requests {
    /// Requests that it answered.
    pub(crate) total: u64,
    /// Versions of objects that it stored.
    pub(crate) versions: u64,
    /// Bytes of JSON that it wrote.
    pub(crate) bytes: u64,
}

/// What an account is made from.
pub(super) struct Source<'a> {
    pub(super) arguments: &'a DemoArguments,
    pub(super) cluster: &'a Cluster,
    pub(super) state: &'a ClusterState,
    pub(super) assessment: &'a Assessment,
    pub(super) plan: &'a Plan,
    pub(super) outcome: &'a Outcome,
    pub(super) journal: Option<&'a Journalled>,
    pub(super) journal_path: PathBuf,
    pub(super) violations: Vec<Violation>,
    pub(super) wall: Duration,
}

impl Source<'_> {
    pub(super) fn account(&self) -> Account {
        let entries = self.journal.map(|j| j.entries.as_slice()).unwrap_or_default();
        let before = Inventory::of(&self.cluster.before_network);
        let with_network = Inventory::of(&self.cluster.with_network);
        let after = Inventory::of(&self.cluster.objects());
        let finished = matches!(self.outcome, Outcome::Finished);
        let leftovers =
            if finished { observer::leftovers(&before, &with_network, &after) } else { Vec::new() };
        let changed_bystanders = observer::changed(&self.cluster.bystanders(), &after);
        let mut invariant_violations: Vec<String> =
            self.violations.iter().map(|v| format!("{}: {}", v.invariant, v.seen)).collect();
        invariant_violations.extend(
            changed_bystanders.iter().map(|key| format!("only-planned-changes: {key} is not as it was")),
        );
        if finished {
            let came = unplanned::objects(self.cluster, self.plan, &after).into_iter();
            let told =
                came.map(|key| format!("only-planned-changes: {key} came, and the plan has none such"));
            invariant_violations.extend(told);
        }
        let clean = leftovers.is_empty() && changed_bystanders.is_empty() && invariant_violations.is_empty();
        Account {
            api_version: API_VERSION,
            kind: "DemoAccount",
            result: self.verdict(clean),
            reason: self.reason(),
            seed: self.arguments.seed,
            strategy: self.plan.intent.strategy,
            cni: self.cni(),
            network: self.network(),
            nodes: self.nodes(),
            pods: Pods { moved: self.evicted(|status| status == 201) },
            evictions: self.evictions(),
            consents: self.plan.consents.clone(),
            unenforced_policies: self.unenforced(),
            leftovers,
            changed_bystanders,
            invariant_violations,
            steps: timeline::steps(self.plan, entries),
            waits: timeline::waits(entries),
            requests: self.requests(),
            virtual_seconds: virtual_seconds(entries),
            wall_seconds: (self.wall.as_secs_f64() * 1000.0).round() / 1000.0,
            journal: self.journal_path.clone(),
        }
    }

    fn requests(&self) -> Requests {
        let effort = self.cluster.server.effort();
        let total: u64 = self.cluster.server.requests().counts().values().sum();
        Requests { total, versions: effort.versions, bytes: effort.bytes }
    }

    fn verdict(&self, clean: bool) -> Verdict {
        match self.outcome {
            Outcome::Finished if clean => Verdict::Succeeded,
            Outcome::Paused { .. } if clean => Verdict::Paused,
            _ => Verdict::Failed,
        }
    }

    fn reason(&self) -> Option<String> {
        match self.outcome {
            Outcome::Finished | Outcome::RolledBack => None,
            Outcome::Paused { reason, step: Some(step) } => Some(format!("{step}: {reason}")),
            Outcome::Paused { reason, step: None } => Some(reason.to_string()),
            Outcome::NoWayBack { step, reason } | Outcome::Stuck { step, reason } => {
                Some(format!("{step}: {reason}"))
            }
        }
    }

    fn cni(&self) -> Cni {
        let detected = self.assessment.install.as_ref().map(|install| Detected {
            kind: install.kind,
            version: install.version.clone(),
            datastore: install.datastore,
            encapsulation: install.encapsulation,
        });
        Cni { detected }
    }

    fn network(&self) -> Network {
        let pools: Vec<_> =
            replank_planning::cni::calico::ranges::pools(&self.state.inventory).into_iter().collect();
        let to = self.assessment.network.as_ref().map(|n| cidr::join(&n.ranges));
        Network { from: cidr::join(&pools), to }
    }

    fn nodes(&self) -> Nodes {
        let items: Vec<NodeAccount> = self.plan.slots.iter().map(|slot| self.node(slot)).collect();
        let replaced = items.iter().filter(|item| item.new.is_some()).count();
        Nodes { total: items.len(), replaced, items }
    }

    fn node(&self, slot: &Slot) -> NodeAccount {
        let facts = self.journal.and_then(|j| j.state.slots.get(&slot.id)).cloned().unwrap_or_default();
        let deleted = replank_planning::ids::StepId::new(format!("{}/delete-node", slot.id));
        let over = self.journal.is_some_and(|j| j.state.step(&deleted).after.is_some());
        let new = facts.node.filter(|_| over).map(|(name, uid)| Replacement {
            name,
            uid,
            machine: facts.machine,
            pod_cidr: slot.new.pod_cidrs.first().copied(),
        });
        NodeAccount { old: slot.old.name.clone(), new }
    }

    fn evictions(&self) -> Evictions {
        Evictions { requested: self.evicted(|_| true), blocked: self.evicted(|status| status == 429) }
    }

    fn evicted(&self, keep: impl Fn(u16) -> bool) -> usize {
        let requests = self.cluster.server.requests();
        requests.count(|r| r.url.contains("/eviction") && keep(r.status))
    }

    fn unenforced(&self) -> Vec<String> {
        let policies = self.plan.findings.iter().filter(|f| f.code == Code::PolicyUnenforced);
        policies.map(|f| f.object.clone()).collect()
    }
}

/// From the journal's first record to its last.
fn virtual_seconds(entries: &[replank_planning::journal::Entry]) -> f64 {
    match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => timeline::seconds_between(&first.time, &last.time).unwrap_or(0.0),
        _ => 0.0,
    }
}

impl Account {
    /// The account in a few lines, for people.
    pub(crate) fn text(&self) -> String {
        let verdict = match self.result {
            Verdict::Succeeded => "succeeded",
            Verdict::Paused => "paused",
            Verdict::Failed => "failed",
        };
        let unknown = || "-".to_owned();
        let (version, kind) = self
            .cni
            .detected
            .as_ref()
            .map_or_else(|| (unknown(), unknown()), |found| (found.version.clone(), found.kind.to_string()));
        let mut lines = vec![
            format!("result      {verdict}"),
            format!(
                "network     Calico {version} ({kind}) {} -> Flannel {}",
                self.network.from,
                self.network.to.clone().unwrap_or_else(unknown)
            ),
            format!("nodes       {} of {} replaced", self.nodes.replaced, self.nodes.total),
            format!(
                "pods        {} moved by eviction; {} evictions asked for, {} blocked by a budget for a while",
                self.pods.moved, self.evictions.requested, self.evictions.blocked
            ),
            format!("policies    {} no longer enforced", self.unenforced_policies.len()),
            format!("consents    {} accepted", self.consents.len()),
            format!("leftovers   {}", none_or(&self.leftovers)),
            format!(
                "bystanders  {}",
                if self.changed_bystanders.is_empty() {
                    "unchanged".to_owned()
                } else {
                    none_or(&self.changed_bystanders)
                }
            ),
            format!(
                "invariants  {}",
                if self.invariant_violations.is_empty() {
                    "all held".to_owned()
                } else {
                    none_or(&self.invariant_violations)
                }
            ),
            format!("requests    {}", self.requests.total),
            format!(
                "time        {:.0} s of the cluster's, {:.1} s of yours",
                self.virtual_seconds, self.wall_seconds
            ),
            format!("journal     {}", self.journal.display()),
        ];
        if let Some(reason) = &self.reason {
            lines.insert(1, format!("reason      {reason}"));
        }
        lines.join("\n")
    }
}

fn none_or(list: &[String]) -> String {
    if list.is_empty() { "none".to_owned() } else { format!("{}: {}", list.len(), list.join(", ")) }
}
