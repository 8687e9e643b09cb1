//! Which images are Calico's: by the last components of their path, whatever registry a mirror
//! put in front.

use serde_json::Value;

/// A part of Calico, as its image tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `calico/node`: the agent of every node.
    Node,
    /// `calico/kube-controllers`.
    KubeControllers,
    /// `calico/typha`.
    Typha,
    /// `calico/apiserver`.
    ApiServer,
    /// `tigera/operator`.
    Operator,
    /// Anything else that only Calico runs.
    Other,
}

const OTHERS: [&str; 14] = [
    "cni",
    "csi",
    "node-driver-registrar",
    "pod2daemon-flexvol",
    "dikastes",
    "goldmane",
    "whisker",
    "whisker-backend",
    "guardian",
    "key-cert-provisioner",
    "webhooks",
    "flannel-migration-controller",
    "envoy-gateway",
    "calico",
];

/// Which part of Calico an image is, if any.
pub fn part_of(image: &str) -> Option<Part> {
    let (path, _) = split(image);
    let mut components = path.rsplit('/');
    let name = components.next()?;
    let owner = components.next().unwrap_or_default();
    match (owner, name) {
        ("tigera", "operator") => Some(Part::Operator),
        ("calico", "node") => Some(Part::Node),
        ("calico", "kube-controllers") => Some(Part::KubeControllers),
        ("calico", "typha") => Some(Part::Typha),
        ("calico", "apiserver") => Some(Part::ApiServer),
        ("calico", other) if OTHERS.contains(&other) => Some(Part::Other),
        _ => None,
    }
}

/// Which part of Calico a container runs, if any: by its image, or by its words where one image
/// holds all parts (3.33 and later: `calico component NAME`).
pub fn part_of_container(container: &Value) -> Option<Part> {
    let part = part_of(container["image"].as_str()?)?;
    if part != Part::Other {
        return Some(part);
    }
    let words = |key: &str| container[key].as_array().into_iter().flatten().filter_map(Value::as_str);
    let words: Vec<&str> = words("command").chain(words("args")).collect();
    let component = words.iter().position(|word| *word == "component").and_then(|at| words.get(at + 1));
    Some(match component.copied() {
        Some("kube-controllers") => Part::KubeControllers,
        Some("typha") => Part::Typha,
        Some("apiserver") => Part::ApiServer,
        _ => Part::Other,
    })
}

/// Whether an image is flanneld's.
pub fn is_flannel(image: &str) -> bool {
    let (path, _) = split(image);
    path.rsplit('/').next() == Some("flannel")
}

/// The tag of an image; empty if it has none.
pub fn tag_of(image: &str) -> &str {
    split(image).1
}

fn split(image: &str) -> (&str, &str) {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    match image.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (image, ""),
    }
}

/// The images of a pod template's containers, init containers first.
pub fn of_template(template: &Value) -> impl Iterator<Item = &str> {
    containers(template).filter_map(|c| c["image"].as_str())
}

/// The containers of a pod template, init containers first.
pub fn containers(template: &Value) -> impl Iterator<Item = &Value> {
    let list = |key: &str| template.pointer(key).and_then(Value::as_array).into_iter().flatten();
    list("/spec/initContainers").chain(list("/spec/containers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_for_all_parts_tells_them_by_its_words() {
        let of = |args: &[&str]| {
            part_of_container(&serde_json::json!({"image": "quay.io/calico/calico:v3.33.0", "args": args}))
        };
        assert_eq!(of(&["component", "kube-controllers"]), Some(Part::KubeControllers));
        assert_eq!(of(&["component", "typha"]), Some(Part::Typha));
        assert_eq!(of(&["component", "webhook", "--tls-cert-file=/certs/tls.crt"]), Some(Part::Other));
        assert_eq!(part_of_container(&serde_json::json!({"image": "example.org/calico:1"})), None);
    }

    #[test]
    fn a_mirror_changes_nothing_and_a_likeness_is_not_enough() {
        for (image, part) in [
            ("docker.io/calico/node:v3.27.2", Some(Part::Node)),
            ("mirror.example:5000/team/calico/typha@sha256:00", Some(Part::Typha)),
            ("quay.io/tigera/operator:v1.38.3", Some(Part::Operator)),
            ("example.org/shop/calico-dashboard:1", None),
            ("calico/ctl:v3.30.3", None),
            ("example.org/node:18", None),
        ] {
            assert_eq!(part_of(image), part, "{image}");
        }
    }
}
