//! The files with user-data that a configuration names: read strictly, kept by path and digest.

use super::error::{ConfigError, Wrong};
use super::places::Places;
use replank_cloud_init::{CloudConfig, Snippet, UserData};
use replank_planning::canonical;
use replank_planning::intent::UserDataFile;
use std::path::{Path, PathBuf};

/// Reads them, from beside the configuration.
///
/// # Errors
/// When one can't be read, a key of it is not cloud-init's, or they can't be merged.
pub(super) fn read(configuration: &Path, named: &[PathBuf]) -> Result<Vec<UserDataFile>, ConfigError> {
    let mut files = Vec::new();
    let mut snippets = Vec::new();
    for name in named {
        let path = configuration.parent().unwrap_or(Path::new("")).join(name);
        let unread = |source| ConfigError::Read { path: path.clone(), source };
        let text = std::fs::read_to_string(&path).map_err(unread)?;
        // The plan may be carried out from another folder.
        let absolute = std::path::absolute(&path).map_err(unread)?;
        let snippet = Snippet::parse(name.display().to_string(), &text).map_err(|faults| {
            let places = Places::of(&text);
            let wrong = faults.into_iter().map(|fault| Wrong {
                place: places.find(&fault.at),
                message: match fault.at.is_empty() {
                    true => fault.message,
                    false => format!("{}: {}", fault.at.join("."), fault.message),
                },
            });
            ConfigError::wrong(&path, &text, wrong.collect())
        })?;
        snippets.push(snippet);
        files.push(UserDataFile {
            path: absolute.display().to_string(),
            digest: canonical::digest_bytes(text.as_bytes()),
        });
    }
    UserData::new(&CloudConfig::default(), &snippets)
        .map_err(|error| ConfigError::Wrong(error.to_string()))?;
    Ok(files)
}
