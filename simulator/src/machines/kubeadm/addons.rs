//! kube-proxy and CoreDNS, as kubeadm leaves them in shape.

use serde_json::{Value, json};

use super::config::field;
use super::{Failure, Kubeadm};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

impl Kubeadm<'_> {
    /// Installs the two add-ons.
    pub(super) async fn addons(&self, cluster: &Value) -> Result<(), Failure> {
        let endpoint = self.endpoint(cluster);
        let version = field(cluster, "/kubernetesVersion", "v1.34.4");
        let repository = field(cluster, "/imageRepository", "registry.k8s.io");
        let pods = field(cluster, "/networking/podSubnet", "");
        let mut objects = Vec::new();
        if cluster["proxy"]["disabled"] != true {
            objects.extend(proxy(&endpoint, pods, &format!("{repository}/kube-proxy:{version}"))?);
        }
        if cluster["dns"]["disabled"] != true {
            let services = field(cluster, "/networking/serviceSubnet", "10.96.0.0/12");
            let domain = field(cluster, "/networking/dnsDomain", "cluster.local");
            objects.extend(dns(services, domain, &format!("{repository}/coredns/coredns:v1.12.1")));
        }
        for (collection, object) in objects {
            let (api, collection, object) = (&self.api, &collection, &object);
            self.patiently("addons", || async move { api.ensure(collection, object).await }).await?;
        }
        Ok(())
    }
}

fn system(plural: &str) -> String {
    format!("/api/v1/namespaces/kube-system/{plural}")
}

fn apps(plural: &str) -> String {
    format!("/apis/apps/v1/namespaces/kube-system/{plural}")
}

fn account(name: &str) -> (String, Value) {
    let object = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"},
    });
    (system("serviceaccounts"), object)
}

fn binding(name: &str, role: &str, account: &str) -> (String, Value) {
    let object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}],
    });
    (format!("{RBAC}/clusterrolebindings"), object)
}

fn role(name: &str, rules: Value) -> (String, Value) {
    let object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name}, "rules": rules,
    });
    (format!("{RBAC}/clusterroles"), object)
}

fn proxy(endpoint: &str, pods: &str, image: &str) -> Result<Vec<(String, Value)>, Failure> {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": "0.0.0.0",
        "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig.conf"},
        "clusterCIDR": pods,
        "mode": "",
    });
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "default", "cluster": {
            "certificate-authority": "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "server": endpoint,
        }}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "namespace": "default", "user": "default"}}],
        "current-context": "default",
        "users": [{"name": "default", "user": {"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}}],
    });
    let labels = json!({"k8s-app": "kube-proxy"});
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "kube-proxy", "namespace": "kube-system", "labels": {"app": "kube-proxy"}},
        "data": {
            "config.conf": serde_saphyr::to_string(&config)?,
            "kubeconfig.conf": serde_saphyr::to_string(&kubeconfig)?,
        },
    });
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "kube-proxy", "namespace": "kube-system", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "priorityClassName": "system-node-critical",
                    "hostNetwork": true,
                    "serviceAccountName": "kube-proxy",
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{
                        "name": "kube-proxy",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": [
                            "/usr/local/bin/kube-proxy",
                            "--config=/var/lib/kube-proxy/config.conf",
                            "--hostname-override=$(NODE_NAME)",
                        ],
                        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                        "securityContext": {"privileged": true},
                        "volumeMounts": [
                            {"name": "kube-proxy", "mountPath": "/var/lib/kube-proxy"},
                            {"name": "lib-modules", "mountPath": "/lib/modules", "readOnly": true},
                        ],
                    }],
                    "volumes": [
                        {"name": "kube-proxy", "configMap": {"name": "kube-proxy"}},
                        {"name": "lib-modules", "hostPath": {"path": "/lib/modules", "type": ""}},
                    ],
                },
            },
        },
    });
    Ok(vec![
        account("kube-proxy"),
        role(
            "system:node-proxier",
            json!([
                {"apiGroups": [""], "resources": ["endpoints", "services", "nodes"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
                {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]},
            ]),
        ),
        binding("kubeadm:node-proxier", "system:node-proxier", "kube-proxy"),
        (system("configmaps"), map),
        (apps("daemonsets"), set),
    ])
}

fn dns(services: &str, domain: &str, image: &str) -> Vec<(String, Value)> {
    let primary = services.split(',').next().unwrap_or_default();
    let address = primary
        .trim()
        .parse::<ipnet::IpNet>()
        .ok()
        .and_then(|range| range.hosts().nth(9))
        .map_or_else(|| "10.96.0.10".to_owned(), |address| address.to_string());
    let labels = json!({"k8s-app": "kube-dns"});
    let corefile = format!(
        ".:53 {{\n    errors\n    health\n    ready\n    kubernetes {domain} in-addr.arpa ip6.arpa\n    \
         forward . /etc/resolv.conf\n    cache 30\n}}\n"
    );
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "coredns", "namespace": "kube-system"}, "data": {"Corefile": corefile},
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {
            "clusterIP": address,
            "selector": labels,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
            ],
        },
    });
    let spread = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100,
        "podAffinityTerm": {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}]},
        },
    }]}});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "coredns", "namespace": "kube-system", "labels": labels},
        "spec": {
            "replicas": 2,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "affinity": spread,
                    "priorityClassName": "system-cluster-critical",
                    "serviceAccountName": "coredns",
                    "dnsPolicy": "Default",
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [
                        {"key": "CriticalAddonsOnly", "operator": "Exists"},
                        {"key": super::init::CONTROL_PLANE, "effect": "NoSchedule"},
                    ],
                    "containers": [{
                        "name": "coredns",
                        "image": image,
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "ports": [{"containerPort": 53, "name": "dns", "protocol": "UDP"}],
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181, "scheme": "HTTP"}},
                        "resources": {"limits": {"memory": "170Mi"}, "requests": {"cpu": "100m", "memory": "70Mi"}},
                        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": true}],
                    }],
                    "volumes": [{"name": "config-volume", "configMap": {
                        "name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}],
                    }}],
                },
            },
        },
    });
    vec![
        account("coredns"),
        role(
            "system:coredns",
            json!([
                {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ]),
        ),
        binding("system:coredns", "system:coredns", "coredns"),
        (system("configmaps"), map),
        (system("services"), service),
        (apps("deployments"), deployment),
    ]
}
