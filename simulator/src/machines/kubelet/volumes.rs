//! Volumes that a pod waits for: attachments of CSI volumes, ConfigMaps and Secrets.

use crate::server::Object;

use super::environment;
use super::node::Session;
use super::pod::PodWorker;
use crate::machines::api::{ApiFailure, core, text};

const ATTACHMENTS: &str = "/apis/storage.k8s.io/v1/volumeattachments";

/// Whether everything that the pod mounts is there.
///
/// # Errors
/// What is missing, as the kubelet's event says it.
pub(super) async fn ready(session: &mut Session, worker: &mut PodWorker) -> Result<(), String> {
    let (namespace, _) = worker.full_name();
    let volumes = worker.pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    for volume in &volumes {
        let name = text(volume, "/name");
        let failed =
            |failure: ApiFailure| format!("MountVolume.SetUp failed for volume \"{name}\" : {failure}");
        for (plural, key, reference) in
            [("configmaps", "configMap", "/name"), ("secrets", "secret", "/secretName")]
        {
            let source = &volume[key];
            if source.is_object() && source["optional"] != true {
                environment::data(session, &namespace, plural, text(source, reference), false)
                    .await
                    .map_err(failed)?;
            }
        }
        let claim = match volume["persistentVolumeClaim"]["claimName"].as_str() {
            Some(claim) => claim.to_owned(),
            None if volume["ephemeral"].is_object() => format!("{}-{name}", worker.full_name().1),
            None => continue,
        };
        attached(session, worker, &namespace, name, &claim).await?;
    }
    Ok(())
}

async fn attached(
    session: &mut Session,
    worker: &mut PodWorker,
    namespace: &str,
    name: &str,
    claim: &str,
) -> Result<(), String> {
    let waiting = |why: &str| format!("Unable to attach or mount volumes: unmounted volumes=[{name}]: {why}");
    let found = session.api.find(&core(namespace, "persistentvolumeclaims", claim)).await;
    let Some(claim) = found.map_err(|failure| waiting(&failure.to_string()))? else {
        return Err(waiting(&format!("persistentvolumeclaim \"{claim}\" not found")));
    };
    let volume_name = text(&claim, "/spec/volumeName");
    if text(&claim, "/status/phase") != "Bound" || volume_name.is_empty() {
        return Err(waiting("the claim is not bound"));
    }
    let found = session.api.find(&core("", "persistentvolumes", volume_name)).await;
    let Some(volume) = found.map_err(|failure| waiting(&failure.to_string()))? else {
        return Err(waiting(&format!("persistentvolume \"{volume_name}\" not found")));
    };
    let csi = &volume["spec"]["csi"];
    if !csi.is_object() {
        return Ok(());
    }
    let unique = format!("kubernetes.io/csi/{}^{}", text(csi, "/driver"), text(csi, "/volumeHandle"));
    if session.volumes_in_use.insert(unique.clone()) {
        // The attach controller must know that the volume is in use before it attaches it.
        session.report().await.map_err(|failure| waiting(&failure.to_string()))?;
    }
    worker.volumes.insert(unique);
    let (attachments, _) =
        session.api.list(ATTACHMENTS).await.map_err(|failure| waiting(&failure.to_string()))?;
    let ours = |attachment: &&Object| {
        text(attachment, "/spec/nodeName") == session.node
            && text(attachment, "/spec/source/persistentVolumeName") == volume_name
    };
    match attachments.iter().find(ours) {
        Some(attachment) if attachment["status"]["attached"] == true => Ok(()),
        _ => Err(waiting("the volume is not attached to this node")),
    }
}

/// The pod's volumes are unmounted: they may be detached, unless another pod uses them.
pub(super) async fn release(session: &mut Session, worker: &mut PodWorker) {
    let volumes = std::mem::take(&mut worker.volumes);
    if volumes.is_empty() {
        return;
    }
    for volume in &volumes {
        session.volumes_in_use.remove(volume);
    }
    if let Err(failure) = session.report().await {
        session.last_error(&failure);
    }
}
