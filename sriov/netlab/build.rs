//! Compiles the BPF object with clang.
//!
//! Only the object is built: libbpf-cargo's generated skeleton would contain `unsafe`, and
//! [`ObjectBuilder`](https://docs.rs/libbpf-rs) loads the same bytes without it.

use std::{env, path::PathBuf};

use libbpf_cargo::SkeletonBuilder;

const SOURCE: &str = "src/bpf/port.bpf.c";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    let object = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR")).join("port.bpf.o");
    // asm/types.h lies in Debian's multiarch folder, which clang leaves out for target bpf.
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("target architecture");
    if let Err(error) = SkeletonBuilder::new()
        .source(SOURCE)
        .obj(&object)
        .clang_args([format!("-I/usr/include/{arch}-linux-gnu")])
        .build()
    {
        panic!("{SOURCE} did not compile: {error:?}. Needs the packages clang and libbpf-dev.");
    }
}
