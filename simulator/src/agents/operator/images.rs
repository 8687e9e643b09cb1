//! Which images the operator puts into its pods.

use serde_json::Value;

use crate::machines::api::text;

/// Where images come from, and of which version they are.
#[derive(Clone, Debug)]
pub(super) struct Images {
    registry: String,
    path: String,
    prefix: String,
    /// Calico's version.
    pub(super) version: String,
}

impl Images {
    /// By what the Installation says, and by the operator's own version.
    pub(super) fn of(installation: &Value, operator: &str) -> Self {
        let or = |pointer: &str, default: &str| match text(installation, pointer) {
            "" | "UseDefault" => default.to_owned(),
            value => value.to_owned(),
        };
        let mut registry = or("/spec/registry", "docker.io/");
        if !registry.ends_with('/') {
            registry.push('/');
        }
        Self {
            registry,
            path: or("/spec/imagePath", "calico"),
            prefix: or("/spec/imagePrefix", ""),
            version: version(operator),
        }
    }

    /// A component's image.
    pub(super) fn image(&self, component: &str) -> String {
        format!("{}{}/{}{component}:{}", self.registry, self.path, self.prefix, self.version)
    }
}

/// The version of Calico that a version of the operator installs.
fn version(operator: &str) -> String {
    let tag = operator.rsplit_once(':').map_or("", |(_, tag)| tag).trim_start_matches('v');
    let mut parts = tag.split('.').map(|part| part.parse::<u32>().ok());
    let (minor, patch) = (parts.nth(1).flatten(), parts.next().flatten());
    match (minor, patch) {
        (Some(38), Some(6)) => "v3.30.3".to_owned(),
        // Since 1.32, which brought 3.27, every second minor version is a new one of Calico.
        (Some(minor), _) if minor >= 32 => format!("v3.{}.0", (minor - 32) / 2 + 27),
        _ => "v3.30.3".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn images_follow_the_installation_and_the_operators_version() {
        let plain = Images::of(&json!({}), "quay.io/tigera/operator:v1.38.6");
        assert_eq!(plain.image("node"), "docker.io/calico/node:v3.30.3");
        let own =
            json!({"spec": {"registry": "reg.example", "imagePath": "mirror/calico", "imagePrefix": "x-"}});
        let own = Images::of(&own, "reg.example/operator:v1.34.1");
        assert_eq!(own.image("cni"), "reg.example/mirror/calico/x-cni:v3.28.0");
    }
}
