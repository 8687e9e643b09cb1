//! Answers that are not the object asked for: `metav1.Status`, with the API server's own wording.

use crate::schema::Resource;
use serde_json::{Value, json};
use std::fmt;

/// One cause in a status' details.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Cause {
    /// The machine-readable reason, such as `FieldValueInvalid` or `DisruptionBudget`.
    pub reason: String,
    /// What a person reads.
    pub message: String,
    /// The field it is about, if one.
    pub field: Option<String>,
}

/// What the API server answers when it doesn't answer an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason, such as `NotFound`.
    pub reason: String,
    /// What a person reads.
    pub message: String,
    /// The name of the object it is about.
    pub name: String,
    /// The group of the resource it is about.
    pub group: String,
    /// The resource (for errors) or kind (for successes and invalid objects) it is about.
    pub kind: String,
    /// The UID of the object it is about.
    pub uid: String,
    /// Why, in parts.
    pub causes: Vec<Cause>,
    /// Seconds to wait before asking again.
    pub retry_after: Option<u32>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.message, self.code, self.reason)
    }
}

impl std::error::Error for Status {}

impl Status {
    /// A status with nothing but code, reason and message.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            message: message.into(),
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after: None,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self.group = resource.group.clone().into_owned();
        self.kind = resource.plural.clone().into_owned();
        self
    }

    /// Adds a cause.
    pub fn cause(mut self, reason: &str, field: Option<&str>, message: impl Into<String>) -> Self {
        let message = message.into();
        self.causes.push(Cause { reason: reason.to_owned(), message, field: field.map(str::to_owned) });
        self
    }

    /// Sets the seconds after which to ask again.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The object is not there.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{resource} \"{name}\" not found")).about(resource, name)
    }

    /// No such path.
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// An object of that name is there already.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{resource} \"{name}\" already exists")).about(resource, name)
    }

    /// The write was not based on the newest version, or a precondition failed.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// The write was not based on the newest version.
    pub fn modified(resource: &Resource, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// The object breaks a rule; `errors` are `(field, reason, message)` such as
    /// `("spec.selector", "FieldValueInvalid", "Invalid value: …: field is immutable")`.
    pub fn invalid(resource: &Resource, name: &str, errors: &[(&str, &str, String)]) -> Self {
        let kind = if resource.group.is_empty() {
            resource.kind.clone().into_owned()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let said: Vec<String> = errors
            .iter()
            .map(
                |(field, _, message)| {
                    if field.is_empty() { message.clone() } else { format!("{field}: {message}") }
                },
            )
            .collect();
        let listed = match said.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut status = Self::new(422, "Invalid", format!("{kind} \"{name}\" is invalid: {listed}"))
            .about(resource, name);
        status.kind = resource.kind.clone().into_owned();
        for (field, reason, message) in errors {
            status = status.cause(reason, Some(field), message.clone());
        }
        status
    }

    /// Somebody may not do this.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let subject = if name.is_empty() { resource.to_string() } else { format!("{resource} \"{name}\"") };
        Self::new(403, "Forbidden", format!("{subject} is forbidden: {why}")).about(resource, name)
    }

    /// The request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// Nobody knows who asks.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// The verb is not offered there.
    pub fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    /// The version asked for has been compacted.
    pub fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    /// A failure inside the server.
    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
            .cause("", None, message)
    }

    /// A success, as deletes answer it.
    pub fn deleted(resource: &Resource, name: &str, uid: &str) -> Self {
        let mut status = Self::new(200, "", "").about(resource, name);
        uid.clone_into(&mut status.uid);
        status
    }

    /// Whether it reports a success.
    pub fn is_success(&self) -> bool {
        self.code < 300
    }

    /// As the wire has it.
    pub fn to_value(&self) -> Value {
        let mut details = serde_json::Map::new();
        for (key, value) in
            [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)]
        {
            if !value.is_empty() {
                details.insert(key.to_owned(), json!(value));
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(|cause| {
                let mut out = serde_json::Map::new();
                if !cause.reason.is_empty() {
                    out.insert("reason".into(), json!(cause.reason));
                }
                out.insert("message".into(), json!(cause.message));
                if let Some(field) = &cause.field {
                    out.insert("field".into(), json!(field));
                }
                Value::Object(out)
            });
            details.insert("causes".into(), causes.collect());
        }
        if let Some(seconds) = self.retry_after {
            details.insert("retryAfterSeconds".into(), json!(seconds));
        }
        let mut out = json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {},
            "status": if self.is_success() { "Success" } else { "Failure" },
        });
        if !self.message.is_empty() {
            out["message"] = json!(self.message);
        }
        if !self.reason.is_empty() {
            out["reason"] = json!(self.reason);
        }
        if !details.is_empty() {
            out["details"] = Value::Object(details);
        }
        if !self.is_success() {
            out["code"] = json!(self.code);
        }
        out
    }
}
