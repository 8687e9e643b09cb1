//! What runs on a cluster: applications in a few namespaces, of every kind that a drain meets.

use serde_json::{Value, json};

const NAMESPACES: [&str; 4] = ["shop", "data", "media", "batch"];
const APPS: [&str; 8] = ["web", "cart", "search", "orders", "mail", "images", "queue", "reports"];
/// Of a hundred pods, how many belong to StatefulSets.
const STATEFUL_SHARE: usize = 15;

/// Objects that make about `pods` pods.
pub fn objects(pods: usize, seed: u64) -> Vec<Value> {
    let mut objects: Vec<Value> = NAMESPACES.iter().map(|name| namespace(name)).collect();
    objects.extend(agents());
    let extras = extras(pods);
    let mut left = pods.saturating_sub(extras.len());
    objects.extend(extras);
    let mut stateful = left * STATEFUL_SHARE / 100;
    left -= stateful;
    let mut number = 0;
    while stateful > 0 {
        let replicas = stateful.min(3);
        objects.extend(stateful_set(number, replicas));
        stateful -= replicas;
        number += 1;
    }
    let mut number = 0;
    while left > 0 {
        // Sizes vary with the seed, so that no run depends on one shape.
        let wanted =
            3 + usize::try_from(seed.wrapping_mul(31).wrapping_add(number as u64 * 7) % 8).unwrap_or(0);
        let replicas = left.min(wanted);
        objects.extend(deployment(number, replicas));
        left -= replicas;
        number += 1;
    }
    if pods > 0 {
        objects.extend(policies());
    }
    objects
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}})
}

fn container(app: &str) -> Value {
    json!({
        "name": app,
        "image": format!("registry.example/{app}:1.4"),
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
    })
}

fn service(namespace: &str, name: &str, labels: &Value, headless: bool) -> Value {
    let mut spec = json!({"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]});
    if headless {
        spec["clusterIP"] = json!("None");
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn budget(namespace: &str, name: &str, labels: &Value, rule: (&str, Value)) -> Value {
    let mut spec = json!({"selector": {"matchLabels": labels}});
    spec[rule.0] = rule.1;
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
}

fn deployment(number: usize, replicas: usize) -> Vec<Value> {
    let namespace = NAMESPACES[number % 3];
    let app = APPS[number % APPS.len()];
    let name = format!("{app}-{number}");
    let labels = json!({"app": name});
    let mut pod = json!({"containers": [container(app)], "terminationGracePeriodSeconds": 10});
    if number % 9 == 4 {
        pod["volumes"] = json!([{"name": "cache", "emptyDir": {}}]);
        pod["containers"][0]["volumeMounts"] = json!([{"name": "cache", "mountPath": "/cache"}]);
    }
    let mut objects = vec![
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }),
        service(namespace, &name, &labels, false),
    ];
    if replicas > 1 && number.is_multiple_of(2) {
        let rule = match number % 4 {
            0 => ("maxUnavailable", json!(1)),
            _ => ("minAvailable", json!(replicas - 1)),
        };
        objects.push(budget(namespace, &name, &labels, rule));
    }
    objects
}

fn stateful_set(number: usize, replicas: usize) -> Vec<Value> {
    let name = format!("db-{number}");
    let labels = json!({"app": name});
    let mut objects = vec![
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": name, "namespace": "data", "labels": labels},
            "spec": {
                "replicas": replicas,
                "serviceName": name,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container("db")], "terminationGracePeriodSeconds": 20},
                },
            },
        }),
        service("data", &name, &labels, true),
    ];
    if replicas > 1 {
        objects.push(budget("data", &name, &labels, ("maxUnavailable", json!(1))));
    }
    objects
}

/// DaemonSets that have nothing to do with the pod network.
fn agents() -> Vec<Value> {
    let set = |name: &str, host_network: bool| {
        let labels = json!({"app": name});
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "hostNetwork": host_network,
                        "tolerations": [{"operator": "Exists"}],
                        "containers": [{"name": name, "image": format!("registry.example/{name}:2")}],
                    },
                },
            },
        })
    };
    vec![set("log-shipper", false), set("node-metrics", true)]
}

/// A bare pod and a Job, where the cluster is large enough to have such things.
fn extras(pods: usize) -> Vec<Value> {
    if pods < 20 {
        return Vec::new();
    }
    let bare = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "debug", "namespace": "shop", "labels": {"app": "debug"}},
        "spec": {"containers": [container("debug")], "terminationGracePeriodSeconds": 1},
    });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "reindex", "namespace": "batch"},
        "spec": {
            "backoffLimit": 100,
            "template": {
                "metadata": {"labels": {"app": "reindex"}},
                "spec": {"restartPolicy": "OnFailure", "containers": [container("reindex")]},
            },
        },
    });
    vec![bare, job]
}

/// Kubernetes' own policies.
fn policies() -> Vec<Value> {
    let policy = |namespace: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        })
    };
    vec![
        policy("data", "deny-all", json!({"podSelector": {}, "policyTypes": ["Ingress"]})),
        policy(
            "data",
            "allow-shop",
            json!({
                "podSelector": {}, "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "shop"}}}]}],
            }),
        ),
    ]
}

/// Calico's own policies, in the API version that the cluster serves.
pub fn calico_policies(version: &str) -> Vec<Value> {
    let spec = json!({"order": 100, "selector": "all()", "types": ["Egress"], "egress": [{"action": "Deny", "destination": {"nets": ["169.254.169.254/32"]}}]});
    // In crd.projectcalico.org a policy's name carries its tier.
    let name =
        |name: &str| if version.starts_with("crd.") { format!("default.{name}") } else { name.to_owned() };
    vec![
        json!({
            "apiVersion": version, "kind": "GlobalNetworkPolicy",
            "metadata": {"name": name("deny-metadata")}, "spec": spec,
        }),
        json!({
            "apiVersion": version, "kind": "NetworkPolicy",
            "metadata": {"name": name("media-only"), "namespace": "media"}, "spec": spec,
        }),
    ]
}
