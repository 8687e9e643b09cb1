//! What is on the disks: snapshots, restores and deletes, of our machines and of those that others made.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "a test's own output and helpers")]

mod driver;
mod site;

use driver::Driver;
use replank_provider_kit::Provider as _;
use replank_provider_protocol::verbs::{Deletable, GetParams, ListParams};
use replank_provider_protocol::{ErrorCode, MachineId};
use serde_json::json;
use site::Site;
use std::path::Path;
use std::process::Command;

/// A byte at the end of the disk that a machine would start from now.
struct Disk<'a>(&'a Site, String);

impl<'a> Disk<'a> {
    fn of(site: &'a Site, machine: &MachineId) -> Self {
        let xml = site.virsh(&["dumpxml", "--inactive", machine.as_str()]);
        let after = xml.split("<source file='").nth(1).expect("a disk");
        Self(site, after.split('\'').next().expect("a path").to_owned())
    }

    fn io(&self, command: &str) -> String {
        let format = if self.1.ends_with("raw") { "raw" } else { "qcow2" };
        let output = Command::new("qemu-io").args(["-f", format, "-c", command, &self.1]).output();
        let output = output.expect("qemu-io starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
        said
    }

    fn write(&self, byte: u8) {
        self.io(&format!("write -P {byte:#x} 512k 4k"));
    }

    fn holds(&self, byte: u8) -> bool {
        !self.io(&format!("read -P {byte:#x} 512k 4k")).contains("verification failed")
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("it is there")
}

fn volumes(site: &Site) -> Vec<String> {
    site.virsh(&["pool-refresh", "--pool", "pool"]);
    let list = site.virsh(&["vol-list", "--pool", "pool"]);
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| !name.starts_with("replank-epoch-")).map(str::to_owned).collect()
}

fn old_node(site: &Site) -> MachineId {
    site.image_that_halts();
    site.virsh(&["vol-create-as", "pool", "old.raw", "1M", "--format", "raw"]);
    MachineId::new(site.define(&site::old_node("old", &site.path("pool/old.raw"), "raw", "")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_goes_back_to_what_it_held_and_the_image_stays_as_it_was() {
    if let Some(reason) = site::missing() {
        return replank_tests::skip(
            "a_disk_goes_back_to_what_it_held_and_the_image_stays_as_it_was",
            &reason,
        );
    }
    let site = Site::new();
    let old = old_node(&site);
    let image = bytes(&site.path("pool/image"));
    let driver = Driver::of(&site, json!({"graceSeconds": 0, "imageFormat": "raw"})).await;
    let machine = driver.create("new", &old).await.id;
    driver.stop("stop/1", &machine).await;
    Disk::of(&site, &machine).write(1);

    // Off, and then while it runs.
    let first = driver.snapshot("snapshot/1", &machine).await;
    Disk::of(&site, &machine).write(2);
    driver.start("start/1", &machine).await;
    let second = driver.snapshot("snapshot/2", &machine).await;
    driver.stop("stop/2", &machine).await;
    Disk::of(&site, &machine).write(3);
    assert!(Disk::of(&site, &machine).holds(3));

    for (operation, snapshot, byte) in [("1", &first, 1), ("2", &second, 2), ("3", &first, 1)] {
        driver.restore(&format!("restore/{operation}"), &machine, &snapshot.id).await;
        assert!(Disk::of(&site, &machine).holds(byte), "restore {operation}");
        Disk::of(&site, &machine).write(9);
    }
    driver.start("start/2", &machine).await;
    driver.stop("stop/3", &machine).await;

    driver.delete("delete/first", Deletable::Snapshot(first.id)).await;
    driver.restore("restore/4", &machine, &second.id).await;
    assert!(Disk::of(&site, &machine).holds(2), "a snapshot that was deleted lies below it");

    assert_eq!(bytes(&site.path("pool/image")), image, "the image is shared, and only read");
    driver.delete("delete/machine", Deletable::Machine(machine)).await;
    assert_eq!(volumes(&site), ["image", "old.raw"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_others_made_goes_back_too_and_only_its_own_disks_go_with_it() {
    if let Some(reason) = site::missing() {
        return replank_tests::skip(
            "a_machine_that_others_made_goes_back_too_and_only_its_own_disks_go_with_it",
            &reason,
        );
    }
    let site = Site::new();
    site.image_that_halts();
    for volume in ["old.raw", "shared.raw", "tools.iso", "neighbours.raw", "named.raw"] {
        site.virsh(&["vol-create-as", "pool", volume, "1M", "--format", "raw"]);
    }
    let disk = |device: &str, file: &str, target: &str, more: &str| {
        let file = site.path("pool").join(file);
        format!(
            "<disk type='file' device='{device}'><driver name='qemu' type='raw'/><source file='{}'/>\
             <target dev='{target}' bus='sata'/>{more}</disk>",
            file.display()
        )
    };
    let devices = [
        disk("cdrom", "tools.iso", "sda", "<readonly/>"),
        disk("disk", "shared.raw", "sdb", "<shareable/>"),
        disk("disk", "neighbours.raw", "sdc", ""),
        "<disk type='volume' device='disk'><source pool='pool' volume='named.raw'/><target dev='sdd' bus='sata'/></disk>"
            .to_owned(),
    ]
    .concat();
    let old = site.define(&site::old_node("old", &site.path("pool/old.raw"), "raw", &devices));
    site.define(&site::old_node("neighbour", &site.path("pool/neighbours.raw"), "raw", ""));
    let old = MachineId::new(old);
    let driver = Driver::of(&site, json!({"graceSeconds": 0, "imageFormat": "raw"})).await;
    Disk::of(&site, &old).write(1);
    driver.start("start/1", &old).await;
    let snapshot = driver.snapshot("snapshot/1", &old).await;
    driver.stop("stop/1", &old).await;
    Disk::of(&site, &old).write(2);
    driver.restore("restore/1", &old, &snapshot.id).await;
    assert!(Disk::of(&site, &old).holds(1));

    let params = ListParams { cluster: "cluster-1".into(), run: None };
    let listing = driver.0.list(params).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(listing.machines.is_empty(), "replank did not make it: {listing:?}");
    assert_eq!(listing.snapshots.iter().map(|s| &s.machine).collect::<Vec<_>>(), [&old]);

    driver.delete("delete/snapshot", Deletable::Snapshot(snapshot.id)).await;
    driver.delete("delete/machine", Deletable::Machine(old.clone())).await;
    let gone = driver.0.get(GetParams { machine: old }).await;
    assert_eq!(gone.map_err(|e| e.code), Err(ErrorCode::NotFound));
    assert_eq!(volumes(&site), ["image", "neighbours.raw", "shared.raw", "tools.iso"]);
}
