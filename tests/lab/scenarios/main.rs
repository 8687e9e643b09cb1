//! Real clusters on the lab's machines: `cargo xtask test lab`.

mod migrations;
mod stage;
