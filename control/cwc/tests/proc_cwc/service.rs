//! A licensing service on a socket, and a proxy before it: what they are asked, and what they say.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::authority;
use crate::rig::Authority;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The report in the body.
    pub fn report(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["report"].as_str().unwrap().to_owned()
    }
}

type Answer = dyn Fn(usize, &Asked) -> String + Send + Sync;

/// The service; its thread ends with the process.
pub struct Service {
    pub address: SocketAddr,
    pub ca: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Service {
    /// Serves HTTPS on an own port; `answer` makes the answer to the n-th request, from 0.
    pub fn start(answer: impl Fn(usize, &Asked) -> String + Send + Sync + 'static) -> Self {
        let ca = Authority::new();
        let pair = ca.server(&["127.0.0.1"]);
        let config = ServerConfig::builder_with_provider(spk_serving::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer, config) =
            (Arc::clone(&asked), Arc::new(answer) as Arc<Answer>, Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                // A client that does not trust us breaks off.
                let _ = serve(StreamOwned::new(tls, stream), &seen, answer.as_ref());
            }
        });
        Self { address, ca: ca.pem, asked }
    }

    /// The address of the endpoint.
    pub fn url(&self) -> String {
        format!("https://{}/ee/v1/entitlements/telemetry", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: impl Read + Write,
    seen: &Mutex<Vec<Asked>>,
    answer: &Answer,
) -> io::Result<()> {
    let asked = read_request(&mut stream)?;
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(asked.clone());
        seen.len() - 1
    };
    stream.write_all(answer(number, &asked).as_bytes())?;
    stream.flush()
}

fn read_request(stream: &mut impl Read) -> io::Result<Asked> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.split("\r\n");
            let line = lines.next().unwrap().to_owned();
            let headers: Vec<(String, String)> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let asked = Asked { line, headers, body: body.to_owned() };
            if body.len() >= asked.header("content-length").parse().unwrap_or(0) {
                return Ok(asked);
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// An answer with a body of JSON.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// 200 with a good receipt for the report in `asked`.
pub fn acknowledge(asked: &Asked) -> String {
    let manifest = json!({ "manifest": authority::receipt(&asked.report()) });
    answer("200 OK", "", &manifest.to_string())
}

/// A proxy that takes CONNECT; gives back its address and the lines it was asked.
pub fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Ok(asked) = read_request(&mut stream) else { continue };
            seen.lock().unwrap().push(asked.line.clone());
            let target = asked.line.split(' ').nth(1).unwrap().to_owned();
            let onward = TcpStream::connect(target).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let pairs =
                [(stream.try_clone().unwrap(), onward.try_clone().unwrap()), (onward, stream)];
            for (mut from, mut to) in pairs {
                std::thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    (address, lines)
}
