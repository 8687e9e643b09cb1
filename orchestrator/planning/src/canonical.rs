//! One way to write a value as bytes, and its digest.

use crate::ids::Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Why a value has no canonical form.
#[derive(Debug, thiserror::Error)]
#[error("a value could not be written as JSON")]
pub struct NotCanonical(#[from] serde_json::Error);

/// Writes a value as JSON with sorted keys and no white space.
///
/// # Errors
/// When the value can't be written as JSON, such as a map with keys that are no strings.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, NotCanonical> {
    let mut value = serde_json::to_value(value)?;
    value.sort_all_objects();
    Ok(serde_json::to_vec(&value)?)
}

/// The digest of a value's canonical form.
///
/// # Errors
/// As [`to_bytes`].
pub fn digest<T: Serialize + ?Sized>(value: &T) -> Result<Digest, NotCanonical> {
    Ok(digest_bytes(&to_bytes(value)?))
}

/// The digest of bytes as they are.
pub fn digest_bytes(bytes: &[u8]) -> Digest {
    Digest::new(hex::encode(Sha256::digest(bytes)))
}
