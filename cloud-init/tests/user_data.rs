//! Finished user-data: what it holds, and what the real cloud-init reads in it.

use replank_cloud_init::user_data::packed;
use replank_cloud_init::{CloudConfig, Form, Limit, Snippet, UserData, UserDataError, WriteFile};
use serde_json::{Value, json};
use std::io::Read as _;

mod tools;

use tools::cloud_init::CloudInit;

/// What cloud-init makes of user-data: its parts, as it hands them to their handlers.
const PARTS: &str = r"
import importlib.util, json, sys
from cloudinit import user_data, util
class Paths:
    def get_ipath(self, *a): return None
data = open(sys.argv[1], 'rb').read()
processor = user_data.UserDataProcessor.__new__(user_data.UserDataProcessor)
processor.paths, processor.ssl_details = Paths(), {}
message = processor.process(data)
print(json.dumps([
    [p.get_content_type(), p.get_filename(), util.fully_decoded_payload(p)]
    for p in message.walk() if p.get_content_maintype() != 'multipart'
]))
";

fn ours() -> CloudConfig {
    CloudConfig {
        hostname: Some("worker-1-r1".into()),
        write_files: vec![WriteFile::text("/run/replank/join.yaml", "kind: JoinConfiguration\n", 0o600)],
        runcmd: vec![vec!["kubeadm".into(), "join".into()]],
    }
}

fn snippet(name: &str, text: &str) -> Snippet {
    Snippet::parse(name, text).unwrap()
}

fn snippets() -> Vec<Snippet> {
    vec![
        snippet("base.yaml", "#cloud-config\npackages: [chrony]\nruncmd:\n- [echo, first]\n"),
        snippet(
            "more.yaml",
            "#cloud-config\nmerge_how: dict(recurse_array)+list(append)\nruncmd:\n- echo second\nwrite_files:\n- path: /etc/motd\n  content: hello\n  permissions: '0644'\n",
        ),
    ]
}

fn scripts() -> Vec<Snippet> {
    let mut all = snippets();
    all.push(snippet("disks.sh", "#!/bin/sh\necho replank-part\n"));
    all.push(snippet("früh", "#cloud-boothook\n#!/bin/sh\necho grüße\n"));
    all
}

fn text(snippets: &[Snippet], form: Form) -> String {
    String::from_utf8(UserData::new(&ours(), snippets).unwrap().render(form).unwrap()).unwrap()
}

#[test]
fn documents_are_merged_and_ours_comes_last() {
    insta::assert_snapshot!(text(&snippets(), Form::CloudConfig));
}

#[test]
fn scripts_travel_in_parts_and_run_before_the_join() {
    let whole = UserData::new(&ours(), &scripts()).unwrap();
    assert_eq!(whole.usual(), Form::Mime);
    assert!(matches!(whole.render(Form::CloudConfig), Err(UserDataError::Script { .. })));
    insta::assert_snapshot!(text(&scripts(), Form::Mime));
}

/// Every golden of a document in this crate.
fn goldens() -> Vec<String> {
    let folders = ["src/snapshots", "tests/snapshots"].map(|f| format!("{}/{f}", env!("CARGO_MANIFEST_DIR")));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let body = |text: String| text.splitn(3, "---\n").nth(2).unwrap_or_default().to_owned();
    texts.map(body).filter(|text| text.starts_with("#cloud-config\n")).collect()
}

#[test]
fn the_real_schema_takes_every_golden() {
    let Some(real) = CloudInit::find("the_real_schema_takes_every_golden") else { return };
    let goldens = goldens();
    assert!(goldens.len() >= 4, "{}", goldens.len());
    for text in goldens {
        real.schema(text.as_bytes()).unwrap_or_else(|said| panic!("{said}\n{text}"));
    }
    // The judge does judge.
    assert!(real.schema(b"#cloud-config\nwrite_files: [{path: 3}]\n").is_err());
}

#[test]
fn the_real_cloud_init_finds_every_part() {
    let Some(real) = CloudInit::find("the_real_cloud_init_finds_every_part") else { return };
    let whole = UserData::new(&ours(), &scripts()).unwrap();
    let plain = real.python(PARTS, &whole.render(Form::Mime).unwrap());
    let kinds: Vec<(&str, &str)> = plain
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (part[0].as_str().unwrap(), part[1].as_str().unwrap()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("text/cloud-config", "replank.cfg"),
            ("text/x-shellscript", "002-disks.sh"),
            ("text/cloud-boothook", "003-fr_h"),
        ]
    );
    assert_eq!(plain[1][2], "#!/bin/sh\necho replank-part\n");
    assert_eq!(plain[2][2], "#cloud-boothook\n#!/bin/sh\necho grüße\n");
    let document: Value = serde_saphyr::from_str(plain[0][2].as_str().unwrap()).unwrap();
    assert_eq!(document["runcmd"], json!([["echo", "first"], "echo second", ["kubeadm", "join"]]));
    assert_eq!(
        real.python(PARTS, &whole.render(Form::Gzip).unwrap()),
        plain,
        "packed or not, it is the same"
    );
}

#[test]
fn packed_bytes_are_the_same_each_time_and_come_back() {
    let whole = UserData::new(&ours(), &snippets()).unwrap();
    let plain = whole.render(Form::CloudConfig).unwrap();
    let gzip = whole.render(Form::Gzip).unwrap();
    assert_eq!(gzip, packed(&plain));
    let mut back = Vec::new();
    flate2::read::GzDecoder::new(&gzip[..]).read_to_end(&mut back).unwrap();
    assert_eq!(back, plain);
    assert_eq!(gzip[4..8], [0; 4], "no time");
}

#[test]
fn sixteen_kibibytes_and_not_one_more_fit_into_ec2() {
    assert_eq!(Limit::Ec2.check(&vec![b'#'; 16 * 1024]), Ok(()));
    let error = Limit::Ec2.check(&vec![b'#'; 16 * 1024 + 1]).unwrap_err();
    insta::assert_snapshot!(error, @"the user-data is 16385 bytes, and EC2 takes at most 16384; make the files smaller, or let the machine fetch them");
}

#[test]
fn a_file_that_is_ours_is_not_written_over() {
    let theirs =
        snippet("x.yaml", "#cloud-config\nwrite_files: [{path: /run/replank/join.yaml, content: ''}]\n");
    let error = UserData::new(&ours(), &[theirs]).unwrap_err();
    assert_eq!(error, UserDataError::File { path: "/run/replank/join.yaml".into() });
}

#[test]
fn nothing_prints_what_is_in_it() {
    let whole = UserData::new(&ours(), &scripts()).unwrap();
    let shown = format!("{whole:?} {:?}", scripts());
    assert!(!shown.contains("JoinConfiguration") && !shown.contains("first"), "{shown}");
}

/// What is wrong, as `keys: sentence`.
fn faults(text: &str) -> String {
    let faults = Snippet::parse("x", text).unwrap_err();
    faults.iter().map(|f| format!("{}: {}\n", f.at.join("."), f.message)).collect()
}

#[test]
fn what_cloud_init_would_overlook_is_refused_with_its_place() {
    insta::assert_snapshot!(faults(
        "#cloud-config\nwrite_flies: []\npackages: [vim]\nzebra: 1\nusers:\n- name: jane\n- name: joe\n  shel: /bin/sh\n"
    ));
    insta::assert_snapshot!(faults(
        "#cloud-config\nwrite_files:\n- path: etc/x\n  permissions: 0644\n  encoding: b46\n- path: /y\n  encoding: b64\n  content: '?'\nruncmd:\n- [sleep, 3]\nbootcmd: reboot\n"
    ));
}

#[test]
fn what_would_take_the_join_away_is_refused() {
    insta::assert_snapshot!(faults("#cloud-config\nhostname: x\ncloud_final_modules: []\n"));
}

#[test]
fn what_can_not_be_checked_is_refused() {
    for text in [
        "",
        "packages: []\n",
        "#include https://example\n",
        "## template: jinja\n#cloud-config\n",
        "#cloud-config\n",
        "#cloud-config\n- a\n",
        "#cloud-config\na: [\n",
        "#cloud-config\nmerge_how: list\n",
    ] {
        let said = faults(text);
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
