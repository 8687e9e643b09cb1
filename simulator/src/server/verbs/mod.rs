//! The verbs that write. Reading is in [`super::read`], watching in [`super::watch`].

mod create;
mod delete;

mod patch;
mod update;

pub(crate) use delete::Deleted;
