//! A child process that always ends, its output kept.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a process or a file is looked at: there is nothing to be told by.
const LOOK: Duration = Duration::from_millis(5);

/// A program of ours, built by `cargo xtask test` beside this test.
pub(crate) fn path_of(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("a test knows its own path");
    folder.pop();
    folder.pop();
    folder.join(name)
}

/// Looks until there is something, and fails when there is nothing in time.
pub(crate) fn eventually<T>(what: &str, most: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + most;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {most:?}");
        std::thread::sleep(LOOK);
    }
}

/// A process with its output in files. Dropping it ends it, after a panic too.
pub(crate) struct Program {
    child: Child,
    line: String,
    out: PathBuf,
    err: PathBuf,
    ended: Option<ExitStatus>,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status, or minus the signal's number.
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Program {
    /// Starts a command; its output goes to `NAME.out` and `NAME.err` in the folder.
    pub(crate) fn start(mut command: Command, folder: &Path, name: &str) -> Self {
        let file = |kind: &str| folder.join(format!("{name}.{kind}"));
        let (out, err) = (file("out"), file("err"));
        let make = |path: &Path| File::create(path).expect("the folder is writable");
        command.stdin(Stdio::null()).stdout(make(&out)).stderr(make(&err));
        let line = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|error| panic!("{line} does not start: {error}"));
        Self { child, line, out, err, ended: None }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn out(&self) -> String {
        read(&self.out)
    }

    pub(crate) fn err(&self) -> String {
        read(&self.err)
    }

    /// Its children's process ids.
    pub(crate) fn children(&self) -> Vec<u32> {
        let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| parent_of(*pid) == Some(self.pid())).collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Kills it, as the kernel does; says whether it had ended by itself before.
    pub(crate) fn kill(&mut self) -> Option<Ended> {
        if self.has_ended() {
            return Some(self.told());
        }
        // It may end by itself in this moment.
        let _ = self.child.kill();
        self.ended = self.child.wait().ok();
        let killed = self.ended.and_then(|status| status.signal()) == Some(Signal::KILL.as_raw());
        (!killed).then(|| self.told())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child can be waited for");
        }
        self.ended.is_some()
    }

    /// Waits for its end, which must come in time.
    pub(crate) fn ends_within(&mut self, most: Duration) -> Ended {
        let until = Instant::now() + most;
        while !self.has_ended() {
            assert!(Instant::now() < until, "{} did not end within {most:?}", self.line);
            std::thread::sleep(LOOK);
        }
        self.told()
    }

    fn told(&self) -> Ended {
        let status = self.ended.map_or(-1, |s| s.code().unwrap_or_else(|| -s.signal().unwrap_or(0)));
        Ended { status, out: self.out(), err: self.err() }
    }
}

impl Drop for Program {
    #[allow(clippy::print_stderr, reason = "a test's own output")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}\n{}\n{}", self.line, tail(&self.out()), tail(&self.err()));
        }
        if !self.has_ended() {
            // A stopped process can be killed too, and a stopped child of it would not see that its input ended.
            let children = self.children();
            let _ = self.child.kill();
            let _ = self.child.wait();
            send_all(&children, Signal::KILL);
        }
    }
}

impl Ended {
    /// Its exit status must be this one.
    #[track_caller]
    pub(crate) fn with(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}\n{}", tail(&self.out), tail(&self.err));
        self
    }

    /// What it printed for people must hold this.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        let said = self.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words), "{words:?} is not in\n{}", tail(&self.err));
        self
    }
}

/// Sends a signal to a process, which may be gone by now.
fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The same for several.
pub(crate) fn send_all(pids: &[u32], signal: Signal) {
    for pid in pids {
        send(*pid, signal);
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; what follows it does not.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// The last lines of a text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
