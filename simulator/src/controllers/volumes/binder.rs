//! Claims and volumes: bound to each other, made by a class's provisioner, released.

use super::matching::{class_of, find, is_for};
use crate::controllers::context::{Cx, gone_is_fine};
use crate::controllers::objects::{
    Key, about, is_terminating, key_of, name_of, namespace_of, short_hash, text, uid_of,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES};
use crate::server::{Event, Status, Subresource};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// By this the scheduler says where a volume will be needed.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// A claim.
    Claim(Key),
    /// A volume.
    Volume(String),
}

/// The persistent volume binder, and every class's provisioner.
#[derive(Default)]
pub(crate) struct Binder {
    waiting: BTreeSet<Key>,
}

impl Controller for Binder {
    type Key = Subject;

    fn name(&self) -> &'static str {
        "persistentvolume-binder-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Subject>) {
        let object = event.object();
        if about(event, &PERSISTENT_VOLUME_CLAIMS) {
            queue.add(Subject::Claim(key_of(object)));
            let volume = text(object, "/spec/volumeName");
            if event.new.is_none() && !volume.is_empty() {
                queue.add(Subject::Volume(volume.to_owned()));
            }
        } else if about(event, &PERSISTENT_VOLUMES) {
            queue.add(Subject::Volume(name_of(object).to_owned()));
            queue.add_all(self.waiting.iter().cloned().map(Subject::Claim));
        } else if about(event, &STORAGE_CLASSES) {
            queue.add_all(self.waiting.iter().cloned().map(Subject::Claim));
        }
    }

    fn sync(&mut self, cx: &Cx, subject: &Subject, _: &mut Queue<Subject>) -> Result<(), Status> {
        match subject {
            Subject::Claim(key) => {
                self.waiting.remove(key);
                let Some(claim) = cx.get(&PERSISTENT_VOLUME_CLAIMS, &key.0, &key.1) else { return Ok(()) };
                if !is_terminating(&claim) && !satisfy(cx, &claim)? {
                    self.waiting.insert(key.clone());
                }
                Ok(())
            }
            Subject::Volume(name) => volume(cx, name),
        }
    }
}

/// Gives a claim its volume; whether it has one.
fn satisfy(cx: &Cx, claim: &Value) -> Result<bool, Status> {
    let named = text(claim, "/spec/volumeName");
    if !named.is_empty() {
        let Some(volume) = cx.get(&PERSISTENT_VOLUMES, "", named) else {
            // A claim whose volume vanished is lost.
            if text(claim, "/status/phase") == "Bound" {
                phase(cx, claim, "Lost", &Value::Null)?;
            }
            return Ok(false);
        };
        let free = volume["spec"]["claimRef"].is_null() || is_for(&volume, claim);
        return if free { bind(cx, claim, &volume).map(|()| true) } else { Ok(false) };
    }
    let class = class_of(cx, claim);
    let waits =
        class.as_ref().is_some_and(|class| text(class, "/volumeBindingMode") == "WaitForFirstConsumer");
    let chosen = text(&claim["metadata"]["annotations"], &format!("/{}", SELECTED_NODE.replace('/', "~1")));
    if waits && chosen.is_empty() {
        let message = "waiting for first consumer to be created before binding";
        cx.tell(claim, "Normal", "WaitForFirstConsumer", message);
        return Ok(false);
    }
    if let Some(volume) = find(cx, claim) {
        return bind(cx, claim, &volume).map(|()| true);
    }
    let Some(class) = class else {
        let message = "no persistent volumes available for this claim and no storage class is set";
        cx.tell(claim, "Normal", "FailedBinding", message);
        return Ok(false);
    };
    if text(&class, "/provisioner") == "kubernetes.io/no-provisioner" {
        return Ok(false);
    }
    let volume = provision(cx, claim, &class)?;
    bind(cx, claim, &volume).map(|()| true)
}

fn claim_reference(claim: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace_of(claim),
        "name": name_of(claim), "uid": uid_of(claim),
    })
}

/// Makes a volume as the class's CSI driver would.
fn provision(cx: &Cx, claim: &Value, class: &Value) -> Result<Value, Status> {
    let driver = text(class, "/provisioner");
    let name = format!("pvc-{}", uid_of(claim));
    if let Some(volume) = cx.get(&PERSISTENT_VOLUMES, "", &name) {
        return Ok((*volume).clone());
    }
    let volume = json!({
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": driver}},
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "claimRef": claim_reference(claim),
            "csi": {"driver": driver, "volumeHandle": format!("vol-{}", short_hash(&[uid_of(claim)]))},
            "persistentVolumeReclaimPolicy": class["reclaimPolicy"].as_str().unwrap_or("Delete"),
            "storageClassName": name_of(class),
            "volumeMode": claim["spec"]["volumeMode"].as_str().unwrap_or("Filesystem"),
        },
    });
    let volume = cx.direct.create(&PERSISTENT_VOLUMES, volume)?;
    let message = format!("Successfully provisioned volume {}", name_of(&volume));
    cx.tell(claim, "Normal", "ProvisioningSucceeded", &message);
    Ok((*volume).clone())
}

/// Binds claim and volume to each other.
fn bind(cx: &Cx, claim: &Value, volume: &Value) -> Result<(), Status> {
    let name = name_of(volume);
    cx.edit(&PERSISTENT_VOLUMES, "", name, Subresource::None, |volume| {
        volume["spec"]["claimRef"] = claim_reference(claim);
    })?;
    cx.edit(&PERSISTENT_VOLUMES, "", name, Subresource::Status, |volume| {
        volume["status"]["phase"] = json!("Bound");
    })?;
    let (namespace, own) = key_of(claim);
    let class = volume["spec"]["storageClassName"].clone();
    cx.edit(&PERSISTENT_VOLUME_CLAIMS, &namespace, &own, Subresource::None, |claim| {
        claim["spec"]["volumeName"] = json!(name);
        if claim["spec"]["storageClassName"].is_null() && !class.is_null() {
            claim["spec"]["storageClassName"] = class.clone();
        }
        claim["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"] = json!("yes");
    })?;
    let Some(claim) = cx.get(&PERSISTENT_VOLUME_CLAIMS, &namespace, &own) else { return Ok(()) };
    phase(cx, &claim, "Bound", volume)
}

fn phase(cx: &Cx, claim: &Value, phase: &str, volume: &Value) -> Result<(), Status> {
    let mut status = claim["status"].clone();
    status["phase"] = json!(phase);
    if phase == "Bound" {
        status["accessModes"] = volume["spec"]["accessModes"].clone();
        status["capacity"] = volume["spec"]["capacity"].clone();
    }
    cx.set_status(&PERSISTENT_VOLUME_CLAIMS, claim, status)
}

/// A volume whose claim is gone is released, and deleted if that is its policy.
fn volume(cx: &Cx, name: &str) -> Result<(), Status> {
    let Some(volume) = cx.get(&PERSISTENT_VOLUMES, "", name) else { return Ok(()) };
    let claim = &volume["spec"]["claimRef"];
    let phase = if claim.is_null() {
        "Available"
    } else {
        let (namespace, own) = (text(claim, "/namespace"), text(claim, "/name"));
        let found = cx.get(&PERSISTENT_VOLUME_CLAIMS, namespace, own).filter(|found| is_for(&volume, found));
        match found {
            // The claim's own turn binds it.
            Some(_) => return Ok(()),
            None if text(claim, "/uid").is_empty() => "Available",
            None => "Released",
        }
    };
    if phase == "Released" && text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete" {
        return cx.delete(&PERSISTENT_VOLUMES, &volume);
    }
    let mut status = volume["status"].clone();
    status["phase"] = json!(phase);
    gone_is_fine(cx.set_status(&PERSISTENT_VOLUMES, &volume, status))
}
