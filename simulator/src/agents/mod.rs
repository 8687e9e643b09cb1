//! What runs in the pods that matter: the pod networks' agents, kube-proxy, CoreDNS.
//!
//! An agent is known by its image, its arguments and its environment, never by the name of an
//! object, and it knows its cluster only through its pod's own client. Containers whose work
//! leaves no trace in the API (Typha, CSI drivers, `pause`, Goldmane, Whisker) need no program:
//! an ordinary container becomes ready and stays so.

mod addons;
mod calico;
mod flannel;
mod images;
mod operator;
#[cfg(test)]
mod stories;
mod support;

use crate::machines::Programs;

pub use addons::PROXY_CIDR;
pub use calico::serve_aggregated as serve_calico_api;
pub use flannel::PEERS as FLANNEL_PEERS;

/// Every agent that the simulator knows.
pub fn programs() -> Programs {
    Programs::new()
        .and(operator::programs())
        .and(calico::programs())
        .and(flannel::programs())
        .and(addons::programs())
}
