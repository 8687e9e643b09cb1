//! A seed is read back with mtools, which share no code with what wrote it.

use proptest::prelude::*;
use replank_cloud_init::seed::{MetaData, Seed, SeedError};
use sha2::{Digest, Sha256};
use std::process::Command;

mod tools;

fn seed() -> Seed {
    Seed {
        user_data: b"#cloud-config\n{}\n".to_vec(),
        meta_data: MetaData { instance_id: "replank-r1-w1".into(), local_hostname: "worker-1-r1".into() },
        network_config: None,
    }
}

/// What a program of mtools prints about an image.
fn mtools(image: &[u8], program: &str, arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.img");
    std::fs::write(&path, image).unwrap();
    let ran = Command::new(program).env("TZ", "UTC").arg("-i").arg(&path).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
    ran.stdout
}

#[test]
fn mtools_read_back_what_was_written() {
    let seed = Seed { network_config: Some(b"version: 2\n".to_vec()), ..seed() };
    let image = seed.image().unwrap();
    if !tools::there("mtools_read_back_what_was_written", "mtype", "mtools") {
        return;
    }
    assert_eq!(mtools(&image, "mtype", &["::user-data"]), seed.user_data);
    assert_eq!(mtools(&image, "mtype", &["::network-config"]), b"version: 2\n");
    let meta_data = mtools(&image, "mtype", &["::meta-data"]);
    let meta_data: serde_json::Value = serde_saphyr::from_slice(&meta_data).unwrap();
    assert_eq!(
        meta_data,
        serde_json::json!({"instance-id": "replank-r1-w1", "local-hostname": "worker-1-r1"})
    );
}

#[test]
fn the_volume_has_the_label_that_cloud_init_looks_for_and_no_time() {
    let image = seed().image().unwrap();
    if !tools::there("the_volume_has_the_label_that_cloud_init_looks_for_and_no_time", "mlabel", "mtools") {
        return;
    }
    let label = mtools(&image, "mlabel", &["-s", "::"]);
    assert_eq!(String::from_utf8_lossy(&label).trim(), "Volume label is CIDATA");
    let listed = String::from_utf8_lossy(&mtools(&image, "mdir", &["::"])).into_owned();
    assert!(listed.contains("Volume Serial Number is 5EED-C1DA"), "{listed}");
    for name in ["user-data", "meta-data"] {
        let line = listed.lines().find(|line| line.ends_with(name)).expect(name);
        assert!(line.contains("1980-01-01   0:00"), "{line}");
    }
    assert!(!listed.contains("network-config"), "{listed}");
}

#[test]
fn util_linux_takes_it_for_what_cloud_init_looks_for() {
    if !tools::there("util_linux_takes_it_for_what_cloud_init_looks_for", "blkid", "util-linux") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seed.img");
    std::fs::write(&path, seed().image().unwrap()).unwrap();
    let found = Command::new("blkid").args(["-p", "-o", "export"]).arg(&path).output().unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.lines().any(|line| line == "LABEL=CIDATA"), "{found}");
    assert!(found.lines().any(|line| line == "TYPE=vfat"), "{found}");
}

/// The digest is of this seed on every machine. A change of it means that volumes which providers made before
/// differ from those that they would make now.
#[test]
fn the_same_seed_gives_the_same_bytes_everywhere() {
    let digest = hex::encode(Sha256::digest(seed().image().unwrap()));
    insta::assert_snapshot!(digest);
}

#[test]
fn a_seed_that_could_not_boot_a_new_machine_is_refused() {
    let named = |instance_id: &str, local_hostname: &str| Seed {
        meta_data: MetaData { instance_id: instance_id.into(), local_hostname: local_hostname.into() },
        ..seed()
    };
    assert!(matches!(named(" ", "w").image(), Err(SeedError::NoInstanceId { .. })));
    for name in ["", "-w", "w-", "w..x", "w_1", "w\nx", &"w".repeat(65)] {
        assert!(matches!(named("i", name).image(), Err(SeedError::HostName { .. })), "{name:?}");
    }
    assert!(named("i", "ip-10-0-0-1.eu-central-1.compute.internal").image().is_ok());
    let huge = Seed { user_data: vec![b'#'; 65 * 1024 * 1024], ..seed() };
    assert!(matches!(huge.image(), Err(SeedError::TooLarge { .. })));
}

#[test]
fn nothing_prints_user_data() {
    let shown = format!("{:?}", Seed { user_data: b"token".to_vec(), ..seed() });
    assert!(!shown.contains("token") && shown.contains("5 bytes"), "{shown}");
}

#[test]
fn any_content_fits_and_comes_back() {
    if !tools::there("any_content_fits_and_comes_back", "mtype", "mtools") {
        return;
    }
    let with = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(with, |(user_data in content(), network in proptest::option::of(content()))| {
        let seed = Seed { user_data: user_data.clone(), network_config: network.clone(), ..seed() };
        let image = seed.image().unwrap();
        prop_assert_eq!(&image, &seed.image().unwrap());
        prop_assert_eq!(mtools(&image, "mtype", &["::user-data"]), user_data);
        if let Some(network) = network {
            prop_assert_eq!(mtools(&image, "mtype", &["::network-config"]), network);
        }
    });
}

/// Around the places where an image grows, and around nothing.
fn content() -> impl Strategy<Value = Vec<u8>> {
    (
        prop_oneof![
            0_usize..3,
            500_usize..520,
            780_000_usize..800_000,
            1_040_000_usize..1_060_000,
            4_000_000_usize..4_200_000
        ],
        any::<u8>(),
    )
        .prop_map(|(length, seed)| (0..length).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect())
}
