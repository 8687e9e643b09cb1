//! A replacement whose join has failed is given up, and another one is made in its place.
//!
//! kubeadm's join does not go on by itself once it has failed: whatever it waited for may be well again, and
//! the machine still never becomes a control plane.

use super::{CreateMachineStep, certificates, token};
use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::steps::Step;
use crate::steps::etcd::{Etcdctl, Member, Members};
use crate::steps::machines::exists;
use replank_planning::ids::NodeName;
use replank_planning::late::NodeRef;
use replank_planning::plan::{Action, Slot};
use replank_planning::waiting::Waiting;
use replank_provider_protocol::Role;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// How often etcd is asked while it is not as it must be: it tells nobody by itself.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// How long a healthy etcd is waited for before the run pauses: longer than a member's restart.
const PATIENCE: Duration = Duration::from_mins(10);

/// Gives up the machine that stands for a slot, with everything that its join left, and makes another. Each
/// part may be done already: a process that ended in between goes on here.
///
/// # Errors
/// When etcd, the API server or the provider don't allow it.
pub async fn again(cx: &StepContext<'_>, slot: &Slot, reason: &str) -> Result<(), StepError> {
    let new = NodeRef::New { slot: slot.id.clone() };
    let (name, uid) = cx.node(&new)?;
    let machine = cx.machine(&new)?;
    cx.waiting(Waiting::MachineGivenUp { machine: machine.clone(), reason: reason.to_owned() })?;
    if slot.role == Role::ControlPlane {
        leave_etcd(cx, slot, &name).await?;
    }
    cx.delete(&path::node(name.as_str()), uid.as_str()).await?;
    let (create, _) = of(cx, slot)?;
    create.delete(cx, &format!("give-up-{machine}"), &machine).await?;
    token::delete(cx, &slot.id).await?;
    anew(cx, slot).await
}

/// Whether a machine was given up and none was made in its place yet.
///
/// # Errors
/// When the provider can't be asked.
pub async fn is_due(cx: &StepContext<'_>, slot: &Slot) -> Result<bool, StepError> {
    match cx.learned_machine(&slot.id) {
        Some(machine) => Ok(!exists(cx, &machine).await?),
        None => Ok(false),
    }
}

/// Makes a machine in place of one that is gone.
///
/// # Errors
/// As the step that makes machines.
pub async fn anew(cx: &StepContext<'_>, slot: &Slot) -> Result<(), StepError> {
    let (create, before) = of(cx, slot)?;
    create.apply(cx, &before).await.map(drop)
}

/// The plan's own step for the slot's machine, and what was there before it.
fn of(cx: &StepContext<'_>, slot: &Slot) -> Result<(CreateMachineStep, serde_json::Value), StepError> {
    let found = cx.plan().steps.iter().find_map(|step| match &step.action {
        Action::CreateMachine(create) if create.slot == slot.id => Some((&step.id, create)),
        _ => None,
    });
    let (id, create) = found.ok_or_else(|| {
        StepError::changed(format!("slot {}", slot.id), "no step of the plan makes its machine")
    })?;
    let before = cx.running.ledger.state(|state| state.step(id).before);
    Ok((CreateMachineStep(create.clone()), before.unwrap_or_default()))
}

/// Takes the member that a join added out of etcd, whether it votes already or not.
async fn leave_etcd(cx: &StepContext<'_>, slot: &Slot, name: &NodeName) -> Result<(), StepError> {
    let address = cx.running.ledger.state(|s| s.slots.get(&slot.id).and_then(|facts| facts.address));
    let since = Instant::now();
    loop {
        let host = cx.host(certificates::uploader(cx).await?);
        let reason = match Etcdctl::on(&host).await? {
            Err(reason) => reason,
            Ok(etcd) => match etcd.members().await? {
                Err(reason) => reason,
                Ok(members) => {
                    let Some(going) = members.all.iter().find(|m| is_of(m, name, address)) else {
                        return Ok(());
                    };
                    match why_not(&members, going) {
                        Some(reason) => reason,
                        None => {
                            let id = format!("{:x}", going.id);
                            let ran = etcd.act(&format!("remove-{id}"), &["member", "remove", &id]).await?;
                            ran.success("etcdctl member remove")?;
                            continue;
                        }
                    }
                }
            },
        };
        cx.waiting(Waiting::Etcd { reason })?;
        if since.elapsed() >= PATIENCE {
            return Err(cx.deadline(PATIENCE.as_secs()));
        }
        cx.sleep(LOOK_AGAIN).await?;
    }
}

/// A member that has not started yet has no name, only the address that it was added with.
fn is_of(member: &Member, name: &NodeName, address: Option<IpAddr>) -> bool {
    let host = |address: IpAddr| match address {
        IpAddr::V4(v4) => format!("//{v4}:"),
        IpAddr::V6(v6) => format!("//[{v6}]:"),
    };
    member.name == name.as_str()
        || (member.name.is_empty() && address.is_some_and(|address| member.peer.contains(&host(address))))
}

/// A learner has no vote: etcd keeps its quorum without it.
fn why_not(members: &Members, going: &Member) -> Option<String> {
    if going.learner { None } else { members.why_not_remove(going) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_known_by_its_name_or_by_where_it_was_to_be() {
        let member = |name: &str, peer: &str| Member {
            id: 1,
            name: name.into(),
            learner: true,
            client: String::new(),
            peer: peer.into(),
        };
        let node = NodeName::new("cp-2-r2");
        let address = Some("10.0.0.9".parse().unwrap());
        assert!(is_of(&member("cp-2-r2", "https://10.0.0.9:2380"), &node, None));
        assert!(is_of(&member("", "https://10.0.0.9:2380"), &node, address));
        assert!(!is_of(&member("", "https://10.0.0.90:2380"), &node, address));
        assert!(!is_of(&member("cp-3", "https://10.0.0.9:2380"), &node, address));
    }
}
