//! Services: addresses are given once and freed with the object.

use crate::schema::builtin;
use crate::server::kinds::Kind;
use crate::server::object::{carry, child, items, name_of, text};
use crate::server::state::State;
use crate::server::status::Status;
use serde_json::{Value, json};
use std::collections::BTreeSet;

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

/// Gives the Service its addresses.
pub(super) fn allocate(
    state: &mut State,
    kind: &Kind,
    old: Option<&Value>,
    object: &mut Value,
) -> Result<(), Status> {
    if text(object, "/spec/type") == "ExternalName" {
        return Ok(());
    }
    let families = wanted_families(state, kind, object)?;
    let wanted = text(object, "/spec/clusterIP").to_owned();
    let had = old.map_or("", |old| text(old, "/spec/clusterIP")).to_owned();
    let addresses = if wanted == "None" {
        vec![wanted]
    } else if !had.is_empty() && wanted == had {
        let kept = old.map(|old| old["spec"]["clusterIPs"].clone()).unwrap_or_default();
        let kept: Vec<String> = serde_json::from_value(kept).unwrap_or_default();
        if kept.is_empty() { vec![wanted] } else { kept }
    } else {
        given(state, kind, object, &families, &wanted)?
    };
    let spec = child(object, "spec");
    spec.insert("clusterIP".into(), json!(addresses.first()));
    spec.insert("clusterIPs".into(), json!(addresses));
    spec.entry("ipFamilies").or_insert_with(|| json!(families));
    spec.entry("ipFamilyPolicy").or_insert_with(|| json!("SingleStack"));
    spec.entry("internalTrafficPolicy").or_insert_with(|| json!("Cluster"));
    Ok(())
}

/// The families of a Service's addresses: as many as its policy asks for, of those that the server has.
fn wanted_families(state: &State, kind: &Kind, object: &mut Value) -> Result<Vec<String>, Status> {
    let served = state.services.families();
    let policy = text(object, "/spec/ipFamilyPolicy").to_owned();
    if policy == "RequireDualStack" && served.len() < 2 {
        let message =
            "Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services";
        let cause = ("spec.ipFamilyPolicy", "FieldValueInvalid", message.to_owned());
        return Err(Status::invalid(&kind.resource, name_of(object), &[cause]));
    }
    let mut families: Vec<String> = items(object, "/spec/ipFamilies")
        .iter()
        .filter_map(|family| family.as_str().map(str::to_owned))
        .collect();
    if families.is_empty() {
        let fixed = text(object, "/spec/clusterIP");
        let own = match fixed {
            "" | "None" => None,
            fixed => Some(if fixed.contains(':') { "IPv6" } else { "IPv4" }),
        };
        families.extend(own.or(served.first().copied()).map(str::to_owned));
    }
    if matches!(policy.as_str(), "PreferDualStack" | "RequireDualStack") {
        families.extend(
            served
                .iter()
                .filter(|family| !families.iter().any(|known| known == *family))
                .map(|f| (*f).to_owned())
                .collect::<Vec<_>>(),
        );
        child(object, "spec").insert("ipFamilies".into(), json!(families));
    }
    Ok(families)
}

/// The addresses of a new Service: the one that it asks for first, free ones else.
fn given(
    state: &mut State,
    kind: &Kind,
    object: &Value,
    families: &[String],
    wanted: &str,
) -> Result<Vec<String>, Status> {
    let taken: BTreeSet<String> = state
        .store
        .list(&builtin::SERVICES, None)
        .iter()
        .flat_map(|entry| {
            let listed = items(&entry.object, "/spec/clusterIPs").iter().filter_map(Value::as_str);
            listed.chain(Some(text(&entry.object, "/spec/clusterIP"))).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let refused = |why: &str| {
        let message = format!("Invalid value: [\"{wanted}\"]: failed to allocate IP {wanted}: {why}");
        let cause = ("spec.clusterIPs", "FieldValueInvalid", message);
        Status::invalid(&kind.resource, name_of(object), &[cause])
    };
    let mut addresses = Vec::new();
    if !wanted.is_empty() {
        if taken.contains(wanted) {
            return Err(refused("provided IP is already allocated"));
        }
        if !state.services.contains(wanted) {
            return Err(refused("the provided network does not match the current range"));
        }
        addresses.push(wanted.to_owned());
    }
    for family in families.iter().skip(addresses.len()) {
        let address = state.services.next(family, &mut state.names, |ip| taken.contains(ip));
        addresses
            .push(address.ok_or_else(|| Status::internal("failed to allocate a serviceIP: range is full"))?);
    }
    Ok(addresses)
}
