//! Versions and ciphers, asked for by OpenSSL.

use std::process::{Command, Stdio};

use super::*;

/// LIC-303 (with a listener of this crate), OPS-114 (its floor): TLS 1.0, 1.1 and 1.2 with CBC are
/// refused; 1.2 with GCM or ChaCha20 and 1.3 pass; h2 and http/1.1 are negotiated.
#[tokio::test]
async fn only_tls_1_2_and_1_3_with_aead_ciphers_pass() {
    let place = Place::new();
    let address = echo(place.follow_server().0).await;
    let dir = place.client_dir();
    let ask = |arguments: &'static [&'static str]| {
        let dir = dir.clone();
        async move {
            let output = tokio::task::spawn_blocking(move || {
                Command::new("openssl")
                    .args(["s_client", "-connect", &address.to_string()])
                    .args(["-servername", "f5-spk-cwc.default", "-verify_return_error"])
                    .args(["-verify_hostname", "f5-spk-cwc.default"])
                    .arg("-CAfile")
                    .arg(dir.join("ca-root-cert"))
                    .arg("-cert")
                    .arg(dir.join("client-cert"))
                    .arg("-key")
                    .arg(dir.join("client-key"))
                    .args(arguments)
                    .stdin(Stdio::null())
                    .output()
                    .unwrap()
            });
            let output = output.await.unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&said).into_owned())
        }
    };
    // The lowest security level lets OpenSSL itself offer what is old.
    for old in [
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"] as &[_],
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"],
    ] {
        let (passed, said) = ask(old).await;
        // An alert comes from the other side: OpenSSL did offer it.
        assert!(!passed && said.contains(" alert "), "{old:?}: {said}");
    }
    for (good, cipher) in [
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"] as &[_],
            "ECDHE-ECDSA-AES128-GCM",
        ),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], "CHACHA20"),
        (&["-tls1_3"], "TLSv1.3, Cipher is TLS_"),
    ] {
        let (passed, said) = ask(good).await;
        assert!(passed && said.contains(cipher), "{good:?}: {said}");
    }
    for (offered, chosen) in [
        (&["-alpn", "h2,http/1.1"] as &[_], "ALPN protocol: h2\n"),
        (&["-alpn", "http/1.1"], "ALPN protocol: http/1.1\n"),
    ] {
        let (passed, said) = ask(offered).await;
        assert!(passed && said.contains(chosen), "{offered:?}: {said}");
    }
}
