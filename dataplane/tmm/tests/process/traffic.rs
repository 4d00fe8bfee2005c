//! Packets of real programs through the real process, on af_packet ports in namespaces.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::rig::{Client, NAMESPACE, POD, Setup, Tmm, allow, lease, nonce};
use crate::stopped::StoppedThreads;
use netlab::{Namespace, VlanPort, veth};
use nix::sys::signal::Signal;
use spk_entitlement::{Authority, Class, LeaseKey, Occasion};
use tmm_config::Spec;
use tmm_config::spec::{
    AllowedService, ListenerSpec, MemberSpec, Method, ObjectRef, PoolSpec, ServiceDown,
    ServiceProtocol, Snat, VlanSet, VlanSpec,
};
use tmm_rpc::proto::{
    ApplyRequest, CloseRequest, FlowsRequest, GateState, StatisticsRequest, Table,
};
use tmm_wire::Protocol;

const VIP: &str = "192.0.2.10:80";
const MEMBER: &str = "10.2.0.11:8080";

/// client --tag 100-- ext0 [node] int0 --tag 200-- server
struct Lab {
    client: Namespace,
    client_port: VlanPort,
    server: Namespace,
    server_port: VlanPort,
    node: Namespace,
}

impl Lab {
    fn build(label: &str) -> Self {
        let name = |part: &str| format!("tmm{}-{label}-{part}", std::process::id());
        let client = Namespace::create(&name("client")).unwrap();
        let server = Namespace::create(&name("server")).unwrap();
        let node = Namespace::create(&name("node")).unwrap();
        veth::dpdk_port(&client, "v0", &node, "ext0", 1500).unwrap();
        veth::dpdk_port(&server, "v0", &node, "int0", 1500).unwrap();
        let client_port = VlanPort::access(&client, "v0", 100).unwrap();
        let server_port = VlanPort::access(&server, "v0", 200).unwrap();
        client.address("v0", "10.1.0.100/24").unwrap();
        client.route("192.0.2.0/24", "10.1.0.1").unwrap();
        server.address("v0", "10.2.0.11/24").unwrap();
        Self { client, client_port, server, server_port, node }
    }

    fn setup(kind: &str) -> Setup {
        let mut setup = Setup::new();
        setup.ports = format!(
            r#"[{{"name":"1.1","kind":"{kind}","device":"ext0"}},{{"name":"1.2","kind":"{kind}","device":"int0"}}]"#
        );
        setup.memory = 160;
        setup
    }

    /// Frames of TCP, UDP and SCTP that came out of the TMM.
    fn delivered(&self) -> u64 {
        let frames = |port: &VlanPort| port.stamps().unwrap().inbound_traffic.frames;
        frames(&self.client_port) + frames(&self.server_port)
    }

    /// A server that answers each connection with a line, for as long as the process lives.
    fn serve(&self) {
        let listener = self.server.enter(|| TcpListener::bind(MEMBER).unwrap()).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.write_all(b"member\n");
            }
        });
    }

    /// A server that sends back what it gets.
    fn echo(&self) {
        let listener = self.server.enter(|| TcpListener::bind(MEMBER).unwrap()).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                std::thread::spawn(move || {
                    let mut reader = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut reader, &mut stream);
                });
            }
        });
    }

    /// What the member says to one connection through the VIP.
    fn ask(&self, limit: Duration) -> std::io::Result<String> {
        self.client
            .enter(|| {
                let address: SocketAddr = VIP.parse().unwrap();
                let mut stream = TcpStream::connect_timeout(&address, limit)?;
                stream.set_read_timeout(Some(limit))?;
                let mut text = String::new();
                stream.read_to_string(&mut text)?;
                Ok(text)
            })
            .unwrap()
    }

    fn ping(&self, address: &str) -> bool {
        self.client.run("ping", ["-c", "1", "-W", "2", address]).is_ok()
    }
}

fn spec(generation: u64) -> Spec {
    let vlan = |id: &str, tag, interface: &str, address: &str| VlanSpec {
        id: id.to_owned(),
        name: id.to_owned(),
        tag,
        interfaces: vec![interface.to_owned()],
        mtu: 1500,
        self_v4: vec![address.parse().unwrap()],
        prefix_v4: 24,
        self_v6: Vec::new(),
        prefix_v6: 0,
        auto_lasthop: true,
        allowed_services: vec![AllowedService { protocol: ServiceProtocol::Icmp, port: 0 }],
    };
    let object = ObjectRef {
        kind: "F5SPKIngressTCP".to_owned(),
        namespace: "apps".to_owned(),
        name: "web".to_owned(),
    };
    let vip: SocketAddr = VIP.parse().unwrap();
    let member: SocketAddr = MEMBER.parse().unwrap();
    Spec {
        generation,
        hash_key: 7,
        vlans: vec![
            vlan("external", 100, "1.1", "10.1.0.1"),
            vlan("internal", 200, "1.2", "10.2.0.1"),
        ],
        listeners: vec![ListenerSpec {
            name: "apps-web-tcp-v4".to_owned(),
            object: object.clone(),
            protocol: Protocol::Tcp,
            vip: vip.ip(),
            port: vip.port(),
            vlans: VlanSet::All,
            pool: "apps-web-v4".to_owned(),
            snat: Snat::Automap,
            idle_timeout: 300,
            handshake_timeout: 5,
            reset_on_idle: true,
            service_down: ServiceDown::None,
        }],
        pools: vec![PoolSpec {
            name: "apps-web-v4".to_owned(),
            object,
            method: Method::RoundRobin,
            members: vec![MemberSpec {
                address: member.ip(),
                port: member.port(),
                weight: 1,
                draining: false,
            }],
            monitors: Vec::new(),
        }],
        ..Spec::default()
    }
}

/// A runtime on a thread inside the node's namespace, where the TMM listens.
fn within<T: Send>(lab: &Lab, work: impl AsyncFnOnce() -> T + Send) -> T {
    lab.node
        .enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(work())
        })
        .unwrap()
}

async fn apply(tmm: &Tmm, generation: u64) -> Client {
    let mut client = tmm.client().await;
    let request = ApplyRequest::new(&spec(generation));
    let reply = client.apply(request).await.unwrap().into_inner();
    assert!(reply.accepted, "{:?}", reply.errors);
    assert!(reply.problems.is_empty(), "{:?}", reply.problems);
    client
}

async fn table(client: &mut Client, name: &str) -> Table {
    let request = StatisticsRequest { tables: vec![name.to_owned()] };
    client.statistics(request).await.unwrap().into_inner().tables.remove(0)
}

async fn number(client: &mut Client, name: &str, row: &str, column: &str) -> u64 {
    let table = table(client, name).await;
    let first = table.columns[0].clone();
    let found = table.rows.iter().find(|found| table.text_at(found, &first) == Some(row));
    found.and_then(|found| table.number_at(found, column)).unwrap_or(0)
}

/// LIC-800: before any lease nothing that is proxied leaves a
/// fresh process, while ARP and echo to its self IP are answered; after an `open` a connection
/// passes; after a close nothing does again.
#[test]
fn nothing_passes_before_a_lease_and_after_a_close() {
    let lab = Lab::build("gate");
    lab.serve();
    let mut tmm = Lab::setup("afPacket").start(Some(&lab.node));
    let before = lab.delivered();
    assert!(lab.ask(Duration::from_millis(300)).is_err(), "before any configuration");
    within(&lab, async || drop(apply(&tmm, 1).await));
    assert!(lab.ping("10.1.0.1"), "housekeeping lives: {}", tmm.log());
    assert!(lab.ask(Duration::from_millis(1300)).is_err());
    assert_eq!(lab.delivered(), before);
    within(&lab, async || {
        let mut client = tmm.client().await;
        until("SYNs are counted", async || {
            number(&mut client, "drop_stat", "license_closed", "packets").await > 0
        })
        .await;
    });

    within(&lab, async || {
        let mut client = tmm.client().await;
        assert_eq!(tmm.open(&mut client).await.rejected, "");
    });
    assert_eq!(lab.ask(Duration::from_secs(3)).unwrap(), "member\n", "{}", tmm.log());
    within(&lab, async || {
        let mut client = tmm.client().await;
        let flows = client.flows(FlowsRequest::default()).await.unwrap().into_inner().flows;
        assert_eq!(flows.len(), 1);
        assert_eq!((flows[0].protocol.as_str(), flows[0].vip.as_str()), ("tcp", VIP));
        assert_eq!(flows[0].listener, "apps-web-tcp-v4");
        let other = FlowsRequest { client: "10.9.9.9".to_owned(), ..FlowsRequest::default() };
        assert!(client.flows(other).await.unwrap().into_inner().flows.is_empty());
        until("the connection is counted", async || {
            let row = "apps-web-tcp-v4";
            number(&mut client, "virtual_server_stat", row, "clientside.tot_conns").await == 1
        })
        .await;
        let close = CloseRequest { reason: "expired".to_owned(), generation: 1 };
        client.close(close).await.unwrap();
    });
    // Labels are the names that an operator gave.
    let (_, metrics) = lab.node.enter(|| crate::rig::get(tmm.metrics, "/metrics")).unwrap();
    for series in [
        "f5_virtual_server_clientside_tot_conns_total{name=\"apps-web-tcp-v4\",",
        "f5_interface_pkts_in_total{name=\"1.1\"} ",
        "f5_interface_pkts_in_total{name=\"1.2\"} ",
    ] {
        assert!(metrics.contains(series), "{series}: {metrics}");
    }
    let after = lab.delivered();
    assert!(lab.ask(Duration::from_millis(300)).is_err());
    assert!(lab.delivered() <= after + 2, "resets of the closed flow at most");
    within(&lab, async || {
        let mut client = tmm.client().await;
        identity_holds(&mut client).await;
    });
}

/// LIC-824: a production TMM that is killed passes traffic again with nobody calling it; the same
/// for a trial stays closed, and so does one whose kept latch no trusted key signed. (The Controller
/// that is stopped meanwhile is that of `lab_node` in `spk-node`; here there is none.)
#[test]
fn a_killed_process_resumes_from_its_latch_and_a_trial_does_not() {
    let lab = Lab::build("cache");
    lab.serve();
    let mut setup = Lab::setup("afPacket");
    setup.has_cache = true;
    let mut tmm = setup.start(Some(&lab.node));
    within(&lab, async || {
        let mut client = apply(&tmm, 1).await;
        assert_eq!(tmm.open(&mut client).await.rejected, "");
    });
    assert_eq!(lab.ask(Duration::from_secs(3)).unwrap(), "member\n");
    tmm.crash(Some(&lab.node));
    let before = lab.delivered();
    assert!(lab.ask(Duration::from_millis(500)).is_err(), "a trial waits for an open lease");
    assert_eq!(lab.delivered(), before);
    assert!(!tmm.setup.path("cache").exists());

    within(&lab, async || {
        let mut client = apply(&tmm, 1).await;
        let occasion = Occasion { class: Class::Production, ..allow() };
        let latch = tmm.authority.latch(NAMESPACE, &occasion);
        assert_eq!(lease(&mut client, latch).await.gate(), GateState::Latched);
    });
    assert_eq!(lab.ask(Duration::from_secs(3)).unwrap(), "member\n");
    let kept = tmm.setup.path("cache/latch.jws");
    crate::rig::until("the latch is kept", || kept.exists());
    tmm.crash(Some(&lab.node));
    assert_eq!(lab.ask(Duration::from_secs(3)).unwrap(), "member\n", "{}", tmm.log());

    let foreign = LeaseKey::from_seed([9; 32]).unwrap();
    let mut forger = Authority::new(foreign, tmm.authority.daid(), 9);
    let occasion = Occasion { class: Class::Production, ..allow() };
    std::fs::write(&kept, forger.latch(NAMESPACE, &occasion)).unwrap();
    tmm.crash(Some(&lab.node));
    let before = lab.delivered();
    assert!(lab.ask(Duration::from_millis(500)).is_err(), "a forged latch opens nothing");
    assert_eq!(lab.delivered(), before);
}

/// LIC-801: with every thread of the control side stopped, the packet thread drops from the
/// deadline on.
#[test]
fn a_stopped_control_side_does_not_keep_the_gate_open() {
    let lab = Lab::build("stopped");
    lab.serve();
    let mut tmm = Lab::setup("afPacket").start(Some(&lab.node));
    within(&lab, async || {
        let mut client = apply(&tmm, 1).await;
        let nonce = nonce(&mut client).await;
        let occasion = allow();
        let occasion = Occasion { ends: Some(occasion.iat + 8), ..occasion };
        let jws = tmm.authority.open(NAMESPACE, POD, &nonce, &occasion);
        assert_eq!(lease(&mut client, jws).await.rejected, "");
    });
    // The deadline counts from the nonce, which is older.
    let accepted = Instant::now();
    let stopped = StoppedThreads::of(&tmm, |name| !name.starts_with("lcore-"));
    assert!(stopped.count() >= 3, "main and control threads");
    assert_eq!(lab.ask(Duration::from_secs(5)).unwrap(), "member\n", "open before the deadline");
    // Time itself is what is tested.
    std::thread::sleep(Duration::from_millis(8100).saturating_sub(accepted.elapsed()));
    let before = lab.delivered();
    assert!(lab.ask(Duration::from_millis(500)).is_err());
    assert_eq!(lab.delivered(), before);
    assert!(!tmm.log().contains("License gate closed"), "nobody wrote the word again");
    drop(stopped);
    tmm.process
        .wait_for(Duration::from_secs(5), |log| log.contains("License gate closed: lease_ended"))
        .unwrap();
}

/// Two packet threads: connections pass whichever thread their frames come to, with a queue for
/// each and with one for both.
#[test]
fn two_packet_threads_hand_frames_to_their_owner() {
    for kind in ["afPacket", "afXdp"] {
        let lab = Lab::build("two");
        lab.serve();
        let mut setup = Lab::setup(kind);
        setup.cores("0-1");
        let mut tmm = setup.start(Some(&lab.node));
        within(&lab, async || {
            let mut client = apply(&tmm, 1).await;
            assert_eq!(tmm.open(&mut client).await.rejected, "");
        });
        for _ in 0..20 {
            assert_eq!(lab.ask(Duration::from_secs(3)).unwrap(), "member\n", "{}", tmm.log());
        }
        within(&lab, async || {
            let mut client = tmm.client().await;
            identity_holds(&mut client).await;
            let listed = client.flows(FlowsRequest::default()).await.unwrap().into_inner().flows;
            assert_eq!(listed.len(), 20);
            let used: std::collections::BTreeSet<u32> =
                listed.iter().map(|flow| flow.worker).collect();
            assert_eq!(used.len(), 2, "both threads own flows");
            let limited = FlowsRequest { limit: 5, ..FlowsRequest::default() };
            let limited = client.flows(limited).await.unwrap().into_inner();
            assert_eq!((limited.flows.len(), limited.truncated), (5, true));
        });
    }
}

/// SIGTERM: the open connection goes on, a new one is not taken, and the process ends with code 0
/// once the old one is gone.
#[test]
fn a_draining_process_serves_old_connections_only() {
    let lab = Lab::build("drain");
    lab.echo();
    let mut setup = Lab::setup("afPacket");
    setup.drain_seconds = 20;
    let mut tmm = setup.start(Some(&lab.node));
    within(&lab, async || {
        let mut client = apply(&tmm, 1).await;
        assert_eq!(tmm.open(&mut client).await.rejected, "");
    });
    let connect = |limit| {
        let address: SocketAddr = VIP.parse().unwrap();
        lab.client.enter(|| TcpStream::connect_timeout(&address, limit)).unwrap()
    };
    let mut old = connect(Duration::from_secs(3)).unwrap();
    old.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    tmm.process.signal(Signal::SIGTERM);
    tmm.process.wait_for(Duration::from_secs(5), |log| log.contains(": 2a000004:5: ")).unwrap();
    assert!(connect(Duration::from_millis(500)).is_err());
    let mut word = [0; 4];
    old.write_all(b"ping").unwrap();
    old.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"ping");
    within(&lab, async || identity_holds(&mut tmm.client().await).await);
    let ready = lab.node.enter(|| crate::rig::get(tmm.probes, "/readyz")).unwrap();
    assert_eq!(ready, (503, "draining\n".to_owned()));
    assert!(tmm.process.ended().is_none());
    drop(old);
    let status = tmm.process.wait(Duration::from_secs(19)).unwrap();
    assert_eq!(status.code(), Some(0), "{}", tmm.log());
}

/// The same on AF_XDP.
#[test]
fn connections_pass_af_xdp_ports() {
    let lab = Lab::build("xdp");
    lab.serve();
    let mut tmm = Lab::setup("afXdp").start(Some(&lab.node));
    within(&lab, async || {
        let mut client = apply(&tmm, 1).await;
        assert_eq!(tmm.open(&mut client).await.rejected, "");
    });
    for _ in 0..5 {
        assert_eq!(lab.ask(Duration::from_secs(3)).unwrap(), "member\n", "{}", tmm.log());
    }
    assert!(lab.ping("10.1.0.1"));
    within(&lab, async || identity_holds(&mut tmm.client().await).await);
}

/// A tap that the TMM makes: its kernel's end is another station on an untagged VLAN.
#[test]
fn a_tap_reaches_the_kernel_behind_it_and_goes_with_the_process() {
    let node = Namespace::create(&format!("tmm{}-tap", std::process::id())).unwrap();
    let mut setup = Setup::new();
    setup.ports = r#"[{"name":"1.1","kind":"tap","device":"spk0"}]"#.to_owned();
    let mut tmm = setup.start(Some(&node));
    node.address("spk0", "10.1.0.100/24").unwrap();
    node.ip(["link", "set", "spk0", "up"]).unwrap();
    let mut spec = Spec { listeners: Vec::new(), pools: Vec::new(), ..spec(1) };
    spec.vlans.truncate(1);
    spec.vlans[0].tag = 0;
    node.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let request = ApplyRequest::new(&spec);
            let reply = tmm.client().await.apply(request).await.unwrap().into_inner();
            assert!(reply.accepted, "{:?}", reply.errors);
        });
    })
    .unwrap();
    node.run("ping", ["-c", "2", "-i", "0.2", "-W", "2", "10.1.0.1"]).unwrap();
    node.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async { identity_holds(&mut tmm.client().await).await });
    })
    .unwrap();
    tmm.process.signal(Signal::SIGTERM);
    tmm.process.wait(Duration::from_secs(10)).unwrap();
    assert!(node.ip(["link", "show", "spk0"]).is_err());
}

/// OPS-701: once nothing moves, what came and was made equals what left, was dropped, consumed,
/// punted or is held.
pub async fn identity_holds(client: &mut Client) {
    let sums = async |client: &mut Client| {
        let table = table(client, "packet_stat").await;
        let of = |name: &str| {
            let row = table.rows.iter().find(|row| table.text_at(row, "counter") == Some(name));
            row.and_then(|row| table.number_at(row, "packets")).unwrap()
        };
        let into = of("received") + of("originated") + of("handed_in");
        let parts = ["sent", "dropped", "consumed", "punted", "held", "handed_out"];
        (into, parts.into_iter().map(of).sum::<u64>())
    };
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let (into, out_of) = sums(client).await;
        if into == out_of {
            return;
        }
        assert!(Instant::now() < end, "{into} in, {out_of} out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !holds().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
