//! Which image a container runs, whatever registry or mirror it comes from.

use crate::machines::ContainerSpecView;

/// Whether the image is `vendor/part`, or a mirror's `…vendor-part`.
pub(super) fn is_part(container: &ContainerSpecView<'_>, vendor: &str, part: &str) -> bool {
    let image = container.image_name().trim_end_matches("-fips");
    if image == part {
        let repository = container.repository();
        let owner = repository.rsplit_once('/').map_or("", |(owner, _)| owner);
        return owner.rsplit('/').next().is_some_and(|owner| owner.contains(vendor));
    }
    image.strip_suffix(part).and_then(|rest| rest.strip_suffix('-')).is_some_and(|rest| rest.contains(vendor))
}

/// Whether the entry point is this binary.
pub(super) fn starts(container: &ContainerSpecView<'_>, binary: &str) -> bool {
    container.command.first().is_some_and(|word| word.rsplit('/').next() == Some(binary))
}

#[cfg(test)]
mod tests {
    use super::is_part;
    use crate::machines::ContainerSpecView;

    #[test]
    fn mirrors_keep_an_image_recognisable() {
        let is = |image: &str, vendor: &str, part: &str| {
            is_part(&ContainerSpecView { image, ..ContainerSpecView::default() }, vendor, part)
        };
        assert!(is("docker.io/calico/node:v3.30.3", "calico", "node"));
        assert!(is("quay.io/calico/node-fips:v3.30.3", "calico", "node"));
        assert!(is("reg.example:5000/a/mirrored-calico-node:v3.27.2", "calico", "node"));
        assert!(is("reg.example/quay/tigera/operator:v1", "tigera", "operator"));
        assert!(!is("example/node:1", "calico", "node"));
        assert!(!is("node", "calico", "node"));
        assert!(!is("calico/kube-controllers:v3", "calico", "node"));
    }
}
