//! What is in the certificates, as OpenSSL reads them.

use std::fs;

use super::{directory, done, manifest, openssl, text, verify};

/// OPS-312: OpenSSL verifies each chain strictly, for the usages of §3.3 only, with the subjects of
/// §3.3. The handshakes are in `handshake.rs`.
#[test]
fn openssl_verifies_each_chain_of_each_service() {
    let dir = directory();
    // Each service, and per folder its purposes and what its text must hold.
    type Folder = (&'static str, &'static [&'static str], &'static [&'static str]);
    let table: [(&[&str], &str, &[Folder]); 5] = [
        (
            &["-s=api-server", "-a=f5-spk-cwc.default", "-n=1"],
            "TLSGenSelfSignedtRootCA",
            &[
                (
                    "server",
                    &["sslserver"],
                    &["O = server", "CN = f5net\n", "DNS:f5-spk-cwc.default"],
                ),
                ("client", &["sslclient"], &["O = client", "CN = f5net\n"]),
                ("client-1", &["sslclient"], &["CN = f5net\n"]),
            ],
        ),
        (
            &["-s=rabbit", "-a=rabbitmq-server.default.svc.cluster.local"],
            "TLSGenSelfSignedtRootCA",
            &[
                ("server", &["sslserver"], &["O = server"]),
                ("client", &["sslclient"], &["CN = f5net\n"]),
            ],
        ),
        (
            &["-s=grpc"],
            "ca",
            &[
                (
                    "server",
                    &["sslserver"],
                    &["CN = f5net.com", "DNS:grpc-svc, DNS:otel-collector, DNS:f5-csrc-grpc-svc"],
                ),
                ("client", &["sslclient"], &["email:clientcert@f5net.com"]),
                ("otel-server", &["sslserver"], &["DNS:otel-collector"]),
                ("otel-client", &["sslclient"], &["CN = f5net.com"]),
            ],
        ),
        (
            &["-s=dssm"],
            "ca",
            &[(
                "server",
                &["sslserver", "sslclient"],
                &[
                    "CN = dssm-svc",
                    "DNS:dssm-svc, DNS:server, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
                ],
            )],
        ),
        (
            &["-s=otel"],
            "ca",
            &[
                ("server", &["sslserver"], &["DNS:otel-collector"]),
                ("f5ingress-server", &["sslserver"], &["DNS:otel-collector"]),
                ("client", &["sslclient"], &["O = client"]),
            ],
        ),
    ];
    for (arguments, authority, folders) in table {
        // The kinds of keys that are the default take turns with the quick one.
        let key = if arguments[0] == "-s=rabbit" { "--key=rsa:2048" } else { "--key=ec:p256" };
        done(dir.path(), &[arguments, &[key]].concat());
        let service = arguments[0].trim_start_matches("-s=");
        let ssl = dir.path().join(format!("{service}-secrets/ssl"));
        let ca = ssl.join("ca/certs/ca_certificate.pem");
        let shown = openssl(&["x509", "-noout", "-text", "-in", ca.to_str().unwrap()]);
        for wanted in [
            format!("Subject: CN = {authority}\n"),
            String::from("CA:TRUE, pathlen:0"),
            String::from("Certificate Sign, CRL Sign"),
        ] {
            assert!(shown.contains(&wanted), "{service}: {wanted} in {shown}");
        }
        for (folder, purposes, texts) in folders {
            let role = if folder.ends_with("server") { "server" } else { "client" };
            let path = ssl.join(format!("{folder}/certs/{role}_certificate.pem"));
            for purpose in *purposes {
                verify(&ca, &path, purpose);
            }
            let shown = openssl(&["x509", "-noout", "-text", "-in", path.to_str().unwrap()]);
            for wanted in *texts {
                assert!(shown.contains(wanted), "{service} {folder}: {wanted} in {shown}");
            }
            let both =
                shown.contains("TLS Web Server Authentication, TLS Web Client Authentication");
            assert_eq!(both, purposes.len() == 2, "{service} {folder}");
            let other = if role == "server" { "Client" } else { "Server" };
            let has_other = shown.contains(&format!("TLS Web {other} Authentication"));
            assert_eq!(has_other, both, "{service} {folder}");
        }
    }
}

#[test]
fn default_keys_are_rsa_and_default_times_are_those_of_the_reference() {
    let dir = directory();
    done(dir.path(), &["-s=api-server", "-a=a.b"]);
    let path = dir.path().join("api-server-secrets/ssl/server/certs/server_certificate.pem");
    let shown = openssl(&["x509", "-noout", "-text", "-in", path.to_str().unwrap()]);
    assert!(shown.contains("Public-Key: (2048 bit)"), "{shown}");
    let pem = text(&path);
    let facts = cert_gen::pki::Facts::first(&pem).unwrap();
    // The first day is the one before.
    assert_eq!(facts.end - facts.begin, 3651 * 86_400);
    done(dir.path(), &["-s=otel"]);
    let path = dir.path().join("otel-secrets/ssl/server/certs/server_certificate.pem");
    let shown = openssl(&["x509", "-noout", "-text", "-in", path.to_str().unwrap()]);
    assert!(shown.contains("Public-Key: (4096 bit)"), "{shown}");
    let facts = cert_gen::pki::Facts::first(&text(&path)).unwrap();
    assert_eq!(facts.end - facts.begin, 366 * 86_400);
}

#[test]
fn group_of_the_shared_state_is_ffdhe2048() {
    let dir = directory();
    done(dir.path(), &["-s=dssm", "--key=ec:p256"]);
    let path = dir.path().join("group.pem");
    fs::write(&path, &manifest(dir.path(), "dssm-keys-secret").1["dhparam2048.pem"]).unwrap();
    let shown = openssl(&["pkeyparam", "-noout", "-text", "-in", path.to_str().unwrap()]);
    assert!(shown.contains("GROUP: ffdhe2048"), "{shown}");
}
