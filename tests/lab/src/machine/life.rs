//! Switching machines on and off.

use super::record::Power;
use crate::error::{LabError, Result};
use crate::machine::network::GATEWAY;
use crate::place::Place;
use crate::run::{checked, command, output, succeed};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a machine may take to its first process. An idle one takes 0.1 s.
const START: Duration = Duration::from_secs(20);
/// How long the kernel may take to end a machine's processes.
const END: Duration = Duration::from_secs(20);
/// Between two looks at `/proc`: no event tells of a process that is not one's own child.
const LOOK: Duration = Duration::from_millis(20);

/// A machine's first process as the outer world knows it.
pub(crate) fn first_process(machine: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(machine.join("init.pid")).ok()?;
    let mut words = text.split_whitespace();
    let (pid, started) = (words.next()?, words.next()?);
    // A number is used again some day; the time of its start is not.
    (start_time(pid).as_deref() == Some(started)).then(|| pid.parse().ok()).flatten()
}

fn start_time(pid: &str) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace();
    let dead = matches!(fields.next(), Some("Z" | "X"));
    // Field 22 of the whole line.
    fields.nth(18).filter(|_| !dead).map(str::to_owned)
}

pub(crate) fn power(machine: &Path) -> Power {
    if first_process(machine).is_some() { Power::On } else { Power::Off }
}

/// A command in the lab's own namespaces.
pub(crate) fn in_lab(init: u32, words: &[&str]) -> Command {
    let mut enter = command("nsenter", &["-t", &init.to_string(), "-m", "-n", "-p", "--"]);
    enter.args(words);
    enter
}

/// A command on a machine.
pub(crate) fn on_machine(first: u32, words: &[&str]) -> Command {
    let pid = first.to_string();
    let mut enter = command("nsenter", &["-t", &pid, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]);
    enter.env_clear();
    enter.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin").env("HOME", "/root");
    enter.args(["env", "LANG=C.UTF-8"]).args(words);
    enter
}

pub(crate) fn switch_on(place: &Place, init: u32, name: &str, address: &str) -> Result<()> {
    let machine = place.machine(name);
    let console = machine.join("console.log");
    let failed = |source| LabError::File { path: console.clone(), source };
    let log = std::fs::File::options().create(true).append(true).open(&console).map_err(failed)?;
    let errors = log.try_clone().map_err(failed)?;
    let folder = place.folder().to_string_lossy().into_owned();
    let script = place.join("guest/machine.sh").to_string_lossy().into_owned();
    let group = format!("{}/{name}", place.cgroup());
    let gateway = GATEWAY.to_string();
    let mut start =
        in_lab(init, &["setsid", "--fork", "bash", &script, &folder, name, address, &gateway, &group]);
    start.stdin(Stdio::null()).stdout(log).stderr(errors);
    let status = start.status().map_err(|source| LabError::Start { program: "nsenter".into(), source })?;
    if !status.success() {
        return Err(LabError::Failed {
            what: format!("starting machine {name}"),
            status: status.code().unwrap_or(-1),
            said: format!("see {}", console.display()),
        });
    }
    wait(START, &format!("the start of machine {name}"), || match power(&machine) {
        Power::On => None,
        Power::Off => Some(format!("see {}", console.display())),
    })
}

pub(crate) fn switch_off(place: &Place, init: u32, name: &str) -> Result<()> {
    let machine = place.machine(name);
    if let Some(pid) = first_process(&machine).and_then(|p| rustix::process::Pid::from_raw(p.cast_signed())) {
        // The kernel ends everything in its namespaces with it.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        wait(END, &format!("the end of machine {name}"), || match power(&machine) {
            Power::On => Some("its first process still runs".into()),
            Power::Off => None,
        })?;
    }
    // Its veth pair ends with its network namespace.
    let _ = output(&mut in_lab(init, &["ip", "netns", "del", name]))?;
    remove_cgroups(&format!("{}/{name}", place.cgroup()))
}

/// A machine on which everything stands still, until this is dropped or its process is killed.
pub(crate) struct Still {
    /// Whoever lets it run again: it waits for the end of its input, which comes in either case.
    keeper: Child,
}

impl Drop for Still {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // One that is gone already has done it.
        let _ = self.keeper.wait();
    }
}

/// Lets everything on a machine stand still.
pub(crate) fn hold_still(place: &Place, name: &str) -> Result<Still> {
    let group = format!("{}/{name}", place.cgroup());
    let unified = PathBuf::from("/sys/fs/cgroup").join(&group).join("cgroup.freeze");
    let freezer = PathBuf::from("/sys/fs/cgroup/freezer").join(&group).join("freezer.state");
    let (path, still, again) =
        if unified.exists() { (unified, "1", "0") } else { (freezer, "FROZEN", "THAWED") };
    let mut keeper = Command::new("setsid");
    keeper.args(["sh", "-c", r#"echo "$2" >"$1"; cat >/dev/null; echo "$3" >"$1""#, "sh"]);
    keeper.arg(&path).args([still, again]).stdin(Stdio::piped()).stdout(Stdio::null());
    let keeper = keeper.spawn().map_err(|source| LabError::Start { program: "setsid".into(), source })?;
    let held = Still { keeper };
    let events = path.with_file_name("cgroup.events");
    wait(END, &format!("the freezing of machine {name}"), || {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let state = read(&path);
        let is = state.trim() == "FROZEN" || read(&events).contains("frozen 1");
        (!is).then(|| state.trim().to_owned())
    })?;
    Ok(held)
}

/// Removes a control group and everything below it, in every hierarchy.
pub(crate) fn remove_cgroups(group: &str) -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let mut hierarchies = vec![root.to_owned()];
    hierarchies.extend(std::fs::read_dir(root).map_err(LabError::file(root))?.flatten().map(|e| e.path()));
    for path in hierarchies.into_iter().map(|h| h.join(group)).filter(|p| p.is_dir()) {
        // A group is busy until the last of its processes has been taken in.
        wait(END, &format!("the end of the control group {}", path.display()), || {
            let done = output(&mut command(
                "find",
                &[&path.to_string_lossy(), "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"],
            ));
            match done.and_then(|o| checked("rmdir", &o)) {
                _ if !path.exists() => None,
                Ok(()) => Some("it is still there".into()),
                Err(error) => Some(error.to_string()),
            }
        })?;
    }
    Ok(())
}

/// Copies a tree as it is, owners and all.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    // It ends with whoever asked: nobody else would know that it still writes.
    let words = ["--pdeathsig", "KILL", "cp", "--archive", "--reflink=auto", "--no-target-directory"];
    let mut copy = command("setpriv", &words);
    succeed(&format!("copying {}", from.display()), copy.arg(from).arg(to)).map(drop)
}

/// Looks until there is no reason left to wait.
pub(crate) fn wait(most: Duration, what: &str, mut why: impl FnMut() -> Option<String>) -> Result<()> {
    let until = Instant::now() + most;
    loop {
        let Some(seen) = why() else { return Ok(()) };
        if Instant::now() >= until {
            return Err(LabError::Late { what: what.into(), seconds: most.as_secs(), seen });
        }
        std::thread::sleep(LOOK);
    }
}
