//! Each effect happens once, and only under the newest epoch: written beside the lab, so that another
//! process of this provider knows it too.

use crate::shown::failure;
use replank_lab::place::{self, Place};
use replank_lab::{LabError, Result as LabResult};
use replank_provider_protocol::verbs::Mutation;
use replank_provider_protocol::{Epoch, ErrorCode, ProviderError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};

/// An effect that was asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    verb: String,
    arguments: Value,
    /// Absent as long as the effect is under way, or when its process died.
    answer: Option<Value>,
}

/// The key of an operation: part of file names and snapshot ids.
pub fn key(mutation: &Mutation) -> String {
    let mut digest = hex::encode(Sha256::digest(format!("{}\n{}", mutation.cluster, mutation.operation)));
    digest.truncate(16);
    digest
}

/// Has an effect once. Who asks again gets the first answer; `work` may run again only if the process
/// that ran it died on the way.
///
/// # Errors
/// When the epoch is old, the operation has other arguments, or the work fails.
pub fn once<T: Serialize + DeserializeOwned>(
    place: &Place,
    mutation: &Mutation,
    verb: &str,
    arguments: Value,
    work: impl FnOnce() -> Result<T, ProviderError>,
) -> Result<T, ProviderError> {
    let folder = place.join("operations");
    fence(&folder, mutation)?;
    let key = key(mutation);
    let _turn = lock(&folder.join(format!("{key}.lock"))).map_err(failure)?;
    let path = folder.join(format!("{key}.json"));
    if let Some(known) = place::read::<Entry>(&path).map_err(failure)? {
        if known.verb != verb || known.arguments != arguments {
            let message = format!("operation {} is known with other arguments", mutation.operation);
            return Err(ProviderError::lasting(ErrorCode::AlreadyExists, message));
        }
        if let Some(answer) = known.answer {
            return serde_json::from_value(answer).map_err(|e| unreadable(&path, &e));
        }
    }
    let mut entry = Entry { verb: verb.into(), arguments, answer: None };
    place::write(&path, &entry).map_err(failure)?;
    let answer = work()?;
    entry.answer = Some(serde_json::to_value(&answer).map_err(|e| unreadable(&path, &e))?);
    place::write(&path, &entry).map_err(failure)?;
    Ok(answer)
}

fn unreadable(path: &Path, error: &serde_json::Error) -> ProviderError {
    ProviderError::lasting(ErrorCode::Internal, format!("{}: {error}", path.display()))
}

/// Refuses a lower epoch than the highest that was seen of this cluster.
fn fence(folder: &Path, mutation: &Mutation) -> Result<(), ProviderError> {
    let _turn = lock(&folder.join("epoch.lock")).map_err(failure)?;
    let mut digest = hex::encode(Sha256::digest(mutation.cluster.as_bytes()));
    digest.truncate(16);
    let path: PathBuf = folder.join(format!("epoch-{digest}.json"));
    let highest: Epoch = place::read(&path).map_err(failure)?.unwrap_or_default();
    if mutation.epoch < highest {
        let message = format!("epoch {} is over: {highest} was seen", mutation.epoch);
        return Err(ProviderError::lasting(ErrorCode::Denied, message));
    }
    if mutation.epoch > highest {
        place::write(&path, &mutation.epoch).map_err(failure)?;
    }
    Ok(())
}

fn lock(path: &Path) -> LabResult<File> {
    let file = File::create(path).map_err(LabError::file(path))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|e| LabError::File { path: path.to_owned(), source: e.into() })?;
    Ok(file)
}
