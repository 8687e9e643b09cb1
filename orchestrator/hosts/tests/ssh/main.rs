//! Hosts over a real ssh, as an operator meets them.

#![allow(missing_docs, unreachable_pub, reason = "a test's own output and helpers")]

mod sshd;

use replank_hosts::{File, Host as _, HostError, KeyProblem, Purpose, SshHost, SshSettings};
use sshd::{Agent, Site, Sshd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn reached(site: &Site, name: &str) -> SshHost {
    let patience = Duration::from_secs(15);
    SshHost::new(SshSettings { destination: name.into(), config: Some(site.config()), patience })
}

/// A site with one host, unless there can be none here.
fn one(test: &str) -> Option<(Site, Sshd, SshHost)> {
    if let Some(reason) = sshd::missing() {
        replank_tests::skip(test, &reason);
        return None;
    }
    let site = Site::new();
    let host = site.host("one");
    let reached = reached(&site, "one");
    Some((site, host, reached))
}

async fn appears(path: &std::path::Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} did not appear", path.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_as_it_is_given() {
    let Some((_site, _sshd, host)) = one("a_command_runs_as_it_is_given") else { return };
    let script = "cat; printf '%s|' \"$@\"; echo oh >&2; umask; exit 3";
    let argv = ["sh", "-c", script, "sh", "$HOME *;", "a  b", "", "it's"];
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let output = host.run(Purpose::Look, &argv, Some(&input)).await.expect("it runs");
    assert_eq!(output.status, 3);
    assert_eq!(output.stderr, b"oh\n");
    assert_eq!(output.stdout.len(), 300_000 + "$HOME *;|a  b||it's|0022\n".len());
    assert!(output.stdout.starts_with(&input) && output.stdout.ends_with(b"$HOME *;|a  b||it's|0022\n"));
    let none = host.run(Purpose::Look, &["no-such-program"], None).await.expect("it is told");
    assert_eq!(none.status, 127);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_happens_once_whoever_asks() {
    let Some((site, sshd, host)) = one("a_change_happens_once_whoever_asks") else { return };
    let argv = ["sh", "-c", "cat >> /root/log; echo done"];
    let first = host.run(Purpose::Change("run-1/a"), &argv, Some(b"x\n")).await.expect("it runs");
    let other = reached(&site, "one");
    let again = other.run(Purpose::Change("run-1/a"), &argv, Some(b"x\n")).await.expect("it is known");
    assert_eq!(first, again);
    assert_eq!(std::fs::read(sshd.on_disk("/root/log")).expect("it wrote"), b"x\n");
    let refused = other.run(Purpose::Change("run-1/a"), &argv, Some(b"y\n")).await;
    assert!(matches!(refused, Err(HostError::OtherCommand { .. })), "{refused:?}");
    // Two at the same moment, over two connections.
    let slow = ["sh", "-c", "sleep 1; echo x >> /root/log"];
    let both = tokio::join!(
        host.run(Purpose::Change("run-1/b"), &slow, None),
        other.run(Purpose::Change("run-1/b"), &slow, None)
    );
    assert_eq!((both.0.expect("one").status, both.1.expect("two").status), (0, 0));
    assert_eq!(std::fs::read(sshd.on_disk("/root/log")).expect("it wrote"), b"x\nx\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_in_the_middle_is_resumed_and_nothing_repeated() {
    let Some((_site, sshd, host)) = one("a_connection_lost_in_the_middle") else { return };
    let host = Arc::new(host);
    let script = "echo begun >> /root/log; sleep 3; echo ended >> /root/log; echo all is well";
    let running = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.run(Purpose::Change("cut"), &["sh", "-c", script], None).await }
    });
    appears(&sshd.on_disk("/root/log")).await;
    assert!(sshd.cut() > 0, "there was a connection to cut");
    let output = running.await.expect("no panic").expect("it is found again");
    assert_eq!((output.status, output.stdout.as_slice()), (0, &b"all is well\n"[..]));
    assert_eq!(std::fs::read_to_string(sshd.on_disk("/root/log")).expect("it wrote"), "begun\nended\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_its_host_did_not_survive_is_told_and_not_repeated() {
    let Some((_site, mut sshd, host)) = one("a_change_that_its_host_did_not_survive") else { return };
    let host = Arc::new(host);
    let running = tokio::spawn({
        let host = Arc::clone(&host);
        async move {
            host.run(Purpose::Change("reboot"), &["sh", "-c", "echo begun >> /root/log; sleep 600"], None)
                .await
        }
    });
    appears(&sshd.on_disk("/root/log")).await;
    sshd.stop();
    sshd.start();
    let ended = running.await.expect("no panic");
    assert!(matches!(ended, Err(HostError::Interrupted { .. })), "{ended:?}");
    assert_eq!(std::fs::read_to_string(sshd.on_disk("/root/log")).expect("it wrote"), "begun\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_host_and_one_with_another_key_are_refused() {
    let Some((site, mut sshd, _)) = one("an_unknown_host_is_refused") else { return };
    sshd.distrust();
    let problem = |refused| match refused {
        Err(HostError::HostKey { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    let host = reached(&site, "one");
    assert_eq!(problem(host.run(Purpose::Look, &["true"], None).await), KeyProblem::Unknown);
    assert!(!site.path("one.known").exists(), "nothing was learned");
    sshd.trust();
    host.run(Purpose::Look, &["true"], None).await.expect("now it is known");
    sshd.change_key();
    let refused = host.run(Purpose::Change("secret"), &["touch", "/root/log"], None).await;
    let told = refused.as_ref().expect_err("it is another").to_string();
    assert_eq!(problem(refused), KeyProblem::Changed);
    assert!(told.contains("ssh-keygen -R"), "{told}");
    assert!(!sshd.on_disk("/root/log").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_off_is_unreachable() {
    let Some((site, mut sshd, _)) = one("a_host_that_is_off_is_unreachable") else { return };
    sshd.stop();
    let patience = Duration::from_millis(500);
    let host = SshHost::new(SshSettings { destination: "one".into(), config: Some(site.config()), patience });
    let refused = host.read("/etc/hostname").await;
    assert!(
        matches!(&refused, Err(HostError::Unreachable { reason, .. }) if reason.contains("refused")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_replaced_whole_with_its_owner_and_nothing_beside_it() {
    let Some((_site, sshd, host)) = one("a_file_is_replaced_whole") else { return };
    let path = "/etc/kubernetes/manifests/kube-controller-manager.yaml";
    let seen = sshd.on_disk(path);
    let folder = seen.parent().expect("a folder").to_owned();
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(&seen, "old").expect("a file");
    std::os::unix::fs::chown(&seen, Some(1234), Some(4321)).expect("an owner");
    std::fs::set_permissions(&seen, std::fs::Permissions::from_mode(0o644)).expect("a mode");

    // Whoever watches the folder, as a kubelet does, must see one file in it, whole.
    let watched = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let watcher = std::thread::spawn({
        let (folder, seen, watched) = (folder.clone(), seen.clone(), Arc::clone(&watched));
        move || {
            while watched.load(std::sync::atomic::Ordering::Relaxed) {
                let names: Vec<_> = std::fs::read_dir(&folder)
                    .expect("it is there")
                    .map(|e| e.expect("an entry").file_name())
                    .collect();
                // A file that is renamed over another may be listed twice, or by an instant not at all.
                assert!(names.iter().all(|n| n == "kube-controller-manager.yaml"), "{names:?}");
                let length = std::fs::read(&seen).expect("there is always one").len();
                assert!(length == 3 || length == 4_000_000, "{length}");
            }
        }
    });
    let file = File { content: vec![b'x'; 4_000_000], mode: 0o600 };
    host.write_atomic(path, &file).await.expect("it is written");
    watched.store(false, std::sync::atomic::Ordering::Relaxed);
    watcher.join().expect("it saw nothing else");

    assert_eq!(host.read(path).await.expect("it is read"), Some(file));
    let is = std::fs::metadata(&seen).expect("it is there");
    assert_eq!((is.uid(), is.gid(), is.mode() & 0o7777), (1234, 4321, 0o600));
    let left = |of: &std::path::Path| std::fs::read_dir(of).expect("a folder").count();
    assert_eq!((left(&folder), left(folder.parent().expect("a parent"))), (1, 1), "nothing is left");

    for _ in 0..2 {
        host.remove(path).await.expect("it is gone");
        assert_eq!(host.read(path).await.expect("it is gone"), None);
    }
    let refused = host.write_atomic("/no/such/folder/file", &File { content: vec![], mode: 0o600 }).await;
    assert!(matches!(refused, Err(HostError::Refused { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_cut_leaves_the_old_file_or_the_new_one() {
    let Some((_site, sshd, host)) = one("a_write_that_is_cut") else { return };
    let seen = sshd.on_disk("/root/file");
    std::fs::write(&seen, "old").expect("a file");
    host.run(Purpose::Look, &["true"], None).await.expect("a connection");
    let file = File { content: vec![b'x'; 30_000_000], mode: 0o600 };
    let write = async { host.write_atomic("/root/file", &file).await };
    let cut = async {
        // Once part of it has arrived.
        let begun = Instant::now();
        let partial = || {
            let entries = std::fs::read_dir(sshd.on_disk("/")).expect("a disk");
            entries.flatten().any(|e| e.file_name().to_string_lossy().starts_with(".replank-"))
        };
        while !partial() && begun.elapsed() < Duration::from_millis(60) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(sshd.cut() > 0);
        std::fs::read(&seen).expect("it is there").len()
    };
    let (written, length) = tokio::join!(write, cut);
    written.expect("it is written again");
    assert!(length == 3 || length == file.content.len(), "{length}");
    assert_eq!(std::fs::read(&seen).expect("it is there").len(), file.content.len());
    let left = std::fs::read_dir(seen.parent().expect("a folder")).expect("a folder").count();
    assert_eq!(left, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_does_one_thing_at_a_time_and_two_hosts_two() {
    let Some((site, sshd, host)) = one("one_host_does_one_thing_at_a_time") else { return };
    let _other_sshd = site.host("two");
    let other = reached(&site, "two");
    let argv = ["sh", "-c", "date +%s%N; sleep 1; date +%s%N"];
    let (a, b, c) = tokio::join!(
        host.run(Purpose::Look, &argv, None),
        host.run(Purpose::Look, &argv, None),
        other.run(Purpose::Look, &argv, None)
    );
    let span = |output: Result<replank_hosts::Output, HostError>| {
        let text = String::from_utf8(output.expect("it ran").stdout).expect("text");
        let times: Vec<u64> = text.lines().map(|l| l.parse().expect("a time")).collect();
        (times[0], times[1])
    };
    let (a, b, c) = (span(a), span(b), span(c));
    let meet = |x: (u64, u64), y: (u64, u64)| x.0 < y.1 && y.0 < x.1;
    assert!(!meet(a, b), "two commands at once on one host: {a:?} {b:?}");
    assert!(meet(a, c) || meet(b, c), "the other host waited: {a:?} {b:?} {c:?}");
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1, "one connection is shared");
}

/// What may be done as this user, by sudo.
async fn as_user(user: &str) -> Option<Result<replank_hosts::Output, HostError>> {
    let test = format!("sudo as {user}");
    let sudo = std::path::Path::new("/usr/bin/sudo").exists();
    let missing = sshd::missing().or_else(|| (!sudo).then(|| "there is no sudo: install it".into()));
    if let Some(reason) = missing {
        replank_tests::skip(&test, &reason);
        return None;
    }
    let site = Site::new();
    let _sshd = site.host_as("one", user, "");
    let host = reached(&site, "one");
    Some(host.run(Purpose::Look, &["sh", "-c", "id -un; id -u; echo \"$SUDO_USER\""], None).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_sudo_is_root() {
    let Some(output) = as_user("trusted").await else { return };
    let output = output.expect("sudo asks for nothing");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "root\n0\ntrusted\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_asked_for_a_password_is_told_what_to_do() {
    let Some(output) = as_user("asked").await else { return };
    let error = output.expect_err("nobody can answer").to_string();
    assert!(error.contains("sudo without a password (NOPASSWD), or log in as root"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_behind_another_is_reached_over_it() {
    let test = "a_host_behind_another_is_reached_over_it";
    let Some((site, mut jump, _)) = one(test) else { return };
    let _behind = site.host_as("behind", "root", "  ProxyJump one\n");
    let host = reached(&site, "behind");
    let output = host.run(Purpose::Look, &["cat", "/etc/machine-id"], None).await.expect("it is reached");
    assert_eq!(output.stdout, std::fs::read(site.path("behind.id")).expect("the host's id"));
    jump.stop();
    let patience = Duration::from_secs(2);
    let settings = SshSettings { destination: "behind".into(), config: Some(site.config()), patience };
    let error = SshHost::new(settings).run(Purpose::Look, &["true"], None).await;
    assert!(matches!(error, Err(HostError::Unreachable { .. })), "there is no other way: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_be_the_agents() {
    let test = "a_key_may_be_the_agents";
    if let Some(reason) = sshd::missing() {
        return replank_tests::skip(test, &reason);
    }
    let site = Site::new();
    let more = format!("  IdentityAgent {}\n", site.path("agent").display());
    let _sshd = site.host_as("one", "root", &more);
    {
        let _agent = Agent::start(&site);
        let output = reached(&site, "one").run(Purpose::Look, &["id", "-u"], None).await;
        assert_eq!(output.expect("the agent has the key").stdout, b"0\n");
    }
    let refused = reached(&site, "one").run(Purpose::Look, &["true"], None).await;
    assert!(refused.is_err(), "the key is nowhere else: {refused:?}");
}
