//! Issues licences, acknowledges reports, and forwards as licence manager.

fn main() {}
