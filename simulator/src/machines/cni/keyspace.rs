//! Calico's keys in the control planes' etcd: its records where no Kubernetes API serves them.
//!
//! The keys are kept as objects of the kinds that they stand for, in a store of their own that no
//! client of the cluster can see. Whoever shows the key file and reaches a member may read and write.

use std::sync::{Arc, OnceLock};

use http::{Request, Response};
use kube::client::Body;
use serde_json::json;

use crate::clock::Clock;
use crate::machines::api::Api;
use crate::machines::etcd::Etcd;
use crate::schema::builtin::CUSTOM_RESOURCE_DEFINITIONS;
use crate::server::Server;

/// The path under which the keys are found, as if Kubernetes served them.
pub(crate) const GROUP: &str = "/apis/crd.projectcalico.org/v1";

/// The kinds that are written, with their plurals.
const KINDS: [(&str, &str); 9] = [
    ("ClusterInformation", "clusterinformations"),
    ("FelixConfiguration", "felixconfigurations"),
    ("KubeControllersConfiguration", "kubecontrollersconfigurations"),
    ("IPPool", "ippools"),
    ("IPAMBlock", "ipamblocks"),
    ("IPAMHandle", "ipamhandles"),
    ("IPAMConfig", "ipamconfigs"),
    ("BlockAffinity", "blockaffinities"),
    ("Tier", "tiers"),
];

/// The keys of one cluster. Clones see the same ones.
#[derive(Clone)]
pub struct Keyspace(Arc<Inner>);

struct Inner {
    etcd: Etcd,
    clock: Clock,
    seed: u64,
    store: OnceLock<Server>,
}

impl Keyspace {
    pub(crate) fn new(etcd: Etcd, clock: Clock, seed: u64) -> Self {
        Self(Arc::new(Inner { etcd, clock, seed, store: OnceLock::new() }))
    }

    /// A connection to Kubernetes, and to etcd for Calico's records.
    ///
    /// # Errors
    /// In the words of Calico's client: no endpoint answers, or there is no key.
    pub(crate) fn connect(
        &self,
        kubernetes: kube::Client,
        endpoints: &str,
        key: Option<&str>,
    ) -> Result<Api, String> {
        if key.is_none_or(str::is_empty) {
            return Err(
                "could not initialize etcdv3 client: open the key file: no such file or directory".to_owned()
            );
        }
        let reachable = endpoints.split(',').any(|endpoint| self.answers(endpoint));
        if !reachable {
            return Err(format!("context deadline exceeded: no etcd member answers at {endpoints}"));
        }
        let records = self.store().client("calico-etcd");
        let service = tower::service_fn(move |request: Request<Body>| {
            let client = if request.uri().path().starts_with(GROUP) { &records } else { &kubernetes };
            let client = client.clone();
            async move {
                let answer: Result<Response<Body>, kube::Error> = client.send(request).await;
                answer
            }
        });
        Ok(Api::new(kube::Client::new(service, "default")))
    }

    fn answers(&self, endpoint: &str) -> bool {
        let host = endpoint.trim().split_once("://").map_or(endpoint.trim(), |(_, rest)| rest);
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
        self.0.etcd.members().iter().any(|member| member.up && member.address == host)
    }

    fn store(&self) -> &Server {
        self.0.store.get_or_init(|| {
            let server = Server::new(self.0.clock, self.0.seed);
            let direct = server.direct("etcd");
            for (kind, plural) in KINDS {
                let definition = json!({
                    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": {"name": format!("{plural}.crd.projectcalico.org")},
                    "spec": {
                        "group": "crd.projectcalico.org", "scope": "Cluster",
                        "names": {
                            "kind": kind, "listKind": format!("{kind}List"),
                            "plural": plural, "singular": kind.to_lowercase(),
                        },
                        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                            "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                        }}],
                    },
                });
                if let Err(refusal) = direct.create(&CUSTOM_RESOURCE_DEFINITIONS, definition) {
                    tracing::error!("the store of Calico's keys refused {kind}: {}", refusal.message);
                }
            }
            server
        })
    }
}
