//! The local form of the bus: a Unix socket that the CWC serves (OPS-171).
//!
//! The CWC's end is broker and reader in one: it keeps a queue for each namespace that connected
//! since its start, with the bounds of licensing.md §10.2. What is in it is lost with the CWC, as
//! with a broker that loses its disk. A peer is whoever may open the socket (mode 0600).

mod client;
mod frame;
mod queue;
mod server;

pub use client::LocalClient;
pub use server::LocalServer;
