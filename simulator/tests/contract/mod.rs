//! What a Kubernetes API server does, told as functions of a client: the same against the
//! simulator and against a real server.

pub(crate) mod deletion;
pub(crate) mod evictions;
pub(crate) mod objects;
pub(crate) mod rules;
pub(crate) mod tokens;
pub(crate) mod watches;

use kube::Client;
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// An API of any kind, by `apiVersion`, kind and plural.
pub(crate) fn api(
    client: &Client,
    version: &str,
    kind: &str,
    plural: &str,
    namespace: &str,
) -> Api<DynamicObject> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

/// Creates an object from JSON.
pub(crate) async fn create(api: &Api<DynamicObject>, object: Value) -> kube::Result<DynamicObject> {
    let object = serde_json::from_value(object).expect("an object");
    api.create(&PostParams::default(), &object).await
}

/// Makes a namespace of its own for a story, with the account its pods need.
pub(crate) async fn namespace(client: &Client, name: &str) {
    use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
    let meta = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let object = Namespace { metadata: meta, ..Namespace::default() };
    namespaces.create(&PostParams::default(), &object).await.expect("a namespace can be made");
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
    let account = ServiceAccount {
        metadata: ObjectMeta { name: Some("default".into()), ..ObjectMeta::default() },
        ..ServiceAccount::default()
    };
    // Against a real cluster a controller may have been quicker.
    let _ = accounts.create(&PostParams::default(), &account).await;
}

/// The status of a refused request.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> Box<kube::core::Status> {
    match result {
        Err(kube::Error::Api(status)) => status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// A pod of one container.
pub(crate) fn pod(name: &str) -> Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "example.com/web:1"}]},
    })
}
