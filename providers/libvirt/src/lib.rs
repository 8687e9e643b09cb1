//! Virtual machines of libvirt: made from a base volume, kept, taken back to snapshots, deleted.
//!
//! - [`settings`]: which libvirt, which image, what a new machine is like.
//! - [`provider`]: the verbs; [`create`], [`power`], [`snapshot`] and [`delete`]: what they do.
//! - [`virsh`]: libvirt's own client, run as a program.
//! - [`hypervisor`]: domains, as libvirt has them; [`domain`]: one of them, read from its XML.
//! - [`definition`]: the XML of a new one, or [`template`]: from the user's; [`acceleration`]: whether with KVM;
//!   [`xml`]: writing XML, and changing what is there.
//! - [`addresses`]: where a machine is reached.
//! - [`mark`]: what replank keeps with a domain; [`volumes`]: its volumes; [`fence`]: epochs.

pub mod acceleration;
pub mod addresses;
pub mod create;
pub mod definition;
pub mod delete;
pub mod domain;
pub mod fence;
pub mod hypervisor;
pub mod mark;
pub mod power;
pub mod provider;
pub mod settings;
pub mod snapshot;
pub mod template;
pub mod virsh;
pub mod volumes;
pub mod xml;

pub use provider::LibvirtProvider;
