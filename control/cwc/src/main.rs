//! The cluster-wide controller: licence machine behind REST, bus and page.

fn main() {}
