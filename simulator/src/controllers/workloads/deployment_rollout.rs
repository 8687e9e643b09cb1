//! How a Deployment's replicas move from the old ReplicaSets to the new one.

use super::deployments::old_pods_run;
use super::replica_sets::numbers;
use crate::controllers::context::{Cx, gone_is_fine};
use crate::controllers::objects::{
    controller_reference, int_or_percent, is_terminating, key_of, name_of, number, short_hash, text, texts,
    uid_of,
};
use crate::schema::builtin::{DEPLOYMENTS, REPLICA_SETS};
use crate::server::{Object, Status, Subresource};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A Deployment's ReplicaSets, the old ones oldest first.
pub(super) struct Sets {
    pub(super) new: Option<Object>,
    pub(super) old: Vec<Object>,
}

/// The most replicas that may be unavailable during an update.
pub(super) fn max_unavailable(deployment: &Value) -> i64 {
    if text(deployment, "/spec/strategy/type") != "RollingUpdate" {
        return 0;
    }
    let total = number(deployment, "/spec/replicas", 1);
    let parameters = &deployment["spec"]["strategy"]["rollingUpdate"];
    let unavailable = int_or_percent(&parameters["maxUnavailable"], total, false).unwrap_or(0);
    // Neither more nor fewer would mean that nothing ever moves.
    if unavailable == 0 && max_surge(deployment) == 0 { 1 } else { unavailable.min(total) }
}

fn max_surge(deployment: &Value) -> i64 {
    if text(deployment, "/spec/strategy/type") != "RollingUpdate" {
        return 0;
    }
    let total = number(deployment, "/spec/replicas", 1);
    int_or_percent(&deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"], total, true).unwrap_or(0)
}

/// Whether two templates differ in nothing but the hash among their labels.
fn same_template(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    same_but(a, b, "metadata", |a, b| same_but(a, b, "labels", same_labels))
}

/// Whether two maps differ in nothing but one field, and in that only as much as may be.
fn same_but(a: &Fields, b: &Fields, field: &str, may: impl Fn(&Fields, &Fields) -> bool) -> bool {
    let rest =
        a.len() == b.len() && a.iter().all(|(name, value)| name == field || b.get(name) == Some(value));
    rest && match (a.get(field), b.get(field)) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => may(a, b),
        (a, b) => a == b,
    }
}

fn same_labels(a: &Fields, b: &Fields) -> bool {
    let but = |labels: &Fields| labels.len() - usize::from(labels.contains_key(HASH));
    but(a) == but(b) && a.iter().all(|(name, value)| name == HASH || b.get(name) == Some(value))
}

fn created(set: &Value) -> (String, String) {
    (text(set, "/metadata/creationTimestamp").to_owned(), name_of(set).to_owned())
}

/// Tells the ReplicaSet of the present template from the others.
pub(super) fn sort(deployment: &Value, mut sets: Vec<Object>) -> Sets {
    sets.sort_by_key(|set| created(set));
    let wanted = &deployment["spec"]["template"];
    let at = sets.iter().position(|set| same_template(&set["spec"]["template"], wanted));
    let new = at.map(|at| sets.remove(at));
    Sets { new, old: sets }
}

fn revision(object: &Value) -> i64 {
    object["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Moves one step on; what the ReplicaSets are afterwards.
pub(super) fn carry_on(cx: &Cx, deployment: &Value, sets: Vec<Object>) -> Result<Sets, Status> {
    let mut sets = sort(deployment, sets);
    if deployment["spec"]["paused"] == true || is_scaling(deployment, &sets) {
        if sets.new.is_some() {
            annotate(cx, deployment, &mut sets)?;
        }
        scale(cx, deployment, &mut sets)?;
        return Ok(sets);
    }
    if text(deployment, "/spec/strategy/type") == "Recreate" {
        recreate(cx, deployment, &mut sets)?;
    } else {
        ensure_new(cx, deployment, &mut sets)?;
        if !grow_new(cx, deployment, &mut sets)? {
            shrink_old(cx, deployment, &mut sets)?;
        }
    }
    clean_up(cx, deployment, &mut sets)?;
    Ok(sets)
}

fn is_scaling(deployment: &Value, sets: &Sets) -> bool {
    let wanted = number(deployment, "/spec/replicas", 1).to_string();
    sets.new
        .iter()
        .chain(&sets.old)
        .filter(|set| numbers(set).0 > 0)
        .any(|set| set["metadata"]["annotations"][DESIRED].as_str().is_some_and(|desired| desired != wanted))
}

/// The annotations that a Deployment hands on to its ReplicaSet.
fn annotations(deployment: &Value, revision: i64) -> Map<String, Value> {
    let own = [LAST_APPLIED, REVISION, DESIRED, MAXIMUM, "deployment.kubernetes.io/revision-history"];
    let mut map: Map<String, Value> = texts(deployment, "/metadata/annotations")
        .filter(|(key, _)| !own.contains(key))
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    let replicas = number(deployment, "/spec/replicas", 1);
    map.insert(REVISION.into(), json!(revision.to_string()));
    map.insert(DESIRED.into(), json!(replicas.to_string()));
    map.insert(MAXIMUM.into(), json!((replicas + max_surge(deployment)).to_string()));
    map
}

/// Brings the annotations of the new ReplicaSet and the Deployment's revision up to date.
fn annotate(cx: &Cx, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    let newest = sets.old.iter().map(|set| revision(set)).max().unwrap_or(0);
    let Some(new) = &sets.new else { return Ok(()) };
    let wanted = revision(new).max(newest + 1);
    let map = annotations(deployment, wanted);
    let min_ready = number(deployment, "/spec/minReadySeconds", 0);
    let key = key_of(new);
    sets.new = cx.edit(&REPLICA_SETS, &key.0, &key.1, Subresource::None, |set| {
        let annotations = crate::controllers::objects::child(&mut set["metadata"], "annotations");
        annotations.extend(map.clone());
        if number(set, "/spec/minReadySeconds", 0) != min_ready {
            set["spec"]["minReadySeconds"] = json!(min_ready);
        }
    })?;
    write_revision(cx, deployment, wanted)
}

fn write_revision(cx: &Cx, deployment: &Value, wanted: i64) -> Result<(), Status> {
    if revision(deployment) == wanted {
        return Ok(());
    }
    let patch = json!({"metadata": {"annotations": {REVISION: wanted.to_string()}}});
    let (namespace, name) = key_of(deployment);
    let done = cx.direct.merge_patch(&DEPLOYMENTS, &namespace, &name, Subresource::None, patch);
    gone_is_fine(done.map(|_| ()))
}

/// Makes the ReplicaSet of the present template, if there is none.
fn ensure_new(cx: &Cx, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    if sets.new.is_some() {
        return annotate(cx, deployment, sets);
    }
    let newest = sets.old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1;
    let mut template = deployment["spec"]["template"].clone();
    let collisions = number(deployment, "/status/collisionCount", 0).to_string();
    let hash = short_hash(&[&template.to_string(), &collisions]);
    let mut selector = deployment["spec"]["selector"].clone();
    crate::controllers::objects::child(&mut selector, "matchLabels").insert(HASH.into(), json!(hash));
    let meta = crate::controllers::objects::metadata(&mut template);
    let labels = meta.entry("labels").or_insert_with(|| json!({}));
    labels[HASH] = json!(hash);
    let labels = labels.clone();
    let mut spec = json!({"replicas": 0, "selector": selector, "template": template});
    let min_ready = number(deployment, "/spec/minReadySeconds", 0);
    if min_ready > 0 {
        spec["minReadySeconds"] = json!(min_ready);
    }
    spec["replicas"] = json!(new_replicas(deployment, 0, sets));
    let (namespace, name) = key_of(deployment);
    let set = json!({
        "metadata": {
            "name": format!("{name}-{hash}"), "namespace": namespace, "labels": labels,
            "annotations": annotations(deployment, newest),
            "ownerReferences": [controller_reference(&DEPLOYMENTS, deployment)],
        },
        "spec": spec,
    });
    match cx.direct.create(&REPLICA_SETS, set) {
        Ok(set) => {
            let count = number(&set, "/spec/replicas", 0);
            let message = format!("Scaled up replica set {} from 0 to {count}", name_of(&set));
            cx.tell(deployment, "Normal", "ScalingReplicaSet", &message);
            sets.new = Some(set);
            write_revision(cx, deployment, newest)
        }
        Err(status) => {
            if status.reason == "AlreadyExists" {
                cx.edit(&DEPLOYMENTS, &namespace, &name, Subresource::Status, |deployment| {
                    let count = number(deployment, "/status/collisionCount", 0);
                    deployment["status"]["collisionCount"] = json!(count + 1);
                })?;
            }
            Err(status)
        }
    }
}

fn sum(sets: &Sets, at: impl Fn(&Value) -> i64) -> i64 {
    sets.new.iter().chain(&sets.old).map(|set| at(set)).sum()
}

/// How many replicas the new ReplicaSet may have now.
fn new_replicas(deployment: &Value, present: i64, sets: &Sets) -> i64 {
    let wanted = number(deployment, "/spec/replicas", 1);
    if text(deployment, "/spec/strategy/type") == "Recreate" {
        return wanted;
    }
    let room = wanted + max_surge(deployment) - sum(sets, |set| numbers(set).0);
    if room <= 0 { present } else { present + room.min(wanted - present) }
}

fn set_replicas(cx: &Cx, deployment: &Value, set: &mut Object, count: i64) -> Result<bool, Status> {
    let before = numbers(set).0;
    let map = annotations(deployment, revision(set));
    let key = key_of(set);
    let done = cx.edit(&REPLICA_SETS, &key.0, &key.1, Subresource::None, |set| {
        set["spec"]["replicas"] = json!(count);
        for name in [DESIRED, MAXIMUM] {
            set["metadata"]["annotations"][name] = map[name].clone();
        }
    })?;
    if let Some(done) = done {
        *set = done;
    }
    if before == count {
        return Ok(false);
    }
    let way = if count > before { "up" } else { "down" };
    let message = format!("Scaled {way} replica set {} from {before} to {count}", key.1);
    cx.tell(deployment, "Normal", "ScalingReplicaSet", &message);
    Ok(true)
}

/// Gives the new ReplicaSet the replicas that it may have; whether that changed anything.
fn grow_new(cx: &Cx, deployment: &Value, sets: &mut Sets) -> Result<bool, Status> {
    let wanted = number(deployment, "/spec/replicas", 1);
    let Some(present) = sets.new.as_ref().map(|set| numbers(set).0) else { return Ok(false) };
    let count = if present > wanted { wanted } else { new_replicas(deployment, present, sets) };
    let Some(new) = &mut sets.new else { return Ok(false) };
    set_replicas(cx, deployment, new, count)
}

/// Takes replicas from the old ReplicaSets: first those that aren't healthy.
fn shrink_old(cx: &Cx, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    let wanted = number(deployment, "/spec/replicas", 1);
    let minimum = wanted - max_unavailable(deployment);
    let waiting = sets.new.as_ref().map_or(0, |set| numbers(set).0 - numbers(set).2);
    let all = sum(sets, |set| numbers(set).0);
    let most = all - minimum - waiting;
    if most > 0 {
        let mut cleaned = 0;
        for set in &mut sets.old {
            let (replicas, _, available) = numbers(set);
            let unhealthy = (replicas - available).max(0).min(most - cleaned);
            if unhealthy > 0 {
                set_replicas(cx, deployment, set, replicas - unhealthy)?;
                cleaned += unhealthy;
            }
        }
    }
    let mut spare = sum(sets, |set| numbers(set).2.min(numbers(set).0)) - minimum;
    for set in &mut sets.old {
        let replicas = numbers(set).0;
        let less = replicas.min(spare);
        if less > 0 {
            set_replicas(cx, deployment, set, replicas - less)?;
            spare -= less;
        }
    }
    Ok(())
}

fn recreate(cx: &Cx, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    let mut scaled = false;
    for set in &mut sets.old {
        if numbers(set).0 > 0 {
            scaled |= set_replicas(cx, deployment, set, 0)?;
        }
    }
    if scaled || old_pods_run(cx, sets) {
        return Ok(());
    }
    ensure_new(cx, deployment, sets)?;
    grow_new(cx, deployment, sets).map(|_| ())
}

/// Spreads a changed number of replicas over the ReplicaSets that have some.
fn scale(cx: &Cx, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    let wanted = number(deployment, "/spec/replicas", 1);
    let new = sets.new.as_ref().map_or(0, |set| numbers(set).0);
    let active = sets.old.iter().filter(|set| numbers(set).0 > 0).count();
    if active == 0 {
        if let Some(new) = &mut sets.new {
            set_replicas(cx, deployment, new, wanted)?;
        } else if let Some(last) = sets.old.last_mut() {
            set_replicas(cx, deployment, last, wanted)?;
        }
        return Ok(());
    }
    if active == 1 && new == 0 {
        for set in sets.old.iter_mut().filter(|set| numbers(set).0 > 0) {
            set_replicas(cx, deployment, set, wanted)?;
        }
        return Ok(());
    }
    spread(cx, deployment, sets, wanted)
}

/// Each ReplicaSet gets a share in proportion to its size, the largest the rest.
fn spread(cx: &Cx, deployment: &Value, sets: &mut Sets, wanted: i64) -> Result<(), Status> {
    let allowed = if wanted == 0 { 0 } else { wanted + max_surge(deployment) };
    let all = sum(sets, |set| numbers(set).0);
    let mut members: Vec<&mut Object> = sets.new.iter_mut().chain(&mut sets.old).collect();
    members.sort_by_key(|set| std::cmp::Reverse(numbers(set).0));
    let mut shares: Vec<i64> =
        members.iter().map(|set| if all == 0 { 0 } else { numbers(set).0 * allowed / all }).collect();
    let rest = allowed - shares.iter().sum::<i64>();
    if let Some(first) = shares.first_mut() {
        *first += rest;
    }
    for (set, share) in members.into_iter().zip(shares) {
        if numbers(set).0 > 0 {
            set_replicas(cx, deployment, set, share.max(0))?;
        }
    }
    Ok(())
}

/// Deletes empty old ReplicaSets beyond the history's limit.
fn clean_up(cx: &Cx, deployment: &Value, sets: &mut Sets) -> Result<(), Status> {
    let limit = usize::try_from(number(deployment, "/spec/revisionHistoryLimit", 10)).unwrap_or(0);
    let mut empty: Vec<Object> = sets
        .old
        .iter()
        .filter(|set| numbers(set).0 == 0 && numbers(set).1 == 0 && !is_terminating(set))
        .cloned()
        .collect();
    empty.sort_by_key(|set| revision(set));
    let surplus = empty.len().saturating_sub(limit);
    for set in &empty[..surplus] {
        cx.delete(&REPLICA_SETS, set)?;
        sets.old.retain(|old| uid_of(old) != uid_of(set));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::same_template;
    use serde_json::json;

    #[test]
    fn a_template_is_the_same_but_for_its_hash() {
        let plain = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"hostNetwork": true}});
        let mut hashed = plain.clone();
        hashed["metadata"]["labels"]["pod-template-hash"] = json!("abc");
        assert!(same_template(&plain, &hashed) && same_template(&hashed, &plain));
        let mut other = hashed.clone();
        other["metadata"]["labels"]["app"] = json!("shop");
        assert!(!same_template(&hashed, &other));
        other = hashed.clone();
        other["spec"] = json!({});
        assert!(!same_template(&plain, &other));
        other = hashed.clone();
        other["metadata"]["annotations"] = json!({"a": "b"});
        assert!(!same_template(&plain, &other) && !same_template(&other, &plain));
    }
}
