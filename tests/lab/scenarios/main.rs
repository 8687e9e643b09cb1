//! Real clusters on the lab's machines: `cargo xtask test lab`.

mod claims;
mod lives;
mod migrations;
mod stage;
