//! Calico's plugin: nothing happens without its credentials and its ClusterInformation.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::release::release;
use super::{Attachment, ipam};
use crate::machines::api::{Api, ApiFailure, Patch, core, text};
use crate::machines::machine::Machine;

/// The groups that Calico's own kinds live in, the usual one first.
const GROUPS: [&str; 2] = ["/apis/crd.projectcalico.org/v1", "/apis/projectcalico.org/v3"];

/// A connection with the plugin's identity, after its first question was answered.
pub(crate) struct Datastore {
    pub(crate) api: Api,
    /// The path of the group in use.
    pub(crate) group: &'static str,
}

/// Connects with the credentials that the configuration names: etcd's keys where it names endpoints,
/// the account's token otherwise.
async fn connect(machine: &Machine, conf: &Value) -> Result<Datastore, String> {
    if !text(conf, "/etcd_endpoints").is_empty() {
        return etcd(machine, conf);
    }
    let api = kubernetes(machine, conf)?;
    let information = |message: String| format!("error getting ClusterInformation: {message}");
    let [first, second] = GROUPS;
    let missing = match asked(&api, first).await {
        Ok(()) => return Ok(Datastore { api, group: first }),
        // A role for the other group alone forbids this one before anybody sees that it is not served.
        Err(failure) if failure.is_not_found() || failure.code() == 403 => failure,
        Err(failure) => return Err(information(wording(&failure))),
    };
    match asked(&api, second).await {
        Ok(()) => Ok(Datastore { api, group: second }),
        Err(_) => Err(information(wording(&missing))),
    }
}

/// The way to the Kubernetes API with the plugin's own token.
fn kubernetes(machine: &Machine, conf: &Value) -> Result<Api, String> {
    let path = match text(conf, "/kubernetes/kubeconfig") {
        "" => "/etc/cni/net.d/calico-kubeconfig",
        path => path,
    };
    let content = machine.host.files().read_text(path);
    let content = content.ok_or_else(|| format!("stat {path}: no such file or directory"))?;
    let config: Value = serde_saphyr::from_str(&content)
        .map_err(|error| format!("error loading config file \"{path}\": {error}"))?;
    let token = text(&config, "/users/0/user/token").to_owned();
    Ok(Api::new(machine.site.access.client_with_token("calico-cni", &token)))
}

/// The way to etcd by the key that the installer left on the host. Nothing of it hangs on the cluster's
/// accounts, roles and definitions.
fn etcd(machine: &Machine, conf: &Value) -> Result<Datastore, String> {
    let key = machine.host.files().read_text(text(conf, "/etcd_key_file"));
    // Only ADD asks Kubernetes too, for a pod's labels; DEL does without.
    let kubernetes = match kubernetes(machine, conf) {
        Ok(api) => api.client(),
        Err(_) => machine.site.access.client_with_token("calico-cni", ""),
    };
    let api = machine.site.keyspace.connect(kubernetes, text(conf, "/etcd_endpoints"), key.as_deref())?;
    Ok(Datastore { api, group: super::keyspace::GROUP })
}

async fn asked(api: &Api, group: &str) -> Result<(), ApiFailure> {
    api.get(&format!("{group}/clusterinformations/default")).await.map(|_| ())
}

/// A failure in the words of Calico's client.
fn wording(failure: &ApiFailure) -> String {
    match failure.code() {
        401 => "connection is unauthorized: Unauthorized".to_owned(),
        403 => format!("connection is unauthorized: {failure}"),
        404 => format!("resource does not exist: ClusterInformation(default) with error: {failure}"),
        _ => failure.to_string(),
    }
}

fn handle(network: &str, attachment: &Attachment) -> String {
    format!("{network}.{}", attachment.sandbox)
}

/// Gives the sandbox an address of Calico's IPAM, and notes it on the pod.
pub(super) async fn add(
    machine: &Machine,
    conf: &Value,
    network: &str,
    attachment: &Attachment,
) -> Result<Vec<IpAddr>, String> {
    let datastore = connect(machine, conf).await?;
    let addresses = if text(conf, "/ipam/type") == "host-local" {
        let ipam = with_pod_cidr(&datastore, &conf["ipam"], &attachment.node).await?;
        super::flannel::host_local(machine.host.files(), &ipam, network, &attachment.sandbox)?
    } else {
        super::find_binary(machine.host.files(), "calico-ipam")?;
        let handle = handle(network, attachment);
        let clock = machine.site.clock;
        ipam::assign(&datastore, &conf["ipam"], &handle, attachment, &clock).await?
    };
    let list: Vec<String> =
        addresses.iter().map(|ip| format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 })).collect();
    let patch = json!({"metadata": {"annotations": {
        "cni.projectcalico.org/containerID": attachment.sandbox,
        "cni.projectcalico.org/podIP": list.first(),
        "cni.projectcalico.org/podIPs": list.join(","),
    }}});
    let path = format!("{}/status", core(&attachment.namespace, "pods", &attachment.pod));
    match datastore.api.patch(&path, Patch::Strategic, &patch).await {
        Err(failure) if !failure.is_not_found() => {
            Err(format!("error adding annotation: {}", wording(&failure)))
        }
        _ => Ok(addresses),
    }
}

/// The IPAM section with the node's own range where it says `usePodCidr`.
async fn with_pod_cidr(datastore: &Datastore, ipam: &Value, node: &str) -> Result<Value, String> {
    const PLACEHOLDERS: [&str; 2] = ["usePodCidr", "usePodCidrIPv6"];
    let mut section = ipam.to_string();
    if !PLACEHOLDERS.iter().any(|word| section.contains(word)) {
        return Ok(ipam.clone());
    }
    let object = datastore.api.get(&core("", "nodes", node)).await.map_err(|failure| wording(&failure))?;
    let cidrs: Vec<&str> =
        object["spec"]["podCIDRs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (word, v4) in PLACEHOLDERS.into_iter().zip([true, false]) {
        let quoted = format!("\"{word}\"");
        if section.contains(&quoted) {
            let cidr = cidrs.iter().find(|cidr| cidr.contains(':') != v4);
            let cidr = cidr.ok_or_else(|| format!("no podCidr for node {node}"))?;
            section = section.replace(&quoted, &format!("\"{cidr}\""));
        }
    }
    serde_json::from_str(&section).map_err(|error| error.to_string())
}

/// Gives the sandbox's address back.
pub(super) async fn del(
    machine: &Machine,
    conf: &Value,
    network: &str,
    attachment: &Attachment,
) -> Result<(), String> {
    let datastore = connect(machine, conf).await?;
    if text(conf, "/ipam/type") == "host-local" {
        super::flannel::release(machine.host.files(), network, &attachment.sandbox);
        return Ok(());
    }
    release(&datastore, &handle(network, attachment)).await.map_err(|failure| wording(&failure))
}
