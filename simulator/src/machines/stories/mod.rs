//! Whole stories under paused time: joins, static pods, etcd, CNI, snapshots, fencing, answers in process.

mod cni;
mod control_planes;
mod far;
mod handed_over;
mod machine_api;
mod pods;
pub(crate) mod world;
