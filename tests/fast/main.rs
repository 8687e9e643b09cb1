//! Suites that need no other process: the embedded cluster in this one.

mod cluster;
mod flannel;
mod installs;
