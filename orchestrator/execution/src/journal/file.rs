//! The journal as a file.

use super::{Journal, JournalError};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// An append-only file, synced after every line.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl JournalFile {
    /// Opens (or makes) a journal whose first `whole` bytes are whole lines, and cuts off what follows them.
    ///
    /// # Errors
    /// When the file can't be opened or cut.
    pub fn open(path: &Path, whole: u64) -> Result<Self, JournalError> {
        let open = || -> io::Result<File> {
            let mut file = OpenOptions::new()
                .create(true)
                .read(true)
                .write(true)
                .truncate(false)
                .mode(0o600)
                .open(path)?;
            if file.metadata()?.len() != whole {
                file.set_len(whole)?;
                file.sync_all()?;
            }
            file.seek(SeekFrom::End(0))?;
            if let Some(directory) = path.parent() {
                // The name itself must survive a power cut too.
                File::open(directory)?.sync_all()?;
            }
            Ok(file)
        };
        let file = open().map_err(|e| JournalError::write(path, e))?;
        Ok(Self { path: path.to_owned(), file, length: whole })
    }
}

impl Journal for JournalFile {
    fn append(&mut self, line: &[u8]) -> Result<(), JournalError> {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What is half there must not stand before the next record: best effort, because
            // reading tolerates a torn last line anyway.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::End(0));
            return Err(JournalError::write(&self.path, error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}
