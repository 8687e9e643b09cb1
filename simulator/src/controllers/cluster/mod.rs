//! What keeps a cluster tidy: dependents without owners, namespaces that end, accounts, tokens.

pub(super) mod accounts;
pub(super) mod certificates;
pub(super) mod garbage;
pub(super) mod namespaces;
pub(super) mod tokens;
