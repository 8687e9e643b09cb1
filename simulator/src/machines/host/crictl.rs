//! `crictl`: listing containers and running `etcdctl` in one of them.

use serde_json::json;

use super::commands::CommandOutput;
use super::etcdctl;
use crate::machines::machine::Machine;
use crate::machines::runtime::ContainerRow;

/// Runs `crictl`.
pub(super) fn run(machine: &Machine, arguments: &[&str]) -> CommandOutput {
    let mut arguments = arguments;
    // Global flags with a value come first.
    while let Some(first) = arguments.first().filter(|word| word.starts_with('-')) {
        let skip = if first.contains('=') { 1 } else { 2 };
        arguments = arguments.get(skip..).unwrap_or_default();
    }
    match arguments.split_first() {
        Some((&"ps", flags)) => list(machine, flags),
        Some((&"exec", rest)) => exec(machine, rest),
        Some((&"inspect", rest)) => inspect(machine, rest),
        Some((&"stop" | &"rm", _)) => CommandOutput::fail(1, "the kubelet owns the containers"),
        Some((&("info" | "version"), _)) => {
            CommandOutput::ok("RuntimeName: containerd\nRuntimeVersion: 2.1.4\n")
        }
        Some((verb, _)) => CommandOutput::fail(1, format!("No help topic for '{verb}'")),
        None => CommandOutput::fail(1, "crictl: no command"),
    }
}

fn list(machine: &Machine, flags: &[&str]) -> CommandOutput {
    let (mut name, mut state, mut quiet, mut all, mut output) = ("", "", false, false, "table");
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        let (flag, inline) = flag.split_once('=').map_or((*flag, None), |(flag, value)| (flag, Some(value)));
        let mut value = || inline.or_else(|| flags.next().copied()).unwrap_or_default();
        match flag {
            "--name" => name = value(),
            "--state" | "-s" => state = value(),
            "--output" | "-o" => output = value(),
            "-q" | "--quiet" => quiet = true,
            "-a" | "--all" => all = true,
            "-aq" | "-qa" => (quiet, all) = (true, true),
            _ => return CommandOutput::fail(1, format!("flag provided but not defined: {flag}")),
        }
    }
    let rows: Vec<ContainerRow> = machine
        .runtime
        .list()
        .into_iter()
        .filter(|row| matches_name(name, &row.name))
        .filter(|row| match state.to_lowercase().as_str() {
            "running" => row.running,
            "exited" => !row.running,
            _ => all || row.running,
        })
        .collect();
    if quiet {
        return CommandOutput::ok(rows.iter().map(|row| format!("{}\n", row.id)).collect::<String>());
    }
    if output == "json" {
        let containers: Vec<_> = rows.iter().map(described).collect();
        return CommandOutput::ok(format!("{}\n", json!({ "containers": containers })));
    }
    let mut table =
        String::from("CONTAINER           IMAGE               STATE     NAME                ATTEMPT   POD\n");
    for row in rows {
        let state = if row.running { "Running" } else { "Exited" };
        table += &format!(
            "{}       {}       {state}   {}   {}   {}\n",
            &row.id[..13.min(row.id.len())],
            row.image,
            row.name,
            row.attempt,
            row.pod
        );
    }
    CommandOutput::ok(table)
}

/// A name pattern of crictl is a regular expression; anchors and `.*` are what people use.
fn matches_name(pattern: &str, name: &str) -> bool {
    let (start, pattern) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let (end, pattern) = pattern.strip_suffix('$').map_or((false, pattern), |rest| (true, rest));
    let pattern = pattern.trim_start_matches('(').trim_end_matches(')').replace(".*", "");
    match (start, end) {
        (true, true) => name == pattern,
        (true, false) => name.starts_with(&pattern),
        (false, true) => name.ends_with(&pattern),
        (false, false) => name.contains(&pattern),
    }
}

fn described(row: &ContainerRow) -> serde_json::Value {
    json!({
        "id": row.id,
        "metadata": {"name": row.name, "attempt": row.attempt},
        "image": {"image": row.image},
        "state": if row.running { "CONTAINER_RUNNING" } else { "CONTAINER_EXITED" },
        "labels": {
            "io.kubernetes.container.name": row.name,
            "io.kubernetes.pod.name": row.pod,
            "io.kubernetes.pod.namespace": row.namespace,
        },
    })
}

fn inspect(machine: &Machine, arguments: &[&str]) -> CommandOutput {
    let id = arguments.iter().find(|word| !word.starts_with('-'));
    match id.and_then(|id| machine.runtime.find(id)) {
        Some(row) => CommandOutput::ok(format!("{}\n", json!({ "status": described(&row) }))),
        None => CommandOutput::fail(1, "container not found"),
    }
}

fn exec(machine: &Machine, arguments: &[&str]) -> CommandOutput {
    let mut rest = arguments;
    while let Some(flag) = rest.first().filter(|word| word.starts_with('-')) {
        let takes_value = matches!(*flag, "--timeout" | "-r" | "--transport");
        rest = rest.get(if takes_value { 2 } else { 1 }..).unwrap_or_default();
    }
    let Some((id, command)) = rest.split_first() else {
        return CommandOutput::fail(1, "ID cannot be empty");
    };
    let Some(row) = machine.runtime.find(id).filter(|row| row.running) else {
        return CommandOutput::fail(
            1,
            format!("execing command in container: container \"{id}\" not found: not found"),
        );
    };
    match command.split_first() {
        Some((program, arguments)) if row.name == "etcd" && program.rsplit('/').next() == Some("etcdctl") => {
            etcdctl::run(machine, arguments)
        }
        Some((program, _)) => CommandOutput::fail(
            126,
            format!(
                "exec failed: unable to start container process: exec: \"{program}\": executable file not found in $PATH"
            ),
        ),
        None => CommandOutput::fail(1, "command to execute is needed"),
    }
}

#[cfg(test)]
mod tests {
    use super::matches_name;

    #[test]
    fn names_are_patterns() {
        assert!(matches_name("^etcd$", "etcd") && !matches_name("^etcd$", "etcd-events"));
        assert!(matches_name("etcd", "my-etcd") && matches_name("", "x"));
        assert!(matches_name("^kube-.*", "kube-proxy"));
    }
}
