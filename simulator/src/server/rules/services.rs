//! Services: addresses are given once and freed with the object.

use crate::schema::builtin;
use crate::server::kinds::Kind;
use crate::server::object::{carry, child, name_of, text};
use crate::server::state::State;
use crate::server::status::Status;
use serde_json::{Value, json};

/// An update that leaves out what was given keeps it.
pub(super) fn prepare_update(old: &Value, object: &mut Value) {
    let kept = text(object, "/spec/type") != "ExternalName";
    let spec = child(object, "spec");
    for field in ["type", "sessionAffinity", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
        if !spec.contains_key(field) {
            carry(&old["spec"], spec, field);
        }
    }
    let empty = spec.get("clusterIP").and_then(Value::as_str).unwrap_or("").is_empty();
    if kept && empty {
        carry(&old["spec"], spec, "clusterIP");
        carry(&old["spec"], spec, "clusterIPs");
    }
}

/// Gives the Service its address.
pub(super) fn allocate(
    state: &mut State,
    kind: &Kind,
    old: Option<&Value>,
    object: &mut Value,
) -> Result<(), Status> {
    if text(object, "/spec/type") == "ExternalName" {
        return Ok(());
    }
    let wanted = text(object, "/spec/clusterIP").to_owned();
    let had = old.map_or("", |old| text(old, "/spec/clusterIP")).to_owned();
    let name = name_of(object).to_owned();
    let address = if wanted == "None" || (!had.is_empty() && wanted == had) {
        wanted
    } else {
        let services = state.store.list(&builtin::SERVICES, None);
        let taken = |ip: &str| services.iter().any(|entry| text(&entry.object, "/spec/clusterIP") == ip);
        if wanted.is_empty() {
            state
                .services
                .next(&mut state.names, taken)
                .ok_or_else(|| Status::internal("failed to allocate a serviceIP: range is full"))?
        } else if taken(&wanted) {
            let message = format!(
                "Invalid value: [\"{wanted}\"]: failed to allocate IP {wanted}: provided IP is already allocated"
            );
            return Err(Status::invalid(
                &kind.resource,
                &name,
                &[("spec.clusterIPs", "FieldValueInvalid", message)],
            ));
        } else if !state.services.contains(&wanted) {
            let message = format!(
                "Invalid value: [\"{wanted}\"]: failed to allocate IP {wanted}: the provided network does not \
                 match the current range"
            );
            return Err(Status::invalid(
                &kind.resource,
                &name,
                &[("spec.clusterIPs", "FieldValueInvalid", message)],
            ));
        } else {
            wanted
        }
    };
    let spec = child(object, "spec");
    spec.insert("clusterIP".into(), json!(address));
    spec.insert("clusterIPs".into(), json!([address]));
    spec.entry("ipFamilies").or_insert_with(|| json!(["IPv4"]));
    spec.entry("ipFamilyPolicy").or_insert_with(|| json!("SingleStack"));
    spec.entry("internalTrafficPolicy").or_insert_with(|| json!("Cluster"));
    Ok(())
}
