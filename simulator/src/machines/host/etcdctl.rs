//! `etcdctl` as it runs inside a member's container.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::commands::CommandOutput;
use crate::machines::etcd::{Etcd, EtcdError, Member};
use crate::machines::machine::Machine;

const SIZE: u64 = 8_388_608;

/// Runs `etcdctl` against the machine's own member.
pub(super) fn run(machine: &Machine, arguments: &[&str]) -> CommandOutput {
    let mut words = Vec::new();
    let (mut json_output, mut cluster, mut endpoints) = (false, false, String::new());
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let (flag, inline) = word.split_once('=').map_or((*word, None), |(flag, value)| (flag, Some(value)));
        match flag {
            "-w" | "--write-out" => json_output = inline.or_else(|| rest.next().copied()) == Some("json"),
            "--cluster" => cluster = true,
            "--endpoints" => {
                endpoints = inline.or_else(|| rest.next().copied()).unwrap_or_default().to_owned()
            }
            flag if flag.starts_with('-') => {
                let takes_value = matches!(
                    flag,
                    "--cacert"
                        | "--cert"
                        | "--key"
                        | "--command-timeout"
                        | "--dial-timeout"
                        | "--user"
                        | "--password"
                );
                if takes_value && inline.is_none() {
                    rest.next();
                }
            }
            word => words.push(word),
        }
    }
    let etcd = &machine.site.etcd;
    let Some(own) = etcd.member_on(&machine.id) else {
        return CommandOutput::fail(
            1,
            "{\"level\":\"warn\",\"error\":\"connection refused\"}\nError: context deadline exceeded",
        );
    };
    // A member listens on one loopback address: that of its own family.
    let other = if own.address.contains(':') { "//127.0.0.1:" } else { "//[::1]:" };
    if endpoints.contains(other) {
        return CommandOutput::fail(
            1,
            "{\"level\":\"warn\",\"error\":\"connection refused\"}\nError: context deadline exceeded",
        );
    }
    let targets = targets(etcd, &own, cluster, &endpoints);
    match words.as_slice() {
        ["member", "list"] => member_list(etcd, &own, json_output),
        ["member", "remove", id] => with_id(id, |id| removed(etcd, id)),
        ["member", "promote", id] => with_id(id, |id| {
            etcd.promote(id)
                .map(|()| format!("Member {id:16x} promoted in cluster {:16x}\n", etcd.cluster_id()))
        }),
        ["move-leader", id] => with_id(id, |id| moved(etcd, &targets, id)),
        ["endpoint", "status"] => status(etcd, &targets, json_output),
        ["endpoint", "health"] => health(etcd, &targets, json_output),
        ["alarm", "list"] => alarms(etcd, &own, json_output),
        ["snapshot", "save", path] => snapshot(machine, etcd, path),
        _ => CommandOutput::fail(1, format!("Error: unknown command {:?} for \"etcdctl\"", words.join(" "))),
    }
}

/// The members behind `--endpoints` or `--cluster`; the own one by default.
fn targets(etcd: &Etcd, own: &Member, cluster: bool, endpoints: &str) -> Vec<Member> {
    if cluster {
        return etcd.members();
    }
    let named: Vec<Member> = etcd
        .members()
        .into_iter()
        .filter(|member| endpoints.split(',').any(|endpoint| endpoint == client_url(member)))
        .collect();
    if named.is_empty() { vec![own.clone()] } else { named }
}

fn failed(error: EtcdError) -> CommandOutput {
    CommandOutput::fail(1, format!("Error: {error}"))
}

fn with_id(id: &str, act: impl FnOnce(u64) -> Result<String, EtcdError>) -> CommandOutput {
    match u64::from_str_radix(id, 16) {
        Ok(id) => act(id).map_or_else(failed, CommandOutput::ok),
        Err(_) => CommandOutput::fail(
            1,
            format!(
                "Error: bad member ID arg (strconv.ParseUint: parsing \"{id}\": invalid syntax), expecting ID in Hex"
            ),
        ),
    }
}

fn header(etcd: &Etcd, member: &Member) -> Value {
    json!({
        "cluster_id": etcd.cluster_id(),
        "member_id": member.id,
        "revision": 1000 + etcd.revision(),
        "raft_term": etcd.term(),
    })
}

fn client_url(member: &Member) -> String {
    crate::machines::urls::https(&member.address, 2379)
}

fn peer_url(member: &Member) -> String {
    crate::machines::urls::https(&member.address, 2380)
}

fn member_list(etcd: &Etcd, own: &Member, json_output: bool) -> CommandOutput {
    if !etcd.has_quorum() {
        return failed(EtcdError::NoQuorum);
    }
    let members = etcd.members();
    if !json_output {
        let lines = members.iter().map(|member| {
            let (state, name, client) = match member.started {
                true => ("started", member.name.as_str(), client_url(member)),
                false => ("unstarted", "", String::new()),
            };
            format!("{:x}, {state}, {name}, {}, {client}, {}\n", member.id, peer_url(member), member.learner)
        });
        return CommandOutput::ok(lines.collect::<String>());
    }
    let members: Vec<Value> = members
        .iter()
        .map(|member| {
            let mut shown = json!({"ID": member.id, "peerURLs": [peer_url(member)]});
            if member.started {
                shown["name"] = json!(member.name);
                shown["clientURLs"] = json!([client_url(member)]);
            }
            if member.learner {
                shown["isLearner"] = json!(true);
            }
            shown
        })
        .collect();
    CommandOutput::ok(format!("{}\n", json!({"header": header(etcd, own), "members": members})))
}

fn removed(etcd: &Etcd, id: u64) -> Result<String, EtcdError> {
    etcd.remove(id)?;
    Ok(format!("Member {id:16x} removed from cluster {:16x}\n", etcd.cluster_id()))
}

fn moved(etcd: &Etcd, targets: &[Member], to: u64) -> Result<String, EtcdError> {
    let Some(leader) = etcd.leader() else { return Err(EtcdError::NoQuorum) };
    if !targets.iter().any(|member| member.id == leader) {
        return Err(EtcdError::NotLeader);
    }
    etcd.move_leader(to)?;
    Ok(format!("Leadership transferred from {leader:16x} to {to:16x}\n"))
}

fn status(etcd: &Etcd, targets: &[Member], json_output: bool) -> CommandOutput {
    let mut shown = Vec::new();
    let mut errors = String::new();
    for member in targets {
        if !member.up {
            errors += &format!(
                "Failed to get the status of endpoint {} (context deadline exceeded)\n",
                client_url(member)
            );
            continue;
        }
        let mut status = json!({
            "header": header(etcd, member),
            "version": "3.6.5",
            "dbSize": SIZE,
            "leader": etcd.leader().unwrap_or(0),
            "raftIndex": 2000 + etcd.revision(),
            "raftTerm": etcd.term(),
            "raftAppliedIndex": 2000 + etcd.revision(),
            "dbSizeInUse": SIZE / 2,
        });
        if member.learner {
            status["isLearner"] = json!(true);
        }
        if etcd.leader().is_none() {
            status["errors"] = json!(["etcdserver: no leader"]);
        }
        shown.push(json!({"Endpoint": client_url(member), "Status": status}));
    }
    let stdout = match json_output {
        true => format!("{}\n", Value::Array(shown)),
        false => shown
            .iter()
            .map(|status| format!("{}, {}\n", status["Endpoint"], status["Status"]["header"]["member_id"]))
            .collect(),
    };
    CommandOutput {
        status: i32::from(!errors.is_empty()),
        stdout: stdout.into_bytes(),
        stderr: errors.into_bytes(),
    }
}

fn health(etcd: &Etcd, targets: &[Member], json_output: bool) -> CommandOutput {
    let mut all = true;
    let mut shown = Vec::new();
    for member in targets {
        let healthy = member.up && etcd.has_quorum();
        all &= healthy;
        let mut entry = json!({"endpoint": client_url(member), "health": healthy, "took": "4.2ms"});
        if !healthy {
            entry["error"] = json!("context deadline exceeded");
        }
        shown.push(entry);
    }
    let stdout = match json_output {
        true => format!("{}\n", Value::Array(shown)),
        false => shown
            .iter()
            .map(|entry| format!("{} is healthy: {}\n", entry["endpoint"], entry["health"]))
            .collect(),
    };
    let stderr = if all { String::new() } else { "Error: unhealthy cluster\n".to_owned() };
    CommandOutput { status: i32::from(!all), stdout: stdout.into_bytes(), stderr: stderr.into_bytes() }
}

fn alarms(etcd: &Etcd, own: &Member, json_output: bool) -> CommandOutput {
    match (etcd.has_quorum(), json_output) {
        (false, _) => failed(EtcdError::NoQuorum),
        (true, true) => CommandOutput::ok(format!("{}\n", json!({"header": header(etcd, own)}))),
        (true, false) => CommandOutput::default(),
    }
}

/// Saves a file whose last 32 bytes are the digest of the rest, as etcd does.
fn snapshot(machine: &Machine, etcd: &Etcd, path: &str) -> CommandOutput {
    if !etcd.has_quorum() {
        return failed(EtcdError::NoQuorum);
    }
    let members: Vec<u64> = etcd.members().iter().map(|member| member.id).collect();
    let mut content = json!({"revision": etcd.revision(), "members": members}).to_string().into_bytes();
    content.resize(content.len().next_multiple_of(512), 0);
    let digest = Sha256::digest(&content);
    content.extend_from_slice(&digest);
    match machine.host.files().write(path, content, 0o600) {
        Ok(()) => CommandOutput::ok(format!("Snapshot saved at {path}\n")),
        Err(error) => CommandOutput::fail(1, format!("Error: {error}")),
    }
}
