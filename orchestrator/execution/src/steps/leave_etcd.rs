//! An old control plane leaves etcd: leader moved, static pods disarmed, member removed by another.

use super::Step;
use super::create_machine::carry::MANIFESTS;
use super::etcd::{Etcdctl, Member, Members};
use crate::engine::{StepContext, StepError};
use crate::guards::Guard;
use async_trait::async_trait;
use replank_planning::late::NodeRef;
use replank_planning::plan::action::LeaveEtcd;
use replank_planning::waiting::Waiting;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// How often etcd is asked while it is not as it must be: it tells nobody by itself.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
/// How long a healthy etcd is waited for before the run pauses: longer than a member's restart.
const PATIENCE: Duration = Duration::from_mins(10);
/// Where disarmed manifests lie.
const ASIDE: &str = "/etc/kubernetes/replank-disarmed";
/// Everything but etcd, which must vote until it is removed.
const SERVERS: [&str; 3] = ["kube-controller-manager.yaml", "kube-scheduler.yaml", "kube-apiserver.yaml"];
const ETCD: &str = "etcd.yaml";

/// See [`replank_planning::plan::Action::LeaveEtcd`].
pub struct LeaveEtcdStep(pub LeaveEtcd);

#[async_trait]
impl Step for LeaveEtcdStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        if !cx.holds(Guard::EtcdQuorum) {
            // What the guard keeps us from: a member that stops without ever being removed.
            self.disarm(cx, &SERVERS).await?;
            self.disarm(cx, &[ETCD]).await?;
            return Ok(Value::Null);
        }
        let since = Instant::now();
        let mut removed = Value::Null;
        while let Some((through, members, going)) = self.ready(cx, since).await? {
            if members.leader == Some(going.id) {
                self.move_leader(cx, &through, &members, &going).await?;
                continue;
            }
            self.disarm(cx, &SERVERS).await?;
            // The servers' end may have taken a while: look once more, at the last moment.
            let Some((through, members, going)) = self.ready(cx, since).await? else { break };
            if members.leader == Some(going.id) {
                continue;
            }
            let host = cx.host(cx.machine(&through)?);
            let etcd = Etcdctl::on(&host).await?.map_err(StepError::Failed)?;
            let id = format!("{:x}", going.id);
            etcd.act("remove-member", &["member", "remove", &id]).await?.success("etcdctl member remove")?;
            removed = json!({"member": id, "name": going.name});
        }
        self.disarm(cx, &[ETCD]).await?;
        Ok(removed)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let (name, _) = cx.node(&self.0.node)?;
        Err(StepError::Failed(format!(
            "{name} left etcd, and a member that was removed can't come back with its old data; it has to join anew"
        )))
    }
}

impl LeaveEtcdStep {
    /// Waits until the member can go; `None` if it is gone.
    async fn ready(
        &self,
        cx: &StepContext<'_>,
        since: Instant,
    ) -> Result<Option<(NodeRef, Members, Member)>, StepError> {
        let (name, _) = cx.node(&self.0.node)?;
        loop {
            let reason = match self.look(cx).await? {
                Ok((through, members)) => {
                    let going = members.all.iter().find(|m| m.name == name.as_str()).cloned();
                    let Some(going) = going else { return Ok(None) };
                    match members.why_not_remove(&going) {
                        None => return Ok(Some((through, members, going))),
                        Some(reason) => reason,
                    }
                }
                Err(reason) => reason,
            };
            cx.waiting(Waiting::Etcd { reason })?;
            if since.elapsed() >= PATIENCE {
                return Err(cx.deadline(PATIENCE.as_secs()));
            }
            cx.sleep(LOOK_AGAIN).await?;
        }
    }

    /// etcd through the first host that can be asked, never the one that goes.
    async fn look(&self, cx: &StepContext<'_>) -> Result<Result<(NodeRef, Members), String>, StepError> {
        let mut why = "no other control plane's host can be asked".to_owned();
        for through in self.0.through.iter().filter(|n| **n != self.0.node) {
            let Ok(machine) = cx.machine(through) else { continue };
            // A host of this list may be gone by now: that is no reason to ask it for minutes.
            if !super::machines::exists(cx, &machine).await? {
                continue;
            }
            let host = cx.host(machine.clone());
            match Etcdctl::on(&host).await {
                Ok(Ok(etcd)) => match etcd.members().await? {
                    Ok(members) => return Ok(Ok((through.clone(), members))),
                    Err(reason) => why = format!("{machine}: {reason}"),
                },
                Ok(Err(reason)) => why = format!("{machine}: {reason}"),
                Err(StepError::Provider(reason)) => why = reason,
                Err(error) => return Err(error),
            }
        }
        Ok(Err(why))
    }

    /// Hands leadership to a healthy member that stays; the leader itself is asked to.
    async fn move_leader(
        &self,
        cx: &StepContext<'_>,
        through: &NodeRef,
        members: &Members,
        going: &Member,
    ) -> Result<(), StepError> {
        let host = cx.host(cx.machine(through)?);
        let etcd = Etcdctl::on(&host).await?.map_err(StepError::Failed)?;
        let heir = members
            .all
            .iter()
            .rev()
            .find(|m| m.id != going.id && !m.learner && members.is_healthy(m))
            .ok_or_else(|| StepError::Failed("etcd has no healthy member that could lead".into()))?;
        let endpoint = format!("--endpoints={}", going.client);
        let id = format!("{:x}", heir.id);
        let ran = etcd.act("move-leader", &[&endpoint, "move-leader", &id]).await?;
        ran.success("etcdctl move-leader").map(drop)
    }

    /// Moves manifests aside on the old host. A host that can't be reached runs nothing that could harm: its
    /// machine is stopped next.
    async fn disarm(&self, cx: &StepContext<'_>, names: &[&str]) -> Result<(), StepError> {
        let host = cx.host(cx.machine(&self.0.node)?);
        host.act("disarm-directory", &["mkdir", "-p", ASIDE]).await?.success("mkdir")?;
        for name in names {
            let path = format!("{MANIFESTS}/{name}");
            if host.read(&path).await?.is_some() {
                host.act(&format!("disarm-{name}"), &["mv", &path, &format!("{ASIDE}/{name}")])
                    .await?
                    .success("mv")?;
            }
        }
        Ok(())
    }
}
