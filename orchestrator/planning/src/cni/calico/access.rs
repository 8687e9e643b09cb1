//! Service accounts, roles and bindings of Calico: followed from its workloads.

use super::is_calico_group;
use crate::object::{Object, ObjectId};
use crate::state::Inventory;
use serde_json::Value;
use std::collections::BTreeSet;

const GROUP: &str = "rbac.authorization.k8s.io";

/// An account by namespace and name.
type Account<'a> = (&'a str, &'a str);

/// Bindings, roles and accounts of the given workloads, in the order of their removal.
pub fn find(inventory: &Inventory, own: &[&Object]) -> Vec<ObjectId> {
    let accounts = accounts(inventory, own);
    let bindings: Vec<&Object> =
        bindings(inventory).filter(|b| binds_only(inventory, b, &accounts)).collect();
    let roles: Vec<&Object> = roles(inventory)
        .filter(|role| !is_bootstrap(role))
        .filter(|role| {
            bindings.iter().any(|b| refers_to(b, role))
                && !all_other_bindings(inventory, &bindings).any(|b| refers_to(b, role))
        })
        .collect();
    let account_ids = accounts
        .iter()
        .filter(|(_, name)| *name != "default")
        .filter_map(|(namespace, name)| inventory.get("", "ServiceAccount", namespace, name))
        .map(|a| a.id.clone());
    let access = bindings.iter().chain(&roles).map(|o| o.id.clone());
    access.chain(account_ids).collect()
}

/// The accounts that Calico's pods run as, and those that its roles may mint tokens for (the CNI
/// plugin's account is named only there).
fn accounts<'a>(inventory: &'a Inventory, own: &[&'a Object]) -> BTreeSet<Account<'a>> {
    let mut found: BTreeSet<Account<'a>> = own
        .iter()
        .filter_map(|w| {
            Some((w.id.object.namespace.as_str(), w.text("/spec/template/spec/serviceAccountName")?))
        })
        .collect();
    let minted: Vec<Account<'a>> = bindings(inventory)
        .filter(|b| binds_only(inventory, b, &found))
        .flat_map(|b| roles(inventory).filter(|role| refers_to(b, role)).collect::<Vec<_>>())
        .flat_map(minted_names)
        .flat_map(|name| found.iter().map(move |(namespace, _)| (*namespace, name)).collect::<Vec<_>>())
        .filter(|(namespace, name)| inventory.get("", "ServiceAccount", namespace, name).is_some())
        .collect();
    found.extend(minted);
    found
}

fn minted_names(role: &Object) -> Vec<&str> {
    let texts = |rule: &Value, key: &str, text: &str| {
        rule[key].as_array().is_some_and(|list| list.iter().any(|item| item == text))
    };
    role.at("/rules")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|rule| texts(rule, "resources", "serviceaccounts/token"))
        .flat_map(|rule| rule["resourceNames"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect()
}

fn bindings(inventory: &Inventory) -> impl Iterator<Item = &Object> {
    inventory.of(GROUP, "ClusterRoleBinding").chain(inventory.of(GROUP, "RoleBinding"))
}

fn roles(inventory: &Inventory) -> impl Iterator<Item = &Object> {
    inventory.of(GROUP, "ClusterRole").chain(inventory.of(GROUP, "Role"))
}

fn all_other_bindings<'a>(
    inventory: &'a Inventory,
    own: &'a [&'a Object],
) -> impl Iterator<Item = &'a Object> {
    bindings(inventory).filter(|b| !own.iter().any(|o| o.id == b.id))
}

/// Whether every subject is one of the accounts; or the controller-manager, let at Calico's kinds
/// alone (what 3.30 and later bind for their tiers).
fn binds_only(inventory: &Inventory, binding: &Object, accounts: &BTreeSet<Account<'_>>) -> bool {
    let subjects = binding.at("/subjects").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    !subjects.is_empty()
        && subjects.iter().all(|subject| {
            let name = subject["name"].as_str().unwrap_or_default();
            match subject["kind"].as_str() {
                Some("ServiceAccount") => {
                    let namespace = subject["namespace"].as_str().unwrap_or(&binding.id.object.namespace);
                    name != "default" && accounts.contains(&(namespace, name))
                }
                Some("User") => {
                    name == "system:kube-controller-manager" && is_tier_binding(inventory, binding)
                }
                _ => false,
            }
        })
}

fn is_tier_binding(inventory: &Inventory, binding: &Object) -> bool {
    roles(inventory).any(|role| refers_to(binding, role) && only_calico_kinds(role))
}

/// Whether a role speaks of Calico's kinds and nothing else.
fn only_calico_kinds(role: &Object) -> bool {
    let rules = role.at("/rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    !rules.is_empty()
        && rules.iter().all(|rule| {
            let groups = rule["apiGroups"].as_array().map(Vec::as_slice).unwrap_or_default();
            !groups.is_empty() && groups.iter().all(|g| g.as_str().is_some_and(is_calico_group))
        })
}

fn refers_to(binding: &Object, role: &Object) -> bool {
    let reference = &role.id.object;
    binding.text("/roleRef/kind") == Some(reference.kind.kind.as_str())
        && binding.text("/roleRef/name") == Some(reference.name.as_str())
        && (reference.namespace.is_empty() || reference.namespace == binding.id.object.namespace)
}

/// What the API server or kubeadm brought itself.
fn is_bootstrap(role: &Object) -> bool {
    let name = role.id.object.name.as_str();
    role.at("/metadata/labels/kubernetes.io~1bootstrapping").is_some()
        || name.starts_with("system:")
        || name.starts_with("kubeadm:")
        || matches!(
            name,
            "cluster-admin" | "admin" | "edit" | "view" | "extension-apiserver-authentication-reader"
        )
}
