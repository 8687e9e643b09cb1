//! What a request asks for beside its object.

use super::status::Status;
use crate::clock::rfc3339;
use crate::schema::{FieldValidation, Resource};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;

/// The part of an object, or the act on it, that a path names after the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subresource {
    /// The object itself.
    None,
    /// `status`.
    Status,
    /// `scale`.
    Scale,
    /// `eviction` of a pod.
    Eviction,
    /// `binding` of a pod to a node.
    Binding,
    /// `token` of a service account.
    Token,
    /// `log` of a pod.
    Log,
    /// `approval` of a certificate signing request.
    Approval,
    /// `finalize` of a namespace.
    Finalize,
    /// `ephemeralcontainers` of a pod.
    EphemeralContainers,
    /// `resize` of a pod.
    Resize,
}

impl Subresource {
    /// As the path has it; empty for the object itself.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Eviction => "eviction",
            Self::Binding => "binding",
            Self::Token => "token",
            Self::Log => "log",
            Self::Approval => "approval",
            Self::Finalize => "finalize",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
        }
    }

    /// The subresource a path names, if it is one that is served.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::None,
            Self::Status,
            Self::Scale,
            Self::Eviction,
            Self::Binding,
            Self::Token,
            Self::Log,
            Self::Approval,
            Self::Finalize,
            Self::EphemeralContainers,
            Self::Resize,
        ];
        all.into_iter().find(|one| one.as_str() == text)
    }
}

/// What becomes of an object's dependents when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay.
    Orphan,
}

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds the object has to end, where its kind knows an end that takes time.
    pub grace_period: Option<i64>,
    /// What becomes of dependents.
    pub propagation: Option<Propagation>,
    /// Delete only the object with this UID.
    pub uid: Option<String>,
    /// Delete only this version.
    pub resource_version: Option<String>,
    /// Only say what would happen.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Deletes at once: no grace.
    pub fn now() -> Self {
        Self { grace_period: Some(0), ..Self::default() }
    }

    /// Deletes only the object with this UID.
    pub fn of_uid(uid: &str) -> Self {
        Self { uid: Some(uid.to_owned()), ..Self::default() }
    }

    pub(crate) fn from_body(body: &Value) -> Self {
        let string = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let orphan = body.get("orphanDependents").and_then(Value::as_bool);
        let named = match string("/propagationPolicy").as_deref() {
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Background") => Some(Propagation::Background),
            Some("Orphan") => Some(Propagation::Orphan),
            _ => None,
        };
        Self {
            grace_period: body.get("gracePeriodSeconds").and_then(Value::as_i64),
            propagation: named.or(match orphan {
                Some(true) => Some(Propagation::Orphan),
                Some(false) => Some(Propagation::Background),
                None => None,
            }),
            uid: string("/preconditions/uid"),
            resource_version: string("/preconditions/resourceVersion"),
            dry_run: body.get("dryRun").and_then(Value::as_array).is_some_and(|list| !list.is_empty()),
        }
    }
}

/// Refuses a dry run of any but the one way there is; empty for no dry run.
pub(crate) fn check_dry_run(kind: &'static str, how: &str) -> Result<(), Status> {
    if ["", "All"].contains(&how) {
        return Ok(());
    }
    let options = Resource::builtin("meta.k8s.io", "v1", "", kind, false);
    let why = format!("Unsupported value: [{how:?}]: supported values: \"All\"");
    Err(Status::invalid(&options, "", &[("dryRun", "FieldValueNotSupported", why)]))
}

/// Who writes, when and how.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// The first word of the User-Agent, or the name of the direct client.
    pub(crate) client: Arc<str>,
    /// The user's name, as admission and CSRs see it.
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
    pub(crate) now: Timestamp,
    pub(crate) dry_run: bool,
    pub(crate) manager: String,
    pub(crate) force: bool,
    pub(crate) validation: FieldValidation,
    /// Whether writes are recorded in managedFields.
    pub(crate) track: bool,
}

impl Act {
    pub(crate) fn stamp(&self) -> String {
        rfc3339(self.now)
    }
}
