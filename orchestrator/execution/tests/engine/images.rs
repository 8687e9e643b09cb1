//! Images that lack what a node needs: the run says what, and goes on with another machine once it is mended.

use crate::migration::{migrate, planned_for, small, world_of};
use crate::runs::journal;
use replank_execution::Outcome;
use replank_planning::intent::Strategy;
use replank_planning::waiting::{PauseReason, Refusal};
use replank_simulator::faults::Fault;
use serde_json::Value;

#[tokio::test(start_paused = true)]
async fn a_run_pauses_with_the_name_of_what_the_image_lacks_and_makes_another_machine_once_it_is_mended() {
    let stories = [
        ("image-lacks-portmap", "cni-portmap", "the CNI plugin portmap"),
        ("image-lacks-bridge", "cni-bridge", "the CNI plugin bridge"),
        ("image-lacks-br-netfilter", "br-netfilter", "br_netfilter"),
    ];
    for (fault, id, name) in stories {
        let cluster = small().await;
        let plan = planned_for(&cluster, Strategy::Rolling).await;
        cluster.server.faults().raise(Fault::named(fault));
        let directory = tempfile::tempdir().unwrap();
        let outcome = migrate(&cluster, plan.clone(), directory.path()).await;
        let Outcome::Paused { reason: PauseReason::Refused { refusal }, .. } = outcome else {
            panic!("{fault}: {outcome:?}")
        };
        let Refusal::Image { machine, items } = &refusal else { panic!("{fault}: {refusal:?}") };
        assert_eq!(items.iter().map(|item| item.id()).collect::<Vec<_>>(), [id]);
        assert!(refusal.to_string().contains(name), "{refusal}");
        // No Node has come of it, and no second machine of the same image.
        assert_eq!(cluster.datacenter.machines().len(), 4, "{fault}");

        // The image is as it was: another machine is tried, and no more than one.
        let again = migrate(&cluster, plan.clone(), directory.path()).await;
        assert!(matches!(again, Outcome::Paused { .. }), "{fault}: {again:?}");
        assert_eq!(cluster.datacenter.machines().len(), 4, "{fault}");

        cluster.server.faults().lift_all();
        let outcome = migrate(&cluster, plan, directory.path()).await;
        assert_eq!(outcome, Outcome::Finished, "{fault}: {}", journal(directory.path()));
        let left = cluster.datacenter.machines();
        assert!(left.iter().all(|kept| kept.id != machine.as_str()), "{fault}: it is still there");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_told_by_the_console_where_no_host_can_be_reached() {
    let cluster = small().await;
    let plan = planned_for(&cluster, Strategy::Rolling).await;
    cluster.server.faults().raise(Fault::named("image-lacks-portmap"));
    let directory = tempfile::tempdir().unwrap();
    let later = async {
        // The control planes' hosts are needed before the first machine is made.
        while cluster.datacenter.machines().len() < 4 {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        cluster.server.faults().raise(Fault::named("host-unreachable"));
    };
    let (outcome, ()) = tokio::join!(migrate(&cluster, plan, directory.path()), later);
    let Outcome::Paused { reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.to_string().contains("the CNI plugin portmap"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn what_a_joined_machine_lacks_is_named_and_not_called_unready() {
    let cluster = small().await;
    let plan = planned_for(&cluster, Strategy::Rolling).await;
    let directory = tempfile::tempdir().unwrap();
    let old: Vec<String> = cluster.datacenter.machines().into_iter().map(|m| m.id).collect();
    let breaks = async {
        // After its first boot has looked, and before Flannel is there.
        loop {
            let new = cluster.datacenter.machines().into_iter().find(|m| !old.contains(&m.id));
            if let Some(new) = new
                && let Ok(host) = cluster.datacenter.host(&new.id)
                && host.files().exists("/var/lib/kubelet/config.yaml")
            {
                host.files().remove("/proc/sys/net/bridge/bridge-nf-call-iptables");
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let (outcome, ()) = tokio::join!(migrate(&cluster, plan, directory.path()), breaks);
    let Outcome::Paused { reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.to_string().contains("lacks br_netfilter"), "{reason}");
}

/// Bootstrap tokens that let a node in: what stands for an upload's time lets nobody in.
async fn tokens(cluster: &replank_simulator::scenario::Cluster) -> Vec<Value> {
    let api = world_of(cluster).api();
    let list = api.get("/api/v1/namespaces/kube-system/secrets").await.unwrap();
    let ours = |secret: &&Value| {
        secret["type"] == "bootstrap.kubernetes.io/token"
            && secret["data"]["description"] == "bWFkZSBieSByZXBsYW5rIGZvciBvbmUgcmVwbGFjZW1lbnQ="
    };
    list["items"].as_array().unwrap().iter().filter(ours).cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn a_token_lives_half_an_hour_at_most_and_is_gone_once_its_node_has_joined() {
    use base64::Engine as _;
    let cluster = small().await;
    let plan = planned_for(&cluster, Strategy::Rolling).await;
    let directory = tempfile::tempdir().unwrap();
    let run = migrate(&cluster, plan.clone(), directory.path());
    let (mut seen, mut joined) = (0, 0);
    let watch = async {
        loop {
            let now = cluster.server.clock().now();
            let found = tokens(&cluster).await;
            for token in &found {
                let end = token["data"]["expiration"].as_str().unwrap();
                let end = base64::engine::general_purpose::STANDARD.decode(end).unwrap();
                let end: k8s_openapi::jiff::Timestamp = String::from_utf8(end).unwrap().parse().unwrap();
                let life = end.duration_since(now).as_secs();
                assert!(life <= 30 * 60, "{life} s");
                seen += 1;
            }
            // A step that has its Node has ended, and with it the token.
            let text = journal(directory.path());
            let created = text.lines().filter(|l| l.contains("succeeded") && l.contains("/create\"")).count();
            let learned = text.lines().filter(|l| l.contains("\"token\"") && l.contains("learned")).count();
            if created == learned && created > 0 && found.is_empty() {
                joined += 1;
            }
            assert!(found.len() <= learned.saturating_sub(created), "{created} of {learned}: {found:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    };
    let outcome = tokio::select! { outcome = run => outcome, () = watch => unreachable!() };
    assert_eq!(outcome, Outcome::Finished);
    assert!(seen > 0 && joined > 0, "{seen} {joined}");
    assert_eq!(tokens(&cluster).await, Vec::<Value>::new());
}
