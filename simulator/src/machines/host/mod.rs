//! A simulated machine's inside: its files, its identity, its network devices and the commands
//! that it understands.

mod base;
mod commands;
mod crictl;
mod etcdctl;
mod file_commands;
mod files;
mod handle;
mod shell;
mod systemctl;

pub(crate) use base::base_image;
pub use commands::CommandOutput;
pub(crate) use commands::run;
pub(crate) use files::normal as normal_path;
pub use files::{FileEntry, HostFiles, PathError};
pub use handle::{HostHandle, HostIdentity, Interface};
