//! A real Kubernetes cluster on this machine: kubeadm, etcd, kubelets, containerd, kube-proxy and
//! flanneld on machines made of Linux namespaces.
//!
//! - [`build`]: everything it runs, built once into a [`cache`].
//! - [`needs`]: what this machine must offer, tried by doing it.
//! - [`place`]: a lab's folder; [`lab`]: a lab that is up; [`supervisor`]: who takes it down.
//! - [`machine`]: machines; [`balancer`]: the load balancer before control planes; [`first_boot`]: what a
//!   machine does with its user-data; [`ssh`]: how this machine's ssh reaches them.
//! - [`cluster`]: a kubeadm cluster on such machines.
//! - [`error`]: why something could not be done; [`run`]: other programs.

pub mod balancer;
pub mod build;
pub mod cache;
pub mod cluster;
pub mod error;
pub mod first_boot;
pub mod lab;
pub mod machine;
pub mod needs;
pub mod place;
pub mod run;
pub mod ssh;
pub mod supervisor;

pub use error::{LabError, Result};
pub use lab::Lab;
pub use place::Place;
