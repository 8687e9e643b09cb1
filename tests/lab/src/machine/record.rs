//! What is known of a machine while it is off, too.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What a machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs workloads.
    Worker,
    /// Runs the control plane and an etcd member.
    ControlPlane,
}

/// A machine's record, beside its disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its name: its id, too.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its address, which stays its own until it is destroyed.
    pub address: Ipv4Addr,
    /// Its own UUID, which its kubelet reports.
    pub uuid: String,
    /// Its place behind the load balancer, if it has one.
    #[serde(default)]
    pub slot: Option<usize>,
    /// Who made it and what for.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Record {
    /// `spec.providerID` of its Node.
    pub fn provider_id(&self) -> String {
        format!("lab:///{}", self.name)
    }
}

/// What a new machine shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What its first boot carries out.
    pub user_data: Vec<u8>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Whether a machine is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Its first process runs.
    On,
    /// Off, its disk kept.
    Off,
}
