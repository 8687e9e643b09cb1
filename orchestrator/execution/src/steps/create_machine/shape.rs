//! The user-data of a replacement: ours for the join, and the user's own part.

use super::{CONTROL_PLANE, authority, carry, certificates, lacks, token};
use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::steps::support::{effect, items, text};
use replank_cloud_init::{
    CgroupDriver, ControlPlane, Families, Join, JoinTaint, KubeletArguments, Snippet, UserData,
};
use replank_planning::canonical;
use replank_planning::intent::UserDataFile;
use replank_planning::plan::Slot;
use replank_planning::plan::action::CreateMachine;
use replank_provider_protocol::Role;
use serde_json::Value;

/// The finished bytes. `machine` numbers the machines that one attempt orders.
///
/// # Errors
/// When the cluster, a control plane's host, or a file of the user's does not have what is needed.
pub(super) async fn user_data(
    cx: &StepContext<'_>,
    create: &CreateMachine,
    slot: &Slot,
    machine: u32,
) -> Result<Vec<u8>, StepError> {
    // First what needs no secret to be made.
    let snippets = snippets(&cx.plan().intent.nodes.user_data).await?;
    let token = token::ensure(cx, &slot.id).await?;
    let authority = authority::read(cx).await?;
    let version = cx.find("/version").await?.unwrap_or_default();
    let mut files = Vec::new();
    let mut static_pods = Vec::new();
    let control_plane = if slot.role == Role::ControlPlane {
        let carried = carry::from_host(cx, slot).await?;
        files = carried.files;
        static_pods = carried.static_pods;
        let taints = control_plane_taints(cx, slot).await?;
        Some(ControlPlane { certificate_key: certificates::upload(cx, machine).await?, taints })
    } else {
        None
    };
    let join = Join {
        node_name: slot.new.machine_name.clone(),
        endpoint: create.endpoint.clone(),
        token,
        ca_cert_hashes: vec![authority.pin],
        taints: taints(create),
        control_plane,
        kubernetes_version: text(&version, "/gitVersion").to_owned(),
        families: families(slot),
        kubelet: kubelet(cx),
        cgroup_driver: cgroup_driver(cx).await?,
        requirements: lacks::requirements(),
        files,
        static_pods,
    };
    let failed = |error: replank_cloud_init::UserDataError| StepError::Failed(error.to_string());
    let whole = UserData::new(&join.cloud_config(), &snippets).map_err(failed)?;
    whole.render(whole.usual()).map_err(failed)
}

/// The user's own files, as they were when the plan was made.
async fn snippets(files: &[UserDataFile]) -> Result<Vec<Snippet>, StepError> {
    let mut snippets = Vec::new();
    for file in files {
        let object = format!("file {}", file.path);
        let text = tokio::fs::read_to_string(&file.path)
            .await
            .map_err(|error| StepError::changed(&object, format!("it could not be read: {error}")))?;
        if canonical::digest_bytes(text.as_bytes()) != file.digest {
            let difference = "its content is another one; put the old one back, or make a new plan";
            return Err(StepError::changed(object, difference));
        }
        let snippet = Snippet::parse(&file.path, &text).map_err(|faults| {
            let told: Vec<String> =
                faults.iter().map(|fault| format!("{}: {}", fault.at.join("."), fault.message)).collect();
            StepError::changed(object, told.join("; "))
        })?;
        snippets.push(snippet);
    }
    Ok(snippets)
}

fn taints(create: &CreateMachine) -> Vec<JoinTaint> {
    let taint = |t: &replank_planning::state::Taint| JoinTaint {
        key: t.key.clone(),
        value: t.value.clone(),
        effect: effect(t.effect).to_owned(),
    };
    create.register_with_taints.iter().map(taint).collect()
}

fn families(slot: &Slot) -> Families {
    let has = |v6: bool| slot.new.pod_cidrs.iter().any(|range| range.addr().is_ipv6() == v6);
    match (has(false), has(true)) {
        (true, true) => Families::Both,
        (false, true) => Families::V6,
        (_, false) => Families::V4,
    }
}

fn kubelet(cx: &StepContext<'_>) -> KubeletArguments {
    let extra = cx.plan().intent.nodes.kubelet_extra_args.clone();
    KubeletArguments { extra, ..KubeletArguments::default() }
}

/// What the kubelets are configured with; kubeadm's own choice where nothing is said.
async fn cgroup_driver(cx: &StepContext<'_>) -> Result<CgroupDriver, StepError> {
    let map = cx.find(&path::core("kube-system", "configmaps", "kubelet-config")).await?.unwrap_or_default();
    let config: Value = serde_saphyr::from_str(text(&map, "/data/kubelet")).unwrap_or_default();
    Ok(match text(&config, "/cgroupDriver") {
        "cgroupfs" => CgroupDriver::Cgroupfs,
        _ => CgroupDriver::Systemd,
    })
}

/// kubeadm's own taint, if the old control plane has it: some clusters let pods run there.
async fn control_plane_taints(cx: &StepContext<'_>, slot: &Slot) -> Result<Vec<JoinTaint>, StepError> {
    let old = cx.find(&path::node(slot.old.name.as_str())).await?.unwrap_or_default();
    let ours = items(&old, "/spec/taints").iter().filter(|t| text(t, "/key") == CONTROL_PLANE);
    Ok(ours
        .map(|t| JoinTaint {
            key: CONTROL_PLANE.to_owned(),
            value: text(t, "/value").to_owned(),
            effect: text(t, "/effect").to_owned(),
        })
        .collect())
}
