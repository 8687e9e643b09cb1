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
