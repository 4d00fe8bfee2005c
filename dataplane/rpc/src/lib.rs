//! The gRPC interface of a TMM on port 8750 (operations.md §1.2, N1).
//!
//! Owns the messages, their conversion to and from `tmm-config`, and the TLS of both ends. Decides
//! nothing. Invariant: neither end can be made without the CA and a certificate of its own; there
//! is no plain-text form.

mod convert;
pub mod proto;
pub mod tls;

pub use convert::member_state_name;
pub use proto::tmm_client::TmmClient;
pub use proto::tmm_server::{Tmm, TmmServer};
pub use tls::{ConnectError, TlsError, TlsFiles, TlsMaterial};

/// The TCP port that a TMM listens on (operations.md §1.2, N1).
pub const PORT: u16 = 8750;

/// The server name that a client checks (operations.md §1.2, N1).
pub const SERVER_NAME: &str = "grpc-svc";

/// Largest message in bytes that either end accepts: room for the largest snapshot.
pub const MESSAGE_LIMIT: usize = 64 << 20;
