//! The cases, by what they are about.

mod admitting;
mod applying;
mod definitions;
mod deleting;
mod documents;
mod evicting;
mod namespaces;
mod nodes;
mod patching;
mod reading;
mod watching;
mod writing;

use crate::peer::Peer;
use futures::future::LocalBoxFuture;
use std::sync::Arc;

/// One promise of an API server.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Arc<Peer>) -> LocalBoxFuture<'static, ()>,
}

/// Names the cases of a file.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(super) fn cases() -> Vec<crate::cases::Case> {
            vec![$(crate::cases::Case {
                name: stringify!($name),
                run: |peer| Box::pin(async move { $name(&peer).await }),
            }),*]
        }
    };
}
use cases;

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    [
        reading::cases(),
        watching::cases(),
        writing::cases(),
        patching::cases(),
        admitting::cases(),
        applying::cases(),
        deleting::cases(),
        evicting::cases(),
        nodes::cases(),
        namespaces::cases(),
        definitions::cases(),
        documents::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
