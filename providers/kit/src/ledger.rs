//! Each effect happens once, and only under the newest epoch: written on this computer, so that another
//! process of the same provider knows it too. What is made carries an account of its own.

use replank_provider_protocol::verbs::{Mutation, Progress};
use replank_provider_protocol::{Epoch, ErrorCode, ProviderError, RunId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// An effect that was asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    run: RunId,
    verb: String,
    arguments: Value,
    /// Absent as long as the effect is under way, or when its process died.
    answer: Option<Answer>,
}

/// What was answered. An object of its own: the answer may be `null`, and that is not no answer.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    value: Value,
}

/// Where effects are remembered.
#[derive(Clone, Debug)]
pub struct Ledger(PathBuf);

/// A short name of something, fit for a file's name.
pub fn short(text: &str) -> String {
    let mut digest = hex::encode(Sha256::digest(text));
    digest.truncate(16);
    digest
}

/// The name of an operation among those of all clusters: two clusters may use the same.
pub fn key(mutation: &Mutation) -> String {
    short(&format!("{}\n{}", mutation.cluster, mutation.operation))
}

impl Ledger {
    /// A ledger in a folder, which is made.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open(folder: PathBuf) -> Result<Self, ProviderError> {
        std::fs::create_dir_all(&folder).map_err(|e| trouble(&folder, &e))?;
        Ok(Self(folder))
    }

    /// Has an effect once. Who asks again gets the first answer; `work` runs again only if it failed or the
    /// process that ran it died on the way.
    ///
    /// # Errors
    /// When the epoch is old, the operation has other arguments or is under way, or the work fails.
    pub async fn once<T: Serialize + DeserializeOwned>(
        &self,
        mutation: &Mutation,
        verb: &str,
        arguments: Value,
        work: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let work = async { work.await.map(|value| Progress::Done { value }) };
        match self.until_done(mutation, verb, arguments, work).await? {
            Progress::Done { value } => Ok(value),
            Progress::Pending { message } => Err(ProviderError::passing(ErrorCode::Internal, message)),
        }
    }

    /// Has an effect that may take several calls: `work` runs until it is done, and not again afterwards.
    ///
    /// # Errors
    /// As [`Self::once`].
    pub async fn until_done<T: Serialize + DeserializeOwned>(
        &self,
        mutation: &Mutation,
        verb: &str,
        arguments: Value,
        work: impl Future<Output = Result<Progress<T>, ProviderError>>,
    ) -> Result<Progress<T>, ProviderError> {
        self.fence(mutation)?;
        let key = key(mutation);
        let Some(_turn) =
            self.lock(&format!("{key}.lock"), rustix::fs::FlockOperation::NonBlockingLockExclusive)?
        else {
            let message = format!("operation {} is under way; ask again", mutation.operation);
            return Err(ProviderError::passing(ErrorCode::Unavailable, message));
        };
        let path = self.0.join(format!("{key}.json"));
        if let Some(known) = read::<Entry>(&path)? {
            if known.run != mutation.run || known.verb != verb || known.arguments != arguments {
                let message = format!(
                    "operation {} is known with other arguments or of another run",
                    mutation.operation
                );
                return Err(ProviderError::lasting(ErrorCode::AlreadyExists, message));
            }
            if let Some(answer) = known.answer {
                let value = serde_json::from_value(answer.value).map_err(|e| trouble(&path, &e))?;
                return Ok(Progress::Done { value });
            }
        }
        let mut entry = Entry { run: mutation.run.clone(), verb: verb.into(), arguments, answer: None };
        write(&path, &entry)?;
        let progress = work.await?;
        if let Progress::Done { value } = &progress {
            let value = serde_json::to_value(value).map_err(|e| trouble(&path, &e))?;
            entry.answer = Some(Answer { value });
            write(&path, &entry)?;
        }
        Ok(progress)
    }

    /// Refuses a lower epoch than the highest that was seen of this cluster.
    fn fence(&self, mutation: &Mutation) -> Result<(), ProviderError> {
        // Held only while one small file is read and written.
        let _turn = self.lock("epoch.lock", rustix::fs::FlockOperation::LockExclusive)?;
        let path = self.0.join(format!("epoch-{}.json", short(&mutation.cluster)));
        let highest: Epoch = read(&path)?.unwrap_or_default();
        if mutation.epoch < highest {
            let message = format!("epoch {} is over: {highest} was seen", mutation.epoch);
            return Err(ProviderError::lasting(ErrorCode::Denied, message));
        }
        if mutation.epoch > highest {
            write(&path, &mutation.epoch)?;
        }
        Ok(())
    }

    fn lock(&self, name: &str, how: rustix::fs::FlockOperation) -> Result<Option<File>, ProviderError> {
        let path = self.0.join(name);
        let file = File::create(&path).map_err(|e| trouble(&path, &e))?;
        match rustix::fs::flock(&file, how) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(trouble(&path, &error)),
        }
    }
}

fn trouble(path: &Path, error: &dyn std::fmt::Display) -> ProviderError {
    ProviderError::lasting(ErrorCode::Internal, format!("{}: {error}", path.display()))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ProviderError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| trouble(path, &e)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(trouble(path, &error)),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), ProviderError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let bytes = serde_json::to_vec(value).map_err(|e| trouble(path, &e))?;
    let written = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)
    };
    written().map(drop).map_err(|e: std::io::Error| trouble(path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::Cell;

    fn mutation(operation: &str, epoch: u64) -> Mutation {
        let epoch = Epoch(epoch);
        Mutation { operation: operation.into(), run: "run-1".into(), cluster: "c".into(), epoch }
    }

    fn ledger(folder: &tempfile::TempDir) -> Ledger {
        Ledger::open(folder.path().join("in")).expect("it can be made")
    }

    #[tokio::test]
    async fn an_effect_without_a_value_happens_once_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let times = Cell::new(0);
        for _ in 0..2 {
            let work = async {
                times.set(times.get() + 1);
                Ok(())
            };
            ledger(&folder).once(&mutation("stop", 1), "stop", json!(["m"]), work).await.expect("it is done");
        }
        assert_eq!(times.get(), 1);
    }

    #[tokio::test]
    async fn work_goes_on_until_it_is_done_and_after_it_failed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut answers = vec![
            Ok(Progress::Done { value: 7 }),
            Err(ProviderError::passing(ErrorCode::Unavailable, "not now")),
            Ok(Progress::Pending { message: "it takes long".into() }),
        ];
        for wanted in [None, None, Some(7), Some(7)] {
            let answer = answers.pop();
            let work = async { answer.expect("it is not asked again") };
            let said = ledger(&folder).until_done(&mutation("stop", 1), "stop", json!([]), work).await;
            let value = match said {
                Ok(Progress::Done { value }) => Some(value),
                _ => None,
            };
            assert_eq!(value, wanted);
        }
    }

    #[tokio::test]
    async fn other_arguments_and_older_epochs_have_no_effect() {
        let folder = tempfile::tempdir().expect("a folder");
        let ask = async |mutation: Mutation, arguments: Value| {
            ledger(&folder).once(&mutation, "create", arguments, async { Ok(1) }).await.map_err(|e| e.code)
        };
        assert_eq!(ask(mutation("create", 2), json!(["a"])).await, Ok(1));
        assert_eq!(ask(mutation("create", 2), json!(["b"])).await, Err(ErrorCode::AlreadyExists));
        assert_eq!(ask(mutation("create", 1), json!(["a"])).await, Err(ErrorCode::Denied));
    }
}
