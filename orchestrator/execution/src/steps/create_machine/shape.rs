//! The user-data of a replacement: ours for the join, and the user's own part.

use super::{CONTROL_PLANE, authority, carry, certificates, lacks, token};
use crate::api::{Api, ApiError, path};
use crate::engine::{StepContext, StepError};
use crate::steps::support::{effect, items, text};
use replank_cloud_init::{
    CgroupDriver, ControlPlane, Families, Join, JoinTaint, KubeletArguments, Secret, Snippet, UserData,
    UserDataError,
};
use replank_planning::canonical;
use replank_planning::intent::UserDataFile;
use replank_planning::plan::action::CreateMachine;
use replank_planning::plan::{Action, Plan, Slot};
use replank_planning::yaml;
use replank_provider_protocol::Role;
use serde_json::Value;

/// What the cluster says that user-data depends on.
struct Seen {
    version: String,
    pin: String,
    cgroup_driver: CgroupDriver,
    control_plane_taints: Vec<JoinTaint>,
}

/// What lets a machine in, and what a control plane brings along.
struct Credentials {
    token: Secret,
    /// Of a control plane only.
    certificate_key: Option<Secret>,
    carried: carry::Carried,
}

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
    let seen = Seen {
        pin: authority::read(cx).await?.pin,
        version: version(&cx.find(VERSION).await?.unwrap_or_default()),
        cgroup_driver: cgroup_driver(&cx.find(&kubelet_config()).await?.unwrap_or_default()),
        control_plane_taints: match slot.role {
            Role::ControlPlane => {
                control_plane_taints(&cx.find(&path::node(slot.old.name.as_str())).await?.unwrap_or_default())
            }
            Role::Worker => Vec::new(),
        },
    };
    let token = token::ensure(cx, &slot.id).await?;
    let credentials = match slot.role {
        Role::ControlPlane => Credentials {
            token,
            carried: carry::of(cx, slot).await?,
            certificate_key: Some(certificates::upload(cx, machine).await?),
        },
        Role::Worker => Credentials { token, carried: carry::Carried::default(), certificate_key: None },
    };
    let join = join(cx.plan(), create, slot, seen, credentials);
    let failed = |error: UserDataError| StepError::Failed(error.to_string());
    let whole = UserData::new(&join.cloud_config(), &snippets).map_err(failed)?;
    whole.render(whole.usual()).map_err(failed)
}

/// Why no user-data can be shown.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The plan replaces no such node.
    #[error("the plan replaces no node {node}; it replaces {}", .there.join(", "))]
    NoSuchNode {
        /// What was asked for.
        node: String,
        /// Those that it replaces.
        there: Vec<String>,
    },
    /// The cluster does not answer.
    #[error("the cluster could not be asked: {0}")]
    Api(#[from] ApiError),
    /// A file of the user's, or the cluster's CA, is not as it must be.
    #[error("{0}")]
    Unfit(Box<StepError>),
    /// The parts don't fit together.
    #[error(transparent)]
    UserData(#[from] UserDataError),
}

/// What the replacement of a node would be given. Nothing is made for it: the token is the one that is given here, or
/// a placeholder, and what a control plane's host would add is left out.
///
/// # Errors
/// When there is no such node, or the cluster or a file is not as it must be.
pub async fn preview(
    api: &Api,
    plan: &Plan,
    node: &str,
    token: Option<Secret>,
) -> Result<UserData, PreviewError> {
    let unfit = |error| PreviewError::Unfit(Box::new(error));
    let names = |slot: &Slot| slot.old.name.as_str() == node || slot.new.machine_name == node;
    let found = plan.steps.iter().find_map(|step| match &step.action {
        Action::CreateMachine(create) => {
            plan.slots.iter().find(|slot| slot.id == create.slot && names(slot)).map(|slot| (create, slot))
        }
        _ => None,
    });
    let Some((create, slot)) = found else {
        let there = plan.slots.iter().map(|slot| slot.old.name.to_string()).collect();
        return Err(PreviewError::NoSuchNode { node: node.to_owned(), there });
    };
    let snippets = snippets(&plan.intent.nodes.user_data).await.map_err(unfit)?;
    let old = api.find(&path::node(slot.old.name.as_str())).await?.unwrap_or_default();
    let seen = Seen {
        pin: authority::of(api.find(&authority::place()).await?).map_err(unfit)?.pin,
        version: version(&api.find(VERSION).await?.unwrap_or_default()),
        cgroup_driver: cgroup_driver(&api.find(&kubelet_config()).await?.unwrap_or_default()),
        control_plane_taints: control_plane_taints(&old),
    };
    let credentials = Credentials {
        token: token.unwrap_or_else(|| Secret::new("(the bootstrap token, made for this machine)")),
        certificate_key: (slot.role == Role::ControlPlane)
            .then(|| Secret::new("(the key of the uploaded certificates)")),
        carried: carry::Carried::default(),
    };
    Ok(UserData::new(&join(plan, create, slot, seen, credentials).cloud_config(), &snippets)?)
}

const VERSION: &str = "/version";

fn version(answer: &Value) -> String {
    text(answer, "/gitVersion").to_owned()
}

fn kubelet_config() -> String {
    path::core("kube-system", "configmaps", "kubelet-config")
}

fn join(plan: &Plan, create: &CreateMachine, slot: &Slot, seen: Seen, credentials: Credentials) -> Join {
    let extra = plan.intent.nodes.kubelet_extra_args.clone();
    let taints = seen.control_plane_taints;
    Join {
        node_name: slot.new.machine_name.clone(),
        endpoint: create.endpoint.clone(),
        token: credentials.token,
        ca_cert_hashes: vec![seen.pin],
        taints: registered_taints(create),
        control_plane: credentials
            .certificate_key
            .map(|certificate_key| ControlPlane { certificate_key, taints }),
        kubernetes_version: seen.version,
        families: families(slot),
        kubelet: KubeletArguments { extra, ..KubeletArguments::default() },
        cgroup_driver: seen.cgroup_driver,
        requirements: lacks::requirements(),
        files: credentials.carried.files,
        static_pods: credentials.carried.static_pods,
    }
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

fn registered_taints(create: &CreateMachine) -> Vec<JoinTaint> {
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

/// What the kubelets are configured with; kubeadm's own choice where nothing is said.
fn cgroup_driver(map: &Value) -> CgroupDriver {
    let config = yaml::read(text(map, "/data/kubelet")).unwrap_or_default();
    match text(&config, "/cgroupDriver") {
        "cgroupfs" => CgroupDriver::Cgroupfs,
        _ => CgroupDriver::Systemd,
    }
}

/// kubeadm's own taint, if the old control plane has it: some clusters let pods run there.
fn control_plane_taints(old: &Value) -> Vec<JoinTaint> {
    let ours = items(old, "/spec/taints").iter().filter(|t| text(t, "/key") == CONTROL_PLANE);
    ours.map(|t| JoinTaint {
        key: CONTROL_PLANE.to_owned(),
        value: text(t, "/value").to_owned(),
        effect: text(t, "/effect").to_owned(),
    })
    .collect()
}
