//! The replacement: token, certificates, user-data, machine, and the Node that it registers.
//!
//! - [`token`]: the bootstrap token, read back from its own Secret.
//! - [`certificates`]: what lets a control plane join.
//! - [`authority`]: the cluster's CA and the pin of its key.
//! - [`again`]: another machine in place of one whose join has failed.
//! - [`lacks`]: what a machine's image lacks.
//! - [`shape`]: the user-data itself.
//! - [`carry`]: what a control plane's host holds that kubeadm does not carry.

pub mod again;
pub mod authority;
pub mod carry;
pub mod certificates;
pub mod lacks;
pub mod shape;
pub mod token;

use super::Step;
use super::machines::exists;
use super::support::{decode, encode, items, text};
use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::guards::Guard;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_planning::ids::{MachineId, NodeName, Uid};
use replank_planning::late::{Learned, NodeRef};
use replank_planning::plan::Slot;
use replank_planning::plan::action::CreateMachine;
use replank_planning::waiting::{Refusal, Waiting};
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, GetParams, ListParams, MachineSpec, Progress,
};
use replank_provider_protocol::{ErrorCode, Machine, MachineState, ProviderError, Retry, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How many machines are tried for one replacement before the run pauses.
const MACHINES: u32 = 3;
/// How many operations one step may have begun in all, those given up before a pause included.
const OPERATIONS: u32 = 100;
/// The label and taint of control planes.
pub const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// How often a machine whose Node has not appeared is looked at: no provider tells of a failed boot by itself.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What came of ordering a machine.
enum Created {
    /// It is there.
    Machine(MachineId),
    /// This operation's machine failed and was deleted just now.
    Failed,
    /// This operation's machine was deleted by an attempt before this one.
    GivenUpBefore,
}

/// See [`replank_planning::plan::Action::CreateMachine`].
pub struct CreateMachineStep(pub CreateMachine);

#[async_trait]
impl Step for CreateMachineStep {
    fn has_deadline(&self) -> bool {
        true
    }

    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let slot = cx.slot(&self.0.slot)?;
        let stand_ins = match slot.role {
            Role::ControlPlane => certificates::stand_ins(cx).await?,
            Role::Worker => BTreeSet::new(),
        };
        encode(&Captured { stand_ins })
    }

    async fn apply(&self, cx: &StepContext<'_>, before: &Value) -> Result<Value, StepError> {
        let slot = cx.slot(&self.0.slot)?;
        let mut machine = match cx.learned_machine(&slot.id) {
            Some(known) if exists(cx, &known).await? => Some(known),
            _ => None,
        };
        // A person had the run go on after it was told what this one's image lacks.
        let mut known_to_lack = machine.clone();
        let mut tried = 0;
        for attempt in 0..OPERATIONS {
            let current = match machine.take() {
                Some(known) => known,
                None => match self.create(cx, slot, attempt).await? {
                    Created::Machine(made) => made,
                    Created::GivenUpBefore => continue,
                    Created::Failed if tried + 1 == MACHINES => break,
                    Created::Failed => {
                        tried += 1;
                        continue;
                    }
                },
            };
            tried += 1;
            cx.learn(Learned::Machine { slot: slot.id.clone(), machine: current.clone() })?;
            let may_lack = known_to_lack.take().is_some();
            match self.node_of(cx, slot, &current, tried == MACHINES, may_lack).await? {
                Some((name, uid)) => {
                    self.forget_replaced(cx, slot, before).await?;
                    // Its kubelet has a certificate of its own by now.
                    token::delete(cx, &slot.id).await?;
                    let replacement = slot.replacement;
                    return Ok(
                        json!({"machine": current, "node": name, "uid": uid, "replacement": replacement}),
                    );
                }
                None => self.delete(cx, &format!("delete-failed-{current}"), &current).await?,
            }
            if tried == MACHINES {
                break;
            }
        }
        Err(StepError::Provider(format!(
            "{MACHINES} machines were made to replace {}, and none of them became a Node; look at `replank provider \
             list` and at their consoles",
            slot.old.name
        )))
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let slot = cx.slot(&self.0.slot)?;
        if let Ok((name, uid)) = cx.node(&NodeRef::New { slot: slot.id.clone() }) {
            cx.delete(&path::node(name.as_str()), uid.as_str()).await?;
        }
        for machine in self.made(cx, slot).await? {
            self.delete(cx, &format!("delete-{}", machine.id), &machine.id).await?;
        }
        if slot.role == Role::ControlPlane {
            certificates::delete(cx).await?;
        }
        self.forget_replaced(cx, slot, before).await?;
        token::delete(cx, &slot.id).await
    }
}

/// What is known before the first upload.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Captured {
    /// Tokens that stand for uploads of others, by their uids.
    stand_ins: BTreeSet<String>,
}

impl CreateMachineStep {
    async fn forget_replaced(
        &self,
        cx: &StepContext<'_>,
        slot: &Slot,
        before: &Value,
    ) -> Result<(), StepError> {
        if slot.role != Role::ControlPlane || before.is_null() {
            return Ok(());
        }
        let Captured { stand_ins } = decode(before)?;
        certificates::forget_replaced(cx, &stand_ins).await
    }

    /// Everything of this run that was made for the slot.
    async fn made(&self, cx: &StepContext<'_>, slot: &Slot) -> Result<Vec<Machine>, StepError> {
        let provider = &cx.running.world.provider;
        let params =
            ListParams { run: Some(cx.running.run.clone()), cluster: cx.running.cluster.to_string() };
        let listing = cx.provider_at_once("list machines", || provider.list(params.clone())).await?;
        Ok(listing.machines.into_iter().filter(|m| m.name == slot.new.machine_name).collect())
    }

    async fn delete(&self, cx: &StepContext<'_>, effect: &str, machine: &MachineId) -> Result<(), StepError> {
        let provider = &cx.running.world.provider;
        let params =
            DeleteParams { mutation: cx.mutation(effect), target: Deletable::Machine(machine.clone()) };
        cx.provider("delete a machine", || provider.delete(params.clone())).await
    }

    /// Makes a machine.
    async fn create(&self, cx: &StepContext<'_>, slot: &Slot, attempt: u32) -> Result<Created, StepError> {
        let user_data = STANDARD.encode(shape::user_data(cx, &self.0, slot, attempt).await?);
        let provider = &cx.running.world.provider;
        let spec = MachineSpec {
            name: slot.new.machine_name.clone(),
            role: slot.role,
            like: slot.old.machine.clone(),
            labels: BTreeMap::from([
                ("replank.dev/run".to_owned(), cx.running.run.to_string()),
                ("replank.dev/slot".to_owned(), slot.id.to_string()),
            ]),
        };
        let ask = |mutation| {
            let params = CreateParams { mutation, spec: spec.clone(), user_data: user_data.clone() };
            async { given_up(provider.create(params).await) }
        };
        let effect = format!("create-{attempt}");
        let made = match cx.provider("make a machine", || ask(cx.mutation(&effect))).await? {
            Answered::Machine(made) => Some(made),
            Answered::Gone => None,
            Answered::Broken(error) => return self.broken(cx, slot, &error).await,
        };
        if !cx.holds(Guard::EffectOnce) {
            // Asking twice is harmless while the operation's id says that it is one effect.
            self.another(cx, &spec, &format!("{effect}-again")).await?;
        }
        if !cx.holds(Guard::NoOrphan) {
            // Forgetting a machine that an attempt made is what the guard keeps us from.
            let spec = MachineSpec { name: format!("{}-forgotten", spec.name), ..spec.clone() };
            self.another(cx, &spec, &format!("{effect}-forgotten")).await?;
        }
        match made {
            Some(machine) if machine.state == MachineState::Failed => {
                self.delete(cx, &format!("delete-failed-{}", machine.id), &machine.id).await?;
                Ok(Created::Failed)
            }
            other => Ok(other.map_or(Created::GivenUpBefore, |m| Created::Machine(m.id))),
        }
    }

    /// A machine too many, which joins nothing: only while a guard is off.
    async fn another(&self, cx: &StepContext<'_>, spec: &MachineSpec, effect: &str) -> Result<(), StepError> {
        let provider = &cx.running.world.provider;
        let params =
            CreateParams { mutation: cx.mutation(effect), spec: spec.clone(), user_data: String::new() };
        cx.provider("make a machine", || provider.create(params.clone())).await.map(drop)
    }

    /// A provider that says that a machine failed may have left it: it is deleted before another one is made.
    async fn broken(
        &self,
        cx: &StepContext<'_>,
        slot: &Slot,
        error: &ProviderError,
    ) -> Result<Created, StepError> {
        let known = cx.running.ledger.state(|s| s.slots.get(&slot.id).and_then(|f| f.machine.clone()));
        let made = self.made(cx, slot).await?;
        let failed: Vec<&Machine> = made
            .iter()
            .filter(|m| m.state == MachineState::Failed && known.as_ref() != Some(&m.id))
            .collect();
        for machine in &failed {
            self.delete(cx, &format!("delete-failed-{}", machine.id), &machine.id).await?;
        }
        if failed.is_empty() {
            return Err(StepError::Provider(format!("the provider could not make a machine: {error}")));
        }
        Ok(Created::Failed)
    }

    /// Waits for the Node of a machine. `None`: the machine failed, or its time is over, or its image lacks
    /// something and it `may_lack` it, and another one may be tried.
    async fn node_of(
        &self,
        cx: &StepContext<'_>,
        slot: &Slot,
        machine: &MachineId,
        last: bool,
        may_lack: bool,
    ) -> Result<Option<(NodeName, Uid)>, StepError> {
        let provider = &cx.running.world.provider;
        let until = Instant::now() + Duration::from_secs(self.0.deadline_seconds);
        let mut nodes = cx.follow("/api/v1/nodes", "").await?;
        let mut was_down = false;
        loop {
            let facts = cx
                .provider_at_once("look at a machine", || {
                    provider.get(GetParams { machine: machine.clone() })
                })
                .await?;
            let lacking = lacks::told(cx, machine).await;
            if !lacking.is_empty() {
                if may_lack {
                    return Ok(None);
                }
                // Another machine would be of the same image.
                let (machine, items) = (machine.clone(), lacking);
                return Err(StepError::Refused(Refusal::Image { machine, items }));
            }
            // One that went down while it joined is started by nobody. Seen twice: some machines are made first, and
            // started then.
            let is_down = facts.state == MachineState::Stopped;
            if facts.state == MachineState::Failed || (is_down && was_down) {
                return Ok(None);
            }
            was_down = is_down;
            cx.waiting(Waiting::NodeMissing { machine: machine.clone() })?;
            let look_again = Instant::now() + LOOK_AGAIN;
            loop {
                if let Some(node) = nodes.items().find(|n| is_it(cx, slot, &facts, n)) {
                    return self.learn_node(cx, slot, node).map(Some);
                }
                tokio::select! {
                    biased;
                    changed = cx.changed(&mut nodes) => changed?,
                    () = tokio::time::sleep_until(look_again.min(until)) => break,
                }
            }
            if Instant::now() >= until {
                return if last { Err(cx.deadline(self.0.deadline_seconds)) } else { Ok(None) };
            }
        }
    }

    fn learn_node(
        &self,
        cx: &StepContext<'_>,
        slot: &Slot,
        node: &Value,
    ) -> Result<(NodeName, Uid), StepError> {
        let name = NodeName::new(text(node, "/metadata/name"));
        let uid = Uid::new(text(node, "/metadata/uid"));
        let address = items(node, "/status/addresses")
            .iter()
            .find(|a| a["type"] == "InternalIP")
            .and_then(|a| text(a, "/address").parse().ok());
        cx.learn(Learned::Node { slot: slot.id.clone(), name: name.clone(), uid: uid.clone(), address })?;
        Ok((name, uid))
    }
}

/// Whether a Node is the one that a machine registered: by provider id or system UUID, by name where the
/// provider knows neither; never one that the plan knew.
fn is_it(cx: &StepContext<'_>, slot: &Slot, machine: &Machine, node: &Value) -> bool {
    let uid = text(node, "/metadata/uid");
    if cx.plan().slots.iter().any(|s| s.old.uid.as_str() == uid) {
        return false;
    }
    let provider_id = text(node, "/spec/providerID");
    let system_uuid = text(node, "/status/nodeInfo/systemUUID");
    if machine.provider_id.as_deref().is_some_and(|id| !id.is_empty() && id == provider_id) {
        return true;
    }
    match &machine.system_uuid {
        Some(known) => known.eq_ignore_ascii_case(system_uuid),
        None => machine.provider_id.is_none() && text(node, "/metadata/name") == slot.new.machine_name,
    }
}

/// A provider's last word on an order.
enum Answered {
    /// The machine.
    Machine(Machine),
    /// The operation's machine was deleted: an attempt before this one gave it up.
    Gone,
    /// The machine could not be made.
    Broken(ProviderError),
}

fn given_up(answer: Result<Progress<Machine>, ProviderError>) -> Result<Progress<Answered>, ProviderError> {
    match answer {
        Ok(Progress::Done { value }) => Ok(Progress::Done { value: Answered::Machine(value) }),
        Ok(Progress::Pending { message }) => Ok(Progress::Pending { message }),
        Err(error) if error.code == ErrorCode::NotFound => Ok(Progress::Done { value: Answered::Gone }),
        Err(error) if error.code == ErrorCode::Internal && error.retry == Retry::WillNotHelp => {
            Ok(Progress::Done { value: Answered::Broken(error) })
        }
        Err(error) => Err(error),
    }
}
