//! Which present volume suits a claim.

use crate::controllers::context::Cx;
use crate::controllers::objects::{is_terminating, items, name_of, namespace_of, text, uid_of};
use crate::controllers::scheduler::milli;
use crate::schema::builtin::{PERSISTENT_VOLUMES, STORAGE_CLASSES};
use crate::server::{LabelSelector, Object};
use serde_json::Value;

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// How much a claim or a volume is, in thousandths of bytes.
fn size(value: &Value) -> i128 {
    value.as_str().and_then(milli).unwrap_or(0)
}

/// Whether a volume is reserved for this claim.
pub(super) fn is_for(volume: &Value, claim: &Value) -> bool {
    let wanted = &volume["spec"]["claimRef"];
    let uid = text(wanted, "/uid");
    wanted["namespace"] == namespace_of(claim)
        && wanted["name"] == name_of(claim)
        && (uid.is_empty() || uid == uid_of(claim))
}

/// The smallest volume that suits a claim; one that is reserved for it goes first.
pub(super) fn find(cx: &Cx, claim: &Value) -> Option<Object> {
    let volumes = cx.direct.list(&PERSISTENT_VOLUMES, None);
    if let Some(reserved) = volumes.iter().find(|volume| is_for(volume, claim)) {
        return Some(reserved.clone());
    }
    let selector = &claim["spec"]["selector"];
    let selector = (!selector.is_null()).then(|| LabelSelector::from_object(selector));
    let wanted = size(&claim["spec"]["resources"]["requests"]["storage"]);
    let class = text(claim, "/spec/storageClassName");
    volumes
        .into_iter()
        .filter(|volume| {
            volume["spec"]["claimRef"].is_null()
                && !is_terminating(volume)
                && text(volume, "/spec/storageClassName") == class
                && size(&volume["spec"]["capacity"]["storage"]) >= wanted
                && items(claim, "/spec/accessModes")
                    .iter()
                    .all(|mode| items(volume, "/spec/accessModes").contains(mode))
                && selector.as_ref().is_none_or(|one| one.matches(&volume["metadata"]["labels"]))
        })
        .min_by_key(|volume| size(&volume["spec"]["capacity"]["storage"]))
}

/// The class of a claim; one that names none gets the default class.
pub(super) fn class_of(cx: &Cx, claim: &Value) -> Option<Object> {
    if let Some(name) = claim["spec"]["storageClassName"].as_str() {
        return cx.get(&STORAGE_CLASSES, "", name);
    }
    let classes = cx.direct.list(&STORAGE_CLASSES, None);
    classes.into_iter().find(|class| class["metadata"]["annotations"][DEFAULT_CLASS] == "true")
}
