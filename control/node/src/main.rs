//! The `spk-node` program.
fn main() {}
