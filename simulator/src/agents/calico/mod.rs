//! Calico: its CNI installer, calico-node, kube-controllers and the API server for its own kinds.
//!
//! CNI ADD and DEL, with the address management behind them, belong to the machines; here is what
//! prepares them and cleans up behind them.

mod api_server;
mod controllers;
mod datastore;
mod finalizers;
mod install;
mod ipam_gc;
mod node;
mod pools;
mod startup;
mod token;

use futures::FutureExt;

use super::images::{is_part, starts};
use super::support::{Agent, exit};
use crate::machines::{ContainerSpecView, Programs};

pub use api_server::serve as serve_aggregated;

pub(super) fn programs() -> Programs {
    Programs::new()
        .with(Agent {
            name: "calico-install-cni",
            matches: |container| {
                is_cni(container)
                    && (starts(container, "install")
                        || starts(container, "install-cni.sh")
                        || container.env.contains(&"CNI_NETWORK_CONFIG"))
            },
            run: |context| {
                async move {
                    let outcome = install::run(&context).await;
                    exit(&context, "calico-install-cni", outcome)
                }
                .boxed()
            },
        })
        .with(Agent {
            name: "calico-node",
            matches: |container| !container.init && is_node(container) && !container.mentions("-init"),
            run: |context| {
                async move {
                    let outcome = node::run(&context).await;
                    exit(&context, "calico-node", outcome)
                }
                .boxed()
            },
        })
        .with(Agent {
            name: "calico-kube-controllers",
            matches: |container| !container.init && is_part(container, "calico", "kube-controllers"),
            run: |context| {
                async move {
                    let outcome = controllers::run(&context).await;
                    exit(&context, "calico-kube-controllers", outcome)
                }
                .boxed()
            },
        })
        .with(Agent {
            name: "calico-apiserver",
            matches: |container| !container.init && is_part(container, "calico", "apiserver"),
            run: |context| {
                async move {
                    let outcome = api_server::run(&context).await;
                    exit(&context, "calico-apiserver", outcome)
                }
                .boxed()
            },
        })
}

fn is_cni(container: &ContainerSpecView<'_>) -> bool {
    is_part(container, "calico", "cni")
        || (container.image_name() == "cni" && container.env.contains(&"CNI_NETWORK_CONFIG"))
}

fn is_node(container: &ContainerSpecView<'_>) -> bool {
    is_part(container, "calico", "node")
        || (container.image_name() == "node" && container.env.contains(&"CALICO_NETWORKING_BACKEND"))
}
