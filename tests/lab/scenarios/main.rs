//! Real clusters on the lab's machines: `cargo xtask test lab`.

mod claims;
mod migrations;
mod stage;
