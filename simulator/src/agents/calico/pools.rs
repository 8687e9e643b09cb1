//! The pools that the first calico-node makes when there are none.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::datastore::object;
use crate::machines::ProgramContext;
use crate::machines::api::{ApiFailure, core, text};
use crate::machines::cni::calico::Datastore;

/// Makes the default pools of the families that have none.
pub(super) async fn ensure(context: &ProgramContext, datastore: &Datastore) -> Result<(), ApiFailure> {
    let variable = |name: &str| context.env.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if variable("NO_DEFAULT_POOLS") == Some("true") {
        return Ok(());
    }
    let collection = format!("{}/ippools", datastore.group);
    let (pools, _) = datastore.api.list(&collection).await?;
    let exists = |v4: bool| {
        let cidrs = pools.iter().filter_map(|pool| text(pool, "/spec/cidr").parse::<IpNet>().ok());
        cidrs.into_iter().any(|cidr| matches!(cidr, IpNet::V4(_)) == v4)
    };
    let subnets =
        if variable("CALICO_IPV4POOL_CIDR").is_none() { pod_subnets(datastore).await } else { Vec::new() };
    if !exists(true) && variable("CALICO_IPV4POOL_CIDR") != Some("none") {
        let known = subnets.iter().find(|cidr| matches!(cidr, IpNet::V4(_))).map(ToString::to_string);
        let cidr = variable("CALICO_IPV4POOL_CIDR").map(str::to_owned).or(known);
        let cidr = cidr.unwrap_or_else(|| "192.168.0.0/16".to_owned());
        let pool = object(datastore, "IPPool", "default-ipv4-ippool", spec(context, "4", &cidr));
        datastore.api.ensure(&collection, &pool).await?;
    }
    let v6 = variable("FELIX_IPV6SUPPORT") == Some("true") || variable("CALICO_IPV6POOL_CIDR").is_some();
    if v6 && !exists(false) && variable("CALICO_IPV6POOL_CIDR") != Some("none") {
        let known = subnets.iter().find(|cidr| matches!(cidr, IpNet::V6(_))).map(ToString::to_string);
        let cidr = variable("CALICO_IPV6POOL_CIDR").map(str::to_owned).or(known);
        let cidr = cidr.unwrap_or_else(|| "fd00:ca11:c0::/48".to_owned());
        let pool = object(datastore, "IPPool", "default-ipv6-ippool", spec(context, "6", &cidr));
        datastore.api.ensure(&collection, &pool).await?;
    }
    Ok(())
}

/// What kubeadm wrote down about the pods' network; nothing if that can't be read.
async fn pod_subnets(datastore: &Datastore) -> Vec<IpNet> {
    let Ok(map) = datastore.api.get(&core("kube-system", "configmaps", "kubeadm-config")).await else {
        return Vec::new();
    };
    let config: Value =
        serde_saphyr::from_str(text(&map, "/data/ClusterConfiguration")).unwrap_or(Value::Null);
    text(&config, "/networking/podSubnet").split(',').filter_map(|cidr| cidr.trim().parse().ok()).collect()
}

fn spec(context: &ProgramContext, family: &str, cidr: &str) -> Value {
    let variable = |name: &str| {
        let name = format!("CALICO_IPV{family}POOL_{name}");
        context.env.get(&name).map(String::as_str).filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let v4 = family == "4";
    let mode = |value: Option<String>| match value.as_deref() {
        Some("Always" | "always") => "Always",
        Some("CrossSubnet" | "cross-subnet" | "cross_subnet") => "CrossSubnet",
        _ => "Never",
    };
    let vxlan = mode(variable("VXLAN"));
    let ipip = match variable("IPIP") {
        None if v4 && vxlan == "Never" => "Always",
        value => mode(value),
    };
    let block =
        variable("BLOCK_SIZE").and_then(|size| size.parse().ok()).unwrap_or(if v4 { 26 } else { 122 });
    let masquerade = variable("NAT_OUTGOING").map_or(v4, |value| value == "true");
    let mut spec = json!({
        "allowedUses": ["Workload", "Tunnel"],
        "blockSize": block,
        "cidr": cidr,
        "ipipMode": ipip,
        "natOutgoing": masquerade,
        "nodeSelector": variable("NODE_SELECTOR").unwrap_or_else(|| "all()".to_owned()),
        "vxlanMode": vxlan,
    });
    if variable("DISABLE_BGP_EXPORT").as_deref() == Some("true") {
        spec["disableBGPExport"] = json!(true);
    }
    spec
}
