//! Controllers of volumes: claims get one, nodes get and lose them.

pub(crate) mod attach;
pub(crate) mod binder;
mod matching;
