//! How a DaemonSet replaces the pods of an older template.

use super::daemon_sets::{ByNode, Place, create};
use super::pods;
use crate::controllers::context::Cx;
use crate::controllers::objects::{Key, int_or_percent, number};
use crate::controllers::queue::Queue;
use crate::schema::builtin::PODS;
use crate::server::{Object, Status};
use serde_json::Value;
use std::collections::BTreeMap;

fn desired(places: &BTreeMap<String, Place>) -> i64 {
    i64::try_from(places.values().filter(|place| place.run).count()).unwrap_or(0)
}

/// How many nodes may have an old and a new pod at once.
pub(super) fn max_surge(set: &Value, places: &BTreeMap<String, Place>) -> i64 {
    let surge = &set["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"];
    int_or_percent(surge, desired(places), true).unwrap_or(0)
}

/// Replaces some old pods, as many as may be unavailable or surplus.
pub(super) fn roll(
    cx: &Cx,
    set: &Value,
    places: &BTreeMap<String, Place>,
    all: &ByNode,
    hash: &str,
    queue: &mut Queue<Key>,
    key: &Key,
) -> Result<(), Status> {
    let total = desired(places);
    let surge = max_surge(set, places);
    let parameters = &set["spec"]["updateStrategy"]["rollingUpdate"];
    let unavailable = int_or_percent(&parameters["maxUnavailable"], total, true).unwrap_or(1);
    let unavailable = if unavailable == 0 && surge == 0 { 1 } else { unavailable };
    let min_ready = number(set, "/spec/minReadySeconds", 0);
    let mut look = |pod: &Object| match pods::availability(cx, pod, min_ready) {
        Ok(()) => true,
        Err(left) => {
            if let Some(left) = left {
                queue.add_after(key.clone(), left);
            }
            false
        }
    };
    let is_new = |pod: &Object| &*pod.pod().revision == hash;
    let (mut first, mut candidates, mut missing, mut extra) = (Vec::new(), Vec::new(), 0, Vec::new());
    let mut surging = 0;
    for (node, place) in places.iter().filter(|(_, place)| place.run) {
        debug_assert!(place.run, "filtered above");
        let here = all.get(node).map_or(&[][..], Vec::as_slice);
        let living: Vec<&Object> = here.iter().filter(|pod| !pod.pod().terminating).collect();
        let new = living.iter().copied().find(|pod| is_new(pod));
        let old = living.iter().copied().find(|pod| !is_new(pod));
        match (old, new) {
            (None, None) => missing += 1,
            (None, Some(new)) => missing += i64::from(!look(new)),
            (Some(old), None) if !look(old) => {
                missing += 1;
                first.push(old);
            }
            (Some(old), None) if surge > 0 => extra.push((node, old)),
            (Some(old), None) => candidates.push(old),
            (Some(_), Some(_)) => surging += 1,
        }
    }
    for pod in first {
        cx.delete(&PODS, pod)?;
    }
    if surge > 0 {
        let room = usize::try_from(surge - surging).unwrap_or(0);
        for (node, _) in extra.into_iter().take(room) {
            create(cx, set, node, hash)?;
        }
        return Ok(());
    }
    let room = usize::try_from(unavailable - missing).unwrap_or(0);
    for pod in candidates.into_iter().take(room) {
        cx.delete(&PODS, pod)?;
    }
    Ok(())
}
