//! EndpointSlices.

use super::addresses::{self, address, by_ports, families, hostname, labels, target};
use crate::controllers::context::Cx;
use crate::controllers::objects::{
    Key, about, controller_of, controller_reference, is_terminating, items, key_of, name_of, namespace_of,
    text, uid_of,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::controllers::selected::Selected;
use crate::controllers::workloads::pods;
use crate::schema::builtin::{ENDPOINT_SLICES, NODES, SERVICES};
use crate::server::{Event, Object, Status, Subresource};
use serde_json::{Value, json};

/// Who manages the slices that this controller makes.
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// The EndpointSlice controller.
#[derive(Default)]
pub(crate) struct Slices {
    selected: Selected,
}

impl Controller for Slices {
    type Key = Key;

    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Key>) {
        addresses::notice(event, &mut self.selected, queue);
        if about(event, &ENDPOINT_SLICES) && event.client.as_ref() != "kube-controller-manager" {
            // Somebody else changed or deleted one: it is put right.
            let slice = event.object();
            if let Some(owner) = controller_of(slice).filter(|owner| owner["kind"] == "Service") {
                queue.add((namespace_of(slice).to_owned(), text(owner, "/name").to_owned()));
            }
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, _: &mut Queue<Key>) -> Result<(), Status> {
        let Some(service) = cx.get(&SERVICES, &key.0, &key.1) else { return Ok(()) };
        let selects = service["spec"]["selector"].as_object().is_some_and(|map| !map.is_empty());
        if !selects || text(&service, "/spec/type") == "ExternalName" {
            return Ok(());
        }
        let behind = self.selected.pods(cx, key);
        let mut free = present(cx, &service);
        for family in families(&service) {
            let mut groups = by_ports(&service, &behind, &family);
            if groups.is_empty() {
                // A Service without pods has one empty slice.
                groups.push((Vec::new(), Vec::new()));
            }
            for (ports, pods) in groups {
                let endpoints: Vec<Value> =
                    pods.iter().map(|pod| endpoint(cx, &service, pod, &family)).collect();
                let at = free.iter().position(|slice| {
                    slice["addressType"] == family.as_str()
                        && (items(slice, "/ports") == ports || groups_of(slice) == 0 || endpoints.is_empty())
                });
                let slice = at.map(|at| free.remove(at));
                write(cx, &service, slice.as_deref(), &family, &ports, &endpoints)?;
            }
        }
        free.iter().try_for_each(|slice| cx.delete(&ENDPOINT_SLICES, slice))
    }
}

fn groups_of(slice: &Value) -> usize {
    slice["endpoints"].as_array().map_or(0, Vec::len)
}

/// The slices of a Service that are this controller's.
fn present(cx: &Cx, service: &Value) -> Vec<Object> {
    let owned = cx.direct.owned_by(uid_of(service), &ENDPOINT_SLICES).into_iter();
    owned
        .filter(|slice| {
            slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == MANAGER
                && !is_terminating(slice)
        })
        .collect()
}

fn endpoint(cx: &Cx, service: &Value, pod: &Object, family: &str) -> Value {
    let (ready, ending) = (pods::is_ready(pod), pod.pod().terminating);
    let always = service["spec"]["publishNotReadyAddresses"] == true;
    let node = pods::node_of(pod);
    let mut endpoint = json!({
        "addresses": [address(pod, family)],
        "conditions": {"ready": always || ready && !ending, "serving": ready, "terminating": ending},
        "nodeName": node,
        "targetRef": target(pod),
    });
    if let Some(hostname) = hostname(service, pod) {
        endpoint["hostname"] = json!(hostname);
    }
    if let Some(node) = cx.get(&NODES, "", node)
        && let Some(zone) = node["metadata"]["labels"].get("topology.kubernetes.io/zone")
    {
        endpoint["zone"] = zone.clone();
    }
    endpoint
}

fn write(
    cx: &Cx,
    service: &Value,
    slice: Option<&Value>,
    family: &str,
    ports: &[Value],
    endpoints: &[Value],
) -> Result<(), Status> {
    let labels = labels(
        service,
        &[
            ("kubernetes.io/service-name", name_of(service)),
            ("endpointslice.kubernetes.io/managed-by", MANAGER),
        ],
    );
    if let Some(slice) = slice {
        let there = items(slice, "/endpoints") == endpoints && items(slice, "/ports") == ports;
        if there && slice["metadata"]["labels"] == labels {
            return Ok(());
        }
        let (namespace, name) = key_of(slice);
        let written = cx.edit(&ENDPOINT_SLICES, &namespace, &name, Subresource::None, |slice| {
            slice["metadata"]["labels"] = labels.clone();
            slice["endpoints"] = Value::Array(endpoints.to_vec());
            slice["ports"] = Value::Array(ports.to_vec());
        });
        return written.map(|_| ());
    }
    let slice = json!({
        "metadata": {
            "generateName": format!("{}-", name_of(service)), "namespace": namespace_of(service),
            "labels": labels, "ownerReferences": [controller_reference(&SERVICES, service)],
        },
        "addressType": family, "endpoints": endpoints, "ports": ports,
    });
    cx.direct.create(&ENDPOINT_SLICES, slice).map(|_| ())
}
