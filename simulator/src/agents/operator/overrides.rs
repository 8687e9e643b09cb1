//! What an Installation overrides in the pods that the operator makes.

use serde_json::Value;

/// Applies an override such as `spec.calicoNodeDaemonSet` to a DaemonSet or Deployment. Labels,
/// annotations and node selectors are added; affinity, tolerations and the like are replaced.
pub(super) fn apply(workload: &mut Value, overrides: &Value) {
    for key in ["labels", "annotations"] {
        add(&mut workload["metadata"], key, &overrides["metadata"]);
        add(&mut workload["spec"]["template"]["metadata"], key, &overrides["spec"]["template"]["metadata"]);
    }
    for key in ["minReadySeconds", "strategy"] {
        replace(&mut workload["spec"], &overrides["spec"], key);
    }
    let wanted = &overrides["spec"]["template"]["spec"];
    let spec = &mut workload["spec"]["template"]["spec"];
    add(spec, "nodeSelector", wanted);
    for key in [
        "affinity",
        "tolerations",
        "topologySpreadConstraints",
        "priorityClassName",
        "terminationGracePeriodSeconds",
    ] {
        replace(spec, wanted, key);
    }
    for key in ["containers", "initContainers"] {
        for change in wanted[key].as_array().into_iter().flatten() {
            let own = spec[key].as_array_mut().into_iter().flatten();
            for container in own.filter(|container| container["name"] == change["name"]) {
                replace(container, change, "resources");
            }
        }
    }
}

/// Adds the entries of a map.
fn add(target: &mut Value, key: &str, wanted: &Value) {
    let Some(wanted) = wanted[key].as_object().filter(|wanted| !wanted.is_empty()) else { return };
    let target = &mut target[key];
    match target.as_object_mut() {
        Some(target) => target.extend(wanted.clone()),
        None => *target = Value::Object(wanted.clone()),
    }
}

fn replace(target: &mut Value, wanted: &Value, key: &str) {
    if !wanted[key].is_null() {
        target[key] = wanted[key].clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_is_added_and_an_affinity_replaced() {
        let mut set = json!({"metadata": {}, "spec": {"template": {"metadata": {}, "spec": {
            "nodeSelector": {"kubernetes.io/os": "linux"}, "affinity": {"old": 1}, "containers": [{"name": "a"}],
        }}}});
        apply(
            &mut set,
            &json!({"spec": {"template": {"spec": {
                "nodeSelector": {"pool": "old"}, "affinity": {"nodeAffinity": {}},
                "containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}],
            }}}}),
        );
        let spec = &set["spec"]["template"]["spec"];
        assert_eq!(spec["nodeSelector"], json!({"kubernetes.io/os": "linux", "pool": "old"}));
        assert_eq!(spec["affinity"], json!({"nodeAffinity": {}}));
        assert_eq!(spec["containers"][0]["resources"]["requests"]["cpu"], "1");
        let before = set.clone();
        apply(&mut set, &Value::Null);
        assert_eq!(set["spec"]["template"]["spec"], before["spec"]["template"]["spec"]);
    }
}
