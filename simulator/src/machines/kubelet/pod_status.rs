//! The status that a kubelet writes for a pod.

use serde_json::{Value, json};

use super::node::Session;
use super::pod::{Container, ContainerState, Exited, PodWorker, Stage};

/// The status of a pod as it is now.
pub(super) fn render(session: &Session, worker: &mut PodWorker) -> Value {
    let phase = phase(worker);
    let host = session.host_addresses();
    let conditions = conditions(session, worker, phase);
    let mut status = json!({
        "phase": phase,
        "conditions": conditions,
        "hostIP": host.first(),
        "hostIPs": host.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>(),
        "startTime": worker.started,
        "qosClass": worker.pod["status"]["qosClass"].as_str().unwrap_or_else(|| qos_class(&worker.pod)),
        "containerStatuses": statuses(worker, false),
    });
    if worker.containers.iter().any(|container| container.init) {
        status["initContainerStatuses"] = json!(statuses(worker, true));
    }
    if let Some(sandbox) = worker.sandbox.as_ref().filter(|sandbox| !sandbox.addresses.is_empty()) {
        let ips: Vec<String> = sandbox.addresses.iter().map(ToString::to_string).collect();
        status["podIP"] = json!(ips[0]);
        status["podIPs"] = json!(ips.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>());
    } else if let Some(written) = worker.written.as_ref().filter(|written| written["podIP"].is_string()) {
        // A pod that ended keeps the address that it had.
        status["podIP"] = written["podIP"].clone();
        status["podIPs"] = written["podIPs"].clone();
    }
    status
}

fn phase(worker: &PodWorker) -> &'static str {
    if let Some(phase) = worker.final_phase {
        return phase;
    }
    let begun = worker.containers.iter().filter(|container| !container.init);
    let waiting = |container: &Container| {
        container.last.is_none()
            && !matches!(container.state, ContainerState::Running(_) | ContainerState::Exited(_))
    };
    if begun.clone().any(waiting) { "Pending" } else { "Running" }
}

fn conditions(session: &Session, worker: &mut PodWorker, phase: &str) -> Value {
    let now = session.machine.site.clock.now_rfc3339();
    let ended = matches!(phase, "Succeeded" | "Failed");
    let has_sandbox = worker.sandbox.as_ref().is_some_and(|sandbox| !sandbox.addresses.is_empty())
        && matches!(worker.stage, Stage::Running);
    let initialized =
        worker.containers.iter().filter(|c| c.init).all(|c| c.completed() || (c.sidecar && c.is_running()));
    let main: Vec<&Container> = worker.containers.iter().filter(|c| !c.init).collect();
    let unready: Vec<&str> = main.iter().filter(|c| !c.ready).map(|c| c.name.as_str()).collect();
    let uninitialized: Vec<&str> = worker
        .containers
        .iter()
        .filter(|c| c.init && !c.completed() && !c.ready)
        .map(|c| c.name.as_str())
        .collect();
    let containers_ready = unready.is_empty() && initialized && !ended;
    let ready = containers_ready && gates_open(&worker.pod);
    let why = |good: bool, open: Option<(&'static str, String)>| if good { None } else { open };
    let not_ready = match ended {
        true if phase == "Succeeded" => ("PodCompleted", String::new()),
        true => ("PodFailed", String::new()),
        false => ("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))),
    };
    let not_initialized = (
        "ContainersNotInitialized",
        format!("containers with incomplete status: [{}]", uninitialized.join(" ")),
    );
    let gate = ("ReadinessGatesNotReady", "a readiness gate of the pod is not \"True\"".to_owned());
    let list = [
        ("PodReadyToStartContainers", has_sandbox, None),
        ("Initialized", initialized || ended, why(initialized || ended, Some(not_initialized))),
        ("Ready", ready, why(ready, Some(if containers_ready { gate } else { not_ready.clone() }))),
        ("ContainersReady", containers_ready, why(containers_ready, Some(not_ready))),
        ("PodScheduled", true, None),
    ];
    let rendered = list.into_iter().map(|(kind, holds, reason)| {
        let entry =
            worker.conditions.entry(kind).or_insert_with(|| (holds, since(&worker.pod, kind, holds, &now)));
        if entry.0 != holds {
            *entry = (holds, now.clone());
        }
        let mut condition = json!({
            "type": kind,
            "status": if holds { "True" } else { "False" },
            "lastProbeTime": null,
            "lastTransitionTime": entry.1,
        });
        if let Some((reason, message)) = reason {
            condition["reason"] = json!(reason);
            if !message.is_empty() {
                condition["message"] = json!(message);
            }
        } else {
            condition["reason"] = Value::Null;
            condition["message"] = Value::Null;
        }
        condition
    });
    Value::Array(rendered.collect())
}

/// Since when a condition has held, if the object knows it.
fn since(pod: &Value, kind: &str, holds: bool, now: &str) -> String {
    let status = if holds { "True" } else { "False" };
    let known = pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind && condition["status"] == status);
    known.and_then(|condition| condition["lastTransitionTime"].as_str()).unwrap_or(now).to_owned()
}

fn gates_open(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    pod["spec"]["readinessGates"].as_array().into_iter().flatten().all(|gate| {
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == gate["conditionType"] && condition["status"] == "True")
    })
}

fn statuses(worker: &PodWorker, init: bool) -> Vec<Value> {
    let ending = worker.is_ending();
    worker.containers.iter().filter(|c| c.init == init).map(|c| status(c, worker, ending)).collect()
}

fn status(container: &Container, worker: &PodWorker, ending: bool) -> Value {
    let waiting_for =
        if worker.containers.iter().any(|c| c.init && !c.completed() && !c.sidecar) && !container.init {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
    let state = match &container.state {
        ContainerState::Waiting | ContainerState::Pulling { .. } | ContainerState::Starting { .. } => {
            match &container.trouble {
                Some((reason, message)) => json!({"waiting": {"reason": reason, "message": message}}),
                None => json!({"waiting": {"reason": waiting_for}}),
            }
        }
        ContainerState::Running(running) => json!({"running": {"startedAt": running.since}}),
        ContainerState::Exited(_) if container.retry_at.is_some() && !ending => {
            let message = format!(
                "back-off {}s restarting failed container={} pod={}_{}({})",
                container.back_off.as_secs(),
                container.name,
                worker.full_name().1,
                worker.full_name().0,
                worker.uid(),
            );
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}})
        }
        ContainerState::Exited(exited) => terminated(&container.id, exited),
    };
    let last = match (&container.state, &container.last) {
        (ContainerState::Exited(exited), _) if container.retry_at.is_some() => {
            terminated(&container.id, exited)
        }
        (_, Some((id, exited))) => terminated(id, exited),
        _ => json!({}),
    };
    let running = container.is_running();
    let mut status = json!({
        "name": container.name,
        "image": container.image,
        "imageID": if container.id.is_empty() { String::new() } else { container.image.clone() },
        "state": state,
        "lastState": last,
        "ready": if container.init { container.completed() || (running && container.ready) } else { container.ready },
        "started": running,
        "restartCount": container.restarts,
    });
    if !container.id.is_empty() {
        status["containerID"] = json!(format!("containerd://{}", container.id));
    }
    status
}

fn terminated(id: &str, exited: &Exited) -> Value {
    json!({"terminated": {
        "exitCode": exited.code,
        "reason": if exited.code == 0 { "Completed" } else { "Error" },
        "startedAt": exited.started,
        "finishedAt": exited.finished,
        "containerID": format!("containerd://{id}"),
    }})
}

fn qos_class(pod: &Value) -> &'static str {
    let mut any = false;
    let mut all = true;
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        let resources = &container["resources"];
        for resource in ["cpu", "memory"] {
            let (limit, request) = (&resources["limits"][resource], &resources["requests"][resource]);
            any |= !limit.is_null() || !request.is_null();
            all &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
