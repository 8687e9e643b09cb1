//! What the API server fills in for built-in kinds, as far as clients and controllers see it.
//!
//! - [`pod`]: pods and pod templates, and what admission adds to new pods.
//! - [`workloads`]: deployments and their like.
//! - [`cluster`]: everything else.

pub mod cluster;
pub mod pod;
mod set;
pub mod workloads;

use super::registry::ResourceInfo;
use serde_json::Value;
use set::object;

/// Fills in the defaults of a built-in kind; `new` for an object that is being created.
pub fn apply(info: &ResourceInfo, value: &mut Value, new: bool) {
    let resource = &info.resource;
    match (&*resource.group, &*resource.kind) {
        ("", "Pod") => {
            pod::spec(object(value, "spec"));
            pod::requests_from_limits(&mut value["spec"]);
            if new {
                pod::admit(value);
            }
        }
        ("", "PodTemplate") => pod::spec(object(object(value, "template"), "spec")),
        ("", "ReplicationController") => {
            workloads::replica_set(object(value, "spec"));
            let labels = value["spec"]["template"]["metadata"]["labels"].clone();
            if labels.is_object() && value["spec"].get("selector").is_none() {
                value["spec"]["selector"] = labels;
            }
        }
        ("", "Service") => cluster::service(value),
        ("", "Namespace") => cluster::namespace(value),
        ("", "Secret") => cluster::secret(value),
        ("", "Node") => cluster::node(value),
        ("", "PersistentVolume") => cluster::persistent_volume(value),
        ("", "PersistentVolumeClaim") => cluster::persistent_volume_claim(value),
        ("", "Endpoints") => cluster::endpoints(value),
        ("apps", "Deployment") => workloads::deployment(object(value, "spec")),
        ("apps", "ReplicaSet") => workloads::replica_set(object(value, "spec")),
        ("apps", "DaemonSet") => workloads::daemon_set(object(value, "spec")),
        ("apps", "StatefulSet") => workloads::stateful_set(object(value, "spec")),
        ("batch", "Job") => {
            workloads::job(object(value, "spec"));
            if new {
                workloads::job_selector(value);
            }
        }
        ("batch", "CronJob") => workloads::cron_job(object(value, "spec")),
        ("autoscaling", "HorizontalPodAutoscaler") => workloads::autoscaler(object(value, "spec")),
        ("networking.k8s.io", "NetworkPolicy") => cluster::network_policy(object(value, "spec")),
        ("discovery.k8s.io", "EndpointSlice") => cluster::endpoint_slice(value),
        ("storage.k8s.io", "StorageClass") => cluster::storage_class(value),
        ("storage.k8s.io", "CSIDriver") => cluster::csi_driver(value),
        ("scheduling.k8s.io", "PriorityClass") => {
            set::default(value, "preemptionPolicy", "PreemptLowerPriority");
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => cluster::role_binding(value),
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => cluster::webhooks(value),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy") => {
            cluster::admission_policy(object(value, "spec"));
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => cluster::custom_resource_definition(value),
        ("apiregistration.k8s.io", "APIService") => cluster::api_service(object(value, "spec")),
        _ => {}
    }
}
