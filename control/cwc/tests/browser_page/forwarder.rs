//! The client certificate of the browser: a forwarder on loopback that ends the browser's TLS and
//! shows the certificate to the CWC. Every byte in between is the browser's and the CWC's own.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::rig::{Rig, eventually};

/// A running forwarder; it and its children end when it is dropped.
pub struct Forwarder {
    child: Child,
    address: SocketAddr,
}

impl Forwarder {
    pub fn start(rig: &Rig) -> Self {
        let server = rig.ca.server(&[&rig.ip.to_string()]);
        rig.put("browser/server.pem", &format!("{}{}", server.certificate, server.key));
        let client = &rig.client_pair;
        rig.put("browser/client.pem", &format!("{}{}", client.certificate, client.key));
        rig.put("browser/ca.pem", &rig.ca.pem);
        let file = |name: &str| rig.path(&format!("browser/{name}.pem")).display().to_string();
        let listen = format!(
            "OPENSSL-LISTEN:{PORT},bind={},reuseaddr,fork,verify=0,cert={}",
            rig.ip,
            file("server")
        );
        let connect = format!(
            "OPENSSL:{}:30881,cert={},cafile={},openssl-commonname=f5-spk-cwc.default",
            rig.ip,
            file("client"),
            file("ca")
        );
        let child = Command::new("socat")
            .args([listen, connect])
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let forwarder = Self { child, address: SocketAddr::new(rig.ip, PORT) };
        eventually(Duration::from_secs(10), "the forwarder", || {
            TcpStream::connect(forwarder.address).is_ok()
        });
        forwarder
    }

    /// Address of a path of the CWC as the browser sees it.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // The group: it has a child for each connection.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

const PORT: u16 = 30_882;
