//! The fate of each packet of a burst.
//!
//! A [`worker::Worker`] takes bursts of frames from a shell and gives every frame exactly one
//! verdict: send, hold, hand over, consume or drop for a counted reason. Pure: no clock, socket,
//! lock or log; generic over the packet buffer, so that tests run it over plain vectors. No
//! allocation per packet.
//!
//! `worker` holds the order of stages, `flows` and `balance` decide proxied packets, the rest is
//! the neighbourhood: layer 2, ARP and ND, routes, ICMP, local services, monitors.

pub mod adjacency;
mod announce;
mod arp;
pub mod balance;
pub mod budget;
pub mod counters;
pub mod ctx;
pub mod drop_reason;
pub mod flows;
pub mod frame;
pub mod hold;
pub mod icmp;
mod local;
pub mod monitor;
mod nd;
pub mod neighbour;
pub mod net;
pub mod originate;
pub mod out;
pub mod random;
mod stages;
mod table;
mod timers;
pub mod worker;

pub use adjacency::{Adjacency, AdjacencyId};
pub use counters::Counters;
pub use ctx::Ctx;
pub use drop_reason::DropReason;
pub use flows::Flows;
pub use frame::IpFrame;
pub use net::Net;
pub use out::{Event, Handed, Outbox};
pub use worker::{SetupError, Worker, WorkerSetup};
