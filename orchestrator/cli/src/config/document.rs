//! The shape of the configuration file.

use ipnet::IpNet;
use replank_planning::checks::Consent;
use replank_planning::intent::{
    Backend, DrainRules, Intent, Network, Nodes, ProviderChoice, Strategy, UserDataFile,
};
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A migration of a cluster's pod network from Calico to Flannel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    /// The version of this document's shape.
    #[serde(rename = "apiVersion")]
    _api_version: ApiVersion,
    /// What the document is.
    #[serde(rename = "kind")]
    _kind: Kind,
    /// How the networks change places.
    #[serde(default)]
    pub(super) strategy: Strategy,
    /// The new network.
    #[serde(default)]
    pub(super) network: NetworkSection,
    /// How nodes are replaced.
    #[serde(default)]
    pub(super) nodes: NodesSection,
    /// How nodes are drained.
    #[serde(default)]
    drain: DrainRules,
    /// The provider of machines.
    #[serde(default)]
    provider: ProviderChoice,
    /// Consents given in advance.
    #[serde(default)]
    accept: Vec<Consent>,
}

/// The version.
#[derive(Debug, Deserialize, JsonSchema)]
enum ApiVersion {
    /// The first.
    #[serde(rename = "replank.dev/v1alpha1")]
    V1Alpha1,
}

/// The kind.
#[derive(Debug, Deserialize, JsonSchema)]
enum Kind {
    /// A change of the pod network.
    Migration,
}

/// The new network, as the file says it: a manifest is named, not contained.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct NetworkSection {
    /// Its ranges, at most one of each family; chosen disjoint from everything if absent.
    #[schemars(with = "Vec<String>")]
    pod_cidrs: Vec<IpNet>,
    /// How nodes reach each other.
    backend: Backend,
    /// The MTU of pod interfaces, in bytes; Flannel finds it itself if absent.
    mtu: Option<u32>,
    /// Flannel's image; the one this version was tried with if absent.
    image: Option<String>,
    /// The path of a Flannel manifest of your own, beside this file; gated the same way as ours.
    pub(super) manifest: Option<PathBuf>,
}

/// How nodes are replaced, as the file says it: user-data is named, not contained.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct NodesSection {
    /// How long the first replacement is watched before the next node, in seconds.
    canary_soak_seconds: u64,
    /// The worker to begin with; the first by name if absent.
    canary: Option<String>,
    /// How many workers may be under way at once.
    max_surge: u32,
    /// Paths, beside this file, of cloud-config documents and scripts for every new machine. Documents are merged
    /// in this order by cloud-init's rules (`merge_how`); all of it runs before the machine joins.
    pub(super) user_data: Vec<PathBuf>,
    /// What new kubelets are told on their command lines, by names without dashes.
    kubelet_extra_args: BTreeMap<String, String>,
}

impl Default for NodesSection {
    fn default() -> Self {
        let Nodes { canary_soak_seconds, canary, max_surge, kubelet_extra_args, user_data: _ } =
            Nodes::default();
        Self { canary_soak_seconds, canary, max_surge, kubelet_extra_args, user_data: Vec::new() }
    }
}

impl Document {
    /// What the file wants, with the manifest and the user-data that it names.
    pub(super) fn intent(self, manifest: Option<String>, user_data: Vec<UserDataFile>) -> Intent {
        let Self { strategy, network, nodes, drain, provider, accept, .. } = self;
        let NetworkSection { pod_cidrs, backend, mtu, image, manifest: _ } = network;
        let NodesSection { canary_soak_seconds, canary, max_surge, kubelet_extra_args, user_data: _ } = nodes;
        let nodes = Nodes { canary_soak_seconds, canary, max_surge, kubelet_extra_args, user_data };
        let network = Network { pod_cidrs, backend, mtu, image, manifest };
        Intent { strategy, network, nodes, drain, provider, accept }
    }
}

/// The JSON Schema of the file, for editors and checks.
pub(crate) fn schema() -> Schema {
    schema_for!(Document)
}
