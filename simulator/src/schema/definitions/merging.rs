//! How lists and maps of built-in kinds merge, which Kubernetes knows by field.
//!
//! The schemas that come with the client library don't say it, so it is written down here:
//! the list types that server-side apply uses and the merge keys and strategies of strategic
//! merge patches. A list that is not named is one value for both.

/// The merging of one field.
#[derive(Clone, Copy, Debug)]
pub struct FieldMerge {
    /// The definition that has the field.
    pub definition: &'static str,
    /// The field.
    pub field: &'static str,
    /// `map`, `set` or empty: `x-kubernetes-list-type`.
    pub list_type: &'static str,
    /// `x-kubernetes-list-map-keys`.
    pub keys: &'static [&'static str],
    /// `x-kubernetes-patch-merge-key`; empty if none.
    pub merge_key: &'static str,
    /// `x-kubernetes-patch-strategy`; empty if none.
    pub strategy: &'static str,
}

const fn row(
    definition: &'static str,
    field: &'static str,
    list_type: &'static str,
    keys: &'static [&'static str],
    merge_key: &'static str,
    strategy: &'static str,
) -> FieldMerge {
    FieldMerge { definition, field, list_type, keys, merge_key, strategy }
}

/// Every field of a built-in kind that merges in another way than as one value.
#[rustfmt::skip]
pub const FIELDS: &[FieldMerge] = &[
    row("io.k8s.api.admissionregistration.v1.MutatingWebhook", "matchConditions", "map", &["name"], "name", "merge"),
    row("io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration", "webhooks", "map", &["name"], "name", "merge"),
    row("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec", "validationActions", "set", &[], "", ""),
    row("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec", "matchConditions", "map", &["name"], "name", "merge"),
    row("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec", "variables", "map", &["name"], "name", "merge"),
    row("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyStatus", "conditions", "map", &["type"], "", ""),
    row("io.k8s.api.admissionregistration.v1.ValidatingWebhook", "matchConditions", "map", &["name"], "name", "merge"),
    row("io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration", "webhooks", "map", &["name"], "name", "merge"),
    row("io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicySpec", "matchConditions", "map", &["name"], "name", "merge"),
    row("io.k8s.api.apps.v1.DaemonSetStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.apps.v1.DeploymentSpec", "strategy", "", &[], "", "retainKeys"),
    row("io.k8s.api.apps.v1.DeploymentStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.apps.v1.ReplicaSetStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.apps.v1.StatefulSetStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.batch.v1.JobStatus", "conditions", "", &[], "type", "merge"),
    row("io.k8s.api.batch.v1.PodFailurePolicyOnExitCodesRequirement", "values", "set", &[], "", ""),
    row("io.k8s.api.batch.v1.UncountedTerminatedPods", "failed", "set", &[], "", ""),
    row("io.k8s.api.batch.v1.UncountedTerminatedPods", "succeeded", "set", &[], "", ""),
    row("io.k8s.api.certificates.v1.CertificateSigningRequestStatus", "conditions", "map", &["type"], "", ""),
    row("io.k8s.api.core.v1.ComponentStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.core.v1.Container", "env", "map", &["name"], "name", "merge"),
    row("io.k8s.api.core.v1.Container", "ports", "map", &["containerPort", "protocol"], "containerPort", "merge"),
    row("io.k8s.api.core.v1.Container", "volumeDevices", "map", &["devicePath"], "devicePath", "merge"),
    row("io.k8s.api.core.v1.Container", "volumeMounts", "map", &["mountPath"], "mountPath", "merge"),
    row("io.k8s.api.core.v1.ContainerRestartRuleOnExitCodes", "values", "set", &[], "", ""),
    row("io.k8s.api.core.v1.ContainerStatus", "allocatedResourcesStatus", "map", &["name"], "name", "merge"),
    row("io.k8s.api.core.v1.ContainerStatus", "volumeMounts", "map", &["mountPath"], "mountPath", "merge"),
    row("io.k8s.api.core.v1.EphemeralContainer", "env", "map", &["name"], "name", "merge"),
    row("io.k8s.api.core.v1.EphemeralContainer", "ports", "map", &["containerPort", "protocol"], "containerPort", "merge"),
    row("io.k8s.api.core.v1.EphemeralContainer", "volumeDevices", "map", &["devicePath"], "devicePath", "merge"),
    row("io.k8s.api.core.v1.EphemeralContainer", "volumeMounts", "map", &["mountPath"], "mountPath", "merge"),
    row("io.k8s.api.core.v1.NamespaceStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.core.v1.NodeSpec", "podCIDRs", "set", &[], "", "merge"),
    row("io.k8s.api.core.v1.NodeStatus", "addresses", "map", &["type"], "type", "merge"),
    row("io.k8s.api.core.v1.NodeStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.core.v1.PodSpec", "containers", "map", &["name"], "name", "merge"),
    row("io.k8s.api.core.v1.PodSpec", "ephemeralContainers", "map", &["name"], "name", "merge"),
    row("io.k8s.api.core.v1.PodSpec", "hostAliases", "map", &["ip"], "ip", "merge"),
    row("io.k8s.api.core.v1.PodSpec", "imagePullSecrets", "map", &["name"], "name", "merge"),
    row("io.k8s.api.core.v1.PodSpec", "initContainers", "map", &["name"], "name", "merge"),
    row("io.k8s.api.core.v1.PodSpec", "resourceClaims", "map", &["name"], "name", "merge,retainKeys"),
    row("io.k8s.api.core.v1.PodSpec", "schedulingGates", "map", &["name"], "name", "merge"),
    row("io.k8s.api.core.v1.PodSpec", "topologySpreadConstraints", "map", &["topologyKey", "whenUnsatisfiable"], "topologyKey", "merge"),
    row("io.k8s.api.core.v1.PodSpec", "volumes", "map", &["name"], "name", "merge,retainKeys"),
    row("io.k8s.api.core.v1.PodStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.core.v1.PodStatus", "hostIPs", "", &[], "ip", "merge"),
    row("io.k8s.api.core.v1.PodStatus", "podIPs", "map", &["ip"], "ip", "merge"),
    row("io.k8s.api.core.v1.PodStatus", "resourceClaimStatuses", "map", &["name"], "name", "merge,retainKeys"),
    row("io.k8s.api.core.v1.ReplicationControllerStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.core.v1.ResourceRequirements", "claims", "map", &["name"], "", ""),
    row("io.k8s.api.core.v1.ResourceStatus", "resources", "map", &["resourceID"], "", ""),
    row("io.k8s.api.core.v1.ServiceAccount", "secrets", "map", &["name"], "name", "merge"),
    row("io.k8s.api.core.v1.ServiceSpec", "ports", "map", &["port", "protocol"], "port", "merge"),
    row("io.k8s.api.core.v1.ServiceStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.discovery.v1.Endpoint", "addresses", "set", &[], "", ""),
    row("io.k8s.api.networking.v1.ServiceCIDRStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.policy.v1.PodDisruptionBudgetStatus", "conditions", "map", &["type"], "type", "merge"),
    row("io.k8s.api.storage.v1.CSIDriverSpec", "volumeLifecycleModes", "set", &[], "", ""),
    row("io.k8s.api.storage.v1.CSINodeSpec", "drivers", "map", &["name"], "name", "merge"),
    row("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", "conditions", "map", &["type"], "", ""),
    row("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps", "x-kubernetes-validations", "map", &["rule"], "rule", "merge"),
    row("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers", "set", &[], "", "merge"),
    row("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "ownerReferences", "map", &["uid"], "uid", "merge"),
    row("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus", "conditions", "map", &["type"], "type", "merge"),
];

/// Definitions whose objects are one value for server-side apply.
pub const ATOMIC_DEFINITIONS: &[&str] = &[
    "io.k8s.api.admissionregistration.v1.MatchResources",
    "io.k8s.api.admissionregistration.v1.NamedRuleWithOperations",
    "io.k8s.api.admissionregistration.v1.ParamKind",
    "io.k8s.api.admissionregistration.v1.ParamRef",
    "io.k8s.api.admissionregistration.v1.Variable",
    "io.k8s.api.admissionregistration.v1beta1.MatchResources",
    "io.k8s.api.admissionregistration.v1beta1.NamedRuleWithOperations",
    "io.k8s.api.admissionregistration.v1beta1.ParamKind",
    "io.k8s.api.admissionregistration.v1beta1.ParamRef",
    "io.k8s.api.admissionregistration.v1beta1.Variable",
    "io.k8s.api.core.v1.ConfigMapKeySelector",
    "io.k8s.api.core.v1.EndpointAddress",
    "io.k8s.api.core.v1.EndpointPort",
    "io.k8s.api.core.v1.FileKeySelector",
    "io.k8s.api.core.v1.LocalObjectReference",
    "io.k8s.api.core.v1.NodeSelector",
    "io.k8s.api.core.v1.NodeSelectorTerm",
    "io.k8s.api.core.v1.ObjectFieldSelector",
    "io.k8s.api.core.v1.ObjectReference",
    "io.k8s.api.core.v1.ResourceFieldSelector",
    "io.k8s.api.core.v1.ScopeSelector",
    "io.k8s.api.core.v1.SecretKeySelector",
    "io.k8s.api.core.v1.SecretReference",
    "io.k8s.api.core.v1.TopologySelectorTerm",
    "io.k8s.api.core.v1.TypedLocalObjectReference",
    "io.k8s.api.discovery.v1.EndpointPort",
    "io.k8s.api.networking.v1.ServiceBackendPort",
    "io.k8s.api.rbac.v1.RoleRef",
    "io.k8s.api.rbac.v1.Subject",
    "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
    "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference",
];

/// Maps that are one value for server-side apply, as (definition, field).
pub const ATOMIC_FIELDS: &[(&str, &str)] = &[
    ("io.k8s.api.core.v1.PodSpec", "nodeSelector"),
    ("io.k8s.api.core.v1.ReplicationControllerSpec", "selector"),
    ("io.k8s.api.core.v1.ServiceSpec", "selector"),
    ("io.k8s.api.node.v1.Scheduling", "nodeSelector"),
];
