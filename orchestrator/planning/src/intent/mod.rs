//! What the operator wants: the configuration file, with everything the flags can say and more.

mod problems;

pub use problems::{Problem, problems};

use crate::checks::Consent;
use crate::ids::Digest;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `apiVersion` of every document of ours.
pub const API_VERSION: &str = "replank.dev/v1alpha1";

/// The wish, complete: every default is filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Intent {
    /// How the networks change places.
    pub strategy: Strategy,
    /// The new network.
    pub network: Network,
    /// How nodes are replaced.
    pub nodes: Nodes,
    /// How nodes are drained.
    pub drain: DrainRules,
    /// The provider of machines.
    pub provider: ProviderChoice,
    /// Consents given in advance.
    pub accept: Vec<Consent>,
}

/// How the networks change places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Strategy {
    /// Calico stays on the old nodes until the last of them is gone.
    #[default]
    Rolling,
    /// Calico is removed whole, then Flannel is installed, then the nodes are replaced: an outage.
    Cutover,
}

/// The new network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// Its ranges, at most one of each family; chosen if empty.
    #[schemars(with = "Vec<String>")]
    pub pod_cidrs: Vec<IpNet>,
    /// How nodes reach each other.
    pub backend: Backend,
    /// The MTU of pod interfaces, in bytes; Flannel finds it itself if absent.
    pub mtu: Option<u32>,
    /// Flannel's image; `None` means the one this version was tried with.
    pub image: Option<String>,
    /// A Flannel manifest of the user's own, as text; gated the same way as ours.
    pub manifest: Option<String>,
}

/// How Flannel's nodes reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// VXLAN, VNI 1, UDP 8472.
    #[default]
    Vxlan,
    /// Plain routes: all nodes on one layer-2 segment.
    HostGw,
    /// WireGuard, UDP 51820 and 51821.
    Wireguard,
}

/// How nodes are replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Nodes {
    /// How long the first replacement is watched before the next node, in seconds.
    pub canary_soak_seconds: u64,
    /// The worker to begin with; the first by name if absent.
    pub canary: Option<String>,
    /// How many workers may be under way at once.
    pub max_surge: u32,
    /// User-data of the user's own: cloud-config documents, which are merged as cloud-init merges them, and
    /// scripts. Their content may be secret, so it stays in the files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_data: Vec<UserDataFile>,
    /// What new kubelets are told on their command lines, by names without dashes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kubelet_extra_args: BTreeMap<String, String>,
}

/// A file with user-data, as it was when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserDataFile {
    /// Its absolute path.
    pub path: String,
    /// The digest of its content.
    pub digest: Digest,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            canary_soak_seconds: 60,
            canary: None,
            max_surge: 1,
            user_data: Vec::new(),
            kubelet_extra_args: BTreeMap::new(),
        }
    }
}

/// How nodes are drained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DrainRules {
    /// After this many seconds the run pauses.
    pub deadline_seconds: u64,
    /// What happens when the deadline passes.
    pub at_deadline: AtDeadline,
    /// Overrides every pod's own grace period, in seconds.
    pub grace_seconds: Option<u32>,
}

impl Default for DrainRules {
    fn default() -> Self {
        Self { deadline_seconds: 900, at_deadline: AtDeadline::Pause, grace_seconds: None }
    }
}

/// What happens when a drain's deadline passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AtDeadline {
    /// The run pauses and says what it waited for.
    #[default]
    Pause,
    /// Pods that are still there are deleted, budgets or not. Only where the user said so.
    Delete,
}

/// The provider of machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProviderChoice {
    /// Its name (`replank-provider-NAME`) or the path of its executable.
    pub name: String,
    /// Its own settings, passed to `initialize` as they are.
    pub settings: BTreeMap<String, serde_json::Value>,
}

impl Default for ProviderChoice {
    fn default() -> Self {
        Self { name: "simulator".into(), settings: BTreeMap::new() }
    }
}
