//! Ports shared with another process: memif and virtio-user towards an independent program.
//!
//! The peer is DPDK's testpmd, which swaps the addresses of each frame and sends it back where it
//! came from. Without it (package dpdk-dev) each test says so and proves nothing.

mod rig;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use capsule::{Pool, PoolSpec, Port, PortKind, PortSpec, Queues};
use rig::{fill, start};
use tmm_wire::PacketBuf;

/// A running testpmd, killed when dropped.
struct Peer {
    child: Child,
    log: PathBuf,
}

impl Peer {
    /// Starts one with this device; none if the program is not installed.
    fn start(device: &str) -> Option<Self> {
        let name = format!("capsule-peer-{}", std::process::id());
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        let memory = if rig::free_huge() { "--in-memory" } else { "--no-huge" };
        let child = Command::new("dpdk-testpmd")
            .args(["-l", "0,1", "-m", "128", "--no-pci", "--no-telemetry", memory])
            .args(["--file-prefix", &name, "--vdev", device])
            .args(["--", "--forward-mode=macswap", "--total-num-mbufs=4096"])
            // At the end of its input it would stop.
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn();
        match child {
            Ok(child) => Some(Self { child, log }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: dpdk-testpmd is not installed");
                None
            }
            Err(error) => panic!("dpdk-testpmd: {error}"),
        }
    }

    /// What it said, for a failure.
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// Polls `ready` for 20 s at most.
fn wait_for(peer: &Peer, what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !ready() {
        assert!(Instant::now() < end, "{what}; the peer said:\n{}", peer.said());
        std::thread::yield_now();
    }
}

/// Sends frames of several lengths until the peer has sent each back, its addresses swapped.
fn frames_come_back(peer: &Peer, port: &Port, queues: &mut Queues, pool: &mut Pool) {
    wait_for(peer, "no link", || port.link().unwrap().up);
    let mut burst = Vec::with_capacity(32);
    for (length, mark) in [(60, 1_u8), (1518, 2), (600, 3)] {
        let mut sent = vec![mark; length];
        sent[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        sent[12..14].copy_from_slice(&[0x88, 0xb5]);
        let mut back = sent.clone();
        back[..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        // A peer that has just come up may drop the first, so a frame is sent until it is back.
        let mut next = Instant::now();
        wait_for(peer, &format!("no frame of {length} bytes came back"), || {
            if Instant::now() >= next {
                next = Instant::now() + Duration::from_millis(100);
                let mut frame = vec![fill(pool, &sent)];
                queues.tx[0].tx_burst(&mut frame);
            }
            burst.clear();
            queues.rx[0].rx_burst(&mut burst);
            let ours = burst.iter().find(|frame| frame.data().get(14) == Some(&mark));
            ours.is_some_and(|frame| {
                assert_eq!(frame.data(), back);
                true
            })
        });
    }
}

/// A client that comes brings the link up and frames cross both ways; when it is killed the link
/// goes down, and the server carries frames for the next one.
#[test]
fn memif_server_outlives_its_client_and_serves_the_next() {
    let socket = format!("capsule-memif-{}", std::process::id());
    let kind = PortKind::Memif {
        socket: socket.clone().into(),
        file: false,
        id: 0,
        ring_log2: 8,
        buffer_bytes: 2048,
    };
    let eal = start(std::slice::from_ref(&kind));
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", 2047)).unwrap();
    let (port, mut queues) = Port::configure(&eal, &PortSpec::new("1.1", kind), &pool).unwrap();
    for _ in 0..2 {
        assert!(!port.link().unwrap().up);
        let device = format!("net_memif0,role=client,id=0,socket={socket},socket-abstract=yes");
        let Some(peer) = Peer::start(&device) else { return };
        frames_come_back(&peer, &port, &mut queues, &mut pool);
        drop(peer);
        let end = Instant::now() + Duration::from_secs(5);
        while port.link().unwrap().up {
            assert!(Instant::now() < end, "the link stays up without a client");
        }
    }
    drop((port, queues));
    assert_eq!(pool.in_use(), 0);
}

/// virtio-net towards the vhost-user socket of another process comes up and carries frames.
#[test]
fn virtio_user_port_carries_frames_to_a_vhost_process() {
    let socket = vhost_socket();
    let device = format!("net_vhost0,iface={},queues=1", socket.display());
    let Some(peer) = Peer::start(&device) else { return };
    wait_for(&peer, "no vhost socket", || socket.exists());
    let kind = PortKind::VirtioUser { socket: socket.clone(), server: false };
    let eal = start(std::slice::from_ref(&kind));
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", 4095)).unwrap();
    let (port, mut queues) = Port::configure(&eal, &virtio(kind), &pool).unwrap();
    assert!(port.info().driver.contains("virtio"), "{:?}", port.info());
    frames_come_back(&peer, &port, &mut queues, &mut pool);
    drop((port, queues));
    assert_eq!(pool.in_use(), 0);
    drop(peer);
    let _ = fs::remove_file(&socket);
}

/// The same with the socket on our side, which the vhost process connects to.
#[test]
fn virtio_user_port_listens_for_a_vhost_process() {
    let socket = vhost_socket();
    let kind = PortKind::VirtioUser { socket: socket.clone(), server: true };
    let eal = start(std::slice::from_ref(&kind));
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", 4095)).unwrap();
    let device = format!("net_vhost0,iface={},queues=1,client=1", socket.display());
    let Some(peer) = Peer::start(&device) else { return };
    let (port, mut queues) = Port::configure(&eal, &virtio(kind), &pool).unwrap();
    frames_come_back(&peer, &port, &mut queues, &mut pool);
    drop((port, queues));
    assert_eq!(pool.in_use(), 0);
    drop(peer);
    let _ = fs::remove_file(&socket);
}

fn vhost_socket() -> PathBuf {
    let name = format!("capsule-vhost-{}", std::process::id());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// A port whose queues keep 256 buffers each.
fn virtio(kind: PortKind) -> PortSpec {
    PortSpec { rx_descriptors: 256, tx_descriptors: 256, ..PortSpec::new("1.1", kind) }
}
