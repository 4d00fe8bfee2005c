//! Labs made of network namespaces, on one machine and without a network card.
//!
//! Owns: namespaces that vanish with their owner, veth pairs, VLAN ports in tc BPF (the kernel
//! needs no 802.1Q), counters and time stamps of frames, processes that end with their guard, and
//! the check that a machine can do all this. Knows nothing of the proxy it is used to test.
//!
//! Invariant: what a [`Namespace`] or [`Process`] made is gone when it is dropped, when its owner
//! panics, and at the latest at the next [`registry::remove_stale`] after its owner was killed.
//!
//! ```no_run
//! use netlab::{Namespace, VlanPort, veth};
//!
//! # fn main() -> Result<(), netlab::Error> {
//! let client = Namespace::create("lab-client")?;
//! let node = Namespace::create("lab-node")?;
//! veth::pair(&client, "v0", 1500, &node, "p1", 1504)?;
//! let port = VlanPort::access(&client, "v0", 100)?;
//! client.address("v0", "198.51.100.50/24")?;
//! client.ip(["link", "set", "v0", "up"])?;
//! println!("{} frames in", port.stamps()?.inbound.frames);
//! # Ok(())
//! # }
//! ```

pub mod machine;
pub mod registry;
pub mod veth;

mod error;
mod namespace;
mod port;
mod process;

pub use error::Error;
pub use namespace::Namespace;
pub use port::{Stamp, Stamps, VlanPort};
pub use process::{Process, ProcessBuilder};
