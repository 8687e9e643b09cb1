//! The certificates that a joining control plane fetches, uploaded under a key of ours.

use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::steps::support::{items, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_cloud_init::Secret;
use replank_planning::late::NodeRef;
use replank_planning::plan::Slot;
use replank_provider_protocol::{MachineState, Role};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Where kubeadm's configuration lies while it runs: in memory, for root only.
const CONFIGURATION: &str = "/run/replank/upload-certs.yaml";

/// How kubeadm describes the token whose end is the end of an upload.
const STAND_IN: &str = "Proxy for managing TTL for the kubeadm-certs secret";

/// Uploads the certificates from a control plane that runs, and answers their key. The key is chosen
/// once for a step and kept in the run's backup: a machine that was ordered before a crash holds it. `machine`
/// numbers the machines that one attempt orders.
///
/// # Errors
/// When no control plane's host can do it.
pub async fn upload(cx: &StepContext<'_>, machine: u32) -> Result<Secret, StepError> {
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
    let host = cx.host(uploader(cx).await?);
    // Each machine that is ordered has an upload of its own: an effect has one operation.
    let which = format!("{}-{machine}", cx.attempt());
    host.write(&format!("certs-config-{which}"), CONFIGURATION, Some((configuration.as_bytes(), 0o600)))
        .await?;
    let ran = host
        .act(
            &format!("upload-certs-{machine}"),
            &["kubeadm", "init", "phase", "upload-certs", "--upload-certs", "--config", CONFIGURATION],
        )
        .await;
    host.write(&format!("certs-config-gone-{which}"), CONFIGURATION, None).await?;
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

/// What stands for the time of an upload: a token that lets nobody in and ends with it. Their uids.
///
/// # Errors
/// When the server refuses.
pub async fn stand_ins(cx: &StepContext<'_>) -> Result<BTreeSet<String>, StepError> {
    Ok(all_stand_ins(cx).await?.iter().map(|s| text(s, "/metadata/uid").to_owned()).collect())
}

/// Deletes what stood for uploads of this step that another upload of it replaced: a process that ended
/// between the two could not. `before` stays: it was there when the step began.
///
/// # Errors
/// When the server refuses.
pub async fn forget_replaced(cx: &StepContext<'_>, before: &BTreeSet<String>) -> Result<(), StepError> {
    let uploaded = cx.find(&path::core("kube-system", "secrets", "kubeadm-certs")).await?.unwrap_or_default();
    let owners: BTreeSet<&str> =
        items(&uploaded, "/metadata/ownerReferences").iter().map(|owner| text(owner, "/uid")).collect();
    for token in all_stand_ins(cx).await? {
        let uid = text(&token, "/metadata/uid");
        if !before.contains(uid) && !owners.contains(uid) {
            let at = path::core("kube-system", "secrets", text(&token, "/metadata/name"));
            cx.delete(&at, uid).await?;
        }
    }
    Ok(())
}

async fn all_stand_ins(cx: &StepContext<'_>) -> Result<Vec<Value>, StepError> {
    let tokens = path::fields("type=bootstrap.kubernetes.io/token");
    let mut found = cx.list("/api/v1/namespaces/kube-system/secrets", &tokens).await?;
    let said = STANDARD.encode(STAND_IN);
    found.retain(|secret| text(secret, "/data/description") == said);
    Ok(found)
}

/// A control plane machine that is a Node and runs: the old ones first, for they are still in quorum.
///
/// # Errors
/// When there is none.
pub async fn uploader(cx: &StepContext<'_>) -> Result<replank_planning::ids::MachineId, StepError> {
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
