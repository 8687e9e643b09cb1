//! Whole stories under paused time: joins, static pods, etcd, CNI, snapshots, fencing.

mod cni;
mod control_planes;
mod machine_api;
mod pods;
pub(crate) mod world;
