//! Create.

use crate::schema::{Resource, builtin};
use crate::server::Subresource;
use crate::server::admission::{self, Write};
use crate::server::kinds::Kind;
use crate::server::object::{is_terminating, metadata, name_of, namespace_of, text};
use crate::server::options::Act;
use crate::server::rules;
use crate::server::state::{State, Written, at_rest};
use crate::server::status::Status;
use crate::server::tracking::{self, Ownership};
use serde_json::{Value, json};

/// The longest prefix that leaves room for the generated suffix.
const LONGEST_PREFIX: usize = 58;

impl State {
    /// Creates an object in a namespace (empty for cluster-scoped kinds).
    pub(crate) fn create(
        &mut self,
        act: &Act,
        kind: &Kind,
        namespace: &str,
        object: Value,
    ) -> Result<Written, Status> {
        self.create_owned(act, kind, namespace, object, Ownership::Tracked)
    }

    pub(super) fn create_owned(
        &mut self,
        act: &Act,
        kind: &Kind,
        namespace: &str,
        mut object: Value,
        ownership: Ownership,
    ) -> Result<Written, Status> {
        self.committable()?;
        let resource = &kind.resource;
        check_type(resource, &mut object)?;
        let sent = tracking::take_sent(&mut object);
        place(resource, namespace, &mut object)?;
        if !text(&object, "/metadata/resourceVersion").is_empty() {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        self.name(&mut object);
        self.check_namespace(resource, namespace, name_of(&object))?;
        let name = name_of(&object).to_owned();
        let mut warnings = Vec::new();
        stamp(&mut object, &self.names.uid(), &act.stamp());
        rules::prepare_create(self, act, kind, &mut object)?;
        warnings.extend(self.prepare(act, kind, &mut object, None, Subresource::None)?);
        let write = Write {
            kind,
            subresource: Subresource::None,
            operation: "CREATE",
            object: Some(&object),
            old: None,
        };
        admission::mutate(self, &write)?;
        check_name(resource, &object)?;
        rules::validate_create(self, kind, &object)?;
        admission::validate(self, act, &write)?;
        if self.store.get(resource, namespace, &name).is_some() {
            return Err(Status::already_exists(resource, &name));
        }
        if rules::has_generation(kind) {
            metadata(&mut object).insert("generation".into(), json!(1));
        }
        rules::allocate(self, kind, None, &mut object)?;
        let storage = at_rest(kind, &mut object);
        let managers = match ownership {
            Ownership::Known(managers) => managers,
            Ownership::Tracked => {
                tracking::managers(act, kind, None, &object, sent.as_ref(), Subresource::None)
            }
        };
        let entry = self.commit(act, &storage, namespace, &name, object, managers);
        Ok(Written { entry, created: true, warnings })
    }

    fn name(&mut self, object: &mut Value) {
        let prefix = text(object, "/metadata/generateName").to_owned();
        if name_of(object).is_empty() && !prefix.is_empty() {
            let kept: String = prefix.chars().take(LONGEST_PREFIX).collect();
            let name = format!("{kept}{}", self.names.suffix());
            metadata(object).insert("name".into(), json!(name));
        }
    }

    fn check_namespace(&self, resource: &Resource, namespace: &str, name: &str) -> Result<(), Status> {
        if !resource.namespaced {
            return Ok(());
        }
        let found = self.current(&builtin::NAMESPACES, "", namespace)?;
        if is_terminating(&found.object) {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            let cause = format!("namespace {namespace} is being terminated");
            return Err(Status::forbidden(resource, name, &why).cause(
                "NamespaceTerminating",
                Some("metadata.namespace"),
                cause,
            ));
        }
        Ok(())
    }
}

/// Sets what the server alone decides.
fn stamp(object: &mut Value, uid: &str, now: &str) {
    let metadata = metadata(object);
    for field in
        ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink", "resourceVersion"]
    {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), json!(uid));
    metadata.insert("creationTimestamp".into(), json!(now));
}

/// Checks and completes `apiVersion` and `kind`.
pub(super) fn check_type(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    let expected = resource.api_version();
    let Value::Object(map) = object else {
        return Err(Status::bad_request("the object provided is not an object"));
    };
    let said = map.get("kind").and_then(Value::as_str).unwrap_or("").to_owned();
    let version = map.get("apiVersion").and_then(Value::as_str).unwrap_or("").to_owned();
    if (!said.is_empty() && said != resource.kind) || (!version.is_empty() && version != expected) {
        return Err(Status::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: the object provided is unrecognized \
             (must be of type {}): {version}, Kind={said}",
            resource.kind, resource.version, resource.kind, resource.kind
        )));
    }
    map.insert("apiVersion".into(), json!(expected));
    map.insert("kind".into(), json!(resource.kind));
    Ok(())
}

/// Puts the object in the namespace of the request, which it may not contradict.
pub(super) fn place(resource: &Resource, namespace: &str, object: &mut Value) -> Result<(), Status> {
    if !resource.namespaced {
        metadata(object).remove("namespace");
        return Ok(());
    }
    let said = namespace_of(object);
    if !said.is_empty() && said != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    metadata(object).insert("namespace".into(), json!(namespace));
    Ok(())
}

fn check_name(resource: &Resource, object: &Value) -> Result<(), Status> {
    let name = name_of(object);
    if name.is_empty() {
        let why = "Required value: name or generateName is required".to_owned();
        return Err(Status::invalid(resource, "", &[("metadata.name", "FieldValueRequired", why)]));
    }
    let path_like = resource.group == "rbac.authorization.k8s.io";
    let good = if path_like {
        name != "." && name != ".." && !name.contains(['/', '%'])
    } else {
        name.len() <= 253
            && name.split('.').all(|part| {
                let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
                edge(part.chars().next())
                    && edge(part.chars().last())
                    && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            })
    };
    if good {
        return Ok(());
    }
    let why = format!(
        "Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
         characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
         regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    );
    Err(Status::invalid(resource, name, &[("metadata.name", "FieldValueInvalid", why)]))
}
