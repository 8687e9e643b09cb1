//! `systemctl` for the one service that matters: the kubelet's.

use super::commands::CommandOutput;
use crate::machines::machine::{KUBELET_CONFIG, KUBELET_ENABLED, KUBELET_MASKED, Machine};

/// Runs `systemctl`. Services other than the kubelet are taken for running.
pub(super) fn run(machine: &Machine, arguments: &[&str]) -> CommandOutput {
    let quiet = arguments.contains(&"-q") || arguments.contains(&"--quiet");
    let now = arguments.contains(&"--now");
    let mut words = arguments.iter().filter(|word| !word.starts_with('-'));
    let Some(verb) = words.next() else { return CommandOutput::fail(1, "systemctl: no verb") };
    let units: Vec<&str> = words.map(|unit| unit.trim_end_matches(".service")).collect();
    if units.iter().any(|unit| *unit != "kubelet") || units.is_empty() {
        return match *verb {
            "is-active" if !quiet => CommandOutput::ok("active\n"),
            _ => CommandOutput::default(),
        };
    }
    let files = machine.host.files();
    let running = machine.kubelet.borrow().run;
    match *verb {
        "start" | "restart" if files.exists(KUBELET_MASKED) => CommandOutput::fail(
            1,
            format!("Failed to {verb} kubelet.service: Unit kubelet.service is masked."),
        ),
        "start" | "restart" | "try-restart" | "reload-or-restart" => {
            // Without its configuration the service would fail at once and again.
            if files.exists(KUBELET_CONFIG) && (*verb != "try-restart" || running) {
                machine.order_kubelet(true, *verb != "start");
            }
            CommandOutput::default()
        }
        "stop" => {
            machine.order_kubelet(false, false);
            CommandOutput::default()
        }
        "enable" | "unmask" | "disable" | "mask" => {
            mark(machine, verb);
            if now {
                machine.order_kubelet(*verb == "enable" && files.exists(KUBELET_CONFIG), false);
            }
            CommandOutput::default()
        }
        "is-active" => state(quiet, running, "active", "inactive", 3),
        "is-enabled" => state(quiet, files.exists(KUBELET_ENABLED), "enabled", "disabled", 1),
        "daemon-reload" | "status" | "reset-failed" => CommandOutput::default(),
        verb => CommandOutput::fail(1, format!("Unknown command verb {verb}.")),
    }
}

fn mark(machine: &Machine, verb: &str) {
    let files = machine.host.files();
    match verb {
        // Nothing else lies at these two paths.
        "enable" => drop(files.write(KUBELET_ENABLED, "[Unit]\nDescription=kubelet\n", 0o644)),
        "mask" => drop(files.write(KUBELET_MASKED, "", 0o644)),
        "disable" => drop(files.remove(KUBELET_ENABLED)),
        _ => drop(files.remove(KUBELET_MASKED)),
    }
}

fn state(quiet: bool, holds: bool, yes: &str, no: &str, status: i32) -> CommandOutput {
    let text = if holds { yes } else { no };
    CommandOutput {
        status: if holds { 0 } else { status },
        stdout: if quiet { Vec::new() } else { format!("{text}\n").into_bytes() },
        stderr: Vec::new(),
    }
}
