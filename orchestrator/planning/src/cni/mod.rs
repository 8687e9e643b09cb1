//! What there is to know of the two networks.

pub mod calico;
pub mod flannel;

/// The node label that tells which network a node belongs to.
pub const GATE_LABEL: &str = "replank.dev/network";

/// The label's value on nodes that run Calico.
pub const OLD_SIDE: &str = "calico";

/// The label's value on nodes that run Flannel; they get it when they are admitted.
pub const NEW_SIDE: &str = "flannel";

/// The taint that replacements register with, so that nothing lands before they are admitted.
pub const UNADMITTED_TAINT: &str = "replank.dev/unadmitted";
