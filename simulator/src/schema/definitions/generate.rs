//! The JSON schemas of the built-in kinds, from the client library's types.

use super::merging;
use k8s_openapi::api::{
    admissionregistration::v1 as admission, admissionregistration::v1beta1 as admission_beta,
    apps::v1 as apps, authentication::v1 as authentication, authorization::v1 as authorization,
    autoscaling::v1 as scaling_v1, autoscaling::v2 as scaling, batch::v1 as batch,
    certificates::v1 as certificates, coordination::v1 as coordination, core::v1 as core,
    discovery::v1 as discovery, events::v1 as events, networking::v1 as networking, node::v1 as node,
    policy::v1 as policy, rbac::v1 as rbac, scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as registration;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Where a reference to a definition starts.
pub const REFERENCE: &str = "#/definitions/";

/// Group, version and kind.
pub type GroupVersionKind = (&'static str, &'static str, &'static str);

/// The schemas by definition name, and the definition of each kind.
pub struct Generated {
    /// The JSON schemas, by definition name; references start with [`REFERENCE`].
    pub definitions: BTreeMap<String, Value>,
    /// The definition of each kind.
    pub kinds: BTreeMap<GroupVersionKind, String>,
}

struct Collector {
    generator: SchemaGenerator,
    kinds: BTreeMap<GroupVersionKind, String>,
}

impl Collector {
    fn add<T: schemars::JsonSchema + k8s_openapi::Resource>(&mut self) {
        self.generator.subschema_for::<T>();
        self.kinds.insert((T::GROUP, T::VERSION, T::KIND), T::schema_name().into_owned());
    }
}

macro_rules! collect {
    ($collector:ident: $($module:ident :: { $($kind:ident),+ $(,)? })+) => {
        $($($collector.add::<$module::$kind>();)+)+
    };
}

/// Generates the schemas of every built-in kind.
pub fn generate() -> Generated {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = false);
    let mut collector = Collector { generator: settings.into_generator(), kinds: BTreeMap::new() };
    collect! { collector:
        core::{
            Binding, ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolume,
            PersistentVolumeClaim, Pod, PodTemplate, ReplicationController, ResourceQuota, Secret, Service,
            ServiceAccount,
        }
        apps::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet}
        batch::{CronJob, Job}
        policy::{Eviction, PodDisruptionBudget}
        rbac::{ClusterRole, ClusterRoleBinding, Role, RoleBinding}
        networking::{IPAddress, Ingress, IngressClass, NetworkPolicy, ServiceCIDR}
        discovery::{EndpointSlice}
        events::{Event}
        coordination::{Lease}
        scheduling::{PriorityClass}
        storage::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment}
        node::{RuntimeClass}
        admission::{
            MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
            ValidatingWebhookConfiguration,
        }
        admission_beta::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding}
        certificates::{CertificateSigningRequest}
        scaling::{HorizontalPodAutoscaler}
        scaling_v1::{Scale}
        authentication::{SelfSubjectReview, TokenRequest, TokenReview}
        authorization::{
            LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview,
        }
        extensions::{CustomResourceDefinition}
        registration::{APIService}
    }
    let mut generator = collector.generator;
    generator.subschema_for::<meta::ObjectMeta>();
    generator.subschema_for::<meta::ListMeta>();
    generator.subschema_for::<meta::DeleteOptions>();
    generator.subschema_for::<meta::Status>();
    let mut definitions: BTreeMap<String, Value> = generator.take_definitions(true).into_iter().collect();
    for (name, definition) in &mut definitions {
        amend(name, definition);
    }
    for ((group, version, kind), name) in &collector.kinds {
        if let Some(definition) = definitions.get_mut(name) {
            definition["x-kubernetes-group-version-kind"] =
                json!([{ "group": group, "kind": kind, "version": version }]);
        }
    }
    Generated { definitions, kinds: collector.kinds }
}

/// Adds what the client library's schemas lack, and makes free-form objects say so.
fn amend(name: &str, definition: &mut Value) {
    let free_form = [
        ".JSON",
        ".RawExtension",
        ".FieldsV1",
        ".Patch",
        ".JSONSchemaPropsOrArray",
        ".JSONSchemaPropsOrBool",
        ".JSONSchemaPropsOrStringArray",
    ];
    if free_form.iter().any(|end| name.ends_with(end)) {
        let description = definition["description"].take();
        *definition = json!({ "description": description });
        if name.ends_with(".RawExtension") || name.ends_with(".FieldsV1") {
            definition["type"] = json!("object");
            definition["x-kubernetes-preserve-unknown-fields"] = json!(true);
        }
        return;
    }
    if merging::ATOMIC_DEFINITIONS.contains(&name) {
        definition["x-kubernetes-map-type"] = json!("atomic");
    }
    let Some(properties) = definition.get_mut("properties").and_then(Value::as_object_mut) else { return };
    // Every list of the built-in groups says how it merges; as one value unless a row says otherwise.
    for field in
        properties.values_mut().filter(|field| name.starts_with("io.k8s.api.") && field["type"] == "array")
    {
        field["x-kubernetes-list-type"] = json!("atomic");
    }
    for row in merging::FIELDS.iter().filter(|row| row.definition == name) {
        if let Some(field) = properties.get_mut(row.field).and_then(Value::as_object_mut) {
            merge_hints(row, field);
        }
    }
    for (_, field) in merging::ATOMIC_FIELDS.iter().filter(|(definition, _)| *definition == name) {
        if let Some(field) = properties.get_mut(*field).and_then(Value::as_object_mut) {
            field.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
    }
}

fn merge_hints(row: &merging::FieldMerge, field: &mut Map<String, Value>) {
    if !row.list_type.is_empty() {
        field.insert("x-kubernetes-list-type".to_owned(), json!(row.list_type));
    }
    if !row.keys.is_empty() {
        field.insert("x-kubernetes-list-map-keys".to_owned(), json!(row.keys));
    }
    if !row.merge_key.is_empty() {
        field.insert("x-kubernetes-patch-merge-key".to_owned(), json!(row.merge_key));
    }
    if !row.strategy.is_empty() {
        field.insert("x-kubernetes-patch-strategy".to_owned(), json!(row.strategy));
    }
}
