//! Every object that belongs to a Calico install: found in the cluster by group, owner, reference
//! and image. What merely resembles Calico's stays out.

use super::images::{self, Part};
use super::{access, is_calico_group};
use crate::object::{Kind, Object, ObjectId, ObjectRef, Scope};
use crate::state::{ClusterState, Inventory};
use serde_json::Value;
use std::collections::BTreeSet;

/// What belongs to an install, by what it is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Belongings {
    /// Workloads, each with the part of Calico that it runs.
    pub workloads: Vec<(Part, ObjectId)>,
    /// Aggregated APIs.
    pub api_services: Vec<ObjectId>,
    /// Webhook configurations, admission policies and their bindings.
    pub admission: Vec<ObjectId>,
    /// The kinds that Calico's definitions serve.
    pub kinds: BTreeSet<Kind>,
    /// The definitions.
    pub definitions: Vec<ObjectId>,
    /// Services, PodDisruptionBudgets and NetworkPolicies of its own pods.
    pub services: Vec<ObjectId>,
    /// Role bindings, roles and service accounts, in the order of their removal.
    pub access: Vec<ObjectId>,
    /// ConfigMaps and Secrets.
    pub configuration: Vec<ObjectId>,
    /// CSIDrivers and whatever else is cluster-wide.
    pub other: Vec<ObjectId>,
    /// Namespaces with nothing in them but Calico.
    pub namespaces: Vec<ObjectId>,
    /// Namespaces that Calico's workloads share with others' objects, each with one of those.
    pub shared_namespaces: Vec<(String, String)>,
}

impl Belongings {
    /// Every single object, without the custom ones.
    pub fn all(&self) -> impl Iterator<Item = &ObjectId> {
        self.workloads
            .iter()
            .map(|(_, id)| id)
            .chain(&self.api_services)
            .chain(&self.admission)
            .chain(&self.definitions)
            .chain(&self.services)
            .chain(&self.access)
            .chain(&self.configuration)
            .chain(&self.other)
            .chain(&self.namespaces)
    }

    /// The workloads that run one part.
    pub fn running(&self, part: Part) -> impl Iterator<Item = &ObjectId> {
        self.workloads.iter().filter(move |(p, _)| *p == part).map(|(_, id)| id)
    }

    /// Whether an object is among them.
    pub fn holds(&self, object: &ObjectRef) -> bool {
        self.all().any(|id| {
            id.object.kind.group == object.kind.group
                && id.object.kind.kind == object.kind.kind
                && id.object.namespace == object.namespace
                && id.object.name == object.name
        })
    }
}

/// Finds what belongs to the install.
pub fn find(state: &ClusterState) -> Belongings {
    let inventory = &state.inventory;
    let workloads = workloads(inventory);
    let own: Vec<&Object> = workloads.iter().map(|(_, w)| *w).collect();
    let mut found = Belongings {
        workloads: workloads.iter().map(|(part, w)| (*part, w.id.clone())).collect(),
        api_services: ids(inventory, "apiregistration.k8s.io", "APIService", |s| {
            s.text("/spec/group").is_some_and(is_calico_group)
                && s.at("/spec/service").is_some_and(Value::is_object)
        }),
        kinds: kinds(inventory),
        definitions: ids(inventory, "apiextensions.k8s.io", "CustomResourceDefinition", |crd| {
            crd.text("/spec/group").is_some_and(is_calico_group)
        }),
        services: services(inventory, &own),
        configuration: configuration(inventory, &own),
        other: ids(inventory, "storage.k8s.io", "CSIDriver", |driver| {
            let name = &driver.id.object.name;
            name.ends_with(".tigera.io") || name.ends_with(".projectcalico.org")
        }),
        ..Belongings::default()
    };
    found.access = access::find(inventory, &own);
    found.admission = admission(inventory, &found.services);
    add_owned(inventory, &mut found);
    let (namespaces, shared) = super::namespaces::split(state, &found);
    found.namespaces = namespaces;
    found.shared_namespaces = shared;
    found
}

/// The object that owns another as a controller of Calico's, if one does.
pub fn owned_by_calico(object: &Object) -> bool {
    object.at("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten().any(|owner| {
        let group = owner["apiVersion"].as_str().unwrap_or_default().split('/').next().unwrap_or_default();
        is_calico_group(group)
    })
}

const WORKLOADS: [(&str, &str); 4] =
    [("apps", "DaemonSet"), ("apps", "Deployment"), ("apps", "StatefulSet"), ("batch", "Job")];

fn workloads(inventory: &Inventory) -> Vec<(Part, &Object)> {
    WORKLOADS
        .into_iter()
        .flat_map(|(group, kind)| inventory.of(group, kind))
        .filter_map(|w| Some((part_of(w)?, w)))
        .collect()
}

/// The part that a workload runs: the weightiest of its containers' images.
fn part_of(workload: &Object) -> Option<Part> {
    let template = workload.at("/spec/template")?;
    images::containers(template).filter_map(images::part_of_container).min()
}

fn ids(inventory: &Inventory, group: &str, kind: &str, keep: impl Fn(&Object) -> bool) -> Vec<ObjectId> {
    inventory.of(group, kind).filter(|o| keep(o)).map(|o| o.id.clone()).collect()
}

fn kinds(inventory: &Inventory) -> BTreeSet<Kind> {
    inventory
        .of("apiextensions.k8s.io", "CustomResourceDefinition")
        .filter(|crd| crd.text("/spec/group").is_some_and(is_calico_group))
        .filter_map(kind_of)
        .collect()
}

fn kind_of(definition: &Object) -> Option<Kind> {
    let versions = definition.at("/spec/versions")?.as_array()?;
    let stored = versions.iter().find(|v| v["storage"] == true).or(versions.first())?;
    let scope = match definition.text("/spec/scope")? {
        "Namespaced" => Scope::Namespaced,
        _ => Scope::Cluster,
    };
    Some(Kind {
        group: definition.text("/spec/group")?.to_owned(),
        version: stored["name"].as_str()?.to_owned(),
        kind: definition.text("/spec/names/kind")?.to_owned(),
        plural: definition.text("/spec/names/plural")?.to_owned(),
        scope,
    })
}

/// Services, budgets and network policies whose selector picks a Calico workload's pods and nobody else's.
fn services(inventory: &Inventory, own: &[&Object]) -> Vec<ObjectId> {
    let picks = |selector: Option<&Value>, object: &Object| {
        let picked =
            |w: &&Object| w.id.object.namespace == object.id.object.namespace && selects(selector, w);
        own.iter().any(picked) && !foreign_workloads(inventory, own).any(|w| picked(&w))
    };
    let mut found = ids(inventory, "", "Service", |s| picks(s.at("/spec/selector"), s));
    found.extend(ids(inventory, "policy", "PodDisruptionBudget", |b| {
        picks(b.at("/spec/selector/matchLabels"), b)
    }));
    found.extend(ids(inventory, "networking.k8s.io", "NetworkPolicy", |p| {
        picks(p.at("/spec/podSelector/matchLabels"), p)
    }));
    found
}

fn selects(selector: Option<&Value>, workload: &Object) -> bool {
    let Some(wanted) = selector.and_then(Value::as_object).filter(|w| !w.is_empty()) else { return false };
    let labels = workload.at("/spec/template/metadata/labels");
    wanted.iter().all(|(key, value)| labels.and_then(|l| l.get(key)) == Some(value))
}

fn foreign_workloads<'a>(
    inventory: &'a Inventory,
    own: &'a [&'a Object],
) -> impl Iterator<Item = &'a Object> {
    WORKLOADS
        .into_iter()
        .flat_map(|(group, kind)| inventory.of(group, kind))
        .filter(|w| !own.iter().any(|o| o.id == w.id))
}

/// ConfigMaps and Secrets that Calico's workloads read and nobody else's do.
fn configuration(inventory: &Inventory, own: &[&Object]) -> Vec<ObjectId> {
    let used: BTreeSet<_> = own.iter().flat_map(|w| references(w)).collect();
    let shared: BTreeSet<_> = foreign_workloads(inventory, own).flat_map(references).collect();
    ["ConfigMap", "Secret"]
        .into_iter()
        .flat_map(|kind| inventory.of("", kind).map(move |o| (kind, o)))
        .filter(|(kind, o)| {
            let key = (*kind, o.id.object.namespace.as_str(), o.id.object.name.as_str());
            used.contains(&key) && !shared.contains(&key) && !is_clusters_own(o)
        })
        .map(|(_, o)| o.id.clone())
        .collect()
}

/// Objects that every namespace has, or that kubeadm made.
fn is_clusters_own(object: &Object) -> bool {
    matches!(
        object.id.object.name.as_str(),
        "kube-root-ca.crt"
            | "kube-proxy"
            | "kubeadm-config"
            | "kubelet-config"
            | "coredns"
            | "extension-apiserver-authentication"
            | "cluster-info"
    )
}

/// What a workload's template refers to: kind, namespace, name.
fn references(workload: &Object) -> Vec<(&'static str, &str, &str)> {
    let namespace = workload.id.object.namespace.as_str();
    let mut found = Vec::new();
    let Some(template) = workload.at("/spec/template") else { return found };
    for container in images::containers(template) {
        for source in container["envFrom"].as_array().into_iter().flatten() {
            push(&mut found, namespace, "ConfigMap", source.pointer("/configMapRef/name"));
            push(&mut found, namespace, "Secret", source.pointer("/secretRef/name"));
        }
        for entry in container["env"].as_array().into_iter().flatten() {
            push(&mut found, namespace, "ConfigMap", entry.pointer("/valueFrom/configMapKeyRef/name"));
            push(&mut found, namespace, "Secret", entry.pointer("/valueFrom/secretKeyRef/name"));
        }
    }
    for volume in template.pointer("/spec/volumes").and_then(Value::as_array).into_iter().flatten() {
        push(&mut found, namespace, "ConfigMap", volume.pointer("/configMap/name"));
        push(&mut found, namespace, "Secret", volume.pointer("/secret/secretName"));
        for source in volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten() {
            push(&mut found, namespace, "ConfigMap", source.pointer("/configMap/name"));
            push(&mut found, namespace, "Secret", source.pointer("/secret/name"));
        }
    }
    found
}

fn push<'a>(
    found: &mut Vec<(&'static str, &'a str, &'a str)>,
    namespace: &'a str,
    kind: &'static str,
    name: Option<&'a Value>,
) {
    if let Some(name) = name.and_then(Value::as_str) {
        found.push((kind, namespace, name));
    }
}

/// Webhook configurations that call a Calico Service, and admission policies about its kinds alone.
fn admission(inventory: &Inventory, services: &[ObjectId]) -> Vec<ObjectId> {
    const GROUP: &str = "admissionregistration.k8s.io";
    let calls_calico = |object: &Object| {
        object.at("/webhooks").and_then(Value::as_array).into_iter().flatten().any(|hook| {
            let service = &hook["clientConfig"]["service"];
            services.iter().any(|id| {
                id.object.kind.kind == "Service"
                    && service["namespace"] == id.object.namespace.as_str()
                    && service["name"] == id.object.name.as_str()
            })
        })
    };
    let mut found = Vec::new();
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        found.extend(ids(inventory, GROUP, kind, calls_calico));
    }
    for kind in ["ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"] {
        let policies = ids(inventory, GROUP, kind, guards_calico_alone);
        let bound = |binding: &Object| {
            policies.iter().any(|p| binding.text("/spec/policyName") == Some(p.object.name.as_str()))
        };
        // Without its binding a policy is silent, so bindings go first.
        found.extend(ids(inventory, GROUP, &format!("{kind}Binding"), bound));
        found.extend(policies);
    }
    found
}

fn guards_calico_alone(policy: &Object) -> bool {
    let rules = policy.at("/spec/matchConstraints/resourceRules").and_then(Value::as_array);
    let groups = rules.into_iter().flatten().flat_map(|r| r["apiGroups"].as_array().into_iter().flatten());
    let groups: Vec<&str> = groups.filter_map(Value::as_str).collect();
    !groups.is_empty() && groups.into_iter().all(is_calico_group)
}

/// What an operator made for its own resources.
fn add_owned(inventory: &Inventory, found: &mut Belongings) {
    for object in inventory.iter().filter(|o| owned_by_calico(o)) {
        let reference = &object.id.object;
        if is_calico_group(&reference.kind.group) || found.holds(reference) {
            continue;
        }
        let list = match reference.kind.kind.as_str() {
            "ServiceAccount" | "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => {
                &mut found.access
            }
            "ConfigMap" | "Secret" => &mut found.configuration,
            "Service" | "PodDisruptionBudget" | "NetworkPolicy" => &mut found.services,
            "Namespace" => continue,
            _ => &mut found.other,
        };
        list.push(object.id.clone());
    }
}
