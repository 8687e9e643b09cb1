//! The directory of a run: `plan.json`, `journal.ndjson`, `backup/` and a lock file that the kernel
//! frees when the process ends, however it ends.

use crate::journal::chain::{self, Journalled};
use crate::journal::{Journal, JournalError, JournalFile};
use replank_planning::canonical;
use replank_planning::ids::Digest;
use replank_planning::plan::Plan;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why a run's directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// Another process works in it.
    #[error(
        "{0} is in use by another replank process on this machine; wait for it, or pause it with `replank pause`"
    )]
    Locked(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The plan in it is no plan.
    #[error("{path} is not a plan of this version of replank: {reason}")]
    Plan {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The plan in it is another one.
    #[error("{0} holds the run of another plan; give this plan a directory of its own")]
    OtherPlan(String),
    /// A backup is not as it was written.
    #[error("the backup {path} is not as it was written; nothing was put back from it")]
    Backup {
        /// Which file.
        path: String,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A run's directory, held by this process alone.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    lock: File,
}

impl RunDir {
    /// Opens (or makes) a directory and takes its lock.
    ///
    /// # Errors
    /// When another process holds it, or it can't be made.
    pub fn open(path: &Path) -> Result<Self, RunDirError> {
        let make = |path: &Path| {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| io_error(path, e))
        };
        make(path)?;
        make(&path.join("backup"))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| io_error(&lock_path, e))?;
        match lock_soon(&lock) {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(RunDirError::Locked(path.display().to_string())),
            Err(error) => Err(io_error(&lock_path, error.into())),
        }
    }

    /// Whether a process on this machine holds a directory.
    pub fn in_use(path: &Path) -> bool {
        let Ok(lock) = File::open(path.join("lock")) else { return false };
        flock(&lock, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }

    /// Reads a run without its lock, for `status` and `report`: its plan, and its journal if it has
    /// begun.
    ///
    /// # Errors
    /// When there is no plan, or the journal is damaged.
    pub fn look(path: &Path) -> Result<(Plan, Option<Journalled>), RunDirError> {
        let plan = read_plan(path)?.ok_or_else(|| {
            io_error(&path.join("plan.json"), io::Error::new(io::ErrorKind::NotFound, "there is no run here"))
        })?;
        Ok((plan, read_journal(path)?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal's path.
    pub fn journal_path(&self) -> PathBuf {
        self.path.join("journal.ndjson")
    }

    /// The plan in it, if there is one.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn plan(&self) -> Result<Option<Plan>, RunDirError> {
        read_plan(&self.path)
    }

    /// Keeps a plan. The same plan again is fine.
    ///
    /// # Errors
    /// When the directory holds another plan, or it can't be written.
    pub fn keep_plan(&self, plan: &Plan) -> Result<(), RunDirError> {
        if let Some(there) = self.plan()? {
            return if there == *plan {
                Ok(())
            } else {
                Err(RunDirError::OtherPlan(self.path.display().to_string()))
            };
        }
        let path = self.path.join("plan.json");
        let bytes = canonical::to_bytes(plan)
            .map_err(|e| RunDirError::Plan { path: path.display().to_string(), reason: e.to_string() })?;
        write_durably(&path, &bytes)
    }

    /// The journal, read; `None` if the run has not begun.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read_journal(&self) -> Result<Option<Journalled>, RunDirError> {
        read_journal(&self.path)
    }

    /// The journal, for writing behind its whole lines.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn open_journal(&self, whole: u64) -> Result<Box<dyn Journal>, RunDirError> {
        Ok(Box::new(JournalFile::open(&self.journal_path(), whole)?))
    }

    /// Who we are to the cluster's lock: this machine and this very directory. A copy of the directory,
    /// on this machine or another, is someone else.
    pub fn holder(&self) -> String {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let host = match read("/proc/sys/kernel/hostname") {
            name if name.is_empty() => read("/etc/hostname"),
            name => name,
        };
        let place = self.lock.metadata().map(|m| format!("{}:{}", m.dev(), m.ino())).unwrap_or_default();
        let machine = read("/etc/machine-id");
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let digest =
            canonical::digest_bytes(format!("{host}\n{machine}\n{place}\n{}", path.display()).as_bytes());
        let host = if host.is_empty() { "unknown".to_owned() } else { host };
        format!("{host}/{}", &digest.as_str()[..12])
    }

    /// Keeps a document in `backup/`, readable by its owner only, and reads it back.
    ///
    /// # Errors
    /// When it can't be written, or does not read back as it was written.
    pub fn back_up(&self, name: &str, document: &Value) -> Result<Backup, RunDirError> {
        let file = format!("{}.json", safe(name));
        let path = self.path.join("backup").join(&file);
        let bytes = canonical::to_bytes(document)
            .map_err(|_| RunDirError::Backup { path: path.display().to_string() })?;
        write_durably(&path, &bytes)?;
        let backup = Backup { file, digest: canonical::digest_bytes(&bytes) };
        self.restore(&backup)?;
        Ok(backup)
    }

    /// Reads a document from `backup/`.
    ///
    /// # Errors
    /// When it is gone or not as it was written.
    pub fn restore(&self, backup: &Backup) -> Result<Value, RunDirError> {
        let path = self.path.join("backup").join(safe(&backup.file));
        let bytes = fs::read(&path).map_err(|e| io_error(&path, e))?;
        let changed = || RunDirError::Backup { path: path.display().to_string() };
        if canonical::digest_bytes(&bytes) != backup.digest {
            return Err(changed());
        }
        serde_json::from_slice(&bytes).map_err(|_| changed())
    }

    /// A small secret in `backup/`: the one kept there, or a new one.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn secret(
        &self,
        name: &str,
        make: impl FnOnce() -> io::Result<String>,
    ) -> Result<String, RunDirError> {
        let path = self.path.join("backup").join(safe(name));
        match fs::read_to_string(&path) {
            Ok(text) if !text.is_empty() => Ok(text),
            Ok(_) => self.make_secret(&path, make),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_secret(&path, make),
            Err(error) => Err(io_error(&path, error)),
        }
    }

    #[expect(clippy::unused_self, reason = "only the holder of the directory writes into it")]
    fn make_secret(
        &self,
        path: &Path,
        make: impl FnOnce() -> io::Result<String>,
    ) -> Result<String, RunDirError> {
        let text = make().map_err(|e| io_error(path, e))?;
        write_durably(path, text.as_bytes())?;
        Ok(text)
    }

    /// Deletes everything in `backup/`.
    ///
    /// # Errors
    /// When it can't be deleted.
    pub fn drop_backups(&self) -> Result<(), RunDirError> {
        let path = self.path.join("backup");
        let entries = fs::read_dir(&path).map_err(|e| io_error(&path, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| io_error(&path, e))?;
            fs::remove_file(entry.path()).map_err(|e| io_error(&entry.path(), e))?;
        }
        Ok(())
    }
}

/// A document in `backup/`: what the journal says of it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Backup {
    /// Its name in `backup/`.
    pub file: String,
    /// Its digest.
    pub digest: Digest,
}

/// Takes the lock, past those who only look whether it is held.
fn lock_soon(lock: &File) -> rustix::io::Result<()> {
    for _ in 0..5 {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(std::time::Duration::from_millis(10)),
            answer => return answer,
        }
    }
    flock(lock, FlockOperation::NonBlockingLockExclusive)
}

fn read_plan(directory: &Path) -> Result<Option<Plan>, RunDirError> {
    let path = directory.join("plan.json");
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| RunDirError::Plan { path: path.display().to_string(), reason: e.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(&path, error)),
    }
}

fn read_journal(directory: &Path) -> Result<Option<Journalled>, RunDirError> {
    let path = directory.join("journal.ndjson");
    let mut bytes = Vec::new();
    match File::open(&path).and_then(|mut f| f.read_to_end(&mut bytes)) {
        Ok(_) => Ok(chain::read(&path, &bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(JournalError::Read { path: path.display().to_string(), source }.into()),
    }
}

/// A file that is whole or not there: written beside its name, synced, renamed.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), RunDirError> {
    let write = || -> io::Result<()> {
        let aside = path.with_extension("tmp");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        match path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(|e| io_error(path, e))
}

fn io_error(path: &Path, source: io::Error) -> RunDirError {
    RunDirError::Io { path: path.display().to_string(), source }
}

/// A name that stays inside its directory.
fn safe(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .collect()
}
