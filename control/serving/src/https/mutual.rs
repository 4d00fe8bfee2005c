//! Requests under mutual TLS: to a server of one's own CA, with one's own certificate.
//!
//! Owns nothing but the connection. Takes no proxy: such a server is on the same network. Source:
//! licensing.md §4.1 (LIC-301), operations.md §1.2 (N6).

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::ServerName;
use tokio::time::timeout;

use super::{NoReply, Reply, failure, read};
use crate::tls::Material;

/// A client of one server. Connections are kept for further requests.
#[derive(Clone, Debug)]
pub struct MutualClient {
    client: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// The text is no name that a certificate may hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{name:?} is no server name")]
pub struct ServerNameError {
    /// The text.
    pub name: String,
}

impl ServerNameError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "https_server_name"
    }
}

impl MutualClient {
    /// A client that trusts and shows `material`, which offers no ALPN. The server's certificate is
    /// to be for `name`, or without it for the host of each request.
    ///
    /// # Errors
    ///
    /// [`ServerNameError`].
    pub fn new(material: &Material, name: Option<&str>) -> Result<Self, ServerNameError> {
        let config = Arc::unwrap_or_clone(material.client());
        let mut connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        if let Some(name) = name {
            let fixed = ServerName::try_from(name.to_owned())
                .map_err(|_| ServerNameError { name: name.to_owned() })?;
            connector = connector.with_server_name_resolver(FixedServerNameResolver::new(fixed));
        }
        let client =
            legacy::Client::builder(TokioExecutor::new()).build(connector.enable_http1().build());
        Ok(Self { client })
    }

    /// Sends `request` once and waits at most `within` for the head of the answer, whose body is
    /// then read without a limit.
    ///
    /// # Errors
    ///
    /// [`NoReply`]. Whatever a server answers is no error.
    pub async fn open(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<Response<Incoming>, NoReply> {
        match timeout(within, self.client.request(request)).await {
            Ok(outcome) => outcome.map_err(|error| failure(&error)),
            Err(_) => Err(NoReply::Late { within }),
        }
    }

    /// Sends `request` once; the whole answer, of at most `body` bytes, comes `within` this time.
    ///
    /// # Errors
    ///
    /// As [`MutualClient::open`].
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
        body: usize,
    ) -> Result<Reply, NoReply> {
        let whole = async {
            let response = self.open(request, within).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok(Reply { status, headers, body: read(response, body).await? })
        };
        match timeout(within, whole).await {
            Ok(outcome) => outcome,
            Err(_) => Err(NoReply::Late { within }),
        }
    }
}
