//! What lapin runs on: tokio, with TLS streams that this crate makes itself.
//!
//! Lapin's own TLS would bring a second way to read certificates, and a PKCS#12 reader with its
//! ciphers.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::compat::Compat;

/// A connection that lapin can drive.
pub type LapinStream = Compat<TlsStream<TcpStream>>;

/// The runtime given to lapin.
pub type LapinRuntime = Runtime<RuntimeParts<Tokio, TlsReactor>>;

/// The present tokio runtime, for lapin. Must be called in one.
pub fn runtime() -> LapinRuntime {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), TlsReactor(tokio)))
}

/// Tokio's reactor, but for the kind of its streams.
#[derive(Clone, Debug)]
pub struct TlsReactor(Tokio);

impl Reactor for TlsReactor {
    type TcpStream = LapinStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    /// Lapin is given streams that are connected; it cannot make one by itself.
    fn tcp_connect_addr(
        &self,
        _address: SocketAddr,
    ) -> impl Future<Output = io::Result<LapinStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
