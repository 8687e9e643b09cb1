//! Service account tokens and what they may do.

use super::{api, create, namespace};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use serde_json::json;

/// Asks for a token of an account.
pub(crate) async fn token(client: &Client, namespace: &str, account: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        metadata: ObjectMeta::default(),
        spec: TokenRequestSpec { audiences: vec![], expiration_seconds: Some(600), bound_object_ref: None },
        status: None,
    };
    let issued = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    issued.status.unwrap().token
}

/// Given roles and bindings, when somebody asks what an account may do, then they decide.
pub(crate) async fn roles_decide(client: Client) {
    namespace(&client, "roles").await;
    assert!(!token(&client, "roles", "default").await.is_empty());
    let rbac = "rbac.authorization.k8s.io/v1";
    create(
        &api(&client, rbac, "Role", "roles", "roles"),
        json!({
            "metadata": {"name": "reader"},
            "rules": [{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"]}],
        }),
    )
    .await
    .unwrap();
    create(
        &api(&client, rbac, "RoleBinding", "rolebindings", "roles"),
        json!({
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "roles"}],
        }),
    )
    .await
    .unwrap();
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    for (verb, resource, name, place, wanted) in [
        ("list", "pods", "", "roles", true),
        ("delete", "pods", "", "roles", false),
        ("list", "pods", "", "default", false),
        ("get", "configmaps", "one", "roles", true),
        ("get", "configmaps", "two", "roles", false),
    ] {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some("system:serviceaccount:roles:default".into()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.into()),
                    resource: Some(resource.into()),
                    name: Some(name.into()),
                    namespace: Some(place.into()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answered = reviews.create(&PostParams::default(), &review).await.unwrap();
        assert_eq!(answered.status.unwrap().allowed, wanted, "{verb} {resource} {name} in {place}");
    }
}
