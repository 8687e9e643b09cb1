//! Calico's objects: which group they live in, and how the agents write them.

use serde_json::{Value, json};

use crate::agents::support::unless_stopped;
use crate::machines::ProgramContext;
use crate::machines::api::{Api, ApiFailure};
use crate::machines::cni::calico::Datastore;
use crate::machines::cni::keyspace;

/// The groups that Calico's kinds live in, the usual one first.
const GROUPS: [&str; 2] = ["/apis/crd.projectcalico.org/v1", "/apis/projectcalico.org/v3"];

/// The datastore once it answers; `None` if the container was asked to stop before.
pub(super) async fn wait(context: &ProgramContext) -> Option<Datastore> {
    if let Some(endpoints) = context.env.get("ETCD_ENDPOINTS").filter(|list| !list.is_empty()) {
        return unless_stopped(context, etcd(context, endpoints)).await;
    }
    let api = Api::new(context.client.clone());
    let found = async {
        loop {
            for group in GROUPS {
                match api.list(&format!("{group}/clusterinformations")).await {
                    Ok(_) => return group,
                    Err(failure) => {
                        tracing::debug!(node = %context.node, "waiting for the datastore: {failure}")
                    }
                }
            }
            tokio::time::sleep(context.durations.program_retry).await;
        }
    };
    let group = unless_stopped(context, found).await?;
    Some(Datastore { api, group })
}

/// The records in etcd, once a member answers to the key that is mounted.
async fn etcd(context: &ProgramContext, endpoints: &str) -> Datastore {
    loop {
        let key = context.env.get("ETCD_KEY_FILE").and_then(|path| context.files.read_text(path));
        match context.keyspace.connect(context.client.clone(), endpoints, key.as_deref()) {
            Ok(api) => return Datastore { api, group: keyspace::GROUP },
            Err(failure) => tracing::debug!(node = %context.node, "waiting for the datastore: {failure}"),
        }
        tokio::time::sleep(context.durations.program_retry).await;
    }
}

/// An object of Calico's.
pub(super) fn object(datastore: &Datastore, kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": datastore.group.trim_start_matches("/apis/"),
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// Creates an object unless it is there.
pub(super) async fn ensure(datastore: &Datastore, plural: &str, object: &Value) -> Result<(), ApiFailure> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let collection = format!("{}/{plural}", datastore.group);
    match datastore.api.find(&format!("{collection}/{name}")).await? {
        Some(_) => Ok(()),
        None => datastore.api.ensure(&collection, object).await,
    }
}
