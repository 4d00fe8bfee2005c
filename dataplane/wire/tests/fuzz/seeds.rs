//! One small packet per shape that a parser tells apart, built by hand or by an independent crate.

use etherparse::PacketBuilder;

type Seeds = Vec<(&'static str, Vec<u8>)>;

const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 2];
const A4: [u8; 4] = [192, 0, 2, 1];
const B4: [u8; 4] = [198, 51, 100, 2];
const A6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const B6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// Seeds by target, in the order of the targets.
pub fn all() -> Vec<(&'static str, Seeds)> {
    let packets: Seeds = ipv4().into_iter().chain(ipv6()).collect();
    vec![
        ("link", link()),
        ("arp", arp()),
        ("ipv4", ipv4()),
        ("ipv6", ipv6()),
        ("ip", packets.clone()),
        ("icmp", icmp()),
        ("nd", nd()),
        ("tcp", tcp()),
        ("udp", udp()),
        ("sctp", sctp()),
        ("checksum", checksum()),
        ("errors", packets.clone()),
        ("echo", packets.into_iter().filter(|(name, _)| name.contains("echo")).collect()),
    ]
}

fn link() -> Seeds {
    let mut untagged = vec![];
    let builder = PacketBuilder::ethernet2(MAC_A, MAC_B).ipv4(A4, B4, 64).udp(1, 2);
    builder.write(&mut untagged, b"data").unwrap();
    let mut tagged = vec![];
    let tag = etherparse::VlanId::try_new(310).unwrap();
    let builder = PacketBuilder::ethernet2(MAC_A, MAC_B).single_vlan(tag).ipv6(A6, B6, 64);
    builder.udp(1, 2).write(&mut tagged, b"data").unwrap();
    let mut priority = tagged.clone();
    priority[14..16].copy_from_slice(&[0xa0, 0]);
    let mut double = tagged.clone();
    double[16..18].copy_from_slice(&[0x81, 0]);
    let mut service = untagged.clone();
    service[12..14].copy_from_slice(&[0x88, 0xa8]);
    vec![
        ("untagged", untagged),
        ("tagged", tagged),
        ("priority tagged", priority),
        ("double tagged", double),
        ("service tagged", service),
    ]
}

fn arp() -> Seeds {
    let packet = |operation: u8| {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
        bytes.extend(MAC_A.iter().chain(&A4).chain(&MAC_B).chain(&B4));
        bytes
    };
    vec![("request", packet(1)), ("reply", packet(2)), ("reverse request", packet(3))]
}

fn v4_with(
    build: impl FnOnce(etherparse::PacketBuilderStep<etherparse::IpHeaders>, &mut Vec<u8>),
) -> Vec<u8> {
    let mut bytes = vec![];
    build(PacketBuilder::ipv4(A4, B4, 64), &mut bytes);
    bytes
}

fn v6_with(
    build: impl FnOnce(etherparse::PacketBuilderStep<etherparse::IpHeaders>, &mut Vec<u8>),
) -> Vec<u8> {
    let mut bytes = vec![];
    build(PacketBuilder::ipv6(A6, B6, 64), &mut bytes);
    bytes
}

fn ipv4() -> Seeds {
    let udp = v4_with(|ip, out| ip.udp(1000, 2000).write(out, b"data").unwrap());
    let tcp = v4_with(|ip, out| ip.tcp(1000, 80, 7, 1024).syn().write(out, b"").unwrap());
    let echo = v4_with(|ip, out| ip.icmpv4_echo_request(1, 2).write(out, b"ping").unwrap());
    let mut padded = udp.clone();
    padded.extend([0; 14]);
    let mut first = udp.clone();
    first[6] = 0x20;
    let mut later = udp.clone();
    later[7] = 1;
    // Record route, no-operation, loose source route, end of list.
    let options = [7, 7, 4, 0, 0, 0, 0, 1, 131, 3, 4, 0];
    let mut with_options = udp.clone();
    with_options.splice(20..20, options);
    with_options[0] = 0x48;
    with_options[3] += 12;
    let unreachable = {
        let mut message = vec![3, 1, 0, 0, 0, 0, 0, 0];
        message.extend(&udp);
        let mut packet = udp[..20].to_vec();
        packet[9] = 1;
        packet[3] = 20 + message.len() as u8;
        packet.extend(message);
        packet
    };
    let sctp = {
        let mut packet = udp[..20].to_vec();
        packet[9] = 132;
        let init = sctp().remove(0).1;
        packet[3] = 20 + init.len() as u8;
        packet.extend(init);
        packet
    };
    vec![
        ("v4 udp", udp),
        ("v4 tcp syn", tcp),
        ("v4 echo request", echo),
        ("v4 padded", padded),
        ("v4 first fragment", first),
        ("v4 later fragment", later),
        ("v4 options", with_options),
        ("v4 unreachable", unreachable),
        ("v4 sctp init", sctp),
    ]
}

fn ipv6() -> Seeds {
    let udp = v6_with(|ip, out| ip.udp(1000, 2000).write(out, b"data").unwrap());
    let echo = v6_with(|ip, out| ip.icmpv6_echo_request(1, 2).write(out, b"ping").unwrap());
    let wrapped = |kind: u8, headers: &[u8]| {
        let mut packet = udp.clone();
        packet[6] = kind;
        packet.splice(40..40, headers.iter().copied());
        packet[5] += headers.len() as u8;
        packet
    };
    // Hop-by-hop with padding, then routing with segments left, destination options, AH.
    let hop = [43, 0, 1, 4, 0, 0, 0, 0];
    let routing = [60, 0, 4, 1, 0, 0, 0, 0];
    let destination = [51, 0, 1, 4, 0, 0, 0, 0];
    let ah = [17, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    let chain: Vec<u8> = [&hop[..], &routing, &destination, &ah].concat();
    vec![
        ("v6 udp", udp.clone()),
        ("v6 echo request", echo),
        ("v6 extensions", wrapped(0, &chain)),
        ("v6 atomic fragment", wrapped(44, &[17, 0, 0, 0, 0, 0, 0, 9])),
        ("v6 first fragment", wrapped(44, &[17, 0, 0, 1, 0, 0, 0, 9])),
        ("v6 later fragment", wrapped(44, &[17, 0, 0, 9, 0, 0, 0, 9])),
        (
            "v6 two fragment headers",
            wrapped(44, &[44, 0, 0, 1, 0, 0, 0, 9, 17, 0, 0, 1, 0, 0, 0, 9]),
        ),
        ("v6 nine extensions", wrapped(60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(9))),
        ("v6 no next header", wrapped(59, &[])),
    ]
}

fn icmp() -> Seeds {
    vec![
        ("echo request", ipv4()[2].1[20..].to_vec()),
        ("fragmentation needed", vec![3, 4, 0, 0, 0, 0, 5, 0x78]),
        ("empty echo", vec![8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
    ]
}

fn nd() -> Seeds {
    let message = |kind: u8, flags: u8, options: &[u8]| {
        let mut bytes = vec![kind, 0, 0, 0, flags, 0, 0, 0];
        bytes.extend(A6);
        bytes.extend(options);
        bytes
    };
    vec![
        ("solicitation", message(135, 0, &[1, 1, 2, 0, 0, 0, 0, 1])),
        ("advertisement", message(136, 0xe0, &[2, 1, 2, 0, 0, 0, 0, 1])),
        ("nonce and mac", message(135, 0, &[14, 1, 1, 2, 3, 4, 5, 6, 1, 1, 2, 0, 0, 0, 0, 1])),
        ("empty option", message(135, 0, &[1, 0, 2, 0, 0, 0, 0, 1])),
        (
            "options alone",
            vec![1, 1, 2, 0, 0, 0, 0, 1, 25, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        ("router advertisement", message(134, 0, &[])),
    ]
}

fn tcp() -> Seeds {
    let segment = |offset: u8, flags: u8, options: &[u8], data: &[u8]| {
        let mut bytes = vec![0, 80, 0x9c, 0x40, 0, 0, 0, 1, 0, 0, 0, 2, offset << 4, flags, 4, 0];
        bytes.extend([0, 0, 0, 0]);
        bytes.extend(options);
        bytes.extend(data);
        bytes
    };
    let syn = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    vec![
        ("syn with options", segment(10, 0x02, &syn, b"")),
        ("data", segment(5, 0x18, &[], b"GET / HTTP/1.1")),
        ("rst", segment(5, 0x04, &[], b"")),
        ("end of options", segment(6, 0x10, &[1, 0, 9, 9], b"")),
        ("option beyond the header", segment(6, 0x10, &[8, 10, 0, 0], b"")),
        ("offset beyond the segment", segment(15, 0x10, &[], b"")),
        ("offset below the header", segment(4, 0x10, &[], b"")),
    ]
}

fn udp() -> Seeds {
    vec![
        ("data", vec![0, 1, 0, 2, 0, 12, 0, 0, 1, 2, 3, 4]),
        ("empty", vec![0, 1, 0, 2, 0, 8, 0, 0]),
        ("shorter than its packet", vec![0, 1, 0, 2, 0, 9, 0, 0, 1, 2, 3]),
        ("longer than its packet", vec![0, 1, 0, 2, 0, 20, 0, 0, 1]),
        ("length below the header", vec![0, 1, 0, 2, 0, 7, 0, 0]),
    ]
}

fn sctp() -> Seeds {
    let packet = |tag: u8, chunks: &[&[u8]]| {
        let mut bytes = vec![0x96, 0x0c, 0x96, 0x0d, 0, 0, 0, tag, 0, 0, 0, 0];
        bytes.extend(chunks.concat());
        let checksum = crc32c::crc32c(&bytes).to_le_bytes();
        bytes[8..12].copy_from_slice(&checksum);
        bytes
    };
    let fixed = [0, 0, 0, 9, 0, 1, 0, 0, 0, 16, 0, 16, 0, 0, 0, 1];
    let v4: &[u8] = &[0, 5, 0, 8, 192, 0, 2, 1];
    let v6: Vec<u8> = [&[0, 6, 0, 20][..], &A6].concat();
    let init = [&[1, 0, 0, 56][..], &fixed, v4, &v6, &[0, 12, 0, 8, 0, 5, 0, 6]].concat();
    let cookie: &[u8] = &[0, 7, 0, 7, 1, 2, 3, 0];
    let init_ack = [&[2, 0, 0, 28][..], &fixed, cookie].concat();
    let data: &[u8] = &[0, 3, 0, 19, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 60, b'a', b'b', b'c', 0];
    vec![
        ("init", packet(0, &[&init])),
        ("init ack", packet(9, &[&init_ack])),
        ("cookie echo and data", packet(9, &[&[10, 0, 0, 7, 1, 2, 3, 0], data])),
        ("cookie ack", packet(9, &[&[11, 0, 0, 4]])),
        ("heartbeat", packet(9, &[&[4, 0, 0, 12, 0, 1, 0, 8, 1, 2, 3, 4]])),
        ("abort", packet(9, &[&[6, 1, 0, 4]])),
        ("shutdown", packet(9, &[&[7, 0, 0, 8, 0, 0, 0, 1]])),
        ("shutdown ack", packet(9, &[&[8, 0, 0, 4]])),
        ("shutdown complete", packet(9, &[&[14, 1, 0, 4]])),
        (
            "unpadded last chunk",
            packet(9, &[&[0, 3, 0, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 7]]),
        ),
        ("chunk of length zero", packet(9, &[&[0, 0, 0, 0]])),
        ("chunk beyond the packet", packet(9, &[&[0, 0, 0, 99]])),
        ("init beside data", packet(0, &[&init, data])),
        ("chunks alone", [&init[..], data].concat()),
    ]
}

fn checksum() -> Seeds {
    vec![
        ("change in the middle", vec![3, 1, 0xff, 0xff, 1, 2, 3, 4, 5, 6]),
        ("to zero", vec![0, 0, 0, 0, 0xff, 0xff, 1]),
        ("odd split", vec![1, 2, 0x12, 0x34, 0, 0, 0, 0, 0xff, 0xff, 0xab]),
    ]
}
