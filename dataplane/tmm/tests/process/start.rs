//! Starting, refusing to start, mTLS, applying, ending.

use std::time::Duration;

use crate::rig::{Ca, Setup, get, left_behind};
use nix::sys::signal::Signal;
use tmm_config::Spec;
use tmm_rpc::proto::{ApplyRequest, HelloRequest, StatisticsRequest, WatchReportsRequest};
use tmm_rpc::{TlsMaterial, TmmClient};

/// OPS-110: the client is of the server's CA and asks for the name `grpc-svc`; a client of another
/// CA, one without a certificate and a server of another name are refused.
#[tokio::test]
async fn only_a_client_of_the_ca_that_asks_for_grpc_svc_is_served() {
    let tmm = Setup::new().start(None);
    tmm.client().await.hello(HelloRequest {}).await.unwrap();

    let ca = &tmm.setup.ca;
    let stranger = Ca::new().client(ca);
    let nobody = {
        // A certificate for servers is none for clients.
        let (certificate, key) = ca.sign(&["grpc-svc"]);
        TlsMaterial::from_pem(ca.pem(), certificate, key)
    };
    for tls in [stranger, nobody] {
        let refused = match TmmClient::to(tmm.listen, &tls).await {
            Ok(mut client) => client.hello(HelloRequest {}).await.is_err(),
            Err(_) => true,
        };
        assert!(refused);
    }
    let anonymous = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(ca.pem()))
        .domain_name("grpc-svc");
    let endpoint = tonic::transport::Endpoint::from_shared(format!("https://{}", tmm.listen))
        .unwrap()
        .tls_config(anonymous)
        .unwrap();
    let refused = match endpoint.connect().await {
        Ok(channel) => TmmClient::new(channel).hello(HelloRequest {}).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);

    let mut misnamed = Setup::new();
    misnamed.server_names = vec!["another-svc"];
    let tmm = misnamed.start(None);
    let tls = tmm.setup.ca.client(&tmm.setup.ca);
    assert!(TmmClient::to(tmm.listen, &tls).await.is_err());
}

fn spec(generation: u64) -> Spec {
    Spec { generation, ..Spec::default() }
}

/// OPS-134: a snapshot with invalid parts is refused whole, all its errors are listed, and the one
/// before runs on.
#[tokio::test]
async fn a_refused_snapshot_leaves_the_running_one_and_lists_all_errors() {
    let tmm = Setup::new().start(None);
    let mut client = tmm.client().await;
    assert_eq!(get(tmm.probes, "/readyz").0, 503);
    let good = client.apply(ApplyRequest::new(&spec(1))).await.unwrap().into_inner();
    assert_eq!((good.accepted, good.running), (true, 1));
    assert_eq!(get(tmm.probes, "/readyz").0, 200);

    let mut bad = spec(2);
    for (id, tag) in [("a", 5000), ("b", 4095)] {
        bad.vlans.push(tmm_config::spec::VlanSpec {
            id: id.to_owned(),
            name: id.to_owned(),
            tag,
            interfaces: vec!["1.1".to_owned()],
            mtu: 1500,
            self_v4: Vec::new(),
            prefix_v4: 0,
            self_v6: Vec::new(),
            prefix_v6: 0,
            auto_lasthop: true,
            allowed_services: Vec::new(),
        });
    }
    let refused = client.apply(ApplyRequest::new(&bad)).await.unwrap().into_inner();
    assert_eq!((refused.accepted, refused.generation, refused.running), (false, 2, 1));
    let paths: Vec<&str> = refused.errors.iter().map(|error| error.path.as_str()).collect();
    assert!(paths.len() >= 2, "{paths:?}");
    let log = tmm.log();
    assert!(log.contains("Configuration 1 applied"), "{log}");
    assert!(log.contains("Configuration 2 refused: "), "{log}");

    let mut follow = client.watch_reports(WatchReportsRequest {}).await.unwrap().into_inner();
    let report = follow.message().await.unwrap().unwrap();
    assert_eq!(report.generation, 1);
    assert_eq!(report.interfaces[0].name, "1.1");
}

#[tokio::test]
async fn statistics_and_metrics_show_the_same_tables() {
    let tmm = Setup::new().start(None);
    let mut client = tmm.client().await;
    let request = StatisticsRequest { tables: vec!["drop_stat".to_owned()] };
    let reply = client.statistics(request).await.unwrap().into_inner();
    let drops = &reply.tables[0];
    assert_eq!((reply.tables.len(), drops.name.as_str()), (1, "drop_stat"));
    assert!(drops.rows.iter().any(|row| drops.text_at(row, "reason") == Some("license_closed")));
    let (status, text) = get(tmm.metrics, "/metrics");
    assert_eq!(status, 200);
    for row in &drops.rows {
        let reason = drops.text_at(row, "reason").unwrap();
        assert!(text.contains(&format!("f5_drop_packets_total{{reason=\"{reason}\"}}")), "{text}");
    }
    assert!(text.contains("spk_license_gate_open 0"));
    assert!(text.trim_end().ends_with("# EOF"));
}

/// OPS-426: tables that do not fit are refused at start, and the message shows the sum.
#[test]
fn too_little_memory_ends_the_start_with_the_sum() {
    let mut setup = Setup::new();
    setup.flows = 10_000_000;
    setup.write();
    let output = setup.command(None).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in ["memory 64 MiB", "flow tables", "packet buffers", "= ", "lower `flows`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_start_that_fails_names_the_fix() {
    type Break = fn(&mut Setup);
    let cases: [(Break, &str); 4] = [
        (
            |setup| setup.ports = r#"[{"name":"1.1","kind":"afPacket","device":"nosuch0"}]"#.into(),
            "ip link",
        ),
        (|setup| setup.environment.retain(|(name, _)| *name != "POD_UID"), "POD_UID"),
        (|setup| setup.environment.push(("TMM_LOG_LEVEL", "Loud".to_owned())), "Notice"),
        (|setup| setup.ports = "[]".into(), "at least one port"),
    ];
    for (break_it, part) in cases {
        let mut setup = Setup::new();
        break_it(&mut setup);
        setup.write();
        let output = setup.command(None).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{part}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn sigterm_ends_the_process_with_code_0() {
    let mut tmm = Setup::new().start(None);
    tmm.process.signal(Signal::SIGTERM);
    let status = tmm.process.wait(Duration::from_secs(10)).unwrap();
    assert_eq!(status.code(), Some(0), "{}", tmm.log());
    assert!(tmm.log().contains(": 2a000004:5: "));
}

/// After kill -9 no file of hugepages or of DPDK is left, and another process starts at once.
#[test]
fn a_killed_process_leaves_nothing_behind() {
    for hugepages in [true, false] {
        let mut setup = Setup::new();
        setup.hugepages = hugepages;
        let mut tmm = setup.start(None);
        let process = tmm.process.id();
        tmm.process.signal(Signal::SIGKILL);
        tmm.process.wait(Duration::from_secs(10)).unwrap();
        assert_eq!(left_behind(process), Vec::<std::path::PathBuf>::new());
        let mut setup = Setup::new();
        setup.hugepages = hugepages;
        drop(setup.start(None));
    }
}

/// After kill -9 nothing of the process is left in its namespace.
#[test]
fn a_killed_process_leaves_no_socket_and_no_device() {
    let node = netlab::Namespace::create(&format!("tmm{}-left", std::process::id())).unwrap();
    let mut setup = Setup::new();
    setup.ports = r#"[{"name":"1.1","kind":"tap","device":"spk1"}]"#.to_owned();
    let mut tmm = setup.start(Some(&node));
    let sockets = || node.run("ss", ["-Hanltuxw"]).unwrap();
    assert!(sockets().contains(":8750"));
    node.ip(["link", "show", "spk1"]).unwrap();
    tmm.process.signal(Signal::SIGKILL);
    tmm.process.wait(Duration::from_secs(10)).unwrap();
    assert_eq!(sockets().trim(), "");
    assert!(node.ip(["link", "show", "spk1"]).is_err());
}

/// OPS-723: a million packets at debug level leave the number of lines as it was.
#[tokio::test]
async fn a_million_packets_log_nothing() {
    let mut setup = Setup::new();
    // The null device gives empty frames without end.
    setup.ports = r#"[{"name":"1.1","kind":"null"}]"#.to_owned();
    setup.environment.push(("TMM_LOG_LEVEL", "Debug".to_owned()));
    let tmm = setup.start(None);
    let mut client = tmm.client().await;
    let mut received = async || {
        let request = StatisticsRequest { tables: vec!["interface_stat".to_owned()] };
        let table = client.statistics(request).await.unwrap().into_inner().tables.remove(0);
        table.rows.first().and_then(|row| table.number_at(row, "pkts_in")).unwrap_or(0)
    };
    let start = received().await;
    let lines = tmm.log().lines().count();
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while received().await < start + 1_000_000 {
        assert!(std::time::Instant::now() < end, "{start} packets and no more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    crate::traffic::identity_holds(&mut client).await;
    let log = tmm.log();
    assert!(log.lines().count() <= lines + 20, "{log}");
}
