//! Flannel's network configuration.

use crate::intent::Backend;
use ipnet::IpNet;
use serde_json::{Map, Value, json};

/// What flanneld is told: the network and how nodes reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetConf {
    /// The network's ranges, at most one of each family.
    pub network: Vec<IpNet>,
    /// How nodes reach each other.
    pub backend: Backend,
    /// The number of the VXLAN network; Flannel's own choice (1) if none.
    pub vni: Option<u32>,
    /// The MTU of pod interfaces in bytes; flanneld's own choice if none.
    pub mtu: Option<u32>,
}

impl NetConf {
    /// The file `net-conf.json`. The backend is always written: flanneld takes udp, not vxlan, when
    /// it is missing (`pkg/subnet/config.go`, v0.28).
    pub fn json(&self) -> Value {
        let mut conf = Map::new();
        match self.network.iter().find(|range| matches!(range, IpNet::V4(_))) {
            Some(range) => {
                conf.insert("Network".into(), json!(range.to_string()));
            }
            None => {
                conf.insert("EnableIPv4".into(), json!(false));
            }
        }
        if let Some(range) = self.network.iter().find(|range| matches!(range, IpNet::V6(_))) {
            conf.insert("EnableIPv6".into(), json!(true));
            conf.insert("IPv6Network".into(), json!(range.to_string()));
        }
        conf.insert("EnableNFTables".into(), json!(false));
        let mut backend = json!({"Type": self.backend_name()});
        if let Some(vni) = self.vni.filter(|_| self.backend == Backend::Vxlan) {
            backend["VNI"] = json!(vni);
        }
        if let Some(mtu) = self.mtu {
            backend["MTU"] = json!(mtu);
        }
        conf.insert("Backend".into(), backend);
        Value::Object(conf)
    }

    fn backend_name(&self) -> &'static str {
        match self.backend {
            Backend::Vxlan => "vxlan",
            Backend::HostGw => "host-gw",
            Backend::Wireguard => "wireguard",
        }
    }

    /// The file `cni-conf.json`: what the kubelet's runtime reads on each node.
    pub fn cni_json() -> Value {
        json!({
            "name": "cbr0",
            "cniVersion": "0.3.1",
            "plugins": [
                {"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}},
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        })
    }
}

/// The ranges of the families that a `net-conf.json` switches on, as flanneld reads it: IPv4 unless it
/// says no, IPv6 only if it says yes.
pub fn networks_of(conf: &Value) -> Vec<IpNet> {
    let on = [conf["EnableIPv4"] != false, conf["EnableIPv6"] == true];
    let keys = ["Network", "IPv6Network"].into_iter().zip(on).filter(|(_, on)| *on);
    keys.filter_map(|(key, _)| conf[key].as_str()?.parse().ok()).collect()
}
