//! What every controller works with: the server, the time and a few habits.

use super::objects::{name_of, namespace_of, text, uid_of};
use crate::clock::{Clock, parse_rfc3339};
use crate::schema::Resource;
use crate::schema::builtin::CORE_EVENTS;
use crate::server::{DeleteOptions, Direct, Object, Server, Status, Subresource};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// How often an optimistic write is tried on newer versions.
const TRIES: usize = 4;

/// The server as the controllers see it.
#[derive(Clone)]
pub(crate) struct Cx {
    pub(crate) direct: Direct,
    pub(crate) clock: Clock,
    component: &'static str,
}

impl Cx {
    pub(crate) fn new(server: &Server, component: &'static str) -> Self {
        Self { direct: server.direct(component), clock: *server.clock(), component }
    }

    pub(crate) fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Object> {
        self.direct.get(resource, namespace, name)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Now, as objects write it.
    pub(crate) fn stamp(&self) -> String {
        self.clock.now_rfc3339()
    }

    /// How long ago a time was; zero for what is no time or lies ahead.
    pub(crate) fn since(&self, time: &str) -> Duration {
        let Some(at) = parse_rfc3339(time) else { return Duration::ZERO };
        Duration::try_from(self.now().duration_since(at)).unwrap_or(Duration::ZERO)
    }

    /// How long until a time plus some; `None` if that has passed.
    pub(crate) fn until(&self, time: &str, plus: Duration) -> Option<Duration> {
        let passed = self.since(time);
        let left = match parse_rfc3339(time) {
            Some(at) if at > self.now() => {
                plus.saturating_add(Duration::try_from(at.duration_since(self.now())).unwrap_or_default())
            }
            _ => plus.checked_sub(passed)?,
        };
        (!left.is_zero()).then_some(left)
    }

    /// Changes an object, optimistically; an object that is gone stays gone.
    pub(crate) fn edit(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        part: Subresource,
        change: impl Fn(&mut Value),
    ) -> Result<Option<Object>, Status> {
        let mut last = None;
        for _ in 0..TRIES {
            let Some(current) = self.get(resource, namespace, name) else { return Ok(None) };
            let mut next = (*current).clone();
            change(&mut next);
            if next == *current {
                return Ok(Some(current));
            }
            match self.direct.put(resource, part, next) {
                Ok(object) => return Ok(Some(object)),
                Err(status) if status.code == 404 => return Ok(None),
                Err(status) if status.reason == "Conflict" => last = Some(status),
                Err(status) => return Err(status),
            }
        }
        last.map_or(Ok(None), Err)
    }

    /// Writes a status, if it differs from what this version has.
    pub(crate) fn set_status(
        &self,
        resource: &Resource,
        object: &Value,
        status: Value,
    ) -> Result<(), Status> {
        if object["status"] == status {
            return Ok(());
        }
        // Of what else would be sent the server takes nothing.
        let next = json!({"metadata": object["metadata"], "status": status});
        gone_is_fine(self.direct.update_status(resource, next).map(|_| ()))
    }

    /// Deletes this very object; one that is gone is fine.
    pub(crate) fn delete(&self, resource: &Resource, object: &Value) -> Result<(), Status> {
        let options = DeleteOptions::of_uid(uid_of(object));
        gone_is_fine(self.direct.delete(resource, namespace_of(object), name_of(object), options))
    }

    /// Tells of something that happened to an object; the same thing again only counts.
    pub(crate) fn tell(&self, about: &Value, kind: &str, reason: &str, message: &str) {
        let namespace = match namespace_of(about) {
            "" => "default",
            namespace => namespace,
        };
        let hash = super::objects::short_hash(&[uid_of(about), reason, message]);
        let name = format!("{}.{hash}", name_of(about));
        let now = self.stamp();
        let again = self.edit(&CORE_EVENTS, namespace, &name, Subresource::None, |event| {
            let count = event["count"].as_i64().unwrap_or(1);
            event["count"] = json!(count + 1);
            event["lastTimestamp"] = json!(now);
        });
        if !matches!(again, Ok(None)) {
            return;
        }
        let event = json!({
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": text(about, "/apiVersion"), "kind": text(about, "/kind"),
                "name": name_of(about), "namespace": namespace_of(about), "uid": uid_of(about),
                "resourceVersion": text(about, "/metadata/resourceVersion"),
            },
            "type": kind, "reason": reason, "message": message, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now,
            "source": {"component": self.component}, "reportingComponent": self.component,
        });
        if let Err(status) = self.direct.create(&CORE_EVENTS, event) {
            tracing::debug!(%status, reason, "an event was refused");
        }
    }
}

/// An object that is gone needs no more work; one that changed meanwhile does.
pub(crate) fn gone_is_fine(outcome: Result<(), Status>) -> Result<(), Status> {
    match outcome {
        Err(status) if status.code == 404 => Ok(()),
        other => other,
    }
}
