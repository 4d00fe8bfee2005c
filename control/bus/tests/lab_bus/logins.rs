//! Who gets in, and what the others' logs say.

use std::{
    fs,
    net::TcpStream,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use spk_bus::End;
use spk_tests::{certificates::Authority, poll};
use std::io::Read as _;

use crate::{
    block_on,
    rig::{Rig, log, log_with},
    side::{PATIENCE, Side, controller},
};

#[test]
fn only_the_buses_certificates_get_in_and_repaired_ones_do_without_restart() {
    let rig = Rig::start();
    block_on(async {
        each_instance_has_a_secret_of_its_own_or_shares_one(&rig).await;
        another_name_is_refused(&rig).await;
        another_authoritys_client_is_refused(&rig).await;
        missing_certificate_is_waited_for(&rig).await;
        wrong_authority_is_logged_as_in_the_seed_and_repaired_without_restart(&rig).await;
    });
    no_certificate_and_tls_1_1_fail_in_the_handshake(&rig);
}

/// LIC-701; LIC-702: the broker's log shows the user; LIC-725: heartbeat and name of the connection.
async fn each_instance_has_a_secret_of_its_own_or_shares_one(rig: &Rig) {
    let client = |secret: &str| {
        let folder = rig.authority.bus_client(rig.folder.path(), secret, "f5net").unwrap();
        rig.link_by(&folder, rig.broker.port())
    };
    let one = client("rabbitmq-client-1-certs");
    let _cwc = rig.cwc().await;
    let _first = Side::up(controller("first"), one.clone()).await;
    let _second = Side::up(controller("second"), client("rabbitmq-client-2-certs")).await;
    let _third = Side::up(controller("third"), one).await;
    let granted = "user 'f5net' authenticated and granted access to vhost '/'";
    assert_eq!(rig.broker.log().matches(granted).count(), 4);
    let lines = rig.ctl(&["list_connections", "timeout", "client_properties"]);
    for name in ["spk-cwc", "f5-lic-helper/first", "f5-lic-helper/second", "f5-lic-helper/third"] {
        let named = |line: &&String| line.contains(&format!("{{\"connection_name\",\"{name}\"}}"));
        let line = lines.iter().find(named).unwrap_or_else(|| panic!("{name}: {lines:#?}"));
        assert!(line.starts_with("30\t"), "{line}");
    }
}

/// LIC-702: another CN.
async fn another_name_is_refused(rig: &Rig) {
    let folder = rig.authority.bus_client(rig.folder.path(), "other-name", "other").unwrap();
    let mut side = Side::open(controller("other"), rig.link_by(&folder, rig.broker.port()));
    let reason = side.goes_down().await;
    assert!(reason.contains("ACCESS_REFUSED") || reason.contains("ACCESS-REFUSED"), "{reason}");
}

/// LIC-702: another CA. With TLS 1.3 the client learns it after its own part of the handshake.
async fn another_authoritys_client_is_refused(rig: &Rig) {
    let stranger = Authority::new().unwrap();
    let folder = stranger.bus_client(rig.folder.path(), "stranger", "f5net").unwrap();
    let authority = rig.shared().join("ca-root-cert.pem");
    fs::copy(authority, folder.join("ca-root-cert.pem")).unwrap();
    let mut side = Side::open(controller("stranger"), rig.link_by(&folder, rig.broker.port()));
    let reason = side.goes_down().await;
    assert!(reason.contains("the broker refuses our certificate"), "{reason}");
}

/// LIC-704: a missing certificate has the same lines.
async fn missing_certificate_is_waited_for(rig: &Rig) {
    let secret = "rabbitmq-client-9-certs";
    let folder = rig.authority.bus_client(rig.folder.path(), secret, "f5net").unwrap();
    let (path, away) = (folder.join("client-cert.pem"), folder.join("away"));
    fs::rename(&path, &away).unwrap();
    let mut side = Side::open(controller("ninth"), rig.link_by(&folder, rig.broker.port()));
    let reason = side.goes_down().await;
    assert!(reason.contains(&format!("Secret {secret} is missing")), "{reason}");
    assert!(!log_with(&format!("{FIRST} (Secret {secret} is missing")).is_empty(), "{:?}", log());
    fs::rename(&away, &path).unwrap();
    side.comes_up(PATIENCE).await;
}

/// LIC-704: both lines, the klog form, the pauses; LIC-705.
async fn wrong_authority_is_logged_as_in_the_seed_and_repaired_without_restart(rig: &Rig) {
    let secret = "rabbitmq-client-8-certs";
    let stranger = Authority::new().unwrap();
    let folder = stranger.bus_client(rig.folder.path(), secret, "f5net").unwrap();
    let reason = "(the broker's certificate is of another CA than ours)";
    let mut side = Side::open(End::Cwc, rig.link_by(&folder, rig.broker.port()));
    assert!(side.goes_down().await.ends_with(reason));
    let found = format!("{FIRST} {reason}");
    let four = || Some(log_with(&found)).filter(|lines| lines.len() >= 4);
    let lines = tokio::task::block_in_place(|| poll::until("four attempts", PATIENCE, four));
    let lines = lines.unwrap();
    let all = log();
    for line in &lines {
        assert_eq!(klog_text(line, "session.rs"), found);
        let place = all.iter().position(|other| other == line).unwrap();
        let next = all[place + 1..].iter().find(|line| line.contains("AMQP")).unwrap();
        assert_eq!(klog_text(next, "session.rs"), SECOND);
    }
    let times: Vec<f64> = lines.iter().map(|line| seconds(line)).collect();
    for (pause, pair) in [1.0, 2.0, 4.0].iter().zip(times.windows(2)) {
        let (least, most) = (pause * 0.8, pause * 1.2 + SLACK);
        let waited = pair[1] - pair[0];
        assert!(waited >= least && waited <= most, "{waited} for {pause}: {lines:#?}");
    }
    // Eight seconds lie ahead; the new files do not wait for them.
    rig.authority.bus_client(rig.folder.path(), secret, "f5net").unwrap();
    side.comes_up(Duration::from_secs(5)).await;
}

/// LIC-703.
fn no_certificate_and_tls_1_1_fail_in_the_handshake(rig: &Rig) {
    let authority = rig.shared().join("ca-root-cert.pem");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&authority).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = "127.0.0.1".try_into().unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", rig.broker.port())).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = StreamOwned::new(client, socket);
    // With TLS 1.3 the refusal comes after the client's part of the handshake.
    let _ = stream.conn.complete_io(&mut stream.sock);
    let error = stream.read(&mut [0; 8]).unwrap_err().to_string();
    assert!(error.contains("CertificateRequired"), "{error}");

    let handshake = |version: &str| {
        Command::new("openssl")
            .args(["s_client", version, "-cipher", "DEFAULT@SECLEVEL=0", "-connect"])
            .arg(format!("127.0.0.1:{}", rig.broker.port()))
            .args(["-CAfile", "ca-root-cert.pem", "-cert", "client-cert.pem"])
            .args(["-key", "client-key.pem", "-verify_return_error"])
            .current_dir(rig.shared())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let good = handshake("-tls1_2");
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let old = handshake("-tls1_1");
    let said = String::from_utf8_lossy(&old.stderr).into_owned();
    assert!(!old.status.success() && said.contains("protocol version"), "{said}");
}

/// The text of a klog line of severity error from `file`.
fn klog_text<'a>(line: &'a str, file: &str) -> &'a str {
    let (head, text) = line.split_once("] ").unwrap();
    let words: Vec<&str> = head.split_whitespace().collect();
    let [date, time, process, place] = words[..] else { panic!("{line}") };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(date.len() == 5 && date.starts_with('E') && digits(&date[1..]), "{line}");
    assert!(time.len() == 15 && digits(&time.replace([':', '.'], "")), "{line}");
    assert!(digits(process), "{line}");
    let (name, number) = place.split_once(':').unwrap();
    assert!(name == file && digits(number), "{line}");
    text
}

/// Seconds of the day of a klog line.
fn seconds(line: &str) -> f64 {
    let time = line.split_whitespace().nth(1).unwrap();
    let part = |range: std::ops::Range<usize>| time.get(range).unwrap().parse::<f64>().unwrap();
    part(0..2) * 3600.0 + part(3..5) * 60.0 + part(6..15)
}

const FIRST: &str = "Failed to establish connection to rabbitmq server. \
    Error x509: certificate signed by unknown authority";
const SECOND: &str =
    "Failed to create AMQP. Error Failed to Setup exchange: Failed to open channel";
/// What a busy machine adds to a pause, in seconds.
const SLACK: f64 = 0.7;
