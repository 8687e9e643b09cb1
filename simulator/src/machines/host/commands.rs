//! The commands that a simulated host understands.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{crictl, file_commands, shell, systemctl};
use crate::machines::kubeadm;
use crate::machines::machine::Machine;

/// Programs that `command -v` finds, beside the small ones.
const PROGRAMS: [&str; 5] = ["containerd", "crictl", "kubeadm", "kubelet", "systemctl"];

/// What a command left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// The exit status; 127 for a command that the host does not know.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl CommandOutput {
    /// Success with this output.
    pub(crate) fn ok(stdout: impl Into<Vec<u8>>) -> Self {
        Self { status: 0, stdout: stdout.into(), stderr: Vec::new() }
    }

    /// Failure with this message.
    pub(crate) fn fail(status: i32, stderr: impl Into<String>) -> Self {
        let mut stderr = stderr.into();
        if !stderr.is_empty() && !stderr.ends_with('\n') {
            stderr.push('\n');
        }
        Self { status, stdout: Vec::new(), stderr: stderr.into_bytes() }
    }
}

/// Runs a command on a machine that is on.
pub(crate) fn run<'a>(
    machine: &'a Arc<Machine>,
    argv: &'a [String],
    stdin: &'a [u8],
) -> BoxFuture<'a, CommandOutput> {
    async move {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let Some((program, arguments)) = words.split_first() else {
            return CommandOutput::fail(2, "no command");
        };
        let name = program.rsplit('/').next().unwrap_or(program);
        match name {
            "sh" | "bash" => match arguments {
                ["-c" | "-ec" | "-euc" | "-lc" | "-xc" | "-exc", script, ..] => {
                    shell::run(machine, script, stdin).await
                }
                _ => CommandOutput::fail(2, format!("{name}: only -c is understood")),
            },
            "command" => match arguments {
                ["-v", program] if PROGRAMS.contains(program) => {
                    CommandOutput::ok(format!("/usr/bin/{program}\n"))
                }
                _ => CommandOutput::fail(127, ""),
            },
            "sudo" | "env" | "nohup" => run(machine, &argv[1..], stdin).await,
            "kubeadm" => kubeadm::run(machine, arguments).await,
            "crictl" => crictl::run(machine, arguments),
            "systemctl" => systemctl::run(machine, arguments),
            "sleep" => {
                let seconds = arguments.first().and_then(|word| word.trim_end_matches('s').parse().ok());
                tokio::time::sleep(std::time::Duration::from_secs_f64(seconds.unwrap_or(0.0))).await;
                CommandOutput::default()
            }
            "hostname" => CommandOutput::ok(format!("{}\n", machine.host.identity().hostname)),
            _ => file_commands::run(machine.host.files(), name, arguments, stdin)
                .unwrap_or_else(|| CommandOutput::fail(127, format!("sh: {program}: command not found"))),
        }
    }
    .boxed()
}
