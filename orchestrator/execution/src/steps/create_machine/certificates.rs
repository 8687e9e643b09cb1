//! The certificates that a joining control plane fetches, uploaded under a key of ours.

use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::steps::support::{items, text};
use replank_cloud_init::Secret;
use replank_planning::late::NodeRef;
use replank_planning::plan::Slot;
use replank_provider_protocol::{MachineState, Role};
use serde_json::json;

/// Where kubeadm's configuration lies while it runs: in memory, for root only.
const CONFIGURATION: &str = "/run/replank/upload-certs.yaml";

/// Uploads the certificates from a control plane that runs, and answers their key. The key is chosen
/// once for a step and kept in the run's backup: a machine that was ordered before a crash holds it.
///
/// # Errors
/// When no control plane's host can do it.
pub async fn upload(cx: &StepContext<'_>) -> Result<Secret, StepError> {
    let entropy = cx.running.world.entropy.clone();
    let key = cx.running.run_dir.secret(&format!("{}.certificate-key", cx.step.id), || {
        let mut bytes = [0_u8; 32];
        entropy.fill(&mut bytes)?;
        Ok(hex::encode(bytes))
    })?;
    let version = cx.find("/version").await?.unwrap_or_default();
    let version = text(&version, "/gitVersion");
    let newest = version.trim_start_matches('v').split('.').nth(1).and_then(|m| m.parse::<u32>().ok());
    let api = if newest.is_none_or(|minor| minor >= 31) { "v1beta4" } else { "v1beta3" };
    let configuration = format!(
        "{}\n---\n{}\n",
        json!({
            "apiVersion": format!("kubeadm.k8s.io/{api}"), "kind": "InitConfiguration", "certificateKey": key,
        }),
        // Without a version kubeadm asks the internet for one.
        json!({
            "apiVersion": format!("kubeadm.k8s.io/{api}"), "kind": "ClusterConfiguration",
            "kubernetesVersion": version,
        }),
    );
    let machine = uploader(cx).await?;
    let host = cx.host(machine);
    let attempt = cx.attempt();
    host.write(&format!("certs-config-{attempt}"), CONFIGURATION, Some((configuration.as_bytes(), 0o600)))
        .await?;
    let ran = host
        .act(
            "upload-certs",
            &["kubeadm", "init", "phase", "upload-certs", "--upload-certs", "--config", CONFIGURATION],
        )
        .await;
    host.write(&format!("certs-config-gone-{attempt}"), CONFIGURATION, None).await?;
    ran?.success("kubeadm init phase upload-certs")?;
    Ok(Secret::new(key))
}

/// Deletes what an upload left in the cluster before it would expire by itself: the certificates and the
/// token that stands for their time.
///
/// # Errors
/// When the server refuses.
pub async fn delete(cx: &StepContext<'_>) -> Result<(), StepError> {
    let at = path::core("kube-system", "secrets", "kubeadm-certs");
    let Some(secret) = cx.find(&at).await? else { return Ok(()) };
    for owner in items(&secret, "/metadata/ownerReferences") {
        if text(owner, "/kind") == "Secret" {
            let token = path::core("kube-system", "secrets", text(owner, "/name"));
            cx.delete(&token, text(owner, "/uid")).await?;
        }
    }
    cx.delete(&at, text(&secret, "/metadata/uid")).await
}

/// A control plane machine that is a Node and runs: the old ones first, for they are still in quorum.
async fn uploader(cx: &StepContext<'_>) -> Result<replank_planning::ids::MachineId, StepError> {
    let planes = || cx.plan().slots.iter().filter(|s| s.role == Role::ControlPlane);
    let old =
        |s: &Slot| NodeRef::Old { slot: s.id.clone(), name: s.old.name.clone(), uid: s.old.uid.clone() };
    let new = |s: &Slot| NodeRef::New { slot: s.id.clone() };
    let mut why = "the plan has no control plane".to_owned();
    for node in planes().map(old).chain(planes().map(new)) {
        let (Ok((name, uid)), Ok(machine)) = (cx.node(&node), cx.machine(&node)) else { continue };
        let there = cx.find(&path::node(name.as_str())).await?;
        if there.is_none_or(|n| text(&n, "/metadata/uid") != uid.as_str()) {
            continue;
        }
        let provider = &cx.running.world.provider;
        let get = replank_provider_protocol::verbs::GetParams { machine: machine.clone() };
        match provider.get(get).await {
            Ok(found) if found.state == MachineState::Running => return Ok(machine),
            Ok(found) => why = format!("machine {machine} is {:?}", found.state),
            Err(error) => why = error.to_string(),
        }
    }
    Err(StepError::Failed(format!("no control plane's host can upload the certificates: {why}")))
}
