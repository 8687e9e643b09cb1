//! Events about pods: one object per pod and reason, counted up.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::machines::api::{Api, Patch, core, text};

/// What the kubelet has told of so far.
#[derive(Default)]
pub(super) struct Events {
    told: BTreeMap<(String, String), (String, u64)>,
    number: u64,
}

impl Events {
    /// Tells of something that happened to an object. Failing to tell is not worth a retry.
    #[allow(clippy::too_many_arguments, reason = "an Event has that many parts")]
    pub(super) async fn tell(
        &mut self,
        api: &Api,
        clock: &Clock,
        node: &str,
        object: &Value,
        kind: &str,
        reason: &str,
        message: &str,
    ) {
        let uid = text(object, "/metadata/uid").to_owned();
        let namespace = match text(object, "/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        };
        let now = clock.now_rfc3339();
        let key = (uid.clone(), format!("{reason}/{message}"));
        if let Some((name, count)) = self.told.get_mut(&key) {
            *count += 1;
            let patch = json!({"count": count, "lastTimestamp": now});
            if api.patch(&core(namespace, "events", name), Patch::Merge, &patch).await.is_ok() {
                return;
            }
        }
        self.number += 1;
        let name = text(object, "/metadata/name");
        let event_name = format!("{name}.{node}.{:08x}", self.number);
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": event_name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": object["kind"].as_str().unwrap_or("Pod"),
                "name": name,
                "namespace": object["metadata"]["namespace"],
                "uid": uid,
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": node},
            "reportingComponent": "kubelet",
            "reportingInstance": node,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        });
        if api.create(&core(namespace, "events", ""), &event).await.is_ok() {
            self.told.insert(key, (event_name, 1));
        }
    }

    /// Forgets what was told of a pod that is gone.
    pub(super) fn forget(&mut self, uid: &str) {
        self.told.retain(|(told, _), _| told != uid);
    }
}
