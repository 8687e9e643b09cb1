//! The replacement is let in: podCIDR, labels, taints, gate, and everything that must be ready.

use super::Step;
use super::create_machine::{again, certificates, lacks, token};
use super::support::{
    GATE_LABEL, NEW_SIDE, UNADMITTED, condition, items, not_ready, pod_ready, taint_json, text,
};
use crate::api::{Follow, path};
use crate::engine::edit::same_incarnation;
use crate::engine::{StepContext, StepError};
use crate::guards::Guard;
use async_trait::async_trait;
use replank_planning::ids::{NodeName, Uid};
use replank_planning::late::{Learned, NodeRef};
use replank_planning::node_image::understood;
use replank_planning::object::ObjectRef;
use replank_planning::plan::action::{AdmitNode, Drain, NodeAct};
use replank_planning::plan::{Action, Plan};
use replank_planning::waiting::Waiting;
use replank_provider_protocol::Role;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// The static pods of a control plane.
const SERVERS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// How often a host whose Node is not ready is looked at for what its image lacks: no host tells of it by itself.
const LOOK_AT_HOST: Duration = Duration::from_secs(30);

/// See [`replank_planning::plan::Action::AdmitNode`].
pub struct AdmitNodeStep(pub AdmitNode);

/// What is looked at while waiting.
struct Views {
    node: Follow,
    pods: Follow,
    csi: Follow,
    requests: Follow,
}

#[async_trait]
impl Step for AdmitNodeStep {
    fn has_deadline(&self) -> bool {
        true
    }

    /// A join that has not ended in time is for a person to look at. Whoever has the run go on has had that
    /// chance: if it does not end then either, it never will, and another machine is made.
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let slot = cx.slot(&self.0.slot)?;
        if again::is_due(cx, slot).await? {
            again::anew(cx, slot).await?;
        }
        match self.admit(cx).await {
            Err(StepError::Deadline { waiting, .. })
                if cx.attempt() > 1 && matches!(*waiting, Waiting::JoinUnfinished { .. }) =>
            {
                again::again(cx, slot, &waiting.to_string()).await?;
                self.admit(cx).await
            }
            other => other,
        }
    }

    /// Sends the pods away; the machine goes with the undoing of its creation.
    async fn undo(
        &self,
        cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let node = NodeRef::New { slot: self.0.slot.clone() };
        let Ok((name, uid)) = cx.node(&node) else { return Ok(()) };
        match cx.find(&path::node(name.as_str())).await? {
            Some(there) if text(&there, "/metadata/uid") == uid.as_str() => {}
            _ => return Ok(()),
        }
        super::cordon::CordonStep(NodeAct { node: node.clone() }).apply(cx, &Value::Null).await?;
        let drain = Drain {
            node,
            rules: cx.plan().intent.drain.clone(),
            empty_dir_accepted: BTreeSet::new(),
            bare_accepted: BTreeSet::new(),
        };
        super::drain::DrainStep(drain).apply(cx, &Value::Null).await.map(drop)
    }
}

impl AdmitNodeStep {
    async fn admit(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let until = Instant::now() + Duration::from_secs(self.0.deadline_seconds);
        let new = NodeRef::New { slot: self.0.slot.clone() };
        let cidrs = self.cidrs(cx);
        let (name, uid) = self.with_free_range(cx, &new, &cidrs).await?;
        self.let_in(cx, &name, &uid, &cidrs).await?;
        let mut views = Views::of(cx, &name).await?;
        let patient = self.patient_daemon_sets(cx).await?;
        self.settle(cx, &mut views, &name, &patient, until).await?;
        super::fence::without_taint(
            cx,
            &path::node(name.as_str()),
            &json!({"key": UNADMITTED, "effect": "NoSchedule"}),
        )
        .await?;
        self.settle(cx, &mut views, &name, &self.0.daemon_sets, until).await?;
        // It has joined for good: nothing that let it in is left lying about.
        token::delete(cx, &self.0.slot).await?;
        if cx.slot(&self.0.slot)?.role == Role::ControlPlane {
            certificates::delete(cx).await?;
        }
        Ok(json!({"node": name, "uid": uid}))
    }

    fn cidrs(&self, cx: &StepContext<'_>) -> Vec<String> {
        // Without the guard every node gets the first slot's range: what allocation is there to prevent.
        let first = cx.plan().slots.first().map(|s| &s.new.pod_cidrs);
        let cidrs = match first {
            Some(first) if !cx.holds(Guard::PodCidrDisjoint) => first,
            _ => &self.0.pod_cidrs,
        };
        cidrs.iter().map(ToString::to_string).collect()
    }

    /// The Node, with our range or none. One that came with another range is deleted and registers again: a range
    /// can't be changed.
    async fn with_free_range(
        &self,
        cx: &StepContext<'_>,
        new: &NodeRef,
        cidrs: &[String],
    ) -> Result<(NodeName, Uid), StepError> {
        let (name, known) = cx.node(new)?;
        let query = path::fields(&format!("metadata.name={name}"));
        let mut nodes = cx.follow("/api/v1/nodes", &query).await?;
        loop {
            if let Some(node) = nodes.get("", name.as_str()) {
                let uid = Uid::new(text(node, "/metadata/uid"));
                let range: Vec<&str> =
                    items(node, "/spec/podCIDRs").iter().filter_map(Value::as_str).collect();
                if range.is_empty() || range == cidrs {
                    if uid != known {
                        let address = items(node, "/status/addresses")
                            .iter()
                            .find(|a| a["type"] == "InternalIP")
                            .and_then(|a| text(a, "/address").parse().ok());
                        let (slot, name, uid) = (self.0.slot.clone(), name.clone(), uid.clone());
                        cx.learn(Learned::Node { slot, name, uid, address })?;
                    }
                    return Ok((name, uid));
                }
                cx.delete(&path::node(name.as_str()), uid.as_str()).await?;
                // A kubelet registers only when it starts.
                let host = cx.host(cx.machine(new)?);
                host.act(&format!("restart-kubelet-{uid}"), &["systemctl", "restart", "kubelet"])
                    .await?
                    .success("systemctl restart kubelet")?;
            }
            cx.waiting(Waiting::NodeMissing { machine: cx.machine(new)? })?;
            cx.changed(&mut nodes).await?;
        }
    }

    /// One patch: range, labels, taints and, with them, the gate.
    async fn let_in(
        &self,
        cx: &StepContext<'_>,
        name: &NodeName,
        uid: &Uid,
        cidrs: &[String],
    ) -> Result<(), StepError> {
        cx.edit(&path::node(name.as_str()), Some(uid), |node| {
            same_incarnation(&format!("Node {name}"), node, Some(uid))?;
            let mut labels = json!(self.0.labels);
            labels[GATE_LABEL] = json!(NEW_SIDE);
            let mut taints: Vec<Value> =
                items(node, "/spec/taints").iter().filter(|t| !of_peoples_making(t)).cloned().collect();
            taints.extend(self.0.taints.iter().map(taint_json));
            let mut spec = json!({"taints": taints});
            if text(node, "/spec/podCIDR").is_empty() {
                spec["podCIDR"] = json!(cidrs.first());
                spec["podCIDRs"] = json!(cidrs);
            }
            let patch = json!({"metadata": {"labels": labels}, "spec": spec});
            let mut there = node.clone();
            if there["spec"]["taints"].is_null() {
                there["spec"]["taints"] = json!([]);
            }
            Ok((!super::patch_objects::is_there(&patch, &there)).then_some(patch))
        })
        .await
        .map(drop)
    }

    /// DaemonSets whose pods come while the node is not admitted yet.
    async fn patient_daemon_sets(&self, cx: &StepContext<'_>) -> Result<BTreeSet<ObjectRef>, StepError> {
        let mut patient = BTreeSet::new();
        for object in &self.0.daemon_sets {
            let Some(there) = cx.find(&path::object(object)).await? else { continue };
            let tolerates = items(&there, "/spec/template/spec/tolerations").iter().any(|t| {
                let key = text(t, "/key");
                let effect = text(t, "/effect");
                (key == UNADMITTED || (key.is_empty() && text(t, "/operator") == "Exists"))
                    && (effect.is_empty() || effect == "NoSchedule")
            });
            if tolerates {
                patient.insert(object.clone());
            }
        }
        Ok(patient)
    }

    async fn settle(
        &self,
        cx: &StepContext<'_>,
        views: &mut Views,
        name: &NodeName,
        daemon_sets: &BTreeSet<ObjectRef>,
        until: Instant,
    ) -> Result<(), StepError> {
        let machine = cx.machine(&NodeRef::New { slot: self.0.slot.clone() })?;
        let mut next_look = Instant::now();
        let mut lacking = Vec::new();
        let mut wanted = daemon_sets.clone();
        loop {
            let Some(mut waiting) = self.blocker(cx, views, name, &wanted)? else { return Ok(()) };
            if matches!(waiting, Waiting::Rollout { .. }) && Instant::now() >= next_look {
                let before = wanted.len();
                wanted = still_there(cx, wanted).await?;
                if wanted.len() < before {
                    continue;
                }
            }
            let looks = matches!(waiting, Waiting::NodeNotReady { .. } | Waiting::Rollout { .. });
            if looks {
                if Instant::now() >= next_look {
                    lacking = lacks::looked_for(cx, &machine).await;
                    next_look = Instant::now() + LOOK_AT_HOST;
                }
                let items = match &waiting {
                    Waiting::NodeNotReady { reason, .. } if lacking.is_empty() => understood(reason),
                    _ => lacking.clone(),
                };
                if !items.is_empty() {
                    waiting = Waiting::ImageLacks { machine: machine.clone(), items };
                }
            }
            cx.waiting(waiting)?;
            tokio::select! {
                biased;
                changed = cx.changed(&mut views.node) => changed?,
                changed = cx.changed(&mut views.pods) => changed?,
                changed = cx.changed(&mut views.csi), if !self.0.csi_drivers.is_empty() => changed?,
                changed = cx.changed(&mut views.requests) => changed?,
                () = tokio::time::sleep_until(until) => return Err(cx.deadline(self.0.deadline_seconds)),
                () = tokio::time::sleep_until(next_look), if looks => {}
            }
        }
    }

    /// The first thing that is not as it must be.
    fn blocker(
        &self,
        cx: &StepContext<'_>,
        views: &Views,
        name: &NodeName,
        daemon_sets: &BTreeSet<ObjectRef>,
    ) -> Result<Option<Waiting>, StepError> {
        let node = views
            .node
            .get("", name.as_str())
            .ok_or_else(|| StepError::changed(format!("Node {name}"), "it went while it was let in"))?;
        let wait = |reason: String| Ok(Some(Waiting::NodeNotReady { node: name.clone(), reason }));
        let unfinished = |missing: String| Ok(Some(Waiting::JoinUnfinished { node: name.clone(), missing }));
        if let Some(reason) = not_ready(node) {
            return wait(reason);
        }
        if condition(node, "NetworkUnavailable").is_some_and(|c| c["status"] == "True") {
            return wait("its network is unavailable".into());
        }
        if cx.slot(&self.0.slot)?.role == Role::ControlPlane {
            let missing = SERVERS.iter().find(|server| {
                !views.pods.get("kube-system", &format!("{server}-{name}")).is_some_and(pod_ready)
            });
            if let Some(server) = missing {
                return unfinished(format!("its {server} is not ready"));
            }
            if node["metadata"]["labels"].get(super::create_machine::CONTROL_PLANE).is_none() {
                return unfinished("it has not the label of a control plane".into());
            }
        }
        for object in daemon_sets {
            let ours = |pod: &&Value| {
                text(pod, "/metadata/namespace") == object.namespace
                    && items(pod, "/metadata/ownerReferences")
                        .iter()
                        .any(|o| o["kind"] == "DaemonSet" && text(o, "/name") == object.name)
            };
            if !views.pods.items().filter(ours).any(pod_ready) {
                let node = Some(name.clone());
                return Ok(Some(Waiting::Rollout { object: object.clone(), node, ready: 0, wanted: 1 }));
            }
        }
        let lacks = self.0.resources.iter().find(|r| node["status"]["allocatable"].get(r.as_str()).is_none());
        if let Some(resource) = lacks {
            return wait(format!("it does not offer {resource} yet"));
        }
        let csi = views.csi.get("", name.as_str());
        let registered = |driver: &String| {
            csi.is_some_and(|c| items(c, "/spec/drivers").iter().any(|d| text(d, "/name") == driver))
        };
        if let Some(driver) = self.0.csi_drivers.iter().find(|d| !registered(d)) {
            return wait(format!("its CSI driver {driver} has not registered"));
        }
        let user = format!("system:node:{name}");
        let pending = views.requests.items().any(|r| {
            text(r, "/spec/signerName") == "kubernetes.io/kubelet-serving"
                && text(r, "/spec/username") == user
                && items(r, "/status/conditions").is_empty()
        });
        Ok(pending.then(|| Waiting::ServingCertificate { node: name.clone() }))
    }
}

/// The DaemonSets without those that someone has removed since the plan: no pod of theirs will ever come. What
/// this plan installed stays wanted whatever happened to it, or a node would be let in without a network.
async fn still_there(
    cx: &StepContext<'_>,
    daemon_sets: BTreeSet<ObjectRef>,
) -> Result<BTreeSet<ObjectRef>, StepError> {
    let mut there = BTreeSet::new();
    for object in daemon_sets {
        if is_installed(cx.plan(), &object) || cx.find(&path::object(&object)).await?.is_some() {
            there.insert(object);
        }
    }
    Ok(there)
}

fn is_installed(plan: &Plan, object: &ObjectRef) -> bool {
    plan.steps.iter().any(|step| match &step.action {
        Action::InstallObjects(install) => install.objects.iter().any(|new| new.object == *object),
        _ => false,
    })
}

/// Whether a taint is one that the plan decides on, and no controller.
fn of_peoples_making(taint: &Value) -> bool {
    let prefix = text(taint, "/key").split_once('/').map_or("", |(prefix, _)| prefix);
    !matches!(prefix, "node.kubernetes.io" | "node.cloudprovider.kubernetes.io" | "replank.dev")
}

impl Views {
    async fn of(cx: &StepContext<'_>, name: &NodeName) -> Result<Self, StepError> {
        let named = path::fields(&format!("metadata.name={name}"));
        let on_it = path::fields(&format!("spec.nodeName={name}"));
        Ok(Self {
            node: cx.follow("/api/v1/nodes", &named).await?,
            pods: cx.follow("/api/v1/pods", &on_it).await?,
            csi: cx.follow("/apis/storage.k8s.io/v1/csinodes", &named).await?,
            requests: cx.follow("/apis/certificates.k8s.io/v1/certificatesigningrequests", "").await?,
        })
    }
}
