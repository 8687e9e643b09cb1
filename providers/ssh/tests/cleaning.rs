//! What is Calico's goes and what is others' stays, on real links, routes, rules, sets and tables in a network
//! namespace of its own. What the kernel here lacks (tunl0, WireGuard) is tried on recorded output.

#![allow(missing_docs, reason = "a test's own output")]

use replank_provider_ssh::CLEAN;
use std::process::{Command, Output};

/// Makes what Calico makes, and beside it what it does not.
const HOST: &str = include_str!("host.sh");

fn in_a_namespace(script: &str) -> Output {
    // As text: a host of its own has a /tmp of its own, and the repository may lie in the outer one.
    Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "sh", "-c", script, "sh", CLEAN])
        .output()
        .expect("unshare starts")
}

fn missing() -> Option<String> {
    for tool in ["ip", "iptables-nft", "iptables-legacy", "ipset", "nft"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
        if !found.is_ok_and(|o| o.status.success()) {
            return Some(format!("there is no {tool}"));
        }
    }
    let tried = in_a_namespace(
        "ip link add name one type veth peer name two && ipset create x hash:net && iptables-legacy -w -L -n",
    );
    (!tried.status.success())
        .then(|| format!("no namespace of its own: {}", String::from_utf8_lossy(&tried.stderr).trim()))
}

#[test]
fn only_what_is_calicos_goes() {
    if let Some(reason) = missing() {
        return replank_tests::skip("only_what_is_calicos_goes", &reason);
    }
    // The same host twice: once with Calico's things, cleaned, and once as it was without them.
    let show = include_str!("show.sh");
    let cleaned = in_a_namespace(&format!(
        "{HOST}\nothers\ncalico\nsh -c \"$1\" >/tmp/said || {{ cat /tmp/said >&2; exit 9; }}\n{show}"
    ));
    let never = in_a_namespace(&format!("{HOST}\nothers\n{show}"));
    let text = |o: &Output| String::from_utf8_lossy(&o.stdout).into_owned();
    assert!(cleaned.status.success(), "{}", String::from_utf8_lossy(&cleaned.stderr));
    assert!(never.status.success(), "{}", String::from_utf8_lossy(&never.stderr));
    assert!(
        text(&never).contains("KUBE-FORWARD") && text(&never).contains("not cali: mine"),
        "{}",
        text(&never)
    );
    assert_eq!(text(&cleaned), text(&never));
}

#[test]
fn calicos_things_are_there_before_it_is_cleaned_and_a_second_time_is_quiet() {
    if let Some(reason) = missing() {
        return replank_tests::skip("calicos_things_are_there_before_it_is_cleaned", &reason);
    }
    let said = in_a_namespace(&format!("{HOST}\nothers\ncalico\nsh -c \"$1\"; echo again; sh -c \"$1\""));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let (first, second) = said.split_once("again\n").expect("it was run twice");
    for kind in [
        "file /etc/cni/net.d/10-calico.conflist",
        "rule 99:",
        "route blackhole 192.168.1.0/26",
        "route fd10::/64",
        "link cali0123456789a",
        "link vxlan.calico",
        "iptables-nft filter: 2 rules, 2 chains",
        "iptables-legacy nat",
        "ip6tables-nft raw",
        "ip6tables-legacy mangle",
        "ipset cali40l",
        "ipset cali60s:abc",
        "nft table ip6 calico",
        "BPF pins /sys/fs/bpf/calico",
        "mount /run/calico/cgroup",
        "folder /var/run/calico",
    ] {
        assert!(first.contains(&format!("removed {kind}")), "{kind}: {first}");
    }
    assert!(!second.contains("removed") && !second.contains("failed"), "{second}");
}

#[test]
fn recorded_output_of_kinds_that_this_kernel_lacks() {
    // `ip` as it answered on a host with IP in IP and WireGuard; deletions are recorded.
    let folder = tempfile::tempdir().expect("a folder");
    let fake = r#"#!/bin/sh
case "$*" in
*' del '*) echo "$*" >>"$(dirname "$0")/deleted" ;;
'-4 route show table all dev tunl0') echo '192.168.9.0/26 via 10.0.0.2 proto bird onlink' ;;
'-o -4 addr show dev tunl0') echo '4: tunl0    inet 192.168.1.64/32 scope global tunl0\       valid_lft forever preferred_lft forever' ;;
'-4 rule show pref 99') printf '99:\tnot from all fwmark 0x100000/0x100000 lookup 1\n' ;;
'-4 route show table 1') echo '192.168.2.0/26 dev wireguard.cali scope link' ;;
'-o link show') grep -q wireguard "$(dirname "$0")/deleted" && exit 0
    echo '9: wireguard.cali: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1440 qdisc noqueue state UNKNOWN'
    echo '10: wg0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420 qdisc noqueue state UNKNOWN'
    echo '4: tunl0@NONE: <NOARP,UP,LOWER_UP> mtu 1480 qdisc noqueue state UNKNOWN' ;;
esac
"#;
    let path = folder.path().join("ip");
    std::fs::write(&path, fake).expect("it is written");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let said = in_a_namespace(&format!("PATH={}:$PATH sh -c \"$1\"", folder.path().display()));
    if !said.status.success() && said.stdout.is_empty() {
        return replank_tests::skip("recorded_output_of_kinds", String::from_utf8_lossy(&said.stderr).trim());
    }
    let deleted = std::fs::read_to_string(folder.path().join("deleted")).expect("something was deleted");
    let lines: Vec<&str> = deleted.lines().collect();
    assert_eq!(
        lines,
        [
            "-4 rule del pref 99 not fwmark 0x100000/0x100000 lookup 1",
            "addr del 192.168.1.64/32 dev tunl0",
            "link del wireguard.cali",
        ]
    );
}
