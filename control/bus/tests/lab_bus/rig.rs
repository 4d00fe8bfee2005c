//! A broker, certificates, a plain AMQP client, and the log.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Once, OnceLock},
};

use spk_bus::{Connected, End, Link};
use spk_serving::{
    log::{LogControl, LogFormat, subscriber},
    tls::{Alpn, Tls, TlsFiles, install_provider},
};
use spk_tests::{broker::Broker, certificates::Authority};
use tempfile::TempDir;

use crate::side::{Side, controller};

/// A broker and the certificates of its clients.
pub struct Rig {
    pub broker: Broker,
    pub authority: Authority,
    pub folder: TempDir,
}

impl Rig {
    pub fn start() -> Self {
        start_log();
        install_provider();
        let folder = TempDir::new().unwrap();
        let authority = Authority::new().unwrap();
        let broker = Broker::start(&authority.bus_server(folder.path()).unwrap()).unwrap();
        authority.bus_client(folder.path(), "rabbitmq-client-certs", "f5net").unwrap();
        Self { broker, authority, folder }
    }

    /// The folder of the Secret that all ends share here.
    pub fn shared(&self) -> PathBuf {
        self.folder.path().join("rabbitmq-client-certs")
    }

    /// Straight to the broker.
    pub fn link(&self) -> Link {
        self.link_by(&self.shared(), self.broker.port())
    }

    pub fn link_by(&self, certificates: &Path, port: u16) -> Link {
        Link::Broker { host: String::from("127.0.0.1"), port, tls: tls(certificates) }
    }

    pub async fn cwc(&self) -> Side {
        Side::up(End::Cwc, self.link()).await
    }

    pub async fn controller(&self, namespace: &str) -> Side {
        Side::up(controller(namespace), self.link()).await
    }

    /// An AMQP client that is no end of the bus.
    pub async fn plain(&self) -> Connected {
        let tls = tls(&self.shared());
        spk_bus::connect("127.0.0.1", self.broker.port(), &tls, "plain").await.unwrap()
    }

    pub fn ctl(&self, arguments: &[&str]) -> Vec<String> {
        self.broker.tool("rabbitmqctl", arguments).unwrap()
    }
}

pub fn tls(certificates: &Path) -> Tls {
    Tls::follow(TlsFiles::client(certificates), Alpn::None, Arc::new(drop))
}

/// The log of this process, in klog form.
pub fn log() -> Vec<String> {
    let page = PAGE.get_or_init(Page::default).0.lock().unwrap().clone();
    String::from_utf8(page).unwrap().lines().map(str::to_owned).collect()
}

/// The lines with `text` in them.
pub fn log_with(text: &str) -> Vec<String> {
    log().into_iter().filter(|line| line.contains(text)).collect()
}

static PAGE: OnceLock<Page> = OnceLock::new();
static LOG: Once = Once::new();

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn start_log() {
    LOG.call_once(|| {
        let page = PAGE.get_or_init(Page::default).clone();
        let control = LogControl::new(tracing::Level::INFO);
        let subscriber = subscriber("spk-bus", LogFormat::Klog, &control, move || page.clone());
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}
