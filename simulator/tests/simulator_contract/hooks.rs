//! Tokens that end with their account, groups served by somebody else, and what `Direct` sees.

use crate::contract::{refusal, tokens};
use crate::server;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use replank_simulator::schema::builtin;
use replank_simulator::server::{DeleteOptions, EtcdHealth, EventKind, Subresource};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_token_ends_with_its_time_and_its_account() {
    let server = server();
    let admin = server.client("admin");
    let token = tokens::token(&admin, "default", "default").await;
    let maps: Api<ConfigMap> = Api::namespaced(server.client_with_token("agent", &token), "default");
    let refused = refusal(maps.list(&ListParams::default()).await);
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message,
        "configmaps is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"configmaps\" in \
         API group \"\" in the namespace \"default\""
    );
    let direct = server.direct("test");
    direct
        .create(
            &builtin::CLUSTER_ROLE_BINDINGS,
            json!({"metadata": {"name": "all"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "default"}]}),
        )
        .unwrap();
    maps.list(&ListParams::default()).await.unwrap();
    tokio::time::advance(Duration::from_secs(601)).await;
    assert_eq!(refusal(maps.list(&ListParams::default()).await).code, 401);
    let token = tokens::token(&admin, "default", "default").await;
    let maps: Api<ConfigMap> = Api::namespaced(server.client_with_token("agent", &token), "default");
    maps.list(&ListParams::default()).await.unwrap();
    direct.delete(&builtin::SERVICE_ACCOUNTS, "default", "default", DeleteOptions::default()).unwrap();
    let refused = refusal(maps.list(&ListParams::default()).await);
    assert_eq!((refused.code, refused.message.as_str()), (401, "Unauthorized"));
}

#[tokio::test(start_paused = true)]
async fn a_delegated_group_answers_while_its_backend_does() {
    let server = server();
    let direct = server.direct("test");
    server.set_aggregated(
        "projectcalico.org",
        "v3",
        Arc::new(|_| {
            Box::pin(async {
                http::Response::new(axum::body::Body::from(
                    json!({"kind": "IPPoolList", "apiVersion": "projectcalico.org/v3", "metadata": {}, "items": []})
                        .to_string(),
                ))
            })
        }),
    );
    let spec = json!({"ports": [{"port": 443}], "selector": {"app": "api"}});
    direct
        .create(
            &builtin::SERVICES,
            json!({"metadata": {"name": "api", "namespace": "default"}, "spec": spec}),
        )
        .unwrap();
    direct
        .create(
            &builtin::API_SERVICES,
            json!({"metadata": {"name": "v3.projectcalico.org"}, "spec": {
                "group": "projectcalico.org", "version": "v3", "groupPriorityMinimum": 1500, "versionPriority": 200,
                "insecureSkipTLSVerify": true, "service": {"namespace": "default", "name": "api", "port": 443}}}),
        )
        .unwrap();
    let available = || {
        let service = direct.get(&builtin::API_SERVICES, "", "v3.projectcalico.org").unwrap();
        service["status"]["conditions"][0]["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(available(), "MissingEndpoints");
    let client = server.client("a");
    let pools = crate::contract::api(&client, "projectcalico.org/v3", "IPPool", "ippools", "");
    let refused = refusal(pools.list(&ListParams::default()).await);
    assert_eq!(refused.code, 503);
    direct
        .create(
            &builtin::ENDPOINT_SLICES,
            json!({"metadata": {"name": "api-1", "namespace": "default",
                "labels": {"kubernetes.io/service-name": "api"}}, "addressType": "IPv4", "ports": [],
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}]}),
        )
        .unwrap();
    assert_eq!(available(), "Passed");
    assert!(pools.list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cursor_sees_every_change_and_who_made_it() {
    let server = server();
    let direct = server.direct("test");
    let mut changes = direct.changes();
    let maps: Api<ConfigMap> = Api::namespaced(server.client("writer/1 (x)"), "default");
    let object = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
    maps.create(&PostParams::default(), &object).await.unwrap();
    let patch = json!({"data": {"k": "v"}});
    direct.merge_patch(&builtin::CONFIG_MAPS, "default", "a", Subresource::None, patch).unwrap();
    direct.delete(&builtin::CONFIG_MAPS, "default", "a", DeleteOptions::default()).unwrap();
    let events = changes.next().await;
    let told: Vec<(EventKind, &str)> = events.iter().map(|event| (event.kind, &*event.client)).collect();
    assert_eq!(
        told,
        [(EventKind::Added, "writer/1"), (EventKind::Modified, "test"), (EventKind::Deleted, "test")]
    );
    assert!(events[2].new.is_none() && events[2].old.is_some());
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_nothing_is_written() {
    let server = server();
    let maps: Api<ConfigMap> = Api::namespaced(server.client("a"), "default");
    server.set_etcd_health(EtcdHealth::Lost);
    let refused = refusal(maps.list(&ListParams::default()).await);
    assert_eq!((refused.code, refused.message.as_str()), (500, "etcdserver: request timed out"));
    maps.list(&ListParams::default().at("0").matching(kube::api::VersionMatch::NotOlderThan)).await.unwrap();
    server.set_etcd_health(EtcdHealth::Quorum);
    maps.list(&ListParams::default()).await.unwrap();
}
