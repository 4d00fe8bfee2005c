//! A licensing service on this machine that answers every request the same way.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

#[derive(Clone)]
pub enum Answer {
    /// 200 with this manifest.
    Manifest(String),
    /// A status with this text.
    Status(u16, String),
    /// 302 to this address.
    Redirect(String),
}

pub struct Request {
    /// Method and path.
    pub line: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// Serves until the test ends; its thread ends with the process.
pub struct Service {
    pub port: u16,
    /// The CA of its certificate, in PEM.
    pub ca: String,
    connections: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
    requests: Mutex<Receiver<Request>>,
}

impl Service {
    pub fn start(answer: Answer) -> Self {
        let (ca, config) = identity();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (sender, requests) = channel();
        let (counted, answered) = (Arc::clone(&connections), Arc::clone(&served));
        thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let Ok(request) = serve(stream.unwrap(), &config, &answer) else { continue };
                answered.fetch_add(1, Ordering::SeqCst);
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { port, ca, connections, served, requests: Mutex::new(requests) }
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests it read.
    pub fn requests(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    pub fn next_request(&self) -> Request {
        self.requests.lock().unwrap().recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

fn identity() -> (String, Arc<ServerConfig>) {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(spk_serving::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .unwrap();
    (ca.pem(), Arc::new(config))
}

fn serve(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    answer: &Answer,
) -> std::io::Result<Request> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let session = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(session, stream));
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut text = String::new();
        reader.read_line(&mut text)?;
        let Some((name, value)) = text.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (head, text) = match answer {
        Answer::Manifest(text) => ("200 OK".to_owned(), json!({ "manifest": text }).to_string()),
        Answer::Status(status, text) => (format!("{status} Refused"), text.clone()),
        Answer::Redirect(to) => (format!("302 Found\r\nlocation: {to}"), String::new()),
    };
    let answer = format!(
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    let stream = reader.get_mut();
    stream.write_all(answer.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(Request { line, headers, body: String::from_utf8(body).map_err(std::io::Error::other)? })
}
