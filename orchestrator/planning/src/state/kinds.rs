//! The kinds that a network plugin, or what names one, can be made of.

use crate::object::Kind;

/// The kinds that an inventory is made of in every cluster (or that it lacks, which is fine); those of network
/// plugins come on top, as the cluster serves them.
pub fn common_kinds() -> Vec<Kind> {
    let rbac = "rbac.authorization.k8s.io";
    let admission = "admissionregistration.k8s.io";
    let mut kinds = vec![
        Kind::cluster("", "v1", "Namespace", "namespaces"),
        Kind::namespaced("", "v1", "ConfigMap", "configmaps"),
        Kind::namespaced("", "v1", "Secret", "secrets"),
        Kind::namespaced("", "v1", "Service", "services"),
        Kind::namespaced("", "v1", "ServiceAccount", "serviceaccounts"),
        Kind::namespaced("apps", "v1", "DaemonSet", "daemonsets"),
        Kind::namespaced("apps", "v1", "Deployment", "deployments"),
        Kind::namespaced("apps", "v1", "StatefulSet", "statefulsets"),
        Kind::namespaced("batch", "v1", "Job", "jobs"),
        Kind::namespaced("batch", "v1", "CronJob", "cronjobs"),
        Kind::namespaced("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        Kind::namespaced("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
        Kind::namespaced(rbac, "v1", "Role", "roles"),
        Kind::namespaced(rbac, "v1", "RoleBinding", "rolebindings"),
        Kind::cluster(rbac, "v1", "ClusterRole", "clusterroles"),
        Kind::cluster(rbac, "v1", "ClusterRoleBinding", "clusterrolebindings"),
        Kind::cluster("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"),
        Kind::cluster("apiregistration.k8s.io", "v1", "APIService", "apiservices"),
        Kind::cluster("storage.k8s.io", "v1", "CSIDriver", "csidrivers"),
        Kind::cluster("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses"),
        Kind::cluster(admission, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
        Kind::cluster(admission, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        Kind::cluster(admission, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
        Kind::cluster(
            admission,
            "v1",
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
        ),
    ];
    // Served in beta long before v1. Where several versions are, the last one read is the one kept.
    for version in ["v1alpha1", "v1beta1", "v1"] {
        kinds.push(Kind::cluster(admission, version, "MutatingAdmissionPolicy", "mutatingadmissionpolicies"));
        kinds.push(Kind::cluster(
            admission,
            version,
            "MutatingAdmissionPolicyBinding",
            "mutatingadmissionpolicybindings",
        ));
    }
    kinds
}
