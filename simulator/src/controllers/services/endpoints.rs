//! Endpoints, the older of the two.

use super::addresses::{self, address, by_ports, families, hostname, labels, target};
use crate::controllers::context::Cx;
use crate::controllers::objects::{Key, items, text};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::controllers::selected::Selected;
use crate::controllers::workloads::pods;
use crate::schema::builtin::{ENDPOINTS, SERVICES};
use crate::server::{Event, Object, Status, Subresource};
use serde_json::{Value, json};

/// The Endpoints controller.
#[derive(Default)]
pub(crate) struct Endpoints {
    selected: Selected,
}

const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");

impl Controller for Endpoints {
    type Key = Key;

    fn name(&self) -> &'static str {
        "endpoints-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Key>) {
        addresses::notice(event, &mut self.selected, queue);
    }

    fn sync(&mut self, cx: &Cx, key: &Key, _: &mut Queue<Key>) -> Result<(), Status> {
        let found = cx.get(&ENDPOINTS, &key.0, &key.1);
        let Some(service) = cx.get(&SERVICES, &key.0, &key.1) else {
            let own = found.filter(|one| one["metadata"]["labels"][MANAGED_BY.0] == MANAGED_BY.1);
            return own.map_or(Ok(()), |one| cx.delete(&ENDPOINTS, &one));
        };
        let selects = service["spec"]["selector"].as_object().is_some_and(|map| !map.is_empty());
        if !selects || text(&service, "/spec/type") == "ExternalName" {
            return Ok(());
        }
        let subsets = subsets(&service, &self.selected.pods(cx, key));
        let labels = labels(&service, &[MANAGED_BY]);
        if let Some(found) = found {
            let there = items(&found, "/subsets");
            if found["metadata"]["labels"] == labels && there == subsets {
                return Ok(());
            }
            let written = cx.edit(&ENDPOINTS, &key.0, &key.1, Subresource::None, |one| {
                one["metadata"]["labels"] = labels.clone();
                set_subsets(one, &subsets);
            });
            return written.map(|_| ());
        }
        let mut made = json!({"metadata": {"name": key.1, "namespace": key.0, "labels": labels}});
        set_subsets(&mut made, &subsets);
        cx.direct.create(&ENDPOINTS, made).map(|_| ())
    }
}

fn set_subsets(endpoints: &mut Value, subsets: &[Value]) {
    match endpoints.as_object_mut() {
        Some(map) if subsets.is_empty() => {
            map.remove("subsets");
        }
        _ => endpoints["subsets"] = Value::Array(subsets.to_vec()),
    }
}

fn subsets(service: &Value, behind: &[Object]) -> Vec<Value> {
    let families = families(service);
    let family = families.first().map_or("IPv4", String::as_str);
    let always = service["spec"]["publishNotReadyAddresses"] == true;
    let mut subsets = Vec::new();
    for (mut ports, pods) in by_ports(service, behind, family) {
        let (mut ready, mut waiting) = (Vec::new(), Vec::new());
        for pod in pods.iter().filter(|pod| always || !pod.pod().terminating) {
            let list = if always || pods::is_ready(pod) { &mut ready } else { &mut waiting };
            list.push(entry(service, pod, family));
        }
        for port in ports.iter_mut().filter(|port| port["name"] == "") {
            if let Some(port) = port.as_object_mut() {
                port.remove("name");
            }
        }
        let mut subset = json!({});
        for (field, list) in [("addresses", ready), ("notReadyAddresses", waiting), ("ports", ports)] {
            if !list.is_empty() {
                subset[field] = json!(list);
            }
        }
        if subset.get("addresses").is_some() || subset.get("notReadyAddresses").is_some() {
            subsets.push(subset);
        }
    }
    subsets
}

fn entry(service: &Value, pod: &Object, family: &str) -> Value {
    let mut entry =
        json!({"ip": address(pod, family), "nodeName": pods::node_of(pod), "targetRef": target(pod)});
    if let Some(hostname) = hostname(service, pod) {
        entry["hostname"] = json!(hostname);
    }
    entry
}
