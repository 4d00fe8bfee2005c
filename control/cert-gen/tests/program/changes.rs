//! What a second call keeps, adds and refuses: rotation, other CAs, lease keys, broken files.

use std::fs;

use super::{call, directory, done, keys, manifest, text, verify};

#[test]
fn ca_of_another_service_signs_this_ones_certificates() {
    let dir = directory();
    let key = "--key=ec:p256";
    done(dir.path(), &["-s=grpc", key]);
    done(dir.path(), &["-s=otel", "--ca-dir=grpc-secrets/ssl/ca", key]);
    let ca = dir.path().join("grpc-secrets/ssl/ca/certs/ca_certificate.pem");
    verify(
        &ca,
        &dir.path().join("otel-secrets/ssl/server/certs/server_certificate.pem"),
        "sslserver",
    );
    done(dir.path(), &["-s=rabbit", "-a=b", key]);
    let other = &["-s=otel", "--ca-dir=rabbit-secrets/ssl/ca", key];
    assert_eq!(call(dir.path(), other).status.code(), Some(1));
}

#[test]
fn other_names_are_refused_until_leaves_are_rotated() {
    let dir = directory();
    let key = "--key=ec:p256";
    done(dir.path(), &["-s=api-server", "-a=old", key]);
    let ssl = dir.path().join("api-server-secrets/ssl");
    let ca = ssl.join("ca/certs/ca_certificate.pem");
    let server = ssl.join("server/certs/server_certificate.pem");
    let before = (text(&ca), text(&server));
    let refused = call(dir.path(), &["-s=api-server", "-a=new", key]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--rotate=leaf"));
    assert_eq!((text(&ca), text(&server)), before);
    done(dir.path(), &["-s=api-server", "-a=new", "--rotate=leaf", key]);
    assert_eq!(text(&ca), before.0);
    let names = cert_gen::pki::Facts::first(&text(&server)).unwrap().names;
    assert_eq!(names, ["new"]);
}

/// The tool's part of OPS-321; that each connection can be made at each step is shown by
/// `spk-serving`.
#[test]
fn ca_rotation_trusts_both_then_uses_the_new_one_then_drops_the_old() {
    let dir = directory();
    let base: &[&str] = &["-s=api-server", "-a=a.b", "--key=ec:p256"];
    let rotate = [base, &["--rotate=ca"]].concat();
    done(dir.path(), base);
    let ssl = dir.path().join("api-server-secrets/ssl");
    let ca = ssl.join("ca/certs/ca_certificate.pem");
    let server = ssl.join("server/certs/server_certificate.pem");
    let old = (text(&ca), text(&server));
    let count = || text(&ca).matches("BEGIN CERTIFICATE").count();

    assert!(done(dir.path(), &rotate).starts_with("Step 1 of 3"));
    assert_eq!((count(), text(&server)), (2, old.1.clone()));
    assert!(text(&ca).starts_with(&old.0));
    // Meanwhile a client can be added, but leaves are not renewed.
    done(dir.path(), &[base, &["-n=1"]].concat());
    assert_eq!(call(dir.path(), &[base, &["--rotate=leaf"]].concat()).status.code(), Some(1));

    assert!(done(dir.path(), &rotate).starts_with("Step 2 of 3"));
    assert_eq!(count(), 2);
    assert_ne!(text(&server), old.1);
    assert!(text(&ca).ends_with(&old.0));
    assert_eq!(manifest(dir.path(), "cwc-license-certs").1["ca_root.crt"], text(&ca));
    done(dir.path(), &[base, &["-n=2"]].concat());

    assert!(done(dir.path(), &rotate).starts_with("Step 3 of 3"));
    assert_eq!(count(), 1);
    assert_ne!(text(&ca), old.0);
    for client in ["client", "client-1", "client-2"] {
        verify(&ca, &ssl.join(client).join("certs/client_certificate.pem"), "sslclient");
    }
    verify(&ca, &server, "sslserver");
    // The next call begins another rotation.
    assert!(done(dir.path(), &rotate).starts_with("Step 1 of 3"));
}

/// LIC-010: the name of each key is its thumbprint, as any SHA-256 of its three members in order
/// says. LIC-011 (the tool's part): made once, never replaced; `next.jwk` only adds its public key.
#[test]
fn lease_key_is_made_once_and_a_second_one_only_adds_its_public_key() {
    let dir = directory();
    let at = dir.path();
    let said = done(at, &["-s=lease"]);
    assert!(said.contains("Generating ") && said.contains("/cwc-lease-jwks.yaml\n"), "{said}");
    let (private, public) =
        (at.join("lease-secrets/private.jwk"), at.join("lease-secrets/jwks.json"));
    let first = (text(&private), text(&public));
    assert_eq!(keys(at, "cwc-lease-key"), ["private.jwk"]);
    assert_eq!(manifest(at, "cwc-lease-jwks").1["jwks.json"], first.1);
    done(at, &["-s=lease"]);
    assert_eq!((text(&private), text(&public)), first);

    done(at, &["-s=lease", "--rotate=leaf"]);
    assert_eq!(text(&private), first.0);
    assert_eq!(keys(at, "cwc-lease-key"), ["next.jwk", "private.jwk"]);
    let set = spk_jose::Jwks::parse(&text(&public)).unwrap();
    let old = spk_jose::Ed25519Key::from_jwk(&first.0).unwrap();
    let next = spk_jose::Ed25519Key::from_jwk(&text(at.join("lease-secrets/next.jwk"))).unwrap();
    assert_eq!(set.kids().collect::<Vec<_>>(), [old.kid(), next.kid()]);
    for key in [&old, &next] {
        let x = spk_jose::base64url::encode(key.public());
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, members.as_bytes());
        assert_eq!(key.kid(), spk_jose::base64url::encode(digest.as_ref()));
    }
    assert_eq!(call(at, &["-s=lease", "--rotate=leaf"]).status.code(), Some(1));

    done(at, &["-s=lease", "--force"]);
    assert_ne!(text(&private), first.0);
    assert!(!text(&public).contains(old.kid()));
}

#[test]
fn full_set_of_lease_keys_is_not_rotated() {
    let dir = directory();
    let at = dir.path();
    done(at, &["-s=lease"]);
    for _ in 0..3 {
        done(at, &["-s=lease", "--rotate=leaf"]);
        // What the text of the tool says to do once the new key is trusted.
        fs::rename(at.join("lease-secrets/next.jwk"), at.join("lease-secrets/private.jwk"))
            .unwrap();
    }
    let before = text(at.join("lease-secrets/jwks.json"));
    assert_eq!(spk_jose::Jwks::parse(&before).unwrap().len(), 4);
    assert_eq!(call(at, &["-s=lease", "--rotate=leaf"]).status.code(), Some(1));
    assert_eq!(text(at.join("lease-secrets/jwks.json")), before);
    assert!(!at.join("lease-secrets/next.jwk").exists());
}

#[test]
fn broken_chain_is_named_and_no_manifest_is_written() {
    let dir = directory();
    let arguments = ["-s=api-server", "-a=a.b", "--key=ec:p256"];
    done(dir.path(), &arguments);
    let foreign = directory();
    done(foreign.path(), &arguments);
    let path = "api-server-secrets/ssl/server/secrets/server_key.pem";
    fs::copy(foreign.path().join(path), dir.path().join(path)).unwrap();
    let manifest = dir.path().join("cwc-license-certs.yaml");
    fs::remove_file(&manifest).unwrap();
    let output = call(dir.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("server_certificate.pem: its key does not fit"), "{errors}");
    assert!(!manifest.exists());
    let path = "api-server-secrets/ssl/server";
    fs::remove_dir_all(dir.path().join(path)).unwrap();
    fs::create_dir(dir.path().join(path)).unwrap();
    for part in ["certs/server_certificate.pem", "secrets/server_key.pem"] {
        let (from, to) = (foreign.path().join(path).join(part), dir.path().join(path).join(part));
        fs::create_dir(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
    let errors = String::from_utf8(call(dir.path(), &arguments).stderr).unwrap();
    assert!(errors.contains("no CA of the CA file signed it"), "{errors}");
}
