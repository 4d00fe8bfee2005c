//! What the tool makes, in handshakes of rustls.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cert_gen::pki::{Authority, KeyKind, Leaf, Pair, Period};
use cert_gen::{Order, Secret, Service, make};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

/// One end's PEM texts.
struct End {
    ca: String,
    pair: Pair,
}

fn end(secrets: &[Secret], name: &str, keys: [&str; 3]) -> End {
    let secret = secrets.iter().find(|secret| secret.name == name).unwrap();
    let value = |key: &str| secret.data.iter().find(|(found, _)| found == key).unwrap().1.clone();
    End { ca: value(keys[0]), pair: Pair { certificate: value(keys[1]), key: value(keys[2]) } }
}

impl End {
    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.ca.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        Arc::new(roots)
    }

    fn identity(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.pair.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.pair.key.as_bytes());
        (chain.collect::<Result<_, _>>().unwrap(), key.unwrap())
    }
}

/// Shakes hands in memory, asking for the server by `name`.
fn handshake(server: &End, client: &End, name: &str) -> Result<(), rustls::Error> {
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(server.roots(), Arc::clone(&provider));
    let (chain, key) = server.identity();
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)?;
    let (chain, key) = client.identity();
    let asked = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(client.roots())
        .with_client_auth_cert(chain, key)?;
    let mut server = Connection::from(ServerConnection::new(Arc::new(config))?);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = Connection::from(ClientConnection::new(Arc::new(asked), name)?);
    for _ in 0..10 {
        let (from_client, from_server) = (written(&mut client), written(&mut server));
        take(&mut server, &from_client)?;
        take(&mut client, &from_server)?;
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    Ok(())
}

fn written(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).unwrap();
    }
    bytes
}

fn take(connection: &mut Connection, mut bytes: &[u8]) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        connection.read_tls(&mut bytes).unwrap();
        connection.process_new_packets()?;
    }
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn order(service: Service, dir: PathBuf, names: &[&str]) -> Order {
    Order {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        key: KeyKind::EcP256,
        ..Order::new(service, dir)
    }
}

/// OPS-312: the handshakes; a server is reached by its names only, and no client can be a server.
#[test]
fn rustls_takes_each_pair_for_its_purpose_and_its_names_only() {
    let dir = tempfile::tempdir().unwrap();
    let made = |service, names: &[&str]| {
        make(&order(service, dir.path().to_owned(), names), now()).unwrap().secrets
    };
    let api = made(Service::ApiServer, &["f5-spk-cwc.default", "10.1.2.3"]);
    let server = end(&api, "cwc-license-certs", ["ca_root.crt", "server.crt", "server.key"]);
    let client =
        end(&api, "cwc-license-client-certs", ["ca-root-cert", "client-cert", "client-key"]);
    handshake(&server, &client, "f5-spk-cwc.default").unwrap();
    handshake(&server, &client, "10.1.2.3").unwrap();
    handshake(&server, &client, "f5-spk-cwc").unwrap_err();
    handshake(&client, &client, "f5-spk-cwc.default").unwrap_err();
    handshake(&server, &server, "f5-spk-cwc.default").unwrap_err();

    let names = ["ca-root-cert.pem", "server-cert.pem", "server-key.pem"];
    let rabbit = made(Service::Rabbit, &["rabbitmq-server.default.svc.cluster.local"]);
    let broker = end(&rabbit, "rabbitmq-server-certs", names);
    let names = ["ca-root-cert.pem", "client-cert.pem", "client-key.pem"];
    let cwc = end(&rabbit, "rabbitmq-client-certs", names);
    handshake(&broker, &cwc, "rabbitmq-server.default.svc.cluster.local").unwrap();
    // One CA's client is nobody to another's server, though both have one name.
    handshake(&broker, &client, "rabbitmq-server.default.svc.cluster.local").unwrap_err();

    let grpc = made(Service::Grpc, &[]);
    let value = |secret: &str, key: String| {
        let secret = grpc.iter().find(|found| found.name == secret).unwrap();
        secret.data.iter().find(|(found, _)| *found == key).unwrap().1.clone()
    };
    let holder = |name: &str| End {
        ca: value("certs-secret", String::from("ca_root.crt")),
        pair: Pair {
            certificate: value("certs-secret", format!("{name}.crt")),
            key: value("keys-secret", format!("{name}.key")),
        },
    };
    handshake(&holder("grpc-svc"), &holder("f5-ing-demo-f5ingress"), "grpc-svc").unwrap();
    handshake(&holder("grpc-otel-server"), &holder("grpc-otel-client"), "otel-collector").unwrap();

    let dssm = made(Service::Dssm, &[]);
    let value = |secret: usize, key: usize| dssm[secret].data[key].1.clone();
    let redis = End { ca: value(0, 0), pair: Pair { certificate: value(0, 1), key: value(1, 0) } };
    for name in ["dssm-svc", "server", "localhost", "127.0.0.1", "::1"] {
        handshake(&redis, &redis, name).unwrap();
    }

    let keys = ["ca.crt", "tls.crt", "tls.key"];
    let otel = made(Service::Otel, &["prometheus.example"]);
    let collector = end(&otel, "external-otelsvr-secret", keys);
    let ssl = dir.path().join("otel-secrets/ssl/client");
    let read = |path: &str| std::fs::read_to_string(ssl.join(path)).unwrap();
    let pair = Pair {
        certificate: read("certs/client_certificate.pem"),
        key: read("secrets/client_key.pem"),
    };
    let prometheus = End { ca: collector.ca.clone(), pair };
    handshake(&collector, &prometheus, "otel-collector").unwrap();
    handshake(&collector, &prometheus, "prometheus.example").unwrap();
}

#[test]
fn leaf_ends_with_its_ca_at_the_latest() {
    let ca = Authority::make("ca", KeyKind::EcP256, Period::days(now(), 10)).unwrap();
    let leaf = Leaf { common_name: String::from("x"), client: true, ..Leaf::default() };
    let pair = ca.issue(&leaf, KeyKind::EcP256, Period::days(now(), 365)).unwrap();
    let facts = cert_gen::pki::Facts::first(&pair.certificate).unwrap();
    assert_eq!(facts.end, ca.end());
}
