//! A plan is for the cluster that it was made for, as it was.

use crate::support::program::eventually;
use crate::support::{Operator, SMALL, Simulator};
use serde_json::json;
use std::time::Duration;

fn policy(name: &str) -> serde_json::Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    })
}

const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";

#[test]
fn what_does_not_matter_may_change() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let deployments = "/apis/apps/v1/namespaces/shop/deployments";
    let web = simulator.get(deployments)["items"][0]["metadata"]["name"].clone();
    let path = format!("{deployments}/{}", web.as_str().expect("there is a Deployment"));
    let replicas = simulator.get(&path)["spec"]["replicas"].as_u64().unwrap_or(1);
    simulator.patch(&path, &json!({"spec": {"replicas": replicas + 1}}));
    simulator.post("/api/v1/namespaces", &json!({"metadata": {"name": "new-here"}}));
    let mut run = operator.apply();
    eventually("the run begins", Duration::from_secs(60), || {
        assert!(!run.has_ended(), "{}", run.err());
        operator.journal_text().contains("\"record\":\"started\"").then_some(())
    });
    run.kill();
    // Once it has begun, each step looks for itself: the plan is not compared again.
    simulator.post(POLICIES, &policy("late"));
    let lines = operator.lines();
    let mut run = operator.apply();
    eventually("the run goes on", Duration::from_secs(60), || {
        assert!(!run.has_ended(), "{}", run.err());
        (operator.lines() > lines + 3).then_some(())
    });
    run.kill();
    simulator.stop();
}

#[test]
fn what_matters_is_named_and_nothing_is_done() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let refuses = |words: &[&str]| {
        let refused = operator.applies().with(5);
        for word in words {
            assert!(refused.err.contains(word), "{word:?} in {refused:?}");
        }
        let began = operator.journal_text().contains("\"record\":\"started\"");
        assert!(!began && simulator.effects()["pods"] == json!([]), "nothing is done");
        // The next plan is another run.
        std::fs::remove_dir_all(operator.run_dir()).expect("the run directory can be removed");
    };
    // A consent for the policies that there were is none for this one.
    simulator.post(POLICIES, &policy("stranger"));
    refuses(&["policy-unenforced", "stranger"]);
    operator.plans(&operator.consents()).with(0);

    let config = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
    let map = simulator.get(config)["data"]["ClusterConfiguration"].as_str().unwrap_or_default().to_owned();
    simulator.patch(
        config,
        &json!({"data": {"ClusterConfiguration": map.replace("192.168.0.0/16", "192.168.0.0/17")}}),
    );
    refuses(&["podSubnet", "192.168.0.0/16", "192.168.0.0/17"]);
    simulator.stop();
}

#[test]
fn a_consent_for_one_object_does_not_cover_another() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator);
    let consents = operator.consents();
    simulator.post(POLICIES, &policy("stranger"));
    let refused = operator.plans(&consents).with(3);
    assert!(refused.err.contains("stranger") || refused.out.contains("stranger"), "{refused:?}");
    assert!(!operator.plan().exists(), "no plan is written");
    operator.plans(&operator.consents()).with(0);
    simulator.stop();
}

#[test]
fn user_data_is_shown_before_anything_is_made() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let (kubeconfig, plan) = (operator.kubeconfig(), operator.plan().display().to_string());
    let render = |node: &str| {
        let line = ["cloud-init", "render", "--kubeconfig", &kubeconfig, "--plan", &plan, "--node", node];
        operator.run(&line)
    };
    let worker = render("worker-1").with(0);
    for there in ["#cloud-config", "br_netfilter", "kubeadm join", "(the bootstrap token"] {
        assert!(worker.out.contains(there), "{there:?} in {}", worker.out);
    }
    assert!(worker.err.contains("EC2 takes at most 16384"), "{}", worker.err);
    assert!(!worker.out.contains("certificateKey"), "a worker is given no key");
    let control_plane = render("control-plane-1").with(0);
    assert!(control_plane.out.contains("certificateKey"), "{}", control_plane.out);
    assert!(control_plane.err.contains("control plane's host"), "{}", control_plane.err);
    let nobody = render("worker-7").with(2);
    assert!(nobody.err.contains("no node worker-7"), "{}", nobody.err);
    let secrets = simulator.get("/api/v1/namespaces/kube-system/secrets");
    let made = secrets["items"].as_array().into_iter().flatten();
    assert_eq!(made.filter(|s| s["type"] == "bootstrap.kubernetes.io/token").count(), 0, "nothing is made");
    simulator.stop();
}
