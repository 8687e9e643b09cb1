//! A new domain from the user's own XML: what makes it a machine of its own is put in, the rest stays as it is.

use crate::definition::Definition;
use crate::domain::AGENT;
use crate::snapshot::with_disk;
use crate::xml::{Edits, Element, child, children};
use roxmltree::{Document, Node};

/// The definition from a template.
///
/// # Errors
/// When the template is no domain, or has not one disk that can be the new machine's.
pub fn fill(template: &str, new: &Definition<'_>) -> Result<String, String> {
    let document = Document::parse(template).map_err(|e| e.to_string())?;
    let targets = own_disks(&document)?;
    let [target] = &targets[..] else {
        return Err(format!(
            "it has {} disks of its own ({}), and must have one, which becomes the new machine's; further disks must be \
             <readonly/> or <shareable/>",
            targets.len(),
            targets.join(", ")
        ));
    };
    let xml = with_disk(template, target, new.disk)?;
    let document = Document::parse(&xml).map_err(|e| e.to_string())?;
    let root = document.root_element();
    let devices = child(root, "devices").ok_or("it has no devices")?;
    let mut edits = Edits::of(&xml);
    for known in ["name", "uuid"].iter().filter_map(|name| child(root, name)) {
        edits.replace(known.range(), "");
    }
    let mut own = vec![Element::new("name").text(new.name), Element::new("uuid").text(new.id)];
    match child(root, "metadata").and_then(|metadata| metadata.first_child()) {
        Some(first) => edits.replace(first.range().start..first.range().start, new.mark.element().render()),
        None => own.push(Element::new("metadata").child(new.mark.element())),
    }
    if let Some(empty) = child(root, "metadata").filter(|metadata| !metadata.has_children()) {
        edits.replace(empty.range(), "");
    }
    let begin = root.first_child().map_or(0, |first| first.range().start);
    edits.replace(begin..begin, own.iter().map(Element::render).collect::<String>());
    // An address is one machine's alone.
    for interface in children(devices, "interface") {
        for known in ["mac", "target"].iter().filter_map(|name| child(interface, name)) {
            edits.replace(known.range(), "");
        }
    }
    let begin = devices.first_child().map_or(0, |first| first.range().start);
    edits.replace(
        begin..begin,
        devices_of_ours(devices, new)?.iter().map(Element::render).collect::<String>(),
    );
    Ok(edits.done())
}

fn own_disks(document: &Document<'_>) -> Result<Vec<String>, String> {
    let devices = child(document.root_element(), "devices").ok_or("it has no devices")?;
    let own = children(devices, "disk").filter(|disk| {
        disk.attribute("device").unwrap_or("disk") == "disk"
            && child(*disk, "readonly").is_none()
            && child(*disk, "shareable").is_none()
    });
    Ok(own.filter_map(|disk| child(disk, "target")?.attribute("dev")).map(str::to_owned).collect())
}

/// The seed, and a console and an agent's channel where the template has none.
fn devices_of_ours(devices: Node<'_, '_>, new: &Definition<'_>) -> Result<Vec<Element>, String> {
    let taken: Vec<_> =
        children(devices, "disk").filter_map(|disk| child(disk, "target")?.attribute("dev")).collect();
    let free = ('b'..='z').map(|letter| format!("vd{letter}")).find(|name| !taken.contains(&name.as_str()));
    let mut ours = vec![new.seed_disk(&free.ok_or("it has no room for the seed's disk")?)];
    if child(devices, "serial").is_none() {
        ours.push(new.serial());
    }
    let agent = children(devices, "channel")
        .any(|channel| child(channel, "target").is_some_and(|t| t.attribute("name") == Some(AGENT)));
    if !agent {
        ours.push(Definition::agent());
    }
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acceleration::Chosen;
    use crate::domain::Domain;
    use crate::mark::Mark;
    use replank_provider_protocol::MachineId;

    fn filled(template: &str) -> Result<String, String> {
        let settings = serde_json::from_value(serde_json::json!({"image": "image"})).expect("settings");
        let like = "<domain type='kvm'><name>old</name><uuid>u</uuid></domain>";
        let (id, like) = (MachineId::new("new-id"), Domain::read(like, None).expect("a domain"));
        let (mark, acceleration) = (Mark::default(), Chosen::Kvm);
        let new = Definition {
            id: &id,
            name: "new",
            mark: &mark,
            settings: &settings,
            acceleration,
            like: &like,
            disk: "/p/disk",
            seed: "/p/seed",
            console: "/p/console",
        };
        fill(template, &new)
    }

    #[test]
    fn a_template_becomes_a_machine_of_its_own_and_keeps_what_the_user_wrote() {
        let template = "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>golden</name><uuid>of-the-golden-one</uuid>
  <metadata><mine xmlns='https://me.example'/></metadata>
  <memory unit='GiB'>8</memory><!-- hugepages -->
  <devices>
    <disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/golden'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><source file='/tools.iso'/><target dev='vdb'/><readonly/></disk>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br7'/><target dev='golden0'/></interface>
    <serial type='pty'/>
  </devices>
  <qemu:commandline><qemu:arg value='-no-hpet'/></qemu:commandline>
</domain>";
        insta::assert_snapshot!(filled(template).expect("it can be filled"));
    }

    #[test]
    fn a_template_with_no_disk_or_two_is_refused() {
        let disk = |target: &str| format!("<disk><source file='x'/><target dev='{target}'/></disk>");
        for disks in [String::new(), disk("vda") + &disk("vdb")] {
            let template = format!("<domain><devices>{disks}</devices></domain>");
            assert!(filled(&template).expect_err("not this").contains("must have one"));
        }
        assert!(filled("no XML").is_err());
    }
}
