//! Which hosts there are, and how they are reached.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// The provider's settings in the configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// An ssh configuration in the place of the user's own.
    #[serde(default)]
    pub ssh_config: Option<PathBuf>,
    /// The cluster's hosts, by the names of their Nodes.
    #[serde(default)]
    pub hosts: BTreeMap<String, HostSettings>,
    /// Hosts that have never been nodes, by names of their own: the first that is free is taken.
    #[serde(default)]
    pub spares: BTreeMap<String, HostSettings>,
    /// Whether every host is cleaned and joined again in place, since there is no spare: there is no way back for it
    /// then.
    #[serde(default)]
    pub in_place: bool,
    /// Where this computer remembers which effects it has had: `~/.local/state/replank/ssh` if absent.
    #[serde(default)]
    pub state: Option<PathBuf>,
    /// Commands in the place of the usual ones.
    #[serde(default)]
    pub commands: Commands,
}

/// One host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostSettings {
    /// What ssh is given: the host's name here if absent.
    #[serde(default)]
    pub destination: Option<String>,
    /// Its address in the cluster, by which its Node is known too.
    #[serde(default)]
    pub address: Option<IpAddr>,
}

/// Programs with their arguments, run on the host as root.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Commands {
    /// Takes a host out of service so that it stays out after a reboot.
    #[serde(default)]
    pub stop: Option<Vec<String>>,
    /// Takes it into service again.
    #[serde(default)]
    pub start: Option<Vec<String>>,
    /// Makes a host fit for the pool again.
    #[serde(default)]
    pub reset: Option<Vec<String>>,
    /// Reboots a host that is joined again in place.
    #[serde(default)]
    pub reboot: Option<Vec<String>>,
}
