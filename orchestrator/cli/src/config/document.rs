//! The shape of the configuration file.

use ipnet::IpNet;
use replank_planning::checks::Consent;
use replank_planning::intent::{Backend, DrainRules, Intent, Network, Nodes, ProviderChoice, Strategy};
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
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
    nodes: Nodes,
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

impl Document {
    /// What the file wants, with the manifest that it names.
    pub(super) fn intent(self, manifest: Option<String>) -> Intent {
        let Self { strategy, network, nodes, drain, provider, accept, .. } = self;
        let NetworkSection { pod_cidrs, backend, mtu, image, manifest: _ } = network;
        let network = Network { pod_cidrs, backend, mtu, image, manifest };
        Intent { strategy, network, nodes, drain, provider, accept }
    }
}

/// The JSON Schema of the file, for editors and checks.
pub(crate) fn schema() -> Schema {
    schema_for!(Document)
}
