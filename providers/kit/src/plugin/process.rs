//! The child process with its pipes.

use super::fault::PluginFault;
use crate::escape::escape_line;
use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

/// How many of its last log lines are kept for an error's sentence.
const TAIL_LINES: usize = 5;

/// How much of the log of a process that has ended is still read, and for how long: what it started itself may
/// hold its pipe open.
const REST_BYTES: usize = 64 * 1024;
const REST: Duration = Duration::from_millis(500);

/// More than this in a second on standard error is no log any more.
pub(super) const FLOOD_BYTES: usize = 1024 * 1024;

/// A running plugin.
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: BufReader<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
    /// What was read of standard output's line so far.
    pub(super) partial: Vec<u8>,
    /// What is still to be written to standard input.
    pub(super) outgoing: VecDeque<u8>,
    log: Log,
}

impl Process {
    /// Starts the plugin in a process group of its own: a Ctrl-C at the terminal is replank's to
    /// handle, not the plugin's.
    pub(super) fn start(path: &Path) -> Result<Self, PluginFault> {
        let mut command = Command::new(path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let not_started = |reason: String| PluginFault::NotStarted { reason };
        let mut child = command.spawn().map_err(|e| not_started(e.to_string()))?;
        let stdout = child.stdout.take().ok_or_else(|| not_started("it has no standard output".into()))?;
        Ok(Self {
            stdin: child.stdin.take(),
            stderr: child.stderr.take(),
            stdout: BufReader::new(stdout),
            child,
            partial: Vec::new(),
            outgoing: VecDeque::new(),
            log: Log::default(),
        })
    }

    /// Takes in what came on standard error.
    pub(super) fn log(&mut self, plugin: &str, bytes: &[u8]) -> Result<(), PluginFault> {
        self.log.take(plugin, bytes)
    }

    /// Waits for the end of a process whose output has ended, and says how it ended.
    pub(super) async fn ended(&mut self) -> String {
        // Its output may end before itself: a plugin that lives on without one is no use.
        let patience = tokio::time::timeout(Duration::from_secs(2), self.child.wait()).await;
        match patience {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                let _ = self.child.start_kill();
                "it closed its output and went on".into()
            }
        }
    }

    /// Reads what a process that has ended had still said.
    pub(super) async fn rest_of_log(&mut self, plugin: &str) {
        let Some(mut stderr) = self.stderr.take() else { return };
        let mut rest = Vec::new();
        // What can't be read any more is only missing in a sentence.
        let _ =
            tokio::time::timeout(REST, (&mut stderr).take(REST_BYTES as u64).read_to_end(&mut rest)).await;
        let _ = self.log.take(plugin, &rest);
        self.log.end_line();
    }

    /// The last it said, as part of a sentence.
    pub(super) fn last_words(&self) -> String {
        if self.log.tail.is_empty() {
            return String::new();
        }
        let words: Vec<String> = self.log.tail.iter().map(|line| shown(line)).collect();
        format!(" and said: {}", words.join(" | "))
    }
}

impl Drop for Process {
    /// A plugin may have started programs of its own: they go with it.
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            // It is not reaped yet, so that the number is still its own; one that has just ended is fine.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

fn shown(line: &[u8]) -> String {
    escape_line(&String::from_utf8_lossy(line), 400)
}

/// Standard error: passed to the log, its last lines kept.
#[derive(Default)]
struct Log {
    tail: VecDeque<Vec<u8>>,
    line: Vec<u8>,
    window: Option<(Instant, usize)>,
}

impl Log {
    fn take(&mut self, plugin: &str, bytes: &[u8]) -> Result<(), PluginFault> {
        self.count(bytes.len())?;
        for byte in bytes {
            // A line without an end is cut where nobody would read on.
            if *byte == b'\n' || self.line.len() >= 4096 {
                let line = std::mem::take(&mut self.line);
                if tracing::enabled!(tracing::Level::DEBUG) {
                    tracing::debug!(plugin, "{}", shown(&line));
                }
                self.tail.push_back(line);
                while self.tail.len() > TAIL_LINES {
                    self.tail.pop_front();
                }
            }
            if *byte != b'\n' {
                self.line.push(*byte);
            }
        }
        Ok(())
    }

    /// The last line needs no end.
    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.tail.push_back(std::mem::take(&mut self.line));
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), PluginFault> {
        let now = Instant::now();
        let (since, so_far) = self.window.unwrap_or((now, 0));
        if now.duration_since(since) > Duration::from_secs(1) {
            self.window = Some((now, bytes));
        } else if so_far + bytes > FLOOD_BYTES {
            return Err(PluginFault::Flooded { bytes: FLOOD_BYTES });
        } else {
            self.window = Some((since, so_far + bytes));
        }
        Ok(())
    }
}
