//! What each service consists of: who holds a certificate, and which Secrets they go into.
//!
//! Source: operations.md §3.2 (Secrets), §3.3 (contents).

use crate::order::{KeyStyle, Order, Service};
use crate::pki::{Leaf, Pair};
use crate::secret::Secret;
use crate::tree::Place;

/// Somebody who gets a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Holder {
    pub place: Place,
    pub leaf: Leaf,
}

/// CN of the CA.
pub(crate) const fn authority_name(service: Service) -> &'static str {
    match service {
        // The spelling is the source's: it is in the log text that people search for.
        Service::ApiServer | Service::Rabbit => "TLSGenSelfSignedtRootCA",
        Service::Grpc | Service::Dssm | Service::Otel | Service::Lease => "ca",
    }
}

/// Everybody who gets a certificate, with `clients` further clients.
pub(crate) fn holders(order: &Order, clients: u16) -> Vec<Holder> {
    let holder = |folder: &str, role, leaf: &Leaf| Holder {
        place: Place::new(folder, role),
        leaf: leaf.clone(),
    };
    let with = |fixed: &[&str]| {
        let mut names: Vec<String> = fixed.iter().map(|name| (*name).to_owned()).collect();
        names.extend(order.names.iter().cloned());
        names.dedup();
        names
    };
    let leaf = |common_name: &str, organization: Option<&str>| Leaf {
        common_name: common_name.to_owned(),
        organization: organization.map(str::to_owned),
        ..Leaf::default()
    };
    let server = |names| Leaf { names, server: true, ..leaf("f5net", Some("server")) };
    let client = Leaf { client: true, ..leaf("f5net", Some("client")) };
    let (mut holders, client) = match order.service {
        Service::ApiServer | Service::Rabbit => (
            vec![
                holder("server", "server", &server(with(&[]))),
                holder("client", "client", &client),
            ],
            client,
        ),
        Service::Grpc => {
            let mut server = Leaf::grpc_server();
            server.names.extend(order.names.iter().cloned());
            let client = Leaf::grpc_client();
            (
                vec![
                    holder("server", "server", &server),
                    holder("client", "client", &client),
                    holder("otel-client", "client", &client),
                    holder("otel-server", "server", &server),
                ],
                client,
            )
        }
        // Redis uses one certificate for both ends when it replicates.
        Service::Dssm => {
            let both = Leaf {
                names: with(&["dssm-svc", "server", "localhost", "127.0.0.1", "::1"]),
                server: true,
                client: true,
                ..leaf("dssm-svc", None)
            };
            (vec![holder("server", "server", &both)], client)
        }
        Service::Otel => {
            let server = server(with(&["otel-collector"]));
            (
                vec![
                    holder("server", "server", &server),
                    holder("f5ingress-server", "server", &server),
                    holder("client", "client", &client),
                ],
                client,
            )
        }
        Service::Lease => (Vec::new(), client),
    };
    holders
        .extend((1..=clients).map(|index| holder(&format!("client-{index}"), "client", &client)));
    holders
}

/// The Secrets of `order`. `ca` is the text of the CA file, `ca_key` of its key, `pair` gives what a
/// holder has, by folder.
pub(crate) fn secrets(
    order: &Order,
    clients: u16,
    ca: &str,
    ca_key: Option<&str>,
    pair: impl Fn(&str) -> Option<Pair>,
) -> Vec<Secret> {
    let three = |name: &str, keys: [&str; 3], folder: &str| {
        let pair = pair(folder)?;
        let values = [ca.to_owned(), pair.certificate, pair.key];
        let data = keys.iter().map(|key| (*key).to_owned()).zip(values).collect();
        Some(Secret { name: name.to_owned(), data })
    };
    let found = match order.service {
        Service::ApiServer => {
            let keys = match order.key_style {
                KeyStyle::File => ["ca_root.crt", "server.crt", "server.key"],
                KeyStyle::Dash => ["ca-root-cert", "server-cert", "server-key"],
            };
            vec![
                three("cwc-license-certs", keys, "server"),
                three(
                    "cwc-license-client-certs",
                    ["ca-root-cert", "client-cert", "client-key"],
                    "client",
                ),
            ]
        }
        Service::Rabbit => {
            let server = ["ca-root-cert.pem", "server-cert.pem", "server-key.pem"];
            let client = ["ca-root-cert.pem", "client-cert.pem", "client-key.pem"];
            let mut secrets = vec![
                three("rabbitmq-server-certs", server, "server"),
                three("rabbitmq-client-certs", client, "client"),
            ];
            secrets.extend((1..=clients).map(|index| {
                let name = format!("rabbitmq-client-{index}-certs");
                three(&name, client, &format!("client-{index}"))
            }));
            secrets
        }
        Service::Grpc => {
            let mut keys = Vec::new();
            let mut certs = vec![(String::from("ca_root.crt"), ca.to_owned())];
            for (folder, name) in GRPC {
                let Some(pair) = pair(folder) else { continue };
                keys.push((format!("{name}.key"), pair.key));
                certs.push((format!("{name}.crt"), pair.certificate));
            }
            if let Some(key) = ca_key.filter(|_| order.include_ca_key) {
                keys.push((String::from("priv.key"), key.to_owned()));
            }
            let secret = |name: &str, data| Some(Secret { name: name.to_owned(), data });
            vec![secret("keys-secret", keys), secret("certs-secret", certs)]
        }
        Service::Dssm => {
            let pair = pair("server");
            let (certificate, key) =
                pair.map_or_else(Default::default, |pair| (pair.certificate, pair.key));
            let secret = |name: &str, data: [(&str, String); 2]| {
                let data = data.map(|(key, value)| (key.to_owned(), value)).to_vec();
                Some(Secret { name: name.to_owned(), data })
            };
            vec![
                secret(
                    "dssm-certs-secret",
                    [("dssm-ca.crt", ca.to_owned()), ("dssm-cert.crt", certificate)],
                ),
                secret(
                    "dssm-keys-secret",
                    [("dssm-key.key", key), ("dhparam2048.pem", FFDHE2048.to_owned())],
                ),
            ]
        }
        Service::Otel => {
            let keys = ["ca.crt", "tls.crt", "tls.key"];
            vec![
                three("external-otelsvr-secret", keys, "server"),
                three("external-f5ingotelsvr-secret", keys, "f5ingress-server"),
            ]
        }
        Service::Lease => Vec::new(),
    };
    found.into_iter().flatten().collect()
}

/// Folder of a holder and the name of its files in `keys-secret` and `certs-secret`.
const GRPC: [(&str, &str); 4] = [
    ("server", "grpc-svc"),
    ("client", "f5-ing-demo-f5ingress"),
    ("otel-client", "grpc-otel-client"),
    ("otel-server", "grpc-otel-server"),
];

/// Group ffdhe2048 of RFC 7919, which is the same for everybody.
const FFDHE2048: &str = include_str!("ffdhe2048.pem");
