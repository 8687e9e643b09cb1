//! Whether the processor helps is found out by a boot: not by `/dev/kvm`, and not by libvirt's word.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "a test's own output and helpers")]

mod driver;
mod site;

use driver::Driver;
use replank_provider_libvirt::acceleration::writes;
use replank_provider_protocol::MachineId;
use serde_json::json;
use site::Site;
use std::time::{Duration, Instant};

/// A boot sector that writes another sector by the firmware, as a system writes to its disk: xor ax,ax; mov es,ax;
/// mov ax,0x0301; mov bx,0x7c00; mov cx,2; mov dx,0x80; int 0x13; cli; hlt; jmp to the hlt.
const WRITES: [u8; 22] = [
    0x31, 0xc0, 0x8e, 0xc0, 0xb8, 0x01, 0x03, 0xbb, 0x00, 0x7c, 0xb9, 0x02, 0x00, 0xba, 0x80, 0x00, 0xcd,
    0x13, 0xfa, 0xf4, 0xeb, 0xfd,
];

fn old_node(site: &Site) -> MachineId {
    site.virsh(&["vol-create-as", "pool", "old.raw", "1M", "--format", "raw"]);
    MachineId::new(site.define(&site::old_node("old", &site.path("pool/old.raw"), "raw", "")))
}

fn kind(site: &Site, machine: &MachineId) -> String {
    let xml = site.virsh(&["dumpxml", machine.as_str()]);
    xml.split("type='").nth(1).and_then(|rest| rest.split('\'').next()).expect("a type").to_owned()
}

/// Nothing of the trial itself is left, whatever came of it.
fn only_its_result_is_left(site: &Site) {
    assert!(!site.virsh(&["list", "--all", "--name"]).contains("trial"));
    let volumes = site.virsh(&["vol-list", "--pool", "pool"]);
    assert!(!volumes.contains("trial"), "{volumes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_come_up_with_kvm_is_emulated_and_is_tried_once() {
    if let Some(reason) = site::missing() {
        return replank_tests::skip(
            "an_image_that_does_not_come_up_with_kvm_is_emulated_and_is_tried_once",
            &reason,
        );
    }
    let site = Site::new();
    site.image_that_halts();
    let old = old_node(&site);
    let settings =
        json!({"graceSeconds": 0, "imageFormat": "raw", "acceleration": "auto", "trialSeconds": 3});
    let driver = Driver::of(&site, settings).await;
    let first = driver.create("new-1", &old).await.id;
    assert_eq!(kind(&site, &first), "qemu");
    only_its_result_is_left(&site);
    // Another process, as another run has one. A second trial would take ten minutes.
    let settings =
        json!({"graceSeconds": 0, "imageFormat": "raw", "acceleration": "auto", "trialSeconds": 600});
    let driver = Driver::of(&site, settings).await;
    let second = tokio::time::timeout(Duration::from_secs(120), driver.create("new-2", &old)).await;
    assert_eq!(kind(&site, &second.expect("it is not tried again").id), "qemu");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_a_real_guest_is_seen() {
    if let Some(reason) = site::missing() {
        return replank_tests::skip("a_write_of_a_real_guest_is_seen", &reason);
    }
    let site = Site::new();
    site.image(&WRITES);
    let old = old_node(&site);
    let driver = Driver::of(&site, json!({"graceSeconds": 0, "imageFormat": "raw"})).await;
    let machine = driver.create("new", &old).await.id;
    let begun = Instant::now();
    while !writes(&site.virsh(&["domblkstat", machine.as_str(), "vda"])) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the boot sector's write was not seen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_writes_to_its_disk_with_kvm_gets_it() {
    const TEST: &str = "an_image_that_writes_to_its_disk_with_kvm_gets_it";
    if let Some(reason) = site::missing() {
        return replank_tests::skip(TEST, &reason);
    }
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if !processor.split_whitespace().any(|flag| flag == "vmx" || flag == "svm") {
        return replank_tests::skip(TEST, "this machine's processor has no hardware virtualisation");
    }
    let site = Site::new();
    site.image(&WRITES);
    let old = old_node(&site);
    let settings =
        json!({"graceSeconds": 0, "imageFormat": "raw", "acceleration": "auto", "trialSeconds": 60});
    let machine = Driver::of(&site, settings).await.create("new", &old).await.id;
    assert_eq!(kind(&site, &machine), "kvm");
    only_its_result_is_left(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_made_from_the_users_own_xml() {
    if let Some(reason) = site::missing() {
        return replank_tests::skip("a_machine_is_made_from_the_users_own_xml", &reason);
    }
    let site = Site::new();
    site.image_that_halts();
    let old = old_node(&site);
    let template =
        site::old_node("template", &site.path("pool/nothing"), "raw", "<watchdog model='i6300esb'/>");
    std::fs::write(site.path("template.xml"), template).expect("it is written");
    let settings = json!({"graceSeconds": 0, "imageFormat": "raw", "template": site.path("template.xml")});
    let driver = Driver::of(&site, settings).await;
    let machine = driver.create("new", &old).await;
    assert_eq!(machine.name, "new");
    let xml = site.virsh(&["dumpxml", machine.id.as_str()]);
    for part in ["i6300esb", &format!("replank-{}-disk", machine.id), &format!("replank-{}-seed", machine.id)]
    {
        assert!(xml.contains(part), "no {part} in {xml}");
    }
}
