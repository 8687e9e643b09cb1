//! Finalizers of pools and tiers, where there are any: newer versions put them there, and only a
//! live kube-controllers takes them away.

use crate::server::Object;

use serde_json::Value;

use crate::machines::api::{ApiFailure, text};
use crate::machines::cni::calico::Datastore;

const POOL: &str = "projectcalico.org/ippool-finalizer";
const TIER: &str = "projectcalico.org/tier-controller";

/// Policies live in a tier.
const POLICIES: [&str; 2] = ["globalnetworkpolicies", "networkpolicies"];

/// Lets go of what is being deleted and not in use any more. `false` if something is in use.
pub(super) async fn release(datastore: &Datastore) -> Result<bool, ApiFailure> {
    let mut free = true;
    let pools = held(datastore, "ippools", POOL).await?;
    if !pools.is_empty() {
        let (blocks, _) = datastore.api.list(&format!("{}/ipamblocks", datastore.group)).await?;
        for pool in pools {
            let Ok(range) = text(&pool, "/spec/cidr").parse::<ipnet::IpNet>() else { continue };
            let cidrs = blocks.iter().filter_map(|block| text(block, "/spec/cidr").parse().ok());
            if cidrs.into_iter().any(|cidr: ipnet::IpNet| range.contains(&cidr)) {
                free = false;
            } else {
                let_go(datastore, "ippools", pool, POOL).await?;
            }
        }
    }
    for tier in held(datastore, "tiers", TIER).await? {
        if used(datastore, text(&tier, "/metadata/name")).await? {
            free = false;
        } else {
            let_go(datastore, "tiers", tier, TIER).await?;
        }
    }
    Ok(free)
}

/// Puts the finalizers on what is there: only where Calico's kinds are definitions of their own
/// (`projectcalico.org/v3`), since elsewhere its API server stands in between.
pub(super) async fn guard(datastore: &Datastore) -> Result<(), ApiFailure> {
    if !datastore.group.ends_with("projectcalico.org/v3") {
        return Ok(());
    }
    for (plural, finalizer) in [("ippools", POOL), ("tiers", TIER)] {
        let (objects, _) = datastore.api.list(&format!("{}/{plural}", datastore.group)).await?;
        for object in objects {
            let mut object = object.into_value();
            let finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            if !object["metadata"]["deletionTimestamp"].is_null() || finalizers.iter().any(|f| f == finalizer)
            {
                continue;
            }
            let all: Vec<Value> = finalizers.into_iter().chain([Value::from(finalizer)]).collect();
            object["metadata"]["finalizers"] = Value::Array(all);
            let path = format!("{}/{plural}/{}", datastore.group, text(&object, "/metadata/name"));
            match datastore.api.update(&path, &object).await {
                // Somebody else wrote first: the change brings the controllers back here.
                Err(failure) if failure.is_conflict() || failure.is_not_found() => {}
                other => other.map(|_| ())?,
            }
        }
    }
    Ok(())
}

/// Objects that are being deleted and have the finalizer.
async fn held(datastore: &Datastore, plural: &str, finalizer: &str) -> Result<Vec<Object>, ApiFailure> {
    let objects = match datastore.api.list(&format!("{}/{plural}", datastore.group)).await {
        Ok((objects, _)) => objects,
        // Older versions have no such kind, or no right to it: nothing of it has a finalizer then.
        Err(failure) if matches!(failure.code(), 403 | 404) => return Ok(Vec::new()),
        Err(failure) => return Err(failure),
    };
    let held = |object: &Object| {
        let finalizers = object["metadata"]["finalizers"].as_array();
        !object["metadata"]["deletionTimestamp"].is_null()
            && finalizers.is_some_and(|finalizers| finalizers.iter().any(|name| name == finalizer))
    };
    Ok(objects.into_iter().filter(held).collect())
}

async fn used(datastore: &Datastore, tier: &str) -> Result<bool, ApiFailure> {
    for plural in POLICIES {
        match datastore.api.list(&format!("{}/{plural}", datastore.group)).await {
            Ok((policies, _)) if policies.iter().any(|policy| text(policy, "/spec/tier") == tier) => {
                return Ok(true);
            }
            Err(failure) if !matches!(failure.code(), 403 | 404) => return Err(failure),
            _ => {}
        }
    }
    Ok(false)
}

async fn let_go(
    datastore: &Datastore,
    plural: &str,
    object: Object,
    finalizer: &str,
) -> Result<(), ApiFailure> {
    let mut object = object.into_value();
    if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
        finalizers.retain(|name| name != finalizer);
    }
    let path = format!("{}/{plural}/{}", datastore.group, text(&object, "/metadata/name"));
    match datastore.api.update(&path, &object).await {
        // Somebody else wrote first: the change brings the controllers back here.
        Err(failure) if failure.is_conflict() || failure.is_not_found() => Ok(()),
        other => other.map(|_| ()),
    }
}
