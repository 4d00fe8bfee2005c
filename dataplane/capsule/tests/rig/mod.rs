//! What the tests of this folder share: a small environment and filled frames.

#![allow(dead_code, reason = "each test file uses its part of the rig")]

use capsule::{Eal, Mbuf, Memory, Pool, PortKind};
use tmm_wire::{PacketBuf, PacketPool};

/// An environment of 64 MiB for these ports: of hugepages where the machine has some free.
pub fn start(kinds: &[PortKind]) -> Eal {
    let huge = builder(kinds).memory(Memory::InMemory);
    let builder = if free_huge() { huge } else { builder(kinds).memory(Memory::NoHuge) };
    builder.init().unwrap()
}

/// The same without hugepages.
pub fn start_without_hugepages(kinds: &[PortKind]) -> Eal {
    builder(kinds).memory(Memory::NoHuge).init().unwrap()
}

/// A frame with these bytes.
pub fn fill(pool: &mut Pool, bytes: &[u8]) -> Mbuf {
    let mut frame = pool.alloc().unwrap();
    frame.grow_back(bytes.len()).unwrap();
    frame.data_mut().copy_from_slice(bytes);
    frame
}

fn builder(kinds: &[PortKind]) -> capsule::EalBuilder {
    kinds.iter().fold(Eal::builder().memory_mib(64), capsule::EalBuilder::port)
}

/// Whether the machine has hugepages for one test.
pub fn free_huge() -> bool {
    let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    let free = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
    free.is_some_and(|pages| pages >= 64)
}
