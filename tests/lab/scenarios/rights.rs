//! With any right less than `replank rbac` prints, the run is refused before it does anything.

use crate::operator::{Operator, USER};
use crate::stage::{Stage, say};
use replank_execution::api::{Api, PatchKind};
use replank_planning::plan::Plan;
use replank_planning::rights::{self, Place, Right, Which};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/// How long the API server may take to see that a role changed.
const SEEN: Duration = Duration::from_secs(10);

/// How many are taken away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// One of sixteen: enough to see that the real server's answers are understood as the simulator's are, with
    /// which a fast test tries all.
    Some,
    /// Every single one: about a second each.
    All,
}

/// Takes rights away, one after the other, and gives all of them back.
pub(crate) async fn each_is_asked_for(stage: &Stage, operator: &Operator<'_>, share: Share) {
    let api = Api::new(stage.client().await);
    let plan: Plan = serde_json::from_value(operator.planned_document()).expect("a plan is one");
    let all = rights::needed(&plan);
    // kubeadm lets everybody read whom to trust.
    let own = all.iter().filter(|right| !right.to_string().contains("cluster-info"));
    let own: Vec<&Right> = own.step_by(if share == Share::All { 1 } else { 16 }).collect();
    let began = Instant::now();
    for right in &own {
        let mut fewer = all.clone();
        fewer.remove(right);
        give(&api, &all, &fewer).await;
        gone(&api, right).await;
        let ended = tokio::task::block_in_place(|| operator.tries());
        let refused = ended.err.split_whitespace().collect::<Vec<_>>().join(" ");
        let by_server = format!("cannot {} resource \"{}\"", right.verb.as_str(), right.resource);
        let named = refused.contains(&right.to_string()) || refused.contains(&by_server);
        assert!(ended.status != 0 && named, "without {right}: {ended:?}");
        assert_eq!(operator.journal(), "", "without {right} something was done");
    }
    give(&api, &all, &all).await;
    let took = began.elapsed().as_secs_f64();
    say(&format!(
        "without any one of {} rights out of {} the run was refused by its name; {took:.0} s",
        own.len(),
        all.len()
    ));
}

/// Writes the roles that are there already; one without a rule left stays, empty.
async fn give(api: &Api, all: &BTreeSet<Right>, rights: &BTreeSet<Right>) {
    let now = rights::manifests(rights, None);
    for role in rights::manifests(all, None) {
        let metadata = &role["metadata"];
        let left = now.iter().find(|now| now["metadata"] == *metadata && now["kind"] == role["kind"]);
        let rules = left.map_or_else(|| json!([]), |left| left["rules"].clone());
        let at = match (metadata["namespace"].as_str(), metadata["name"].as_str().unwrap_or_default()) {
            (None, name) => format!("{RBAC}/clusterroles/{name}"),
            (Some(namespace), name) => format!("{RBAC}/namespaces/{namespace}/roles/{name}"),
        };
        let written = api.patch(&at, PatchKind::Merge, &json!({"rules": rules})).await;
        written.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Waits until the server does not allow it any more.
async fn gone(api: &Api, right: &Right) {
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((&right.resource, ""));
    let mut attributes = json!({
        "verb": right.verb.as_str(), "group": right.group, "resource": resource, "subresource": subresource,
    });
    if let Place::Namespace(namespace) = &right.place {
        attributes["namespace"] = json!(namespace);
    }
    if let Which::Named(name) = &right.which {
        attributes["name"] = json!(name);
    }
    let review: Value = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": USER, "resourceAttributes": attributes},
    });
    let end = Instant::now() + SEEN;
    loop {
        let answer = api.create(REVIEWS, &review).await.unwrap_or_else(|error| panic!("{error}"));
        if answer["status"]["allowed"] != true {
            return;
        }
        assert!(Instant::now() < end, "{right} is allowed without being asked for");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
