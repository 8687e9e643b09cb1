//! The rows of pods and nodes.

use super::cells::{age, condition, duration, joined, list, number, text_or};
use crate::clock::parse_rfc3339;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// The cells of a pod.
pub fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let status = &pod["status"];
    let total = list(&pod["spec"]["containers"]).count();
    let ready = list(&status["containerStatuses"]).filter(|one| one["ready"] == true).count();
    let gates: Vec<&Value> = list(&pod["spec"]["readinessGates"]).collect();
    let open = gates
        .iter()
        .filter(|gate| {
            gate["conditionType"]
                .as_str()
                .and_then(|kind| condition(pod, kind))
                .is_some_and(|c| c["status"] == "True")
        })
        .count();
    let gates = if gates.is_empty() { "<none>".to_owned() } else { format!("{open}/{}", gates.len()) };
    vec![
        pod["metadata"]["name"].clone(),
        json!(format!("{ready}/{total}")),
        json!(phase(pod)),
        json!(restarts(pod, now)),
        json!(age(now, &pod["metadata"]["creationTimestamp"])),
        json!(text_or(&status["podIP"], "<none>")),
        json!(text_or(&pod["spec"]["nodeName"], "<none>")),
        json!(text_or(&status["nominatedNodeName"], "<none>")),
        json!(gates),
    ]
}

/// What kubectl calls a pod's status: the most telling of phase and container states.
fn phase(pod: &Value) -> String {
    let status = &pod["status"];
    let mut reason = text_or(&status["reason"], &text_or(&status["phase"], "Unknown"));
    if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
        "SchedulingGated".clone_into(&mut reason);
    }
    let total = list(&pod["spec"]["initContainers"]).count();
    let mut initializing = false;
    for (index, one) in list(&status["initContainerStatuses"]).enumerate() {
        let terminated = &one["state"]["terminated"];
        if terminated.is_object() && number(&terminated["exitCode"]) == 0 {
            continue;
        }
        if one["started"] == true && one["state"]["running"].is_object() {
            continue;
        }
        let waiting = text_or(&one["state"]["waiting"]["reason"], "");
        reason = if terminated.is_object() {
            format!("Init:{}", ended(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{total}")
        };
        initializing = true;
        break;
    }
    if !initializing {
        let mut running = false;
        for one in list(&status["containerStatuses"]) {
            let waiting = text_or(&one["state"]["waiting"]["reason"], "");
            if !waiting.is_empty() {
                reason = waiting;
            } else if one["state"]["terminated"].is_object() {
                reason = ended(&one["state"]["terminated"]);
            } else if one["ready"] == true && one["state"]["running"].is_object() {
                running = true;
            }
        }
        if reason == "Completed" && running {
            let ready = condition(pod, "Ready").is_some_and(|c| c["status"] == "True");
            (if ready { "Running" } else { "NotReady" }).clone_into(&mut reason);
        }
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        if status["reason"] == "NodeLost" {
            return "Unknown".to_owned();
        }
        if !["Succeeded", "Failed"].iter().any(|end| status["phase"] == *end) {
            return "Terminating".to_owned();
        }
    }
    reason
}

fn ended(terminated: &Value) -> String {
    match (text_or(&terminated["reason"], ""), number(&terminated["signal"])) {
        (reason, _) if !reason.is_empty() => reason,
        (_, 0) => format!("ExitCode:{}", number(&terminated["exitCode"])),
        (_, signal) => format!("Signal:{signal}"),
    }
}

fn restarts(pod: &Value, now: Timestamp) -> String {
    let statuses = || list(&pod["status"]["containerStatuses"]);
    let count: i64 = statuses().map(|one| number(&one["restartCount"])).sum();
    let last = statuses()
        .filter_map(|one| one["lastState"]["terminated"]["finishedAt"].as_str().and_then(parse_rfc3339))
        .max();
    match last {
        Some(at) if count > 0 => format!("{count} ({} ago)", duration(now.as_second() - at.as_second())),
        _ => count.to_string(),
    }
}

/// The cells of a node.
pub fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let status = &node["status"];
    let mut state = match condition(node, "Ready").map(|ready| &ready["status"]) {
        Some(Value::String(ready)) if ready == "True" => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node["spec"]["unschedulable"] == true {
        state.push_str(",SchedulingDisabled");
    }
    let roles =
        joined(node["metadata"]["labels"].as_object().into_iter().flatten().filter_map(|(key, value)| {
            match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) if !role.is_empty() => Some(role.to_owned()),
                _ if key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
                _ => None,
            }
        }));
    let address = |kind: &str| {
        let found = list(&status["addresses"]).find(|address| address["type"] == kind);
        found.map_or_else(|| "<none>".to_owned(), |address| text_or(&address["address"], "<none>"))
    };
    let system = &status["nodeInfo"];
    vec![
        node["metadata"]["name"].clone(),
        json!(state),
        json!(roles),
        json!(age(now, &node["metadata"]["creationTimestamp"])),
        json!(text_or(&system["kubeletVersion"], "")),
        json!(address("InternalIP")),
        json!(address("ExternalIP")),
        json!(text_or(&system["osImage"], "<unknown>")),
        json!(text_or(&system["kernelVersion"], "<unknown>")),
        json!(text_or(&system["containerRuntimeVersion"], "<unknown>")),
    ]
}
