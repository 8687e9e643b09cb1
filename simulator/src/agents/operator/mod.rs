//! Tigera's operator: makes Calico out of an Installation and the custom resources beside it,
//! makes anew what somebody deletes or edits, and takes it down in its own order.

mod apply;
mod defaults;
mod images;
mod manager;
mod objects;
mod overrides;
mod pools;
mod status;
mod teardown;

use futures::FutureExt;

use super::images::is_part;
use super::support::{Agent, exit};
use crate::machines::Programs;

/// The group of the operator's own kinds.
const GROUP: &str = "/apis/operator.tigera.io/v1";
/// Where most of Calico lives.
const SYSTEM: &str = "calico-system";
/// Where Calico's API server lives.
const API_SERVER: &str = "calico-apiserver";

pub(super) fn programs() -> Programs {
    Programs::new().with(Agent {
        name: "tigera-operator",
        matches: |container| !container.init && is_part(container, "tigera", "operator"),
        run: |context| {
            async move {
                let outcome = manager::run(&context).await;
                exit(&context, "tigera-operator", outcome)
            }
            .boxed()
        },
    })
}
