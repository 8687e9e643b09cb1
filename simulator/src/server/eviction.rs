//! Eviction: a delete that asks the pod's disruption budget first.

use super::admission;
use super::object::{child, is_terminating, items, metadata, name_of, text};
use super::options::{Act, DeleteOptions, Subresource};
use super::selectors::LabelSelector;
use super::state::State;
use super::status::Status;
use crate::schema::Managers;
use crate::schema::builtin::{POD_DISRUPTION_BUDGETS, PODS};
use serde_json::{Value, json};

/// How the real server refuses an eviction.
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// The cause in a refusal's details.
const CAUSE: &str = "DisruptionBudget";
/// More unconfirmed evictions than this are too many for one budget.
const MOST_UNCONFIRMED: usize = 2000;

/// Whether the pod's Ready condition is true.
pub(crate) fn is_ready(pod: &Value) -> bool {
    items(pod, "/status/conditions").iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

impl State {
    /// Evicts a pod if its budget allows.
    pub(crate) fn evict(
        &mut self,
        act: &Act,
        namespace: &str,
        name: &str,
        eviction: &Value,
    ) -> Result<Status, Status> {
        self.committable()?;
        let said = name_of(eviction);
        if !said.is_empty() && said != name {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let mut options = DeleteOptions::from_body(&eviction["deleteOptions"]);
        let act = Act { dry_run: act.dry_run || options.dry_run, ..act.clone() };
        options.dry_run = act.dry_run;
        admission::admit_act(self, &act, &PODS, Subresource::Eviction, namespace, eviction.clone())?;
        let pod = self.current(&PODS, namespace, name)?;
        let phase = text(&pod.object, "/status/phase");
        let needs_no_budget =
            ["Pending", "Succeeded", "Failed"].contains(&phase) || is_terminating(&pod.object);
        if !needs_no_budget {
            self.ask_budget(&act, namespace, name, &pod.object)?;
        }
        self.mark_evicted(&act, namespace, name);
        let kind = self.kind(&PODS)?;
        // Admission was asked about the eviction, and is not asked about the pod.
        self.delete_unasked(&act, &kind, namespace, name, &options)?;
        Ok(Status::new(201, "", ""))
    }

    fn ask_budget(&mut self, act: &Act, namespace: &str, name: &str, pod: &Value) -> Result<(), Status> {
        let budgets: Vec<_> = self
            .store
            .list(&POD_DISRUPTION_BUDGETS, Some(namespace))
            .into_iter()
            .filter(|budget| {
                LabelSelector::from_object(&budget.object["spec"]["selector"])
                    .matches(&pod["metadata"]["labels"])
            })
            .collect();
        if budgets.len() > 1 {
            return Err(Status::new(
                500,
                "",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        let Some(budget) = budgets.first() else { return Ok(()) };
        let (managers, budget) = (&budget.managers, &*budget.object);
        if !is_ready(pod) {
            let number = |pointer: &str| budget.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
            let (healthy, desired) = (number("/status/currentHealthy"), number("/status/desiredHealthy"));
            let always = text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow";
            if always || (healthy >= desired && desired > 0) {
                return Ok(());
            }
        }
        self.spend(act, namespace, name, budget, managers)
    }

    /// Takes one disruption from the budget, if it has one left.
    fn spend(
        &mut self,
        act: &Act,
        namespace: &str,
        pod: &str,
        budget: &Value,
        managers: &Managers,
    ) -> Result<(), Status> {
        let name = name_of(budget).to_owned();
        let number = |pointer: &str| budget.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
        let refuse =
            |message: String| Status::new(429, "TooManyRequests", REFUSED).cause(CAUSE, None, message);
        if number("/status/observedGeneration") < number("/metadata/generation") {
            let message = format!("The disruption budget {name} is still being processed by the server.");
            return Err(refuse(message).retry_after(10));
        }
        let allowed = number("/status/disruptionsAllowed");
        if allowed < 0 {
            let why = "pdb disruptions allowed is negative";
            return Err(Status::forbidden(&POD_DISRUPTION_BUDGETS, &name, why));
        }
        let disrupted = budget.pointer("/status/disruptedPods").and_then(Value::as_object);
        if disrupted.is_some_and(|pods| pods.len() > MOST_UNCONFIRMED) {
            let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
            return Err(Status::forbidden(&POD_DISRUPTION_BUDGETS, &name, why));
        }
        if allowed == 0 {
            let (healthy, desired) = (number("/status/currentHealthy"), number("/status/desiredHealthy"));
            return Err(refuse(format!(
                "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
            )));
        }
        let mut next = budget.clone();
        let now = act.stamp();
        let status = child(&mut next, "status");
        status.insert("disruptionsAllowed".into(), json!(allowed - 1));
        let pods = status.entry("disruptedPods").or_insert_with(|| json!({}));
        pods[pod] = json!(now);
        if allowed == 1
            && let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut)
        {
            for condition in conditions.iter_mut().filter(|c| c["type"] == "DisruptionAllowed") {
                condition["status"] = json!("False");
                condition["reason"] = json!("InsufficientPods");
                condition["lastTransitionTime"] = json!(now);
            }
        }
        let server = Act { client: "kube-apiserver".into(), ..act.clone() };
        self.commit(&server, &POD_DISRUPTION_BUDGETS, namespace, &name, next, managers.clone());
        Ok(())
    }

    /// Says in the pod's conditions why it goes.
    fn mark_evicted(&mut self, act: &Act, namespace: &str, name: &str) {
        let Some(pod) = self.store.get(&PODS, namespace, name) else { return };
        if is_terminating(&pod.object) {
            return;
        }
        let mut next = (*pod.object).clone();
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting", "lastTransitionTime": act.stamp(),
        });
        let conditions = child(&mut next, "status").entry("conditions").or_insert_with(|| json!([]));
        if let Some(list) = conditions.as_array_mut() {
            list.retain(|c| c["type"] != "DisruptionTarget");
            list.push(condition);
        }
        self.commit(act, &PODS, namespace, name, next, pod.managers.clone());
    }

    /// Binds a pod to a node.
    pub(crate) fn bind(&mut self, act: &Act, namespace: &str, name: &str, node: &str) -> Result<(), Status> {
        self.committable()?;
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        admission::admit_act(self, act, &PODS, Subresource::Binding, namespace, binding)?;
        let pod = self.current(&PODS, namespace, name)?;
        let refuse = |why: String| Status::conflict(&PODS, name, &why);
        if is_terminating(&pod.object) {
            return Err(refuse(format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        let bound = text(&pod.object, "/spec/nodeName");
        if !bound.is_empty() {
            return Err(refuse(format!("pod {name} is already assigned to node \"{bound}\"")));
        }
        let mut next = (*pod.object).clone();
        child(&mut next, "spec").insert("nodeName".into(), json!(node));
        let generation = next.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(1);
        metadata(&mut next).insert("generation".into(), json!(generation));
        let condition = json!({
            "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": act.stamp(),
        });
        let conditions = child(&mut next, "status").entry("conditions").or_insert_with(|| json!([]));
        if let Some(list) = conditions.as_array_mut() {
            list.retain(|c| c["type"] != "PodScheduled");
            list.push(condition);
        }
        self.commit(act, &PODS, namespace, name, next, pod.managers.clone());
        Ok(())
    }
}
