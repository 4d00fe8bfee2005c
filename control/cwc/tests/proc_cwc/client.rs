//! An HTTPS client that shows what is on the wire: one request a connection, HTTP/1.1.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use crate::schema;

/// A client with one certificate.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: SocketAddr,
    pub config: Arc<ClientConfig>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    /// A connection after its handshake was begun.
    pub fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(40)))?;
        let name = ServerName::try_from("f5-spk-cwc.default").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        Ok(StreamOwned::new(connection, stream))
    }

    /// Sends a request and reads the answer to its end.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Reply> {
        let mut stream = self.connect()?;
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("Connection: close\r\n\r\n");
        stream.write_all(text.as_bytes())?;
        // A server that refuses the head need not read the body.
        let _ = stream.write_all(body).and_then(|()| stream.flush());
        let reply = read_reply(&mut stream)?;
        schema::check(method, path, &reply);
        Ok(reply)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"").unwrap()
    }

    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.send("POST", path, &[], body.as_bytes()).unwrap()
    }

    /// The JSON of a page that must be there.
    pub fn json(&self, path: &str) -> Value {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    /// The state of slot L.
    pub fn state(&self) -> u64 {
        self.json("/v1/license")["slots"]["license"]["state"].as_u64().unwrap()
    }

    /// Downloads the report.
    pub fn report(&self) -> String {
        self.json("/report")["report"].as_str().unwrap().to_owned()
    }
}

/// Reads a whole answer.
pub fn read_reply(stream: &mut impl Read) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // The server closed without a TLS goodbye after it answered.
        Err(_) if !bytes.is_empty() => {}
        Err(error) => return Err(error),
    }
    parse(&bytes).ok_or_else(|| io::Error::other(format!("no answer: {bytes:?}")))
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked =
        headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Some(Reply { status, headers, body })
}

fn unchunk(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        let Some(chunk) = rest.get(..size) else { break };
        body.push_str(chunk);
        text = rest.get(size + 2..).unwrap_or_default();
    }
    body
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
