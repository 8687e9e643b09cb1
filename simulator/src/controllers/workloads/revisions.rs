//! ControllerRevisions: the templates that a DaemonSet or StatefulSet had, by number.

use crate::controllers::context::{Cx, gone_is_fine};
use crate::controllers::objects::{
    controller_reference, is_controlled_by, name_of, namespace_of, number, short_hash, text, uid_of,
};
use crate::schema::Resource;
use crate::schema::builtin::CONTROLLER_REVISIONS;
use crate::server::object::at;
use crate::server::{Object, REVISION, Status, Subresource};
use serde_json::{Value, json};

/// The revisions of an owner, oldest first.
pub(super) fn all(cx: &Cx, owner: &Value) -> Vec<Object> {
    let uid = uid_of(owner);
    let owned = cx.direct.owned_by(uid, &CONTROLLER_REVISIONS).into_iter();
    let mut found: Vec<Object> = owned.filter(|one| is_controlled_by(one, uid)).collect();
    found.sort_by_key(|one| (number(one, "/revision", 0), name_of(one).to_owned()));
    found
}

/// Whether a revision holds the owner's present template.
fn holds(revision: &Value, owner: &Value) -> bool {
    let held = at(revision, "/data/spec/template").and_then(Value::as_object);
    let template = at(owner, "/spec/template").and_then(Value::as_object);
    let (Some(held), Some(template)) = (held, template) else { return false };
    held.len() == template.len() + 1
        && held.get("$patch").is_some_and(|directive| directive == "replace")
        && template.iter().all(|(name, field)| held.get(name) == Some(field))
}

fn data(owner: &Value) -> Value {
    let mut template = owner["spec"]["template"].clone();
    template["$patch"] = json!("replace");
    json!({"spec": {"template": template}})
}

/// The hash of the present template's revision, which is made, or made the newest, as needed.
pub(super) fn current(cx: &Cx, resource: &Resource, owner: &Value) -> Result<String, Status> {
    let found = all(cx, owner);
    let newest = found.last().map_or(0, |one| number(one, "/revision", 0));
    let same = found.iter().rev().find(|one| holds(one, owner));
    if let Some(same) = same {
        if number(same, "/revision", 0) < newest {
            let patch = json!({"revision": newest + 1});
            let (namespace, name) = (namespace_of(same), name_of(same));
            let done =
                cx.direct.merge_patch(&CONTROLLER_REVISIONS, namespace, name, Subresource::None, patch);
            gone_is_fine(done.map(|_| ()))?;
        }
        return Ok(text(&same["metadata"]["labels"], &format!("/{REVISION}")).to_owned());
    }
    let wanted = data(owner);
    let hash = short_hash(&[&wanted.to_string(), uid_of(owner)]);
    let mut labels = owner["spec"]["template"]["metadata"]["labels"].clone();
    if labels.is_null() {
        labels = json!({});
    }
    labels[REVISION] = json!(hash);
    let revision = json!({
        "metadata": {
            "name": format!("{}-{hash}", name_of(owner)), "namespace": namespace_of(owner),
            "labels": labels, "annotations": owner["metadata"]["annotations"],
            "ownerReferences": [controller_reference(resource, owner)],
        },
        "data": wanted,
        "revision": newest + 1,
    });
    cx.direct.create(&CONTROLLER_REVISIONS, revision)?;
    Ok(hash)
}

/// Deletes the oldest revisions beyond the history's limit that no pod has.
pub(super) fn clean_up(cx: &Cx, resource: &Resource, owner: &Value, current: &str) -> Result<(), Status> {
    debug_assert!(resource.group == "apps", "only these have revisions");
    let limit = usize::try_from(number(owner, "/spec/revisionHistoryLimit", 10)).unwrap_or(10);
    let found = all(cx, owner);
    if found.len() <= limit + 1 {
        return Ok(());
    }
    let used = super::pods::managed(cx, uid_of(owner));
    let live = |one: &Value| {
        let hash = &one["metadata"]["labels"][REVISION];
        hash == current || used.iter().any(|pod| pod["metadata"]["labels"][REVISION] == *hash)
    };
    let idle: Vec<&Object> = found.iter().filter(|one| !live(one)).collect();
    for one in idle.iter().take(idle.len().saturating_sub(limit)) {
        cx.delete(&CONTROLLER_REVISIONS, one)?;
    }
    Ok(())
}

/// The template of a revision, by its name.
pub(super) fn template(cx: &Cx, owner: &Value, name: &str) -> Option<Value> {
    let revision = cx.get(&CONTROLLER_REVISIONS, namespace_of(owner), name)?;
    let mut template = revision.pointer("/data/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    Some(template)
}
