//! What a control plane's host holds that kubeadm does not carry to a joining one.

use crate::engine::host::HostHandle;
use crate::engine::{StepContext, StepError};
use crate::run_dir::Backup;
use crate::steps::Step;
use crate::steps::support::{decode, encode, items, text};
use async_trait::async_trait;
use replank_cloud_init::WriteFile;
use replank_planning::plan::action::SlotAct;
use replank_planning::plan::{Action, PlannedStep, Slot};
use replank_planning::yaml;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// The directory of static pods.
pub const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// kubeadm's own static pods.
pub const OWN: [&str; 4] =
    ["etcd.yaml", "kube-apiserver.yaml", "kube-controller-manager.yaml", "kube-scheduler.yaml"];
/// Places that kubeadm, the distribution or the kubelet fill on every host.
const KNOWN: [&str; 9] = [
    "/etc/kubernetes/pki",
    "/etc/ssl/certs",
    "/etc/ca-certificates",
    "/etc/pki",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/libexec/kubernetes",
    "/var/lib/etcd",
    "/etc/localtime",
];
/// kubeconfigs that kubeadm writes for each host.
const KUBECONFIGS: [&str; 5] = [
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/super-admin.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/kubelet.conf",
];

/// Files that go to the new host.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Carried {
    /// Files that lie there before the join.
    #[serde(with = "kept")]
    pub files: Vec<WriteFile>,
    /// Static pods that come after it: kubeadm wants an empty directory.
    #[serde(with = "kept")]
    pub static_pods: Vec<WriteFile>,
}

/// Files in the run's backup.
mod kept {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use replank_cloud_init::WriteFile;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Kept {
        path: String,
        content: String,
        mode: u32,
    }

    pub(super) fn serialize<S: Serializer>(files: &[WriteFile], to: S) -> Result<S::Ok, S::Error> {
        let kept =
            |f: &WriteFile| Kept { path: f.path.clone(), content: STANDARD.encode(&f.content), mode: f.mode };
        to.collect_seq(files.iter().map(kept))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<WriteFile>, D::Error> {
        let file = |kept: Kept| {
            let content = STANDARD.decode(&kept.content).map_err(serde::de::Error::custom)?;
            Ok(WriteFile { path: kept.path, content, mode: kept.mode })
        };
        Vec::<Kept>::deserialize(from)?.into_iter().map(file).collect()
    }
}

/// See [`replank_planning::plan::Action::KeepHostFiles`].
pub struct KeepHostFilesStep(pub SlotAct);

#[async_trait]
impl Step for KeepHostFilesStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let carried = from_host(cx, cx.slot(&self.0.slot)?).await?;
        encode(&cx.back_up("files", &encode(&carried)?)?)
    }

    async fn undo(
        &self,
        _cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

/// What must be carried to a slot's new host: kept by an earlier step, or read from its old host now.
///
/// # Errors
/// When the host can't be read, or what was kept is not as it was written.
pub async fn of(cx: &StepContext<'_>, slot: &Slot) -> Result<Carried, StepError> {
    let keeps =
        |step: &&PlannedStep| matches!(&step.action, Action::KeepHostFiles(act) if act.slot == slot.id);
    let Some(step) = cx.plan().steps.iter().find(keeps) else { return from_host(cx, slot).await };
    let kept = cx.running.ledger.state(|state| state.steps.get(&step.id).and_then(|run| run.after.clone()));
    let backup: Backup = decode(&kept.unwrap_or_default())?;
    decode(&cx.restore(&backup)?)
}

/// Reads what must be carried from a slot's old host.
///
/// # Errors
/// When the host can't be read.
async fn from_host(cx: &StepContext<'_>, slot: &Slot) -> Result<Carried, StepError> {
    let host = cx.host(slot.old.machine.clone());
    let mut carried = Carried::default();
    let mut paths = BTreeSet::new();
    for name in manifests(&host).await? {
        let path = format!("{MANIFESTS}/{name}");
        let Some((content, mode)) = host.read(&path).await? else { continue };
        if let Ok(pod) = yaml::read_file(&content) {
            paths.extend(foreign_paths(&pod));
        }
        if !OWN.contains(&name.as_str()) {
            carried.static_pods.push(WriteFile { path, content, mode });
        }
    }
    for path in paths {
        let listed = host.ask(&["ls", &path]).await?;
        let inside: Vec<String> = match listed.status {
            0 => listed.stdout.lines().map(str::to_owned).collect(),
            _ => continue,
        };
        let is_file = inside.len() == 1 && (inside[0] == path || path.ends_with(&format!("/{}", inside[0])));
        let files = if is_file {
            vec![path]
        } else {
            inside.iter().map(|name| format!("{}/{name}", path.trim_end_matches('/'))).collect()
        };
        for file in files {
            if let Some((content, mode)) = host.read(&file).await? {
                carried.files.push(WriteFile { path: file, content, mode });
            }
        }
    }
    Ok(carried)
}

async fn manifests(host: &HostHandle<'_, '_>) -> Result<Vec<String>, StepError> {
    let listed = host.ask(&["ls", MANIFESTS]).await?.success("ls")?;
    let manifest = |name: &&str| {
        !name.starts_with('.') && [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
    };
    Ok(listed.lines().map(str::trim).filter(manifest).map(str::to_owned).collect())
}

/// Host paths that a static pod mounts and that nobody brings to a new host. Sockets, directories that
/// are made when missing and the system's own places are not among them.
pub fn foreign_paths(pod: &Value) -> BTreeSet<String> {
    items(pod, "/spec/volumes")
        .iter()
        .filter(|v| !matches!(text(v, "/hostPath/type"), "Socket" | "CharDevice" | "BlockDevice"))
        .map(|v| text(v, "/hostPath/path").trim_end_matches('/').to_owned())
        .filter(|path| !path.is_empty() && !KUBECONFIGS.contains(&path.as_str()))
        .filter(|path| !KNOWN.iter().any(|known| path == known || path.starts_with(&format!("{known}/"))))
        .filter(|path| {
            !["/proc", "/sys", "/dev", "/run", "/var/run", "/var/log", "/lib/modules"]
                .iter()
                .any(|system| path == system || path.starts_with(&format!("{system}/")))
        })
        .collect()
}
