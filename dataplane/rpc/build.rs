//! Compiles `proto/tmm.proto` in pure Rust; no protoc is needed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/tmm.proto");
    let files = protox::compile(["proto/tmm.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
