//! Part of replank.
fn main() {}
