//! The cells of built-in kinds other than pods and nodes.

use super::cells::{age, condition, containers, duration, joined, labels, list, number, selector, text_or};
use super::pods;
use crate::clock::parse_rfc3339;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// The cells of an object, in the order of [`super::columns::of`].
pub fn of(group: &str, kind: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    let name = object["metadata"]["name"].clone();
    let created = &object["metadata"]["creationTimestamp"];
    let old = json!(age(now, created));
    let (spec, status) = (&object["spec"], &object["status"]);
    let count = |field: &str| number(&status[field]);
    match (group, kind) {
        ("", "Pod") => pods::pod(object, now),
        ("", "Node") => pods::node(object, now),
        ("", "Namespace") => vec![name, json!(text_or(&status["phase"], "")), old],
        ("", "Service") => service(object, name, old),
        ("", "Endpoints") => vec![name, json!(endpoints(object)), old],
        ("", "ConfigMap") => {
            vec![name, json!(size(&object["data"]) + size(&object["binaryData"])), old]
        }
        ("", "Secret") => vec![name, object["type"].clone(), json!(size(&object["data"])), old],
        ("", "ServiceAccount") => vec![name, json!(list(&object["secrets"]).count()), old],
        ("", "Event") => event(object, now),
        ("", "PersistentVolume") => volume(object, name, old),
        ("", "PersistentVolumeClaim") => claim(object, name, old),
        ("apps", "Deployment") => {
            let (names, images) = containers(&spec["template"]);
            let ready = format!("{}/{}", count("readyReplicas"), number(&spec["replicas"]));
            let updated = count("updatedReplicas").to_string();
            let available = count("availableReplicas").to_string();
            let selected = selector(&spec["selector"]);
            vec![
                name,
                json!(ready),
                json!(updated),
                json!(available),
                old,
                json!(names),
                json!(images),
                json!(selected),
            ]
        }
        ("apps", "ReplicaSet") | ("", "ReplicationController") => {
            let (names, images) = containers(&spec["template"]);
            let selected =
                if group.is_empty() { labels(&spec["selector"]) } else { selector(&spec["selector"]) };
            let numbers = [number(&spec["replicas"]), count("replicas"), count("readyReplicas")];
            let mut cells = vec![name];
            cells.extend(numbers.map(|n| json!(n)));
            cells.extend([old, json!(names), json!(images), json!(selected)]);
            cells
        }
        ("apps", "StatefulSet") => {
            let (names, images) = containers(&spec["template"]);
            let ready = format!("{}/{}", count("readyReplicas"), number(&spec["replicas"]));
            vec![name, json!(ready), old, json!(names), json!(images)]
        }
        ("apps", "DaemonSet") => {
            let (names, images) = containers(&spec["template"]);
            let mut cells = vec![name];
            cells.extend(
                [
                    "desiredNumberScheduled",
                    "currentNumberScheduled",
                    "numberReady",
                    "updatedNumberScheduled",
                    "numberAvailable",
                ]
                .map(|field| json!(count(field))),
            );
            let nodes = labels(&spec["template"]["spec"]["nodeSelector"]);
            cells.extend([
                json!(nodes),
                old,
                json!(names),
                json!(images),
                json!(selector(&spec["selector"])),
            ]);
            cells
        }
        ("apps", "ControllerRevision") => {
            let owner =
                list(&object["metadata"]["ownerReferences"]).find(|owner| owner["controller"] == true);
            let by = owner.map_or_else(
                || "<none>".to_owned(),
                |owner| {
                    format!(
                        "{}.apps/{}",
                        text_or(&owner["kind"], "").to_lowercase(),
                        text_or(&owner["name"], "")
                    )
                },
            );
            vec![name, json!(by), json!(number(&object["revision"]).to_string()), old]
        }
        ("batch", "Job") => job(object, name, old, now),
        ("policy", "PodDisruptionBudget") => vec![
            name,
            json!(text_or(&spec["minAvailable"], "N/A")),
            json!(text_or(&spec["maxUnavailable"], "N/A")),
            json!(count("disruptionsAllowed").to_string()),
            old,
        ],
        ("networking.k8s.io", "NetworkPolicy") => vec![name, json!(selector(&spec["podSelector"])), old],
        ("discovery.k8s.io", "EndpointSlice") => {
            let ports = joined(list(&object["ports"]).map(|port| number(&port["port"]).to_string()));
            let ports = if ports == "<none>" { "<unset>".to_owned() } else { ports };
            let addresses = list(&object["endpoints"]).flat_map(|one| list(&one["addresses"]));
            let shown =
                shortened(addresses.filter_map(Value::as_str).map(str::to_owned).collect(), "<unset>");
            vec![name, object["addressType"].clone(), json!(ports), json!(shown), old]
        }
        ("coordination.k8s.io", "Lease") => vec![name, json!(text_or(&spec["holderIdentity"], "")), old],
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole")
        | ("apiextensions.k8s.io", "CustomResourceDefinition") => vec![name, created.clone()],
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(object, name, old),
        ("storage.k8s.io", "StorageClass") => vec![
            if object["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true" {
                json!(format!("{} (default)", text_or(&name, "")))
            } else {
                name
            },
            object["provisioner"].clone(),
            object["reclaimPolicy"].clone(),
            object["volumeBindingMode"].clone(),
            json!(object["allowVolumeExpansion"] == true),
            old,
        ],
        ("storage.k8s.io", "VolumeAttachment") => vec![
            name,
            spec["attacher"].clone(),
            json!(text_or(&spec["source"]["persistentVolumeName"], "")),
            spec["nodeName"].clone(),
            json!(status["attached"] == true),
            old,
        ],
        ("scheduling.k8s.io", "PriorityClass") => vec![
            name,
            object["value"].clone(),
            json!(object["globalDefault"] == true),
            old,
            object["preemptionPolicy"].clone(),
        ],
        ("certificates.k8s.io", "CertificateSigningRequest") => signing_request(object, name, old),
        ("apiregistration.k8s.io", "APIService") => {
            let service = match (spec["service"]["namespace"].as_str(), spec["service"]["name"].as_str()) {
                (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
                _ => "Local".to_owned(),
            };
            let available = condition(object, "Available").map_or_else(
                || "Unknown".to_owned(),
                |c| match text_or(&c["status"], "Unknown") {
                    yes if yes == "True" => yes,
                    no => format!("{no} ({})", text_or(&c["reason"], "")),
                },
            );
            vec![name, json!(service), json!(available), old]
        }
        ("admissionregistration.k8s.io", _) => vec![name, json!(list(&object["webhooks"]).count()), old],
        _ => vec![name, old],
    }
}

fn size(map: &Value) -> usize {
    map.as_object().map_or(0, serde_json::Map::len)
}

/// The first three, and how many more.
fn shortened(texts: Vec<String>, none: &str) -> String {
    match texts.len() {
        0 => none.to_owned(),
        1..=3 => texts.join(","),
        more => format!("{} + {} more...", texts[..3].join(","), more - 3),
    }
}

fn service(object: &Value, name: Value, old: Value) -> Vec<Value> {
    let spec = &object["spec"];
    let kind = text_or(&spec["type"], "ClusterIP");
    let ingress = joined(
        list(&object["status"]["loadBalancer"]["ingress"])
            .map(|one| text_or(&one["ip"], &text_or(&one["hostname"], ""))),
    );
    let external = joined(list(&spec["externalIPs"]).filter_map(Value::as_str).map(str::to_owned));
    let outside = match kind.as_str() {
        "LoadBalancer" if ingress == "<none>" && external == "<none>" => "<pending>".to_owned(),
        "LoadBalancer" if external == "<none>" => ingress,
        "ExternalName" => text_or(&spec["externalName"], "<none>"),
        _ => external,
    };
    let ports = joined(list(&spec["ports"]).map(|port| {
        let (own, protocol) = (number(&port["port"]), text_or(&port["protocol"], "TCP"));
        match number(&port["nodePort"]) {
            0 => format!("{own}/{protocol}"),
            node => format!("{own}:{node}/{protocol}"),
        }
    }));
    let address = text_or(&spec["clusterIP"], "<none>");
    vec![
        name,
        json!(kind),
        json!(address),
        json!(outside),
        json!(ports),
        old,
        json!(labels(&spec["selector"])),
    ]
}

fn endpoints(object: &Value) -> String {
    let mut shown = Vec::new();
    for subset in list(&object["subsets"]) {
        let ports: Vec<i64> = list(&subset["ports"]).map(|port| number(&port["port"])).collect();
        for address in list(&subset["addresses"]) {
            let ip = text_or(&address["ip"], "");
            if ports.is_empty() {
                shown.push(ip.clone());
            }
            shown.extend(ports.iter().map(|port| format!("{ip}:{port}")));
        }
    }
    shortened(shown, "<none>")
}

fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let first = |names: &[&str]| {
        let found = names.iter().map(|name| &object[*name]).find(|value| value.is_string());
        found.map_or_else(|| "<unknown>".to_owned(), |at| age(now, at))
    };
    let about = &object["involvedObject"];
    let subject = format!("{}/{}", text_or(&about["kind"], "").to_lowercase(), text_or(&about["name"], ""));
    let component = text_or(&object["source"]["component"], &text_or(&object["reportingComponent"], ""));
    let host = text_or(&object["source"]["host"], "");
    let source = if host.is_empty() { component } else { format!("{component}, {host}") };
    vec![
        json!(first(&["lastTimestamp", "eventTime", "firstTimestamp"])),
        json!(text_or(&object["type"], "")),
        json!(text_or(&object["reason"], "")),
        json!(subject),
        json!(text_or(&about["fieldPath"], "")),
        json!(source),
        json!(text_or(&object["message"], "").trim().to_owned()),
        json!(first(&["firstTimestamp", "eventTime"])),
        json!(number(&object["count"]).max(1).to_string()),
        object["metadata"]["name"].clone(),
    ]
}

fn modes(spec: &Value) -> String {
    let short = |mode: &str| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    list(&spec["accessModes"]).filter_map(Value::as_str).map(short).collect::<Vec<_>>().join(",")
}

fn volume(object: &Value, name: Value, old: Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let claim = match (spec["claimRef"]["namespace"].as_str(), spec["claimRef"]["name"].as_str()) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => String::new(),
    };
    let going = object["metadata"]["deletionTimestamp"].is_string();
    let phase = if going { "Terminating".to_owned() } else { text_or(&status["phase"], "") };
    vec![
        name,
        json!(text_or(&spec["capacity"]["storage"], "")),
        json!(modes(spec)),
        json!(text_or(&spec["persistentVolumeReclaimPolicy"], "")),
        json!(phase),
        json!(claim),
        json!(text_or(&spec["storageClassName"], "")),
        json!(text_or(&spec["volumeAttributesClassName"], "<unset>")),
        json!(text_or(&status["reason"], "")),
        old,
        json!(text_or(&spec["volumeMode"], "<unset>")),
    ]
}

fn claim(object: &Value, name: Value, old: Value) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let going = object["metadata"]["deletionTimestamp"].is_string();
    let phase = if going { "Terminating".to_owned() } else { text_or(&status["phase"], "") };
    let bound = spec["volumeName"].is_string();
    let capacity = if bound { text_or(&status["capacity"]["storage"], "") } else { String::new() };
    vec![
        name,
        json!(phase),
        json!(text_or(&spec["volumeName"], "")),
        json!(capacity),
        json!(if bound { modes(status) } else { String::new() }),
        json!(text_or(&spec["storageClassName"], "")),
        json!(text_or(&spec["volumeAttributesClassName"], "<unset>")),
        old,
        json!(text_or(&spec["volumeMode"], "<unset>")),
    ]
}

fn job(object: &Value, name: Value, old: Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let is = |kind: &str| condition(object, kind).is_some_and(|c| c["status"] == "True");
    let state = [
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
    ]
    .into_iter()
    .find(|(kind, _)| is(kind))
    .map_or("Running", |(_, shown)| shown);
    let done = number(&status["succeeded"]);
    let wanted = spec["completions"].as_i64().map_or_else(
        || format!("{done}/1 of {}", number(&spec["parallelism"])),
        |completions| format!("{done}/{completions}"),
    );
    let at = |field: &str| status[field].as_str().and_then(parse_rfc3339).map(Timestamp::as_second);
    let took = match (at("startTime"), at("completionTime")) {
        (Some(start), Some(end)) => duration(end - start),
        (Some(start), None) => duration(now.as_second() - start),
        _ => String::new(),
    };
    let (names, images) = containers(&spec["template"]);
    vec![
        name,
        json!(state),
        json!(wanted),
        json!(took),
        old,
        json!(names),
        json!(images),
        json!(selector(&spec["selector"])),
    ]
}

fn binding(object: &Value, name: Value, old: Value) -> Vec<Value> {
    let role =
        format!("{}/{}", text_or(&object["roleRef"]["kind"], ""), text_or(&object["roleRef"]["name"], ""));
    let of = |kind: &str| {
        let names = list(&object["subjects"]).filter(|subject| subject["kind"] == kind).map(|subject| {
            let name = text_or(&subject["name"], "");
            match subject["namespace"].as_str() {
                Some(namespace) if kind == "ServiceAccount" => format!("{namespace}/{name}"),
                _ => name,
            }
        });
        json!(names.collect::<Vec<_>>().join(", "))
    };
    vec![name, json!(role), old, of("User"), of("Group"), of("ServiceAccount")]
}

fn signing_request(object: &Value, name: Value, old: Value) -> Vec<Value> {
    let mut state: Vec<&str> = ["Approved", "Denied", "Failed"]
        .into_iter()
        .filter(|kind| condition(object, kind).is_some())
        .collect();
    if state.is_empty() {
        state.push("Pending");
    }
    if object["status"]["certificate"].is_string() {
        state.push("Issued");
    }
    let spec = &object["spec"];
    let wanted = spec["expirationSeconds"].as_i64().map_or_else(|| "<none>".to_owned(), duration);
    vec![
        name,
        old,
        json!(text_or(&spec["signerName"], "<none>")),
        json!(text_or(&spec["username"], "")),
        json!(wanted),
        json!(state.join(",")),
    ]
}
