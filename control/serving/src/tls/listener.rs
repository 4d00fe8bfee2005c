//! A TCP listener that hands out connections whose peer showed a good certificate.
//!
//! Invariant: nothing is read from a peer but its handshake before its certificate was verified
//! (LIC-301, LIC-302). Each handshake uses the newest good files. Sources: licensing.md §4.1,
//! operations.md §1.2 (rules).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

use super::follow::Tls;

/// Who is at the other end.
#[derive(Clone, Eq, PartialEq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its certificate, which was verified.
    pub certificate: CertificateDer<'static>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// Who is at the other end.
    pub peer: Peer,
}

/// The listener. It closes when it is dropped; connections live on.
#[derive(Debug)]
pub struct TlsListener {
    address: SocketAddr,
    accepted: mpsc::Receiver<Accepted>,
}

impl TlsListener {
    /// Waits for the first good files of `tls`, then listens on `address` (LIC-304).
    ///
    /// # Errors
    ///
    /// The system's, if the address cannot be listened on.
    pub async fn open(address: SocketAddr, tls: Tls) -> io::Result<Self> {
        tls.ready().await;
        Self::serve(TcpListener::bind(address).await?, tls)
    }

    /// Serves a listener that was opened before. As long as `tls` has no good files, connections are
    /// closed at once.
    ///
    /// # Errors
    ///
    /// The system's, if it does not tell the listener's address.
    pub fn serve(listener: TcpListener, tls: Tls) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (send, accepted) = mpsc::channel(1);
        tokio::spawn(accept(listener, tls, send));
        Ok(Self { address, accepted })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection; none only when the runtime ends.
    pub async fn accept(&mut self) -> Option<Accepted> {
        self.accepted.recv().await
    }

    /// All connections as a stream, as tonic wants them (`serve_with_incoming`).
    pub fn into_incoming(
        self,
    ) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> + Send + Unpin + 'static {
        ReceiverStream::new(self.accepted).map(|accepted| Ok(accepted.stream))
    }
}

async fn accept(listener: TcpListener, tls: Tls, send: mpsc::Sender<Accepted>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = send.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                // Out of descriptors, most likely: others must be closed first.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(config) = tls.server_config() else { continue };
        let send = send.clone();
        tokio::spawn(async move {
            match timeout(HANDSHAKE_LIMIT, handshake(stream, address, config)).await {
                // Refused only if the listener was dropped meanwhile.
                Ok(Ok(accepted)) => drop(send.send(accepted).await),
                Ok(Err(error)) => tracing::debug!(%address, %error, "handshake refused"),
                Err(_) => tracing::debug!(%address, "handshake not finished in time"),
            }
            // Held so long, it also bounds connections that nobody takes.
            drop(place);
        });
    }
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    config: Arc<ServerConfig>,
) -> io::Result<Accepted> {
    stream.set_nodelay(true)?;
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates
        .and_then(<[_]>::first)
        .map(|certificate| certificate.clone().into_owned())
        .ok_or_else(|| io::Error::other("the peer showed no certificate"))?;
    Ok(Accepted { stream, peer: Peer { address, certificate } })
}

/// Handshakes at a time; more wait in the kernel's queue.
const HANDSHAKES: usize = 256;
/// How long a peer may take for its handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
