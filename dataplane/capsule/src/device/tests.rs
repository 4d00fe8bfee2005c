use std::path::PathBuf;

use super::{DeviceArgumentError, InterfaceName, PciAddress, PortKind};

fn interface(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

#[test]
fn interface_name_that_would_split_a_driver_argument_is_refused() {
    for name in ["", "a,b", "a=b", "a/b", "a b", "sixteen-bytes-xx", ".", ".."] {
        assert!(name.parse::<InterfaceName>().is_err(), "{name:?}");
    }
    assert_eq!(interface("fifteen-bytes-x").as_str(), "fifteen-bytes-x");
}

#[test]
fn pci_address_is_completed_with_its_domain_and_checked_field_by_field() {
    assert_eq!("3B:02.1".parse::<PciAddress>().unwrap().as_str(), "0000:3b:02.1");
    assert_eq!("0001:3b:1f.7".parse::<PciAddress>().unwrap().as_str(), "0001:3b:1f.7");
    for address in ["", "3b:02", "0000:3b:20.0", "0000:3b:02.8", "0000.3b:02:1", "0000:3b:02.1.1"] {
        assert!(address.parse::<PciAddress>().is_err(), "{address:?}");
    }
}

#[test]
fn each_kind_gives_its_driver_name_and_arguments() {
    let memif = PortKind::Memif {
        socket: PathBuf::from("tmm"),
        file: false,
        id: 3,
        ring_log2: 11,
        buffer_bytes: 2048,
    };
    let xdp = PortKind::AfXdp { interface: interface("v0"), program: None };
    let packet = PortKind::AfPacket { interface: interface("v0") };
    let pcap = PortKind::Pcap {
        input: Some("/in.pcap".into()),
        output: Some("/o.pcap".into()),
        repeat: true,
    };
    let virtio = PortKind::VirtioUser { socket: "/run/v".into(), server: true };
    let client = PortKind::MemifClient { socket: "tmm".into(), file: true, id: 3, zero_copy: true };
    let cases: [(&PortKind, &str, &str); 7] = [
        (&client, "net_memif_1.1", "role=client,id=3,socket=tmm,socket-abstract=no,zero-copy=yes"),
        (&xdp, "net_af_xdp_1.1", "iface=v0,start_queue=0,queue_count=2"),
        (
            &packet,
            "net_af_packet_1.1",
            "iface=v0,qpairs=2,qdisc_bypass=1,blocksz=65536,framesz=2048,framecnt=4096",
        ),
        (
            &memif,
            "net_memif_1.1",
            "role=server,id=3,socket=tmm,socket-abstract=yes,rsize=11,bsize=2048",
        ),
        (&pcap, "net_pcap_1.1", "rx_pcap=/in.pcap,tx_pcap=/o.pcap,infinite_rx=1"),
        (&virtio, "net_virtio_user_1.1", "path=/run/v,queues=2,server=1"),
        (&PortKind::Null { frame_bytes: 64, copy: true }, "net_null_1.1", "size=64,copy=1"),
    ];
    for (kind, name, arguments) in cases {
        assert_eq!(kind.device_name("1.1").unwrap(), name);
        assert_eq!(kind.device_arguments(2, 2048).unwrap(), arguments);
    }
    assert_eq!(packet.frame_limit(2048), Some(1982));
    let large = packet.device_arguments(1, 16_384).unwrap();
    assert!(large.ends_with("framesz=16384,framecnt=512"), "{large}");
}

#[test]
fn values_that_a_driver_would_misread_are_refused_with_their_name() {
    let pcap = PortKind::Pcap { input: Some("/a,tx_pcap=/b".into()), output: None, repeat: false };
    assert!(matches!(pcap.device_arguments(1, 2048), Err(DeviceArgumentError::Path { .. })));
    let null = PortKind::Null { frame_bytes: 9000, copy: false };
    assert_eq!(
        null.device_arguments(1, 2048).unwrap_err().to_string(),
        "frame_bytes = 9000 is outside 14 to 2048"
    );
    for name in ["", "a/b", "a b", &"x".repeat(33)] {
        assert!(PortKind::RingLoopback.device_name(name).is_err(), "{name:?}");
    }
}
