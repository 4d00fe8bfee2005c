//! Ports of the kinds that need no other process, and the errors of those that do.

mod rig;

use std::fs;
use std::path::PathBuf;

use capsule::{InterfaceName, Pool, PoolSpec, Port, PortError, PortKind, PortSpec, SoftwareWork};
use rig::{fill, start, start_without_hugepages};
use tmm_wire::{MacAddr, PacketBuf};

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

fn interface(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

/// A capture file of these frames (pcap, microseconds, Ethernet).
fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let length = frame.len() as u32;
        for word in [0, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// The frames of such a file.
fn frames(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while rest.len() >= 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        frames.push(rest[16..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    frames
}

/// Frames of a capture file come in unchanged and what is sent is written unchanged, also without
/// hugepages.
#[test]
fn frames_of_a_capture_file_pass_unchanged_into_another() {
    let (input, output) = (scratch("in.pcap"), scratch("out.pcap"));
    let sent: Vec<Vec<u8>> = (0..50_u8).map(|n| vec![n; 60 + usize::from(n) * 20]).collect();
    fs::write(&input, capture(&sent)).unwrap();
    let kind =
        PortKind::Pcap { input: Some(input.clone()), output: Some(output.clone()), repeat: false };
    let eal = start_without_hugepages(std::slice::from_ref(&kind));
    let pool = Pool::new(&eal, &PoolSpec::new("frames", 1023)).unwrap();
    let (port, mut queues) = Port::configure(&eal, &PortSpec::new("1.1", kind), &pool).unwrap();
    let mut burst = Vec::with_capacity(32);
    let mut total = 0;
    while queues.rx[0].rx_burst(&mut burst) > 0 {
        total += queues.tx[0].tx_burst(&mut burst);
        assert!(burst.is_empty());
    }
    assert_eq!(total, 50);
    assert_eq!(port.stats().unwrap().received_bytes, sent.iter().map(|f| f.len() as u64).sum());
    drop((port, queues));
    assert_eq!(pool.in_use(), 0);
    let written = frames(&fs::read(&output).unwrap());
    fs::remove_file(&input).unwrap();
    fs::remove_file(&output).unwrap();
    assert_eq!(written, sent);
}

/// A port without offloads lists all of the engine's work, describes itself, and counts by name.
#[test]
fn null_port_describes_itself_and_counts_what_crosses_it() {
    let kind = PortKind::Null { frame_bytes: 64, copy: false };
    let eal = start(std::slice::from_ref(&kind));
    let pool = Pool::new(&eal, &PoolSpec::new("frames", 1023)).unwrap();
    let (port, mut queues) = Port::configure(&eal, &PortSpec::new("1.1", kind), &pool).unwrap();
    assert_eq!(port.capabilities().software().collect::<Vec<_>>(), SoftwareWork::ALL);
    assert_eq!(port.info().driver, "net_null");
    assert!(port.info().max_frame >= 1518, "{:?}", port.info());
    let mut burst = Vec::with_capacity(32);
    for _ in 0..1000 {
        assert_eq!(queues.rx[0].rx_burst(&mut burst), 32);
        assert!(burst.iter().all(|frame| frame.data().len() == 64));
        assert_eq!(queues.tx[0].tx_burst(&mut burst), 32);
    }
    let stats = port.stats().unwrap();
    assert_eq!((stats.received, stats.sent), (32_000, 32_000));
    let extended = port.extended_stats().unwrap();
    let named = |name: &str| extended.iter().find(|stat| stat.name == name).map(|stat| stat.value);
    assert_eq!(named("rx_good_packets"), Some(32_000));
    assert_eq!(named("tx_good_packets"), Some(32_000));

    let mac = MacAddr([2, 0, 0, 0, 0, 9]);
    port.set_mac(mac).unwrap();
    assert_eq!(port.mac().unwrap(), mac);
    let refused = port.set_mac(MacAddr::BROADCAST).unwrap_err();
    assert_eq!(refused.code(), "port_failed");
    assert!(refused.to_string().contains("set the address"), "{refused}");
    port.set_promiscuous(true).unwrap();
    port.set_all_multicast(true).unwrap();
    drop((port, queues));
    assert_eq!(pool.in_use(), 0);
}

/// An interface that is not there, a file that is not there, too many queues, too large a frame and
/// too small a pool each name themselves and the fix; nothing stays attached, so the same name can
/// be used at once.
#[test]
fn ports_that_cannot_be_had_name_the_device_and_the_fix() {
    let null = PortKind::Null { frame_bytes: 64, copy: false };
    let absent = PortKind::AfPacket { interface: interface("nosuchif0") };
    let pcap =
        PortKind::Pcap { input: Some("/nonexistent.pcap".into()), output: None, repeat: false };
    let pci = PortKind::Pci { address: "ffff:1f:1f.7".parse().unwrap() };
    let eal = start(&[null.clone(), absent.clone(), pcap.clone()]);
    let pool = Pool::new(&eal, &PoolSpec::new("frames", 511)).unwrap();
    let refused = |spec: &PortSpec| Port::configure(&eal, spec, &pool).unwrap_err();

    let error = refused(&PortSpec::new("1.1", absent));
    assert!(matches!(error, PortError::AbsentInterface { .. }), "{error}");
    assert!(error.to_string().contains("port 1.1: there is no interface nosuchif0"), "{error}");
    assert!(error.to_string().contains("ip link add"), "{error}");

    let error = refused(&PortSpec::new("1.1", pcap));
    assert_eq!(error.code(), "port_absent_file");
    let error = refused(&PortSpec::new("1.1", pci));
    assert_eq!(error.code(), "port_absent_function");
    assert!(error.to_string().contains("sriov_numvfs"), "{error}");

    let mut spec = PortSpec::new("1.1", null.clone());
    spec.rx_queues = 2000;
    let error = refused(&spec);
    assert_eq!(error.code(), "port_too_many_queues");
    assert!(error.to_string().contains("use fewer cores"), "{error}");
    let mut spec = PortSpec::new("1.1", null.clone());
    spec.max_frame = Some(9018);
    let error = refused(&spec);
    assert_eq!(error.code(), "port_frame_too_large");
    let odd = PortSpec::new("1 1", null.clone());
    assert_eq!(refused(&odd).code(), "device_port_name");
    let foreign = PortKind::Null { frame_bytes: 1, copy: false };
    assert_eq!(refused(&PortSpec::new("1.1", foreign)).code(), "device_argument_range");

    let (port, queues) = Port::configure(&eal, &PortSpec::new("1.1", null.clone()), &pool).unwrap();
    let error = refused(&PortSpec::new("1.1", null.clone()));
    assert_eq!(error.code(), "port_busy", "{error}");
    drop((port, queues));
    Port::configure(&eal, &PortSpec::new("1.1", null), &pool).unwrap();
}

/// A device that cannot send chains or longer frames than its buffers is never given one.
#[test]
fn frames_that_a_device_cannot_carry_are_refused_and_counted() {
    let kind = PortKind::Null { frame_bytes: 64, copy: false };
    let eal = start(std::slice::from_ref(&kind));
    let small = Pool::new(&eal, &PoolSpec::new("small", 255)).unwrap();
    let mut large =
        Pool::new(&eal, &PoolSpec { frame_room: 9000, ..PoolSpec::new("large", 255) }).unwrap();
    let (port, mut queues) = Port::configure(&eal, &PortSpec::new("1.1", kind), &small).unwrap();
    let mut burst = vec![fill(&mut large, &[0; 9000]), fill(&mut large, &[0; 64])];
    assert_eq!(queues.tx[0].tx_burst(&mut burst), 2);
    assert_eq!(queues.tx[0].refused(), 1);
    assert_eq!(port.stats().unwrap().sent, 1);
    assert_eq!(large.in_use(), 0);
}
