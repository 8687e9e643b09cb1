//! `net-conf.json`: which network, and how packets travel.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::agents::support::Fatal;

/// The backends that exist; others end flanneld.
const BACKENDS: [&str; 10] =
    ["vxlan", "host-gw", "wireguard", "udp", "ipip", "ipsec", "alloc", "extension", "tencent-vpc", "ali-vpc"];

/// Flannel's network configuration.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NetConf {
    /// The network of IPv4, if it is on.
    pub(super) v4: Option<IpNet>,
    /// The network of IPv6, if it is on.
    pub(super) v6: Option<IpNet>,
    /// The backend's type.
    pub(super) backend: String,
    /// The VXLAN network identifier.
    pub(super) vni: u64,
    /// The MTU that pods get.
    pub(super) mtu: u64,
}

impl NetConf {
    /// Reads the configuration.
    pub(super) fn parse(content: &str) -> Result<Self, Fatal> {
        let because = |text: String| Fatal::Because(format!("error parsing subnet config: {text}"));
        let config: Value = serde_json::from_str(content).map_err(|error| because(error.to_string()))?;
        let network = |on: bool, key: &str| -> Result<Option<IpNet>, Fatal> {
            if !on {
                return Ok(None);
            }
            let value = config[key].as_str().unwrap_or_default();
            let network = value.parse().map_err(|_| because(format!("{key}: invalid CIDR {value:?}")))?;
            Ok(Some(network))
        };
        let v4 = network(config["EnableIPv4"] != false, "Network")?;
        let v6 = network(config["EnableIPv6"] == true, "IPv6Network")?;
        if v4.is_none() && v6.is_none() {
            return Err(because("neither IPv4 nor IPv6 is enabled".to_owned()));
        }
        let options = &config["Backend"];
        // What is documented as the default is not: without a backend it is `udp`.
        let backend = options["Type"].as_str().unwrap_or("udp").to_owned();
        if !BACKENDS.contains(&backend.as_str()) {
            return Err(Fatal::Because(format!("error fetching backend: unknown backend type: {backend}")));
        }
        let overhead = match backend.as_str() {
            "vxlan" => 50,
            "wireguard" => 80,
            "udp" => 28,
            "ipip" => 20,
            _ => 0,
        };
        Ok(Self {
            v4,
            v6,
            vni: options["VNI"].as_u64().unwrap_or(1),
            mtu: options["MTU"].as_u64().unwrap_or(1500).saturating_sub(overhead),
            backend,
        })
    }

    /// The network device that the backend makes, if it makes one.
    pub(super) fn device(&self) -> Option<(String, &'static str)> {
        match self.backend.as_str() {
            "vxlan" => Some((format!("flannel.{}", self.vni), "vxlan")),
            "wireguard" => Some(("flannel-wg".to_owned(), "wireguard")),
            "udp" => Some(("flannel0".to_owned(), "tun")),
            "ipip" => Some(("flannel.ipip".to_owned(), "ipip")),
            _ => None,
        }
    }
}

/// The first host address of a subnet with the subnet's prefix, as the subnet file has it.
pub(super) fn gateway(subnet: &IpNet) -> String {
    let first = match subnet.network() {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) | 1).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) | 1).into()),
    };
    format!("{first}/{}", subnet.prefix_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_backend_is_udp_and_an_unknown_one_an_error() {
        let conf = NetConf::parse(r#"{"Network": "10.244.0.0/16"}"#).unwrap();
        assert_eq!((conf.backend.as_str(), conf.mtu), ("udp", 1472));
        let error =
            NetConf::parse(r#"{"Network": "10.244.0.0/16", "Backend": {"Type": "vlan"}}"#).unwrap_err();
        assert!(error.to_string().ends_with("unknown backend type: vlan"), "{error}");
        assert!(NetConf::parse(r#"{"Network": "10.244.0.0"}"#).is_err());
        assert!(NetConf::parse(r#"{"Network": "10.244.0.0/16", "EnableIPv6": true}"#).is_err());
    }

    #[test]
    fn the_gateway_is_the_first_address() {
        assert_eq!(gateway(&"10.244.3.0/24".parse().unwrap()), "10.244.3.1/24");
        assert_eq!(gateway(&"fd00:1::/64".parse().unwrap()), "fd00:1::1/64");
    }
}
