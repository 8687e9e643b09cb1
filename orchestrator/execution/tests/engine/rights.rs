//! What a run asks of the API server is what its plan says it needs.

use crate::cluster::Counting;
use crate::migration::{migrate, observed, planned, world_of};
use crate::runs::journal;
use replank_execution::api::{Api, PatchKind};
use replank_execution::{Engine, Outcome, RunDir, RunEvent, World};
use replank_planning::intent::{Intent, Strategy};
use replank_planning::journal::Record;
use replank_planning::rights::{self, Place, Right, Subject, Verb, Which};
use replank_simulator::Clock;
use replank_simulator::scenario::builtin::{Calico, Shape};
use replank_simulator::scenario::{Cluster, ClusterSpec};
use replank_simulator::server::Request;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

/// Everybody who is somebody may ask what they may (`system:basic-user`).
const FOR_ALL: &str = "selfsubjectaccessreviews";

/// Everything that replank asked so far, as rights. Paths of no resource everybody may read.
fn asked(cluster: &Cluster) -> BTreeSet<Right> {
    let requests =
        cluster.server.requests().select(|r| r.client.starts_with("replank/") && !r.resource.is_empty());
    let theirs = requests.iter().filter(|r| !r.resource.starts_with(FOR_ALL));
    theirs.map(|r| right(r.verb, &r.resource, &r.url)).collect()
}

fn right(verb: &str, resource: &str, url: &str) -> Right {
    let verbs = [Verb::Get, Verb::List, Verb::Watch, Verb::Create, Verb::Update, Verb::Patch, Verb::Delete];
    let (whole, sub) = resource.split_once('/').map_or((resource, ""), |(whole, sub)| (whole, sub));
    let (plural, group) = whole.split_once('.').unwrap_or((whole, ""));
    let path: Vec<&str> = url.split('?').next().unwrap_or_default().split('/').collect();
    let at = path.iter().rposition(|part| *part == plural).expect("a resource's URL names it");
    let namespace = path.iter().position(|part| *part == "namespaces").filter(|n| n + 1 < at);
    Right {
        place: namespace.map_or(Place::Cluster, |n| Place::Namespace(path[n + 1].to_owned())),
        group: group.to_owned(),
        resource: if sub.is_empty() { plural.to_owned() } else { format!("{plural}/{sub}") },
        which: path.get(at + 1).map_or(Which::Any, |name| Which::Named((*name).to_owned())),
        verb: *verbs.iter().find(|v| v.as_str() == verb).expect("a verb"),
    }
}

/// What was asked and is not among these rights.
fn beyond(asked: &BTreeSet<Right>, allowed: &BTreeSet<Right>) -> Vec<String> {
    let allows = |wanted: &Right| allowed.iter().any(|right| right.covers(wanted));
    asked.iter().filter(|wanted| !allows(wanted)).map(ToString::to_string).collect()
}

/// Migrates a cluster; what its plan needs, and what of that was never asked for.
async fn migrated(calico: Calico, strategy: Strategy) -> Vec<String> {
    let spec = ClusterSpec { control_planes: 2, ..ClusterSpec::small(calico) };
    let cluster = Cluster::build(spec, Clock::fixed()).await.unwrap();
    let state = observed(&world_of(&cluster)).await;
    assert_eq!(beyond(&asked(&cluster), &rights::observation()), Vec::<String>::new(), "to look");
    let plan = planned(&state, Intent { strategy, ..Intent::default() });
    let needed = rights::needed(&plan);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(migrate(&cluster, plan.clone(), directory.path()).await, Outcome::Finished);
    let asked = asked(&cluster);
    assert_eq!(beyond(&asked, &needed), Vec::<String>::new(), "to migrate");
    let used = |right: &Right| asked.iter().any(|wanted| right.covers(wanted));
    needed.iter().filter(|right| !used(right)).map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn a_migration_needs_what_it_asks_for() {
    let rolling = migrated(Calico::default(), Strategy::Rolling).await;
    let cutover = migrated(Calico::default(), Strategy::Cutover).await;
    let unused: Vec<String> = rolling.into_iter().filter(|right| cutover.contains(right)).collect();
    // What only the way back, trouble or a kind without objects asks for; Calico's kinds are all alike.
    let unused: Vec<&str> =
        unused.iter().map(String::as_str).filter(|r| !r.contains("projectcalico")).collect();
    insta::assert_snapshot!(unused.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn so_does_that_of_every_kind_of_install() {
    for shape in Shape::ALL.into_iter().filter(|shape| *shape != Shape::Manifest) {
        migrated(Calico::of(shape), Strategy::Rolling).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_way_back_needs_no_more() {
    let cluster = Cluster::build(ClusterSpec::small(Calico::default()), Clock::fixed()).await.unwrap();
    let plan = planned(&observed(&world_of(&cluster)).await, Intent::default());
    let directory = tempfile::tempdir().unwrap();
    let engine = |events, pause| {
        let run_dir = RunDir::open(directory.path()).unwrap();
        Engine::new(world_of(&cluster), plan.clone(), run_dir, events, pause)
    };
    let (events, mut told) = unbounded_channel();
    let pause = CancellationToken::new();
    let forward = engine(events, pause.clone());
    let paused = async {
        while let Some(event) = told.recv().await {
            if let RunEvent::Recorded(entry) = event
                && matches!(&entry.record, Record::Succeeded { step, .. } if step.as_str() == "worker-1/cordon")
            {
                pause.cancel();
            }
        }
    };
    let (outcome, ()) = tokio::join!(forward.apply(), paused);
    assert!(matches!(outcome.unwrap(), Outcome::Paused { .. }));
    let (events, _told) = unbounded_channel();
    let outcome = engine(events, CancellationToken::new()).rollback(None).await.unwrap();
    assert_eq!(outcome, Outcome::RolledBack);
    assert_eq!(beyond(&asked(&cluster), &rights::needed(&plan)), Vec::<String>::new());
}

/// Whether replank asked for a change.
fn changes(request: &Request) -> bool {
    request.client.starts_with("replank/") && request.is_write() && !request.resource.starts_with(FOR_ALL)
}

/// A world whose API requests are those of an account with just these rights.
async fn as_account(cluster: &Cluster, rights: &BTreeSet<Right>) -> World {
    let admin = cluster.server.client("admin");
    let api = Api::new(admin.clone());
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "replank"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    if api.find(&format!("{accounts}/replank")).await.unwrap().is_none() {
        api.create(accounts, &account).await.unwrap();
    }
    let subject = Subject::ServiceAccount { namespace: "default".into(), name: "replank".into() };
    for manifest in rights::manifests(rights, Some(&subject)) {
        // A namespace that the plan makes has to be there for its Role.
        if let Some(namespace) = manifest["metadata"]["namespace"].as_str() {
            let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            api.patch(&format!("/api/v1/namespaces/{namespace}"), PatchKind::Apply, &body).await.unwrap();
        }
        let text = |key: &str| manifest["metadata"][key].as_str().unwrap_or_default().to_owned();
        let plural = format!("{}s", manifest["kind"].as_str().unwrap().to_lowercase());
        let place = match text("namespace").as_str() {
            "" => String::new(),
            namespace => format!("/namespaces/{namespace}"),
        };
        let at = format!("/apis/rbac.authorization.k8s.io/v1{place}/{plural}/{}", text("name"));
        api.patch(&at, PatchKind::Apply, &manifest).await.unwrap();
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = api.create(&format!("{accounts}/replank/token"), &request).await.unwrap();
    let client = cluster.server.client_with_token("replank", token["status"]["token"].as_str().unwrap());
    let full = world_of(cluster);
    World::new(client, full.provider.clone())
        .with_clock(full.clock.clone())
        .with_entropy(Arc::new(Counting::default()))
}

#[tokio::test(start_paused = true)]
async fn an_account_with_these_rights_alone_migrates() {
    // The operator's namespaces are removed: no role that is needed may lie in one.
    let installs = [(Strategy::Rolling, Shape::Operator), (Strategy::Cutover, Shape::Manifest)];
    for (strategy, shape) in installs {
        let calico = Calico { shape, ..Calico::default() };
        let cluster = Cluster::build(ClusterSpec::small(calico), Clock::fixed()).await.unwrap();
        // Whoever only looks needs no more than that for a plan.
        let state = observed(&as_account(&cluster, &rights::observation()).await).await;
        let plan = planned(&state, Intent { strategy, ..Intent::default() });
        let world = as_account(&cluster, &rights::needed(&plan)).await;
        assert_eq!(
            planned(&observed(&world).await, plan.intent.clone()).cluster.facts,
            plan.cluster.facts,
            "{shape:?}"
        );
        let directory = tempfile::tempdir().unwrap();
        let (events, _told) = unbounded_channel();
        let run_dir = RunDir::open(directory.path()).unwrap();
        let engine = Engine::new(world, plan, run_dir, events, CancellationToken::new());
        assert_eq!(engine.apply().await.unwrap(), Outcome::Finished, "{}", journal(directory.path()));
    }
}

#[tokio::test(start_paused = true)]
async fn with_any_right_less_it_is_named_and_nothing_is_done() {
    let cluster = Cluster::build(ClusterSpec::small(Calico::default()), Clock::fixed()).await.unwrap();
    let plan = planned(&observed(&world_of(&cluster)).await, Intent::default());
    let needed = rights::needed(&plan);
    // kubeadm lets everybody read whom to trust.
    let given = |right: &&Right| !right.to_string().contains("cluster-info");
    for right in needed.iter().filter(given) {
        let mut fewer = needed.clone();
        fewer.remove(right);
        let world = as_account(&cluster, &fewer).await;
        let before = cluster.server.requests().count(changes);
        let directory = tempfile::tempdir().unwrap();
        let (events, _told) = unbounded_channel();
        let run_dir = RunDir::open(directory.path()).unwrap();
        let engine = Engine::new(world, plan.clone(), run_dir, events, CancellationToken::new());
        let refused = engine.apply().await.expect_err(&right.to_string()).to_string();
        // The first thing that is asked is which cluster this is; the server's own refusal names it.
        let by_server = format!("cannot {} resource \"{}\"", right.verb.as_str(), right.resource);
        assert!(refused.contains(&right.to_string()) || refused.contains(&by_server), "{right}: {refused}");
        assert_eq!(cluster.server.requests().count(changes), before, "{right}");
    }
}
