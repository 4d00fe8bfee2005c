//! Certificates, keys and Secret manifests of every part.

fn main() {}
