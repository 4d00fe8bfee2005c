//! The message bus between CWC and Controllers: RabbitMQ, and its local form.
//!
//! Owns connections, the topology, confirms, acknowledgements, reconnects and the refusal of what is
//! no message of ours. Verifies no statement and takes no decision about a licence. Over RabbitMQ
//! and over the local form (OPS-171) an end behaves the same: what it confirmed is in the queue of
//! its recipient, and what was not acknowledged comes again.
//!
//! An end is a [`Bus`] to publish with and [`Events`] to read. Connections are made, watched and
//! made again by a task of the end; its user learns of them by [`BusEvent::Up`] and
//! [`BusEvent::Down`].
//!
//! Invariant: a message is acknowledged to the bus after its user acknowledged it, never before.
//! Sources: licensing.md §10.1 to §10.4, operations.md §1.6 (OPS-171).

mod address;
mod amqp;
mod backoff;
mod bus;
mod core;
mod inbox;
mod limit;
mod local;
mod metrics;
mod outbox;
mod supervise;

pub use address::{Address, AddressError};
pub use amqp::connect::{ConnectError, Connected, connect};
pub use amqp::topology;
pub use bus::{Bus, BusEvent, Confirm, Delivery, End, Events, Link};
pub use metrics::BusMetrics;
pub use outbox::PublishError;
