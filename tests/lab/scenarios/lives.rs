//! Machines without a cluster: their disks, their first boot, and their end.

use crate::program::path_of;
use crate::stage::say;
use replank_lab::Lab;
use replank_lab::build::{self, report::Progress};
use replank_lab::lab::Snapshot;
use replank_lab::machine::{Power, Role, Wanted};
use replank_lab::place::Place;
use replank_lab::supervisor::{self, Held};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn lab(name: &str) -> (Held, Lab) {
    replank_lab::needs::kernel().unwrap_or_else(|error| panic!("{error}"));
    let mut listener = say;
    let built = build::build(&mut Progress::new(&mut listener)).unwrap_or_else(|error| panic!("{error}"));
    let place = Place::new(std::env::temp_dir().join(format!("replank-{name}-{}", std::process::id())));
    let held = Held::start(&path_of("replank-lab"), place.clone(), &built);
    (held.unwrap_or_else(|error| panic!("{error}")), Lab::open(place).expect("it was started"))
}

fn machine(lab: &Lab, name: &str) {
    let user_data = "#cloud-config\nwrite_files: [{path: /etc/told, content: hello}]\nruncmd: [[cp, /etc/told, /srv/done]]\n";
    let wanted = Wanted {
        name: name.into(),
        role: Role::Worker,
        user_data: user_data.into(),
        labels: BTreeMap::new(),
    };
    lab.create(&wanted).unwrap_or_else(|error| panic!("{error}"));
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !is() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn text(lab: &Lab, path: &str) -> Option<String> {
    let file = lab.host_read("m1", path).unwrap_or_else(|error| panic!("{error}"))?;
    Some(String::from_utf8(file.content).expect("it is text"))
}

fn control_groups(place: &Place) -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").expect("cgroups are mounted").flatten();
    let groups = hierarchies.map(|h| h.path().join(place.cgroup()));
    groups.filter(|group| group.exists()).collect()
}

#[test]
fn a_machine_keeps_its_disk_and_goes_back_to_a_snapshot() {
    let (held, lab) = lab("disks");
    machine(&lab, "m1");
    until("the end of the first boot", || text(&lab, "/srv/done").as_deref() == Some("hello"));
    let outer = std::path::Path::new("/etc/told");
    assert!(!outer.exists(), "what a machine writes stays on its own disk");

    let snapshot = Snapshot { id: "s1".into(), machine: "m1".into(), run: None, cluster: None };
    lab.snapshot(&snapshot).unwrap_or_else(|error| panic!("{error}"));
    lab.host_run("m1", &["sh", "-c", "echo later >/srv/done"], None)
        .unwrap_or_else(|error| panic!("{error}"));
    lab.reboot("m1").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(text(&lab, "/srv/done").as_deref(), Some("later\n"), "the first boot was the first only");

    assert!(lab.restore("m1", "s1").is_err(), "not while it is on");
    lab.stop("m1").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lab.power("m1").expect("it is known"), Power::Off);
    lab.restore("m1", "s1").unwrap_or_else(|error| panic!("{error}"));
    lab.start("m1").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(text(&lab, "/srv/done").as_deref(), Some("hello"));
    lab.destroy("m1").unwrap_or_else(|error| panic!("{error}"));
    assert!(lab.machines().expect("they can be listed").is_empty());

    let place = lab.place().clone();
    drop(held);
    assert!(!place.folder().exists(), "nothing is left of the folder");
    assert_eq!(control_groups(&place), Vec::<PathBuf>::new());
}

/// What `systemctl reboot` does on a machine: everything but its disk is new.
#[test]
fn a_machine_reboots_itself() {
    let (held, lab) = lab("reboot");
    machine(&lab, "m1");
    machine(&lab, "m2");
    until("the end of the first boot", || text(&lab, "/srv/done").as_deref() == Some("hello"));
    let boot = |lab: &Lab, name: &str| {
        lab.host_read(name, "/proc/sys/kernel/random/boot_id").ok().flatten().map(|file| file.content)
    };
    let (first, other) = (boot(&lab, "m1"), boot(&lab, "m2"));
    assert_ne!(first, other, "every machine has a boot of its own");
    let script = "echo kept >/srv/kept; ip link add mine type veth peer name far; \
        mkdir /sys/fs/cgroup/pids/kubepods; systemctl reboot";
    // It does not come back: the machine ends with it.
    let _ = lab.host_run("m1", &["sh", "-c", script], None).unwrap_or_else(|error| panic!("{error}"));
    until("another boot", || boot(&lab, "m1").is_some_and(|now| Some(&now) != first.as_ref()));

    assert_eq!(text(&lab, "/srv/kept").as_deref(), Some("kept\n"));
    let gone =
        ["sh", "-c", "! ip link show mine && ! ls -d /sys/fs/cgroup/pids/kubepods && ip link show eth0"];
    let looked = lab.host_run("m1", &gone, None).unwrap_or_else(|error| panic!("{error}"));
    assert!(looked.status.success(), "{looked:?}");
    assert_eq!(boot(&lab, "m2"), other, "nobody else has rebooted");
    lab.stop("m1").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lab.power("m1").expect("it is known"), Power::Off);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(lab.power("m1").expect("it is known"), Power::Off, "a plug that is pulled is no reboot");
    let place = lab.place().clone();
    drop(held);
    assert_eq!(control_groups(&place), Vec::<PathBuf>::new());
}

/// A provider that is killed while it copies a disk leaves its machine as it was: running.
#[test]
fn a_killed_snapshot_leaves_its_machine_running() {
    let (_held, lab) = lab("still");
    machine(&lab, "m1");
    until("the end of the first boot", || text(&lab, "/srv/done").as_deref() == Some("hello"));
    // More than can be copied before the kill.
    let fill = "head -c 2000000000 /dev/zero >/srv/much";
    let filled = lab.host_run("m1", &["sh", "-c", fill], None).unwrap_or_else(|error| panic!("{error}"));
    assert!(filled.status.success());

    let settings = serde_json::json!({"lab": lab.place().folder()});
    let request = |id: u32, method: &str, params: serde_json::Value| {
        format!("{}\n", serde_json::json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
    };
    let answers = tempfile::NamedTempFile::new().expect("there is room");
    let mut provider = std::process::Command::new(path_of("replank-provider-lab"))
        .stdin(std::process::Stdio::piped())
        .stdout(answers.reopen().expect("it is there"))
        .spawn()
        .expect("the provider starts");
    let mut input = provider.stdin.take().expect("it is a pipe");
    let begin = request(1, "initialize", serde_json::json!({"protocolVersions": [1], "settings": settings}));
    let snapshot =
        serde_json::json!({"operation": "o1", "run": "r1", "cluster": "c1", "epoch": 1, "machine": "m1"});
    let snapshot = request(2, "snapshot", snapshot);
    let mut send =
        |request: &str| std::io::Write::write_all(&mut input, request.as_bytes()).expect("it reads");
    let said = || std::fs::read_to_string(answers.path()).expect("it is there");
    send(&begin);
    // Requests are answered side by side: a snapshot may come before the settings.
    until("the answer to the first request", || said().contains("\"id\":1"));
    send(&snapshot);
    let partial = lab.place().join("snapshots");
    until("the beginning of the copy", || {
        assert!(!said().contains("\"error\""), "the provider refuses: {}", said());
        let begun = std::fs::read_dir(&partial).into_iter().flatten().flatten().count() > 0;
        begun && lab.power("m1").is_ok()
    });
    provider.kill().expect("it runs");
    provider.wait().expect("it ends");

    until("the machine's going on", || {
        let asked = lab.host_run("m1", &["timeout", "2", "cat", "/srv/done"], None);
        asked.is_ok_and(|asked| asked.stdout == b"hello\n" || asked.stdout == b"hello")
    });
    assert!(lab.snapshots().expect("they can be listed").is_empty(), "it was killed before its end");
}

/// Not even a supervisor that had no time to do anything leaves a process behind.
#[test]
fn a_killed_supervisor_takes_every_process_with_it() {
    let (held, lab) = lab("killed");
    machine(&lab, "m1");
    let place = lab.place().clone();
    let about = supervisor::about(&place).expect("it tells of itself");
    let kill = std::process::Command::new("kill").args(["-KILL", &about.supervisor.to_string()]).status();
    assert!(kill.expect("kill can be started").success());
    until("the end of the machine", || lab.power("m1").is_ok_and(|power| power == Power::Off));
    until("the end of the lab", || Lab::open(place.clone()).is_err());
    supervisor::down(&place).unwrap_or_else(|error| panic!("{error}"));
    assert!(!place.folder().exists());
    assert_eq!(control_groups(&place), Vec::<PathBuf>::new());
    drop(held);
}
