//! A lab that is up, as any process on this machine uses it.

use crate::balancer;
use crate::build::Built;
use crate::error::{LabError, Result};
use crate::machine::life::{self, in_lab, on_machine};
use crate::machine::{Power, Record, Wanted, disk, network};
use crate::place::{self, Place};
use crate::run::output;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A lab. Processes that use it at the same time take turns where they change it.
#[derive(Clone, Debug)]
pub struct Lab {
    place: Place,
    init: u32,
}

/// A snapshot's record, beside its copy of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// The machine it was taken of.
    pub machine: String,
    /// The run it was taken for.
    pub run: Option<String>,
    /// The cluster it was taken for.
    pub cluster: Option<String>,
}

/// A file of a machine.
#[derive(Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Its bytes; they may be secret.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

impl std::fmt::Debug for HostFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostFile({} bytes, {:04o})", self.content.len(), self.mode)
    }
}

impl Lab {
    /// The lab in a folder.
    ///
    /// # Errors
    /// When none is up there.
    pub fn open(place: Place) -> Result<Self> {
        let init = std::fs::read_to_string(place.join("run/init.pid")).ok();
        let init: Option<u32> = init.and_then(|text| text.trim().parse().ok());
        match init {
            Some(init) if runs(init, &place) => Ok(Self { place, init }),
            _ => Err(LabError::NoLab(place.folder().to_owned())),
        }
    }

    /// Its folder.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The folder with the programs that it runs.
    pub fn bin(&self) -> PathBuf {
        self.place.join("bin")
    }

    /// A command in the lab's network, which is in none of the machines.
    pub fn command(&self, words: &[&str]) -> Command {
        in_lab(self.init, words)
    }

    /// Its first process, by the number that this machine knows it by.
    pub(crate) fn first_process(&self) -> u32 {
        self.init
    }

    /// Every machine, by name.
    ///
    /// # Errors
    /// When a record can't be read.
    pub fn machines(&self) -> Result<Vec<Record>> {
        records(&self.place.join("machines"), "machine.json")
    }

    /// One machine.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn machine(&self, name: &str) -> Result<Record> {
        let found = if is_name(name) { place::read(&self.record(name))? } else { None };
        found.ok_or_else(|| LabError::NoMachine(name.to_owned()))
    }

    /// Whether a machine is on.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn power(&self, name: &str) -> Result<Power> {
        self.machine(name)?;
        Ok(life::power(&self.place.machine(name)))
    }

    /// Whether a machine has ever been switched on.
    pub fn has_booted(&self, name: &str) -> bool {
        self.place.machine(name).join("init.pid").exists()
    }

    /// Makes a machine and switches it on. Its first boot carries out the user-data.
    ///
    /// # Errors
    /// When there is one of that name, or it does not start.
    pub fn create(&self, wanted: &Wanted) -> Result<Record> {
        if !is_name(&wanted.name) {
            return Err(LabError::UserData(format!("{:?} is no host name", wanted.name)));
        }
        let record = self.reserve(wanted)?;
        let folder = self.place.machine(&record.name);
        let path = self.place.join("key.pub");
        let key = std::fs::read_to_string(&path).map_err(LabError::file(&path))?;
        let built = Built { bin: self.bin(), images: self.place.join("images") };
        disk::make(&folder.join("root"), &built, &record, &wanted.user_data, &key)?;
        self.start(&record.name)?;
        Ok(record)
    }

    /// Gives a new machine its address before anyone else can take it.
    fn reserve(&self, wanted: &Wanted) -> Result<Record> {
        let _turn = self.turn()?;
        let machines = self.machines()?;
        if machines.iter().any(|m| m.name == wanted.name) {
            return Err(LabError::UserData(format!("there is a machine {} already", wanted.name)));
        }
        let taken: BTreeSet<_> = machines.iter().map(|m| m.address).collect();
        let full = || LabError::UserData("the lab has no address left for another machine".into());
        let record = Record {
            name: wanted.name.clone(),
            role: wanted.role,
            address: network::free(&taken).ok_or_else(full)?,
            uuid: uuid()?,
            slot: None,
            labels: wanted.labels.clone(),
        };
        let folder = self.place.machine(&record.name);
        std::fs::create_dir_all(&folder).map_err(LabError::file(&folder))?;
        place::write(&self.record(&record.name), &record)?;
        Ok(record)
    }

    /// Switches a machine on. One that is on stays so.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, name: &str) -> Result<()> {
        let record = self.machine(name)?;
        if life::power(&self.place.machine(name)) == Power::On {
            return Ok(());
        }
        life::switch_on(&self.place, self.init, name, &record.address.to_string())
    }

    /// Switches a machine off, at once; its disk is kept.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self, name: &str) -> Result<()> {
        self.machine(name)?;
        life::switch_off(&self.place, self.init, name)
    }

    /// Off and on again.
    ///
    /// # Errors
    /// As [`Self::stop`] and [`Self::start`].
    pub fn reboot(&self, name: &str) -> Result<()> {
        self.stop(name)?;
        self.start(name)
    }

    /// Destroys a machine with its disk. One that is gone is fine.
    ///
    /// # Errors
    /// When it does not end or its disk can't be removed.
    pub fn destroy(&self, name: &str) -> Result<()> {
        match self.deregister(name).and_then(|()| self.stop(name)) {
            Err(LabError::NoMachine(_)) => return Ok(()),
            other => other?,
        }
        let folder = self.place.machine(name);
        std::fs::remove_dir_all(&folder).map_err(LabError::file(&folder))
    }

    /// Copies a machine's disk. It stands still meanwhile, so that the copy is of one instant.
    ///
    /// # Errors
    /// When the copy can't be made; then nothing of it stays.
    pub fn snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        let power = self.power(&snapshot.machine)?;
        let folder = self.place.join("snapshots").join(&snapshot.id);
        let partial = self.place.join("snapshots").join(format!(".{}", snapshot.id));
        if partial.exists() {
            std::fs::remove_dir_all(&partial).map_err(LabError::file(&partial))?;
        }
        std::fs::create_dir_all(&partial).map_err(LabError::file(&partial))?;
        let still = match power {
            Power::On => Some(life::hold_still(&self.place, &snapshot.machine)?),
            Power::Off => None,
        };
        life::copy(&self.place.machine(&snapshot.machine).join("root"), &partial.join("root"))?;
        drop(still);
        place::write(&partial.join("snapshot.json"), snapshot)?;
        std::fs::rename(&partial, &folder).map_err(LabError::file(&folder))
    }

    /// Every snapshot, by id.
    ///
    /// # Errors
    /// When a record can't be read.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        records(&self.place.join("snapshots"), "snapshot.json")
    }

    /// Brings the disk of a machine that is off back to a snapshot.
    ///
    /// # Errors
    /// When the machine is on, or there is no such snapshot.
    pub fn restore(&self, machine: &str, id: &str) -> Result<()> {
        let known = self.snapshots()?.into_iter().find(|s| s.id == id && s.machine == machine);
        known.ok_or_else(|| LabError::NoSnapshot(id.to_owned()))?;
        if self.power(machine)? == Power::On {
            return Err(LabError::Power { name: machine.into(), is: "on", what: "restore", wanted: "off" });
        }
        let root = self.place.machine(machine).join("root");
        if root.exists() {
            std::fs::remove_dir_all(&root).map_err(LabError::file(&root))?;
        }
        life::copy(&self.place.join("snapshots").join(id).join("root"), &root)
    }

    /// Removes a snapshot. One that is gone is fine.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn delete_snapshot(&self, id: &str) -> Result<()> {
        if !is_name(id) {
            return Ok(());
        }
        let folder = self.place.join("snapshots").join(id);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LabError::file(&folder)(error)),
            _ => Ok(()),
        }
    }

    /// Puts a control plane behind the load balancer.
    ///
    /// # Errors
    /// When there is no room, or the balancer does not answer.
    pub fn register(&self, name: &str) -> Result<()> {
        let _turn = self.turn()?;
        let mut record = self.machine(name)?;
        let taken: BTreeSet<usize> = self.machines()?.iter().filter_map(|m| m.slot).collect();
        let free = (1..=balancer::SLOTS).find(|slot| !taken.contains(slot));
        let full = || LabError::UserData("the load balancer has no slot left".into());
        let slot = record.slot.or(free).ok_or_else(full)?;
        record.slot = Some(slot);
        place::write(&self.record(name), &record)?;
        balancer::register(&self.place, slot, record.address)
    }

    /// Takes a control plane out of the load balancer.
    ///
    /// # Errors
    /// When the balancer does not answer.
    pub fn deregister(&self, name: &str) -> Result<()> {
        let _turn = self.turn()?;
        let mut record = self.machine(name)?;
        let Some(slot) = record.slot.take() else { return Ok(()) };
        balancer::deregister(&self.place, slot)?;
        place::write(&self.record(name), &record)
    }

    /// The end of what a machine printed on its console.
    ///
    /// # Errors
    /// When there is no such machine.
    pub fn console(&self, name: &str) -> Result<String> {
        self.machine(name)?;
        let path = self.place.machine(name).join("console.log");
        let bytes = std::fs::read(&path).map_err(LabError::file(&path))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A command on a machine that is on.
    ///
    /// # Errors
    /// When it is off or does not exist.
    pub fn enter(&self, name: &str, words: &[&str]) -> Result<Command> {
        self.machine(name)?;
        let off = || LabError::Power { name: name.into(), is: "off", what: "a command on it", wanted: "on" };
        let first = life::first_process(&self.place.machine(name)).ok_or_else(off)?;
        Ok(on_machine(first, words))
    }

    /// Runs a command on a machine to its end, whatever that is.
    ///
    /// # Errors
    /// When the machine is off or does not exist.
    pub fn host_run(&self, name: &str, words: &[&str], input: Option<&[u8]>) -> Result<Output> {
        let mut command = self.enter(name, words)?;
        let Some(input) = input else { return output(&mut command) };
        let started = |source| LabError::Start { program: "nsenter".into(), source };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(started)?;
        let mut stdin = child.stdin.take();
        std::thread::scope(|scope| {
            // Beside the reading: neither side may wait for the other's full pipe.
            scope.spawn(move || stdin.as_mut().map(|pipe| pipe.write_all(input)));
            child.wait_with_output().map_err(started)
        })
    }

    /// A file of a machine; none if it is not there.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn host_read(&self, name: &str, path: &str) -> Result<Option<HostFile>> {
        // Told apart from a failure by a status of its own.
        let script = "[ -f \"$1\" ] || exit 66; stat -L -c %a \"$1\" && cat \"$1\"";
        let output = self.host_run(name, &["sh", "-c", script, "read", path], None)?;
        if output.status.code() == Some(66) {
            return Ok(None);
        }
        crate::run::checked(&format!("reading {path} on {name}"), &output)?;
        let unexpected = || LabError::Content { path: path.into(), why: "no mode was told".into() };
        let end = output.stdout.iter().position(|b| *b == b'\n').ok_or_else(unexpected)?;
        let mode =
            std::str::from_utf8(&output.stdout[..end]).ok().and_then(|m| u32::from_str_radix(m, 8).ok());
        let content = output.stdout[end + 1..].to_vec();
        Ok(Some(HostFile { content, mode: mode.ok_or_else(unexpected)? }))
    }

    /// Replaces a file of a machine as a whole, or removes it. The temporary file starts with a dot, which
    /// kubelets and CNI readers pass over.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn host_write(&self, name: &str, path: &str, file: Option<&HostFile>) -> Result<()> {
        let (script, mode, input) = match file {
            Some(file) => (
                "set -e; mkdir -p \"$(dirname \"$1\")\"; new=\"$(dirname \"$1\")/.$(basename \"$1\").replank\"; \
                 umask 077; cat >\"$new\"; chmod \"$2\" \"$new\"; sync \"$new\"; mv -f \"$new\" \"$1\"",
                format!("{:o}", file.mode & 0o7777),
                file.content.as_slice(),
            ),
            None => ("rm -f \"$1\"", String::new(), &[][..]),
        };
        let output = self.host_run(name, &["sh", "-c", script, "write", path, &mode], Some(input))?;
        crate::run::checked(&format!("writing {path} on {name}"), &output)
    }

    fn record(&self, name: &str) -> PathBuf {
        self.place.machine(name).join("machine.json")
    }

    /// Held while something is looked up and changed that others could change too.
    fn turn(&self) -> Result<File> {
        let path = self.place.join("run/turn");
        let file = File::create(&path).map_err(LabError::file(&path))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| LabError::File { path, source: e.into() })?;
        Ok(file)
    }
}

/// Whether a process is the first of this lab: it has the lab's folder among its words.
fn runs(pid: u32, place: &Place) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|b| *b == 0).any(|word| word == place.folder().as_os_str().as_encoded_bytes())
}

/// What can be a folder's and a host's name.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 63 && name.bytes().all(fits)
}

fn uuid() -> Result<String> {
    let path = Path::new("/proc/sys/kernel/random/uuid");
    Ok(std::fs::read_to_string(path).map_err(LabError::file(path))?.trim().to_owned())
}

fn records<T: serde::de::DeserializeOwned>(folder: &Path, file: &str) -> Result<Vec<T>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LabError::file(folder)(error)),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    // What is being made starts with a dot.
    let finished = |p: &PathBuf| !p.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
    paths.iter().filter(|p| finished(p)).filter_map(|p| place::read(&p.join(file)).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_name_can_not_lead_out_of_the_lab() {
        assert!(is_name("worker-1-r1.example"));
        for bad in ["", "..", "a/b", "-x", "Worker", "a b", ".hidden"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
