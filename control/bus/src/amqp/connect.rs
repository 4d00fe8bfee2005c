//! Making one connection to the broker: TCP, TLS with a client certificate, SASL EXTERNAL.
//!
//! Sources: licensing.md §10.1 (LIC-702 to LIC-705), §10.3 (LIC-725).

use std::io;
use std::net::{Shutdown, TcpStream as StdTcpStream};
use std::sync::{Arc, Mutex};

use lapin::auth::AuthProvider;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, ErrorKind};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError};
use spk_serving::tls::Tls;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::reactor::{LapinStream, runtime};

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A certificate is missing, or one side refuses the other's. The text before the brackets is
    /// the seed's (LIC-704).
    #[error("x509: certificate signed by unknown authority ({0})")]
    Certificate(String),
    /// The broker cannot be reached.
    #[error("cannot reach {address}: {cause}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// The system's words.
        cause: String,
    },
    /// TLS failed for another reason than a certificate.
    #[error("TLS with {address} failed: {cause}")]
    Tls {
        /// Host and port.
        address: String,
        /// The library's words.
        cause: String,
    },
    /// The broker refused the login or the virtual host.
    #[error("the broker refused the connection: {0}")]
    Refused(String),
    /// The broker did not answer in time.
    #[error("{address} does not answer within {} s", PATIENCE.as_secs())]
    Silent {
        /// Host and port.
        address: String,
    },
}

impl ConnectError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "bus_certificate",
            Self::Unreachable { .. } => "bus_unreachable",
            Self::Tls { .. } => "bus_tls",
            Self::Refused(_) => "bus_refused",
            Self::Silent { .. } => "bus_silent",
        }
    }
}

/// A connection; dropped it ends at once.
#[derive(Debug)]
pub struct Connected {
    /// The AMQP connection.
    pub connection: Connection,
    _socket: Socket,
}

impl Connected {
    /// Closes the connection as AMQP asks, or after `patience` just so.
    pub async fn close(&self, patience: Duration) {
        // Either way the socket is shut down when `self` goes.
        let _ = timeout(patience, self.connection.close(REPLY_SUCCESS, "OK".into())).await;
    }
}

/// Ends the connection when it is dropped: whatever waits for the peer learns that at once, also
/// lapin's thread.
#[derive(Debug)]
struct Socket(StdTcpStream);

impl Drop for Socket {
    fn drop(&mut self) {
        // The peer may have closed it.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Connects to virtual host `/` of the broker at `host`:`port` under `name`, once. For those who are
/// no end of the bus, such as the debug sidecar; a [`crate::Bus`] connects by itself.
///
/// # Errors
///
/// [`ConnectError`]; nothing of the attempt is left.
pub async fn connect(
    host: &str,
    port: u16,
    tls: &Tls,
    name: &str,
) -> Result<Connected, ConnectError> {
    let address = format!("{host}:{port}");
    let Some(config) = tls.client_config() else {
        return Err(ConnectError::Certificate(tls.not_ready().unwrap_or_default()));
    };
    let (stream, socket) = dial(host, port, &address, Arc::clone(&config)).await?;
    let connection = match timeout(PATIENCE, log_in(stream.compat(), name)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => match error.kind() {
            ErrorKind::IOError(cause) => {
                return Err(after_handshake(cause, host, port, &address, config).await);
            }
            _ => return Err(ConnectError::Refused(error.to_string())),
        },
        Err(_) => return Err(ConnectError::Silent { address }),
    };
    Ok(Connected { connection, _socket: socket })
}

/// TCP and TLS.
async fn dial(
    host: &str,
    port: u16,
    address: &str,
    config: Arc<ClientConfig>,
) -> Result<(TlsStream<TcpStream>, Socket), ConnectError> {
    let silent = |_| ConnectError::Silent { address: address.to_owned() };
    let unreachable = |error: io::Error| ConnectError::Unreachable {
        address: address.to_owned(),
        cause: error.to_string(),
    };
    let dialed = timeout(PATIENCE, TcpStream::connect((host, port))).await.map_err(silent)?;
    let (stream, socket) = dialed.and_then(hold).map_err(unreachable)?;
    let server = ServerName::try_from(host.to_owned()).map_err(|error| ConnectError::Tls {
        address: address.to_owned(),
        cause: error.to_string(),
    })?;
    let shaken = timeout(PATIENCE, TlsConnector::from(config).connect(server, stream)).await;
    let stream = shaken.map_err(silent)?.map_err(|error| tls_failure(&error, address))?;
    Ok((stream, socket))
}

/// Why the connection ended at the login. With TLS 1.3 a broker refuses our certificate only now,
/// and what we wrote meanwhile may have made TCP throw its alert away: a second connection, on
/// which we only listen, brings it.
async fn after_handshake(
    error: &io::Error,
    host: &str,
    port: u16,
    address: &str,
    config: Arc<ClientConfig>,
) -> ConnectError {
    if let Some(reason) = certificate_reason(error) {
        return ConnectError::Certificate(reason);
    }
    if let Ok((mut stream, _socket)) = dial(host, port, address, config).await
        && let Ok(Err(alert)) = timeout(LISTENING, stream.read_u8()).await
        && let Some(reason) = certificate_reason(&alert)
    {
        return ConnectError::Certificate(reason);
    }
    tls_failure(error, address)
}

/// Keeps a second handle of the socket, as the stream itself becomes lapin's.
fn hold(stream: TcpStream) -> io::Result<(TcpStream, Socket)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let socket = Socket(stream.try_clone()?);
    Ok((TcpStream::from_std(stream)?, socket))
}

async fn log_in(stream: LapinStream, name: &str) -> lapin::Result<Connection> {
    let mut uri = AMQPUri { vhost: String::from("/"), ..AMQPUri::default() };
    uri.query.heartbeat = Some(HEARTBEAT);
    let properties = ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_auth_provider(CertificateLogin);
    let stream = Mutex::new(Some(stream));
    let take = async move |_, _| {
        let stream = stream.lock().map(|mut stream| stream.take()).unwrap_or_default();
        let stream = stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        Ok(AsyncTcpStream::Plain(stream))
    };
    Connection::connector(uri, runtime(), take, properties).await
}

/// SASL EXTERNAL: the certificate's name is the login. The trait's own answers are those.
struct CertificateLogin;

impl AuthProvider for CertificateLogin {}

fn tls_failure(error: &io::Error, address: &str) -> ConnectError {
    certificate_reason(error).map_or_else(
        || ConnectError::Tls { address: address.to_owned(), cause: error.to_string() },
        ConnectError::Certificate,
    )
}

/// What is wrong with a certificate, if that is the trouble.
fn certificate_reason(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<TlsError>()? {
        // Two CAs of one name differ only in their signatures.
        TlsError::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => Some(String::from("the broker's certificate is of another CA than ours")),
        TlsError::InvalidCertificate(cause) => Some(format!("the broker's certificate: {cause}")),
        TlsError::AlertReceived(alert) => refusal(*alert),
        _ => None,
    }
}

/// In words, which fault the broker found in our certificate.
fn refusal(alert: AlertDescription) -> Option<String> {
    let fault = match alert {
        AlertDescription::UnknownCA => "it is of another CA",
        AlertDescription::BadCertificate => "it is bad",
        AlertDescription::UnsupportedCertificate => "its kind is not supported",
        AlertDescription::CertificateRevoked => "it is revoked",
        AlertDescription::CertificateExpired => "it has expired",
        AlertDescription::CertificateUnknown => "it is not accepted",
        AlertDescription::CertificateRequired => "there is none",
        _ => return None,
    };
    Some(format!("the broker refuses our certificate: {fault}"))
}

/// Longest wait for each step.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a broker may take to refuse a certificate.
const LISTENING: Duration = Duration::from_secs(2);
/// AMQP heartbeat, seconds (LIC-725).
const HEARTBEAT: u16 = 30;
const REPLY_SUCCESS: u16 = 200;
