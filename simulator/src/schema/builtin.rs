//! The built-in kinds, as constants named after their plural.

use super::resource::Resource;

/// `Pod` of `v1`.
pub const PODS: Resource = Resource::builtin("", "v1", "pods", "Pod", true);
/// `Node` of `v1`.
pub const NODES: Resource = Resource::builtin("", "v1", "nodes", "Node", false);
/// `Namespace` of `v1`.
pub const NAMESPACES: Resource = Resource::builtin("", "v1", "namespaces", "Namespace", false);
/// `Service` of `v1`.
pub const SERVICES: Resource = Resource::builtin("", "v1", "services", "Service", true);
/// `Endpoints` of `v1`.
pub const ENDPOINTS: Resource = Resource::builtin("", "v1", "endpoints", "Endpoints", true);
/// `ConfigMap` of `v1`.
pub const CONFIG_MAPS: Resource = Resource::builtin("", "v1", "configmaps", "ConfigMap", true);
/// `Secret` of `v1`.
pub const SECRETS: Resource = Resource::builtin("", "v1", "secrets", "Secret", true);
/// `ServiceAccount` of `v1`.
pub const SERVICE_ACCOUNTS: Resource = Resource::builtin("", "v1", "serviceaccounts", "ServiceAccount", true);
/// `Event` of `v1`.
pub const CORE_EVENTS: Resource = Resource::builtin("", "v1", "events", "Event", true);
/// `PersistentVolume` of `v1`.
pub const PERSISTENT_VOLUMES: Resource =
    Resource::builtin("", "v1", "persistentvolumes", "PersistentVolume", false);
/// `PersistentVolumeClaim` of `v1`.
pub const PERSISTENT_VOLUME_CLAIMS: Resource =
    Resource::builtin("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true);
/// `ReplicationController` of `v1`.
pub const REPLICATION_CONTROLLERS: Resource =
    Resource::builtin("", "v1", "replicationcontrollers", "ReplicationController", true);
/// `ResourceQuota` of `v1`.
pub const RESOURCE_QUOTAS: Resource = Resource::builtin("", "v1", "resourcequotas", "ResourceQuota", true);
/// `LimitRange` of `v1`.
pub const LIMIT_RANGES: Resource = Resource::builtin("", "v1", "limitranges", "LimitRange", true);
/// `PodTemplate` of `v1`.
pub const POD_TEMPLATES: Resource = Resource::builtin("", "v1", "podtemplates", "PodTemplate", true);
/// `Deployment` of `apps/v1`.
pub const DEPLOYMENTS: Resource = Resource::builtin("apps", "v1", "deployments", "Deployment", true);
/// `ReplicaSet` of `apps/v1`.
pub const REPLICA_SETS: Resource = Resource::builtin("apps", "v1", "replicasets", "ReplicaSet", true);
/// `DaemonSet` of `apps/v1`.
pub const DAEMON_SETS: Resource = Resource::builtin("apps", "v1", "daemonsets", "DaemonSet", true);
/// `StatefulSet` of `apps/v1`.
pub const STATEFUL_SETS: Resource = Resource::builtin("apps", "v1", "statefulsets", "StatefulSet", true);
/// `ControllerRevision` of `apps/v1`.
pub const CONTROLLER_REVISIONS: Resource =
    Resource::builtin("apps", "v1", "controllerrevisions", "ControllerRevision", true);
/// `Job` of `batch/v1`.
pub const JOBS: Resource = Resource::builtin("batch", "v1", "jobs", "Job", true);
/// `CronJob` of `batch/v1`.
pub const CRON_JOBS: Resource = Resource::builtin("batch", "v1", "cronjobs", "CronJob", true);
/// `PodDisruptionBudget` of `policy/v1`.
pub const POD_DISRUPTION_BUDGETS: Resource =
    Resource::builtin("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true);
/// `HorizontalPodAutoscaler` of `autoscaling/v2`.
pub const HORIZONTAL_POD_AUTOSCALERS: Resource =
    Resource::builtin("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true);
/// `NetworkPolicy` of `networking.k8s.io/v1`.
pub const NETWORK_POLICIES: Resource =
    Resource::builtin("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true);
/// `Ingress` of `networking.k8s.io/v1`.
pub const INGRESSES: Resource = Resource::builtin("networking.k8s.io", "v1", "ingresses", "Ingress", true);
/// `IngressClass` of `networking.k8s.io/v1`.
pub const INGRESS_CLASSES: Resource =
    Resource::builtin("networking.k8s.io", "v1", "ingressclasses", "IngressClass", false);
/// `ServiceCIDR` of `networking.k8s.io/v1`.
pub const SERVICE_CIDRS: Resource =
    Resource::builtin("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", false);
/// `IPAddress` of `networking.k8s.io/v1`.
pub const IP_ADDRESSES: Resource =
    Resource::builtin("networking.k8s.io", "v1", "ipaddresses", "IPAddress", false);
/// `EndpointSlice` of `discovery.k8s.io/v1`.
pub const ENDPOINT_SLICES: Resource =
    Resource::builtin("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true);
/// `Event` of `events.k8s.io/v1`.
pub const EVENTS: Resource = Resource::builtin("events.k8s.io", "v1", "events", "Event", true);
/// `Lease` of `coordination.k8s.io/v1`.
pub const LEASES: Resource = Resource::builtin("coordination.k8s.io", "v1", "leases", "Lease", true);
/// `Role` of `rbac.authorization.k8s.io/v1`.
pub const ROLES: Resource = Resource::builtin("rbac.authorization.k8s.io", "v1", "roles", "Role", true);
/// `RoleBinding` of `rbac.authorization.k8s.io/v1`.
pub const ROLE_BINDINGS: Resource =
    Resource::builtin("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true);
/// `ClusterRole` of `rbac.authorization.k8s.io/v1`.
pub const CLUSTER_ROLES: Resource =
    Resource::builtin("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false);
/// `ClusterRoleBinding` of `rbac.authorization.k8s.io/v1`.
pub const CLUSTER_ROLE_BINDINGS: Resource =
    Resource::builtin("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", false);
/// `StorageClass` of `storage.k8s.io/v1`.
pub const STORAGE_CLASSES: Resource =
    Resource::builtin("storage.k8s.io", "v1", "storageclasses", "StorageClass", false);
/// `VolumeAttachment` of `storage.k8s.io/v1`.
pub const VOLUME_ATTACHMENTS: Resource =
    Resource::builtin("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", false);
/// `CSINode` of `storage.k8s.io/v1`.
pub const CSI_NODES: Resource = Resource::builtin("storage.k8s.io", "v1", "csinodes", "CSINode", false);
/// `CSIDriver` of `storage.k8s.io/v1`.
pub const CSI_DRIVERS: Resource = Resource::builtin("storage.k8s.io", "v1", "csidrivers", "CSIDriver", false);
/// `CSIStorageCapacity` of `storage.k8s.io/v1`.
pub const CSI_STORAGE_CAPACITIES: Resource =
    Resource::builtin("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity", true);
/// `PriorityClass` of `scheduling.k8s.io/v1`.
pub const PRIORITY_CLASSES: Resource =
    Resource::builtin("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false);
/// `RuntimeClass` of `node.k8s.io/v1`.
pub const RUNTIME_CLASSES: Resource =
    Resource::builtin("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", false);
/// `CertificateSigningRequest` of `certificates.k8s.io/v1`.
pub const CERTIFICATE_SIGNING_REQUESTS: Resource = Resource::builtin(
    "certificates.k8s.io",
    "v1",
    "certificatesigningrequests",
    "CertificateSigningRequest",
    false,
);
/// `CustomResourceDefinition` of `apiextensions.k8s.io/v1`.
pub const CUSTOM_RESOURCE_DEFINITIONS: Resource = Resource::builtin(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    false,
);
/// `APIService` of `apiregistration.k8s.io/v1`.
pub const API_SERVICES: Resource =
    Resource::builtin("apiregistration.k8s.io", "v1", "apiservices", "APIService", false);
/// `ValidatingWebhookConfiguration` of `admissionregistration.k8s.io/v1`.
pub const VALIDATING_WEBHOOK_CONFIGURATIONS: Resource = Resource::builtin(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    false,
);
/// `MutatingWebhookConfiguration` of `admissionregistration.k8s.io/v1`.
pub const MUTATING_WEBHOOK_CONFIGURATIONS: Resource = Resource::builtin(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    false,
);
/// `ValidatingAdmissionPolicy` of `admissionregistration.k8s.io/v1`.
pub const VALIDATING_ADMISSION_POLICIES: Resource = Resource::builtin(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    false,
);
/// `ValidatingAdmissionPolicyBinding` of `admissionregistration.k8s.io/v1`.
pub const VALIDATING_ADMISSION_POLICY_BINDINGS: Resource = Resource::builtin(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    false,
);
/// `MutatingAdmissionPolicy` of `admissionregistration.k8s.io/v1beta1`.
pub const MUTATING_ADMISSION_POLICIES: Resource = Resource::builtin(
    "admissionregistration.k8s.io",
    "v1beta1",
    "mutatingadmissionpolicies",
    "MutatingAdmissionPolicy",
    false,
);
/// `MutatingAdmissionPolicyBinding` of `admissionregistration.k8s.io/v1beta1`.
pub const MUTATING_ADMISSION_POLICY_BINDINGS: Resource = Resource::builtin(
    "admissionregistration.k8s.io",
    "v1beta1",
    "mutatingadmissionpolicybindings",
    "MutatingAdmissionPolicyBinding",
    false,
);
/// `LocalSubjectAccessReview` of `authorization.k8s.io/v1`.
pub const LOCAL_SUBJECT_ACCESS_REVIEWS: Resource = Resource::builtin(
    "authorization.k8s.io",
    "v1",
    "localsubjectaccessreviews",
    "LocalSubjectAccessReview",
    true,
);
/// `TokenReview` of `authentication.k8s.io/v1`.
pub const TOKEN_REVIEWS: Resource =
    Resource::builtin("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", false);
/// `SelfSubjectReview` of `authentication.k8s.io/v1`.
pub const SELF_SUBJECT_REVIEWS: Resource =
    Resource::builtin("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", false);
/// `SelfSubjectAccessReview` of `authorization.k8s.io/v1`.
pub const SELF_SUBJECT_ACCESS_REVIEWS: Resource = Resource::builtin(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    false,
);
/// `SelfSubjectRulesReview` of `authorization.k8s.io/v1`.
pub const SELF_SUBJECT_RULES_REVIEWS: Resource = Resource::builtin(
    "authorization.k8s.io",
    "v1",
    "selfsubjectrulesreviews",
    "SelfSubjectRulesReview",
    false,
);
/// `SubjectAccessReview` of `authorization.k8s.io/v1`.
pub const SUBJECT_ACCESS_REVIEWS: Resource =
    Resource::builtin("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", false);

/// Every built-in kind.
pub const ALL: &[Resource] = &[
    PODS,
    NODES,
    NAMESPACES,
    SERVICES,
    ENDPOINTS,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    CORE_EVENTS,
    PERSISTENT_VOLUMES,
    PERSISTENT_VOLUME_CLAIMS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    LIMIT_RANGES,
    POD_TEMPLATES,
    DEPLOYMENTS,
    REPLICA_SETS,
    DAEMON_SETS,
    STATEFUL_SETS,
    CONTROLLER_REVISIONS,
    JOBS,
    CRON_JOBS,
    POD_DISRUPTION_BUDGETS,
    HORIZONTAL_POD_AUTOSCALERS,
    NETWORK_POLICIES,
    INGRESSES,
    INGRESS_CLASSES,
    SERVICE_CIDRS,
    IP_ADDRESSES,
    ENDPOINT_SLICES,
    EVENTS,
    LEASES,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    STORAGE_CLASSES,
    VOLUME_ATTACHMENTS,
    CSI_NODES,
    CSI_DRIVERS,
    CSI_STORAGE_CAPACITIES,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
    CERTIFICATE_SIGNING_REQUESTS,
    CUSTOM_RESOURCE_DEFINITIONS,
    API_SERVICES,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    LOCAL_SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SELF_SUBJECT_RULES_REVIEWS,
    SUBJECT_ACCESS_REVIEWS,
];
