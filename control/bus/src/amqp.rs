//! An end of the bus over RabbitMQ.
//!
//! Sources: licensing.md §10.1 to §10.3.

pub mod connect;
mod properties;
mod publish;
mod reactor;
mod session;
pub mod topology;

pub use session::AmqpLink;
