//! What may not change, and what the server gives out.

use super::{api, create, namespace, pod, refusal};
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// Given a Node with a pod CIDR, when somebody changes it, then it is refused in the real words.
pub(crate) async fn pod_cidrs_are_given_once(client: Client) {
    let nodes = api(&client, "v1", "Node", "nodes", "");
    create(&nodes, json!({"metadata": {"name": "contract-n1"}})).await.unwrap();
    let set = |cidr: &str| Patch::Merge(json!({"spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}));
    nodes.patch("contract-n1", &PatchParams::default(), &set("10.244.1.0/24")).await.unwrap();
    let refused = refusal(nodes.patch("contract-n1", &PatchParams::default(), &set("10.244.2.0/24")).await);
    assert_eq!(refused.code, 422);
    assert!(
        refused.message.contains("node updates may not change podCIDR except from \"\" to valid"),
        "{}",
        refused.message
    );
    nodes.delete("contract-n1", &kube::api::DeleteParams::default()).await.unwrap();
}

/// Given a pod, when its spec is changed beyond its image, then it is refused; its generation and
/// defaults are the server's.
pub(crate) async fn pods_hardly_change(client: Client) {
    namespace(&client, "pods").await;
    let pods = api(&client, "v1", "Pod", "pods", "pods");
    let made = create(&pods, pod("a")).await.unwrap();
    assert_eq!(made.data["status"]["phase"], "Pending");
    assert_eq!(made.data["spec"]["serviceAccountName"], "default");
    assert!(made.data["spec"]["volumes"][0]["projected"].is_object(), "its token is mounted");
    let patch = Patch::Merge(json!({"spec": {"nodeSelector": {"a": "b"}}}));
    assert_eq!(refusal(pods.patch("a", &PatchParams::default(), &patch).await).code, 422);
    let image = Patch::Json::<()>(
        serde_json::from_value(json!([
            {"op": "replace", "path": "/spec/containers/0/image", "value": "example.com/web:2"}
        ]))
        .unwrap(),
    );
    let changed = pods.patch("a", &PatchParams::default(), &image).await.unwrap();
    assert_eq!(changed.data["spec"]["containers"][0]["image"], "example.com/web:2");
    let mut orphan = pod("b");
    orphan["spec"]["serviceAccountName"] = json!("nobody");
    let refused = refusal(create(&pods, orphan).await);
    assert_eq!(refused.code, 403);
    assert!(refused.message.contains("serviceaccount \"nobody\" not found"), "{}", refused.message);
}

/// Given a Deployment, when its spec changes, then its generation counts on; its selector can't change.
pub(crate) async fn selectors_are_immutable(client: Client) {
    namespace(&client, "selectors").await;
    let deployments = api(&client, "apps/v1", "Deployment", "deployments", "selectors");
    let made = create(
        &deployments,
        json!({
            "metadata": {"name": "web"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "example.com/web:1"}]}}},
        }),
    )
    .await
    .unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    let scaled = Patch::Merge(json!({"spec": {"minReadySeconds": 3}}));
    let changed = deployments.patch("web", &PatchParams::default(), &scaled).await.unwrap();
    assert_eq!(changed.metadata.generation, Some(2));
    let labelled = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let changed = deployments.patch("web", &PatchParams::default(), &labelled).await.unwrap();
    assert_eq!(changed.metadata.generation, Some(2));
    let other = Patch::Merge(json!({"spec": {
        "selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "other"}}}}}));
    let refused = refusal(deployments.patch("web", &PatchParams::default(), &other).await);
    assert_eq!(refused.code, 422);
    assert!(refused.message.contains("field is immutable"), "{}", refused.message);
    let scale = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let scaled = deployments.patch_scale("web", &PatchParams::default(), &scale).await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(2));
}

/// Given Services, when they are made, then each gets an address of its own that never changes.
pub(crate) async fn services_get_addresses(client: Client) {
    namespace(&client, "services").await;
    let services = api(&client, "v1", "Service", "services", "services");
    let spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80}]});
    let first = create(&services, json!({"metadata": {"name": "a"}, "spec": spec})).await.unwrap();
    let second = create(&services, json!({"metadata": {"name": "b"}, "spec": spec})).await.unwrap();
    let ip = first.data["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert_ne!(first.data["spec"]["clusterIP"], second.data["spec"]["clusterIP"]);
    assert_eq!(first.data["spec"]["ports"][0]["targetPort"], 80);
    let taken = json!({"metadata": {"name": "c"}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}});
    assert_eq!(refusal(create(&services, taken).await).code, 422);
}

/// Given a webhook whose Service is not there, when what it watches is written, then its failure
/// policy decides.
pub(crate) async fn unreachable_webhooks_fail_by_policy(client: Client) {
    namespace(&client, "webhooks").await;
    let hooks = api(
        &client,
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "",
    );
    let hook = |policy: &str| {
        json!({
            "metadata": {"name": "contract"},
            "webhooks": [{
                "name": "check.example.com", "failurePolicy": policy, "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"namespace": "webhooks", "name": "gone", "path": "/check"}},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "webhooks"}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
            }],
        })
    };
    let maps = api(&client, "v1", "ConfigMap", "configmaps", "webhooks");
    create(&hooks, hook("Fail")).await.unwrap();
    let refused = refusal(create(&maps, json!({"metadata": {"name": "a"}})).await);
    assert_eq!(refused.code, 500);
    assert!(
        refused.message.starts_with(
            "Internal error occurred: failed calling webhook \"check.example.com\": failed to call webhook: Post"
        ),
        "{}",
        refused.message
    );
    hooks.delete("contract", &kube::api::DeleteParams::default()).await.unwrap();
    create(&hooks, hook("Ignore")).await.unwrap();
    create(&maps, json!({"metadata": {"name": "a"}})).await.unwrap();
    hooks.delete("contract", &kube::api::DeleteParams::default()).await.unwrap();
}

/// Given a definition, when it is made, then its objects are served; when it is deleted, they go
/// with it, finalizers first.
pub(crate) async fn definitions_come_and_go(client: Client) {
    let definitions =
        api(&client, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", "");
    create(&definitions, json!({
        "metadata": {"name": "boats.contract.example.com"},
        "spec": {
            "group": "contract.example.com", "scope": "Cluster",
            "names": {"plural": "boats", "kind": "Boat"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    }))
    .await
    .unwrap();
    let boats = api(&client, "contract.example.com/v1", "Boat", "boats", "");
    // A real server establishes a definition a moment later.
    let mut tries = 0;
    while boats.list(&kube::api::ListParams::default()).await.is_err() && tries < 50 {
        tries += 1;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    create(&boats, json!({"metadata": {"name": "argo", "finalizers": ["example.com/hold"]}, "planks": 7}))
        .await
        .unwrap();
    create(&boats, json!({"metadata": {"name": "dinghy"}})).await.unwrap();
    definitions.delete("boats.contract.example.com", &kube::api::DeleteParams::default()).await.unwrap();
    let mut tries = 0;
    while boats.get("argo").await.is_ok_and(|boat| boat.metadata.deletion_timestamp.is_none()) && tries < 50 {
        tries += 1;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(definitions.get_opt("boats.contract.example.com").await.unwrap().is_some(), "argo is held");
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    boats.patch("argo", &PatchParams::default(), &free).await.unwrap();
    let mut tries = 0;
    while definitions.get_opt("boats.contract.example.com").await.unwrap().is_some() && tries < 100 {
        tries += 1;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(definitions.get_opt("boats.contract.example.com").await.unwrap().is_none());
    assert_eq!(refusal(boats.list(&kube::api::ListParams::default()).await).code, 404);
}
