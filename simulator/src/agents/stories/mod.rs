//! Stories of single agents: pods bound by hand, no controllers.

mod addons;
mod calico;
mod canal;
mod flannel;
mod operator;
