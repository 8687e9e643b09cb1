//! The real kubectl against the embedded cluster, over TCP with TLS, in real time.

use crate::support::Kubectl;
use replank_simulator::Clock;
use replank_simulator::machines::Durations;
use replank_simulator::scenario::{Cluster, ClusterSpec};
use replank_simulator::server::{Pki, Serving, serve};
use std::net::Ipv4Addr;
use std::time::Duration;

const WEB: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: kiosk}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: kiosk, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: main, image: "example/web:1", ports: [{containerPort: 8080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: kiosk}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: kiosk}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
"#;

async fn cluster() -> (Cluster, Serving, Pki) {
    let spec = ClusterSpec {
        control_planes: 1,
        workers: 2,
        pods: 0,
        durations: Durations::default().scaled(20.0),
        ..ClusterSpec::default()
    };
    let cluster = Cluster::build(spec, Clock::fixed()).await.expect("the cluster comes up");
    let pki = Pki::generate(&["127.0.0.1".to_owned()]).expect("certificates can be made");
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let serving = serve(&cluster.server, cluster.router(), address, &pki).await.expect("a port is free");
    (cluster, serving, pki)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_works_as_on_any_cluster() {
    let Some(kubectl) = Kubectl::for_test("kubectl_works_as_on_any_cluster") else { return };
    let (cluster, serving, pki) = cluster().await;
    let kubeconfig = kubectl.home().join("config");
    std::fs::write(&kubeconfig, pki.kubeconfig(&serving.url())).expect("the folder is writable");
    let kubectl = kubectl.with(&kubeconfig);
    let told = tokio::task::spawn_blocking(move || {
        what_there_is(&kubectl);
        applying(&kubectl);
        looking(&kubectl);
        forms(&kubectl);
        watching(&kubectl);
        conflicts(&kubectl);
        asking(&kubectl);
        rolling(&kubectl);
        labels_and_taints(&kubectl);
        draining(&kubectl);
        making(&kubectl);
        taking_away(&kubectl);
    });
    tokio::time::timeout(Duration::from_mins(8), told).await.expect("it ends").expect("nothing panics");
    serving.stop().await;
    drop(cluster);
}

fn what_there_is(kubectl: &Kubectl) {
    assert!(kubectl.says("version").contains("Server Version: v1.34.4"));
    let resources = kubectl.says("api-resources");
    for line in ["deployments", "poddisruptionbudgets", "ippools", "customresourcedefinitions"] {
        assert!(resources.contains(line), "{line} is missing:\n{resources}");
    }
    assert!(kubectl.says("api-versions").contains("apps/v1\n"));
    assert!(kubectl.says("get --raw /readyz").starts_with("ok"));
    let nodes = kubectl.says("get nodes -o wide");
    assert!(nodes.starts_with("NAME") && nodes.contains("INTERNAL-IP"), "{nodes}");
    assert!(nodes.contains("control-plane-1   Ready    control-plane"), "{nodes}");
    assert!(kubectl.says("explain deployment.spec.replicas").contains("<integer>"));
}

fn applying(kubectl: &Kubectl) {
    let made = kubectl.says_with("apply -f -", WEB);
    assert!(made.contains("deployment.apps/web created"), "{made}");
    let again = kubectl.says_with("apply -f -", WEB);
    assert!(again.contains("deployment.apps/web unchanged"), "{again}");
    kubectl.says("rollout status deployment/web -n kiosk --timeout=60s");
    let (status, diff) = kubectl.ends("diff -f -", &WEB.replace("replicas: 2", "replicas: 3"));
    assert_eq!(status, 1, "{diff}");
    assert!(diff.contains("+  replicas: 3"), "{diff}");
    let (status, diff) = kubectl.ends("diff -f -", WEB);
    assert_eq!((status, diff.as_str()), (0, ""));
    let three = WEB.replace("replicas: 2", "replicas: 3");
    let changed = kubectl.says_with("apply -f -", &three);
    assert!(changed.contains("deployment.apps/web configured"), "{changed}");
    let applied = kubectl.says_with("apply --server-side --force-conflicts -f -", &three);
    assert!(applied.contains("deployment.apps/web serverside-applied"), "{applied}");
    let (status, refused) = kubectl.ends("apply -f -", &three.replace("replicas: 3", "replicaz: 3"));
    assert_ne!(status, 0);
    assert!(refused.contains("unknown field \"spec.replicaz\""), "{refused}");
}

fn looking(kubectl: &Kubectl) {
    kubectl.says("wait deployment/web -n kiosk --for=condition=Available --timeout=60s");
    kubectl.says("wait pod -n kiosk -l app=web --for=condition=Ready --timeout=60s");
    let names = kubectl.says("get pods -n kiosk -l app=web -o name");
    assert_eq!(names.lines().filter(|line| line.starts_with("pod/web-")).count(), 3, "{names}");
    let path = "get deployment web -n kiosk -o jsonpath={.status.readyReplicas}";
    assert_eq!(kubectl.says(path), "3");
    let table = kubectl.says("get pods -n kiosk -o wide");
    assert!(table.starts_with("NAME") && table.contains("1/1     Running"), "{table}");
    assert!(kubectl.says("get deployment web -n kiosk -o yaml").contains("kind: Deployment"));
    let list: serde_json::Value =
        serde_json::from_str(&kubectl.says("get pods -n kiosk -o json")).expect("JSON is JSON");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(3));
    let slices = kubectl.says("get endpointslices -n kiosk");
    assert!(slices.contains("8080"), "{slices}");
    let described = kubectl.says("describe deployment web -n kiosk");
    assert!(described.contains("3 desired | 3 updated | 3 total | 3 available"), "{described}");
    assert!(described.contains("ScalingReplicaSet"), "{described}");
    assert!(kubectl.says("describe nodes worker-1").contains("Allocated resources"));
    assert!(kubectl.says("get pdb -n kiosk").contains("ALLOWED DISRUPTIONS"));
    let (status, watched) = kubectl.ends("get pods -n kiosk --watch --request-timeout=2s", "");
    assert!(watched.lines().filter(|line| line.contains("Running")).count() >= 3, "{status}: {watched}");
}

/// Every form in which kubectl can print an object.
fn forms(kubectl: &Kubectl) {
    let web = "get deployment web -n kiosk";
    let says = |form: &str| kubectl.says(&format!("{web} {form}"));
    let table = says("");
    assert!(table.starts_with("NAME") && table.contains("3/3"), "{table}");
    assert!(says("-o wide").contains("example/web:1"));
    assert!(!says("--no-headers").contains("NAME"));
    assert!(says("--show-labels").contains("app=web"));
    assert!(says("-L app").lines().next().is_some_and(|head| head.trim_end().ends_with("APP")));
    assert_eq!(says("-o name").trim(), "deployment.apps/web");
    let json: serde_json::Value = serde_json::from_str(&says("-o json")).expect("JSON is JSON");
    assert_eq!(json["kind"], "Deployment");
    assert!(json["metadata"]["managedFields"].is_null(), "kubectl leaves them out");
    assert!(says("-o json --show-managed-fields").contains("managedFields"));
    assert!(says("-o yaml").contains("\n  replicas: 3\n"));
    assert_eq!(says("-o jsonpath={.spec.replicas}"), "3");
    assert_eq!(says("-o go-template={{.spec.replicas}}"), "3");
    let columns = says("-o custom-columns=WHO:.metadata.name,MANY:.spec.replicas");
    assert_eq!(columns.split_whitespace().collect::<Vec<_>>(), ["WHO", "MANY", "web", "3"]);
    let many = kubectl.says("get deployments,services,poddisruptionbudgets -n kiosk -o name");
    assert_eq!(
        many.lines().collect::<Vec<_>>(),
        ["deployment.apps/web", "service/web", "poddisruptionbudget.policy/web"]
    );
    let names = kubectl.says("api-resources --namespaced=false -o name");
    assert!(
        names.lines().any(|name| name == "nodes") && !names.lines().any(|name| name == "pods"),
        "{names}"
    );
    for what in ["service web -n kiosk", "pdb web -n kiosk", "pods -n kiosk -l app=web"] {
        let described = kubectl.says(&format!("describe {what}"));
        assert!(described.contains("Namespace:") && described.contains("kiosk"), "{described}");
    }
    assert!(kubectl.says("describe daemonset kube-proxy -n kube-system").contains("Pods Status:"));
}

/// A watch that is open tells what happens meanwhile.
fn watching(kubectl: &Kubectl) {
    let watched = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            kubectl.ends("get deployment web -n kiosk --watch --output-watch-events --request-timeout=8s", "")
        });
        std::thread::sleep(Duration::from_secs(2));
        kubectl.says("scale deployment/web -n kiosk --replicas=5 --current-replicas=3");
        kubectl.says("rollout status deployment/web -n kiosk --timeout=60s");
        kubectl.says("scale deployment/web -n kiosk --replicas=3");
        watch.join().expect("the watch ends").1
    });
    assert!(watched.contains("ADDED"), "{watched}");
    assert!(watched.lines().any(|line| line.starts_with("MODIFIED") && line.contains("/5")), "{watched}");
    kubectl.says("rollout status deployment/web -n kiosk --timeout=60s");
    let (status, refused) =
        kubectl.ends("scale deployment/web -n kiosk --replicas=9 --current-replicas=7", "");
    assert_ne!(status, 0, "{refused}");
}

/// What the server refuses, and what it only pretends to do.
fn conflicts(kubectl: &Kubectl) {
    let theirs = WEB.replace("replicas: 2", "replicas: 4");
    let (status, refused) = kubectl.ends("apply --server-side --field-manager=other -f -", &theirs);
    assert_eq!(status, 1, "{refused}");
    assert!(refused.contains("conflict") && refused.contains(".spec.replicas"), "{refused}");
    let tried = kubectl.says_with("apply --server-side --force-conflicts --dry-run=server -f -", &theirs);
    assert!(tried.contains("serverside-applied (server dry run)"), "{tried}");
    assert_eq!(kubectl.says("get deployment web -n kiosk -o jsonpath={.spec.replicas}"), "3");
    kubectl.says("label deployment web -n kiosk colour=red");
    let (status, refused) = kubectl.ends("label deployment web -n kiosk colour=blue", "");
    assert_eq!(status, 1, "{refused}");
    assert!(refused.contains("--overwrite"), "{refused}");
    kubectl.says("label deployment web -n kiosk colour=blue --overwrite");
    kubectl.says("label deployment web -n kiosk colour-");
    let (status, late) =
        kubectl.ends("wait deployment/web -n kiosk --for=condition=Nonsense --timeout=1s", "");
    assert_eq!(status, 1, "{late}");
    kubectl.says("wait deployment/web -n kiosk --for=jsonpath={.status.readyReplicas}=3 --timeout=60s");
}

fn asking(kubectl: &Kubectl) {
    assert!(kubectl.says("auth can-i delete pods").starts_with("yes"));
    let nobody = "auth can-i delete pods --as=system:serviceaccount:kiosk:default";
    assert!(kubectl.ends(nobody, "").1.starts_with("no"));
    assert_eq!(kubectl.says("create token default -n kiosk").matches('.').count(), 2);
    assert!(kubectl.says("logs deployment/web -n kiosk").contains("Running"));
    assert!(kubectl.says("get events -n kiosk").contains("Scheduled"));
    let all = kubectl.says("get all -A");
    assert!(all.contains("daemonset.apps/kube-proxy") && all.contains("service/kubernetes"), "{all}");
    assert!(kubectl.says("get leases -n kube-system").contains("kube-controller-manager"));
    let paged = kubectl.says("get pods -A --chunk-size=3 -o name");
    assert_eq!(paged, kubectl.says("get pods -A -o name"));
    let sorted = kubectl.says("get pods -n kiosk --sort-by=.metadata.name --no-headers");
    assert_eq!(sorted.lines().count(), 3, "{sorted}");
    kubectl.says("patch deployment web -n kiosk --type=json -p [{\"op\":\"add\",\"path\":\"/metadata/labels/a\",\"value\":\"b\"}]");
    kubectl.says("patch deployment web -n kiosk -p {\"metadata\":{\"labels\":{\"a\":null}}}");
    kubectl.says("set image deployment/web -n kiosk main=example/web:2");
    kubectl.says("rollout status deployment/web -n kiosk --timeout=60s");
    assert!(kubectl.says("get crd ippools.crd.projectcalico.org").contains("CREATED AT"));
}

fn rolling(kubectl: &Kubectl) {
    kubectl.says("rollout restart deployment/web -n kiosk");
    let status = kubectl.says("rollout status deployment/web -n kiosk --timeout=60s");
    assert!(status.contains("successfully rolled out"), "{status}");
    kubectl.says("rollout undo deployment/web -n kiosk");
    kubectl.says("rollout status deployment/web -n kiosk --timeout=60s");
    assert!(kubectl.says("rollout history deployment/web -n kiosk").contains("REVISION"));
    kubectl.says("scale deployment/web -n kiosk --replicas=4");
    kubectl.says("rollout status deployment/web -n kiosk --timeout=60s");
    kubectl.says("rollout restart daemonset/kube-proxy -n kube-system");
    kubectl.says("rollout status daemonset/kube-proxy -n kube-system --timeout=80s");
}

fn labels_and_taints(kubectl: &Kubectl) {
    kubectl.says("label node worker-1 disk=fast");
    assert!(kubectl.says("get nodes -l disk=fast -o name").contains("node/worker-1"));
    kubectl.says("label node worker-1 disk-");
    kubectl.says("annotate node worker-1 note=this");
    kubectl.says("taint nodes worker-1 own=1:PreferNoSchedule");
    let taints = "get node worker-1 -o jsonpath={.spec.taints[*].key}";
    assert_eq!(kubectl.says(taints), "own");
    kubectl.says("taint nodes worker-1 own-");
    assert_eq!(kubectl.says(taints), "");
    kubectl.says("cordon worker-1");
    assert!(kubectl.says("get nodes").contains("Ready,SchedulingDisabled"));
    kubectl.says("uncordon worker-1");
}

fn draining(kubectl: &Kubectl) {
    let (status, refused) = kubectl.ends("drain worker-1 --timeout=5s", "");
    assert_ne!(status, 0);
    assert!(refused.contains("--ignore-daemonsets"), "{refused}");
    let drained = kubectl.says(
        "drain worker-1 --ignore-daemonsets --delete-emptydir-data --force --grace-period=1 --timeout=80s",
    );
    assert!(drained.contains("node/worker-1 drained"), "{drained}");
    kubectl.says("rollout status deployment/web -n kiosk --timeout=60s");
    let left = kubectl.says("get pods -n kiosk --field-selector spec.nodeName=worker-1 -o name");
    assert_eq!(left, "");
    kubectl.says("uncordon worker-1");
}

fn making(kubectl: &Kubectl) {
    kubectl.says("create namespace booth");
    kubectl.says("create configmap notes -n booth --from-literal=a=b");
    assert_eq!(kubectl.says("get configmap notes -n booth -o jsonpath={.data.a}"), "b");
    kubectl.says("create secret generic keys -n booth --from-literal=a=b");
    assert_eq!(kubectl.says("get secret keys -n booth -o jsonpath={.data.a}"), "Yg==");
    kubectl.says("create serviceaccount worker -n booth");
    kubectl.says("create deployment stall -n booth --image=example/web:1 --replicas=2 --port=80");
    kubectl.says("rollout status deployment/stall -n booth --timeout=60s");
    kubectl.says("delete namespace booth --timeout=60s");
}

fn taking_away(kubectl: &Kubectl) {
    kubectl.says("run single -n kiosk --image=example/web:1 --labels=app=single");
    kubectl.says("wait pod/single -n kiosk --for=condition=Ready --timeout=60s");
    kubectl.says("delete pods -n kiosk -l app=single --wait=false");
    kubectl.says("wait pod/single -n kiosk --for=delete --timeout=60s");
    kubectl.says("run single -n kiosk --image=example/web:1 --labels=app=single");
    kubectl.says("delete pod single -n kiosk --force --grace-period=0");
    kubectl.says("delete deployment web -n kiosk --cascade=foreground --timeout=60s");
    assert_eq!(kubectl.says("get pods,replicasets -n kiosk -o name"), "");
    let gone = kubectl.says("delete namespace kiosk --timeout=60s");
    assert!(gone.contains("namespace \"kiosk\" deleted"), "{gone}");
    let (status, missing) = kubectl.ends("get namespace kiosk", "");
    assert_eq!(status, 1);
    assert!(missing.contains("Error from server (NotFound): namespaces \"kiosk\" not found"), "{missing}");
}
