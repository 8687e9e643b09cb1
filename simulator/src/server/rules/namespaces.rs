//! Namespaces: the finalizer in their spec, their phase, and those that can't be deleted.

use crate::server::kinds::Kind;
use crate::server::object::{child, name_of};
use crate::server::status::Status;
use serde_json::{Value, json};

pub(super) fn prepare_create(object: &mut Value) {
    child(object, "spec").insert("finalizers".into(), json!(["kubernetes"]));
    object["status"] = json!({"phase": "Active"});
}

pub(super) fn validate_delete(kind: &Kind, object: &Value) -> Result<(), Status> {
    let name = name_of(object);
    if ["default", "kube-system", "kube-public"].contains(&name) {
        return Err(Status::forbidden(&kind.resource, name, "this namespace may not be deleted"));
    }
    Ok(())
}
