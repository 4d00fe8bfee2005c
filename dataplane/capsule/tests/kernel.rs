//! Ports on kernel interfaces: link state, frames both ways, absent rights, busy devices.
//!
//! Each test works in a network namespace of its own thread, which ends with the process. Needs
//! root; run without it, each test says so and proves nothing.

mod rig;

use std::process::Command;
use std::time::{Duration, Instant};

use capsule::{
    Eal, InterfaceName, Mbuf, Pool, PoolSpec, Port, PortKind, PortSpec, Queues, interface,
};
use nix::sched::{CloneFlags, unshare};
use rig::{fill, start, start_without_hugepages};
use tmm_wire::PacketBuf;

fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

/// Moves this thread to a new network namespace with these veth pairs; false without the right.
fn namespace(pairs: &[(&str, &str)]) -> bool {
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        eprintln!("skipped: needs root");
        return false;
    }
    for (a, b) in pairs {
        ip(&format!("link add {a} mtu 2000 type veth peer name {b} mtu 2000"));
        for end in [a, b] {
            // Silence IPv6's own frames, so that only ours cross.
            let path = format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6");
            // The sysctl files of this thread's namespace are under its own task.
            std::fs::write(path, "1").unwrap();
            ip(&format!("link set {end} up"));
        }
    }
    true
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Polls until `count` frames are there, 5 s at most.
fn receive(queues: &mut Queues, count: usize) -> Vec<Mbuf> {
    let mut frames = Vec::with_capacity(count + 32);
    let end = Instant::now() + Duration::from_secs(5);
    while frames.len() < count && Instant::now() < end {
        queues.rx[0].rx_burst(&mut frames);
    }
    frames
}

/// A frame to the broadcast address with a tag, filled up to `length`.
fn tagged(length: usize, mark: u8) -> Vec<u8> {
    let mut frame = vec![mark; length];
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, mark]);
    frame[12..18].copy_from_slice(&[0x81, 0x00, 0x00, 100, 0x88, 0xb5]);
    frame
}

/// Two ports at the ends of a veth pair: tagged frames up to the largest cross both ways unchanged;
/// the link follows the carrier although the driver would always say up.
fn frames_and_link(eal: &Eal, kind: impl Fn(InterfaceName) -> PortKind) {
    let pool_spec = |name| PoolSpec { frame_room: 2048, ..PoolSpec::new(name, 8191) };
    let mut pool = Pool::new(eal, &pool_spec("frames")).unwrap();
    let (near, mut at_near) =
        Port::configure(eal, &PortSpec::new("1.1", kind(name("near"))), &pool).unwrap();
    let (far, mut at_far) =
        Port::configure(eal, &PortSpec::new("1.2", kind(name("far"))), &pool).unwrap();
    println!("{:?}", near.info());
    assert!(near.info().max_frame >= 1522, "{:?}", near.info());
    assert_eq!(near.mac().unwrap(), interface("near").unwrap().unwrap().mac);
    assert_eq!(near.link().unwrap().mtu, Some(2000));

    let largest = near.info().max_frame as usize;
    for (length, mark) in [(60, 1), (1518, 2), (largest, 3), (600, 4), (largest, 5)] {
        let sent = tagged(length, mark);
        let mut burst = vec![fill(&mut pool, &sent)];
        let (from, to) =
            if mark % 2 == 1 { (&mut at_near, &mut at_far) } else { (&mut at_far, &mut at_near) };
        assert_eq!(from.tx[0].tx_burst(&mut burst), 1);
        let received = receive(to, 1);
        assert_eq!(received.len(), 1, "frame {mark} of {length} bytes");
        assert_eq!(received[0].data(), sent, "frame {mark}");
        assert_eq!(received[0].stripped_vlan(), None);
    }

    assert!(near.link().unwrap().up);
    ip("link set far down");
    assert!(!near.link().unwrap().up);
    assert!(!far.link().unwrap().up);
    ip("link set far up");
    assert!(near.link().unwrap().up);
    // Closing detaches the XDP program.
    drop((near, at_near));
    assert!(!interface("near").unwrap().unwrap().xdp_attached);
    assert!(far.is_running());
    drop((far, at_far));
    let out = pool.in_use();
    let kept = if matches!(kind(name("near")), PortKind::AfXdp { .. }) { 2 * 2049 } else { 0 };
    assert_eq!(out, kept, "buffers that the closed ports did not give back");
}

/// See [`frames_and_link`].
#[test]
fn af_packet_port_carries_tagged_frames_and_follows_the_carrier() {
    if !namespace(&[("near", "far")]) {
        return;
    }
    let kind = |interface| PortKind::AfPacket { interface };
    let eal = start_without_hugepages(&[kind(name("near"))]);
    frames_and_link(&eal, kind);
}

/// See [`frames_and_link`].
#[test]
fn af_xdp_port_carries_tagged_frames_and_follows_the_carrier() {
    if !namespace(&[("near", "far")]) {
        return;
    }
    let kind = |interface| PortKind::AfXdp { interface, program: None };
    let eal = start(&[kind(name("near"))]);
    frames_and_link(&eal, kind);
}

/// A second user of a device is refused by name; so is one without the right.
#[test]
fn taken_device_and_missing_right_name_themselves() {
    if !namespace(&[("near", "far")]) {
        return;
    }
    let xdp = PortKind::AfXdp { interface: name("near"), program: None };
    let packet = PortKind::AfPacket { interface: name("far") };
    let tap = PortKind::Tap { interface: name("near") };
    let eal = start(&[xdp.clone(), packet.clone(), tap.clone()]);
    let pool = Pool::new(&eal, &PoolSpec::new("frames", 8191)).unwrap();
    let (port, _queues) = Port::configure(&eal, &PortSpec::new("1.1", xdp.clone()), &pool).unwrap();
    assert!(port.is_running());
    for kind in [xdp, tap] {
        let error = Port::configure(&eal, &PortSpec::new("1.2", kind), &pool).unwrap_err();
        assert_eq!(error.code(), "port_busy", "{error}");
        assert!(error.to_string().contains("near is in use"), "{error}");
    }

    let mut spec = PortSpec::new("1.2", PortKind::AfXdp { interface: name("far"), program: None });
    (spec.rx_queues, spec.tx_queues) = (2, 2);
    let error = Port::configure(&eal, &spec, &pool).unwrap_err();
    assert_eq!(error.code(), "port_too_many_queues", "{error}");

    drop_right();
    let error = Port::configure(&eal, &PortSpec::new("1.3", packet), &pool).unwrap_err();
    assert_eq!(error.code(), "port_missing_right", "{error}");
    assert!(error.to_string().contains("CAP_NET_RAW is missing"), "{error}");
}

/// Gives up root, and with it every capability, on this thread (the test's).
fn drop_right() {
    nix::unistd::seteuid(nix::unistd::Uid::from_raw(65_534)).unwrap();
}

/// A tap port makes its interface, which the kernel can use, and takes it away.
#[test]
fn tap_port_makes_its_interface_and_removes_it() {
    if !namespace(&[]) {
        return;
    }
    let kind = PortKind::Tap { interface: name("tap9") };
    let eal = start_without_hugepages(std::slice::from_ref(&kind));
    let pool = Pool::new(&eal, &PoolSpec::new("frames", 4095)).unwrap();
    let (port, queues) = Port::configure(&eal, &PortSpec::new("1.1", kind), &pool).unwrap();
    assert!(interface("tap9").unwrap().is_some());
    assert_eq!(port.mac().unwrap(), interface("tap9").unwrap().unwrap().mac);
    drop((port, queues));
    assert_eq!(interface("tap9").unwrap(), None);
}

/// A memif server waits for its client: no link, nothing sent, nothing leaked.
#[test]
fn memif_server_without_a_client_is_down_and_keeps_frames() {
    let kind = PortKind::Memif {
        socket: format!("capsule-{}", std::process::id()).into(),
        file: false,
        id: 0,
        ring_log2: 10,
        buffer_bytes: 2048,
    };
    let eal = start(std::slice::from_ref(&kind));
    let mut pool = Pool::new(&eal, &PoolSpec::new("frames", 1023)).unwrap();
    let (port, mut queues) =
        Port::configure(&eal, &PortSpec::new("1.1", kind.clone()), &pool).unwrap();
    assert!(!port.link().unwrap().up);
    let mut burst = vec![fill(&mut pool, b"waits")];
    assert_eq!(queues.tx[0].tx_burst(&mut burst), 0);
    assert_eq!(burst.len(), 1);
    drop((burst, port, queues));
    assert_eq!(pool.in_use(), 0);
}
