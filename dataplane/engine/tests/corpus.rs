//! The corpus of the header parsers through the whole engine: every packet of
//! `tests/data/fuzz`, whole, cut and with flipped bytes, has one verdict.
//!
//! A find of a fuzzer becomes a file there and is replayed here and by the parsers' own suite.

mod rig;

use std::fs;
use std::path::Path;

use rig::craft::{CLIENT, SERVER};
use rig::{Rig, spec};
use tmm_wire::Protocol;

/// Bytes of every file of a folder of the corpus: hexadecimal text, `#` starts a comment.
fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/fuzz").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(path).expect("the corpus").map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let unhex = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).expect("a file");
        let digits: Vec<u8> = text
            .lines()
            .flat_map(|line| line.split('#').next().unwrap_or_default().trim().chars())
            .map(|letter| letter.to_digit(16).expect("hexadecimal text") as u8)
            .collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    };
    files.iter().map(unhex).collect()
}

/// Frames with what the corpus has for a layer below them.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = corpus("link");
    frames.extend(corpus("arp").iter().map(|arp| CLIENT.frame(0x0806, arp)));
    for packet in corpus("ip") {
        frames.push(CLIENT.frame(if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }, &packet));
    }
    for (folder, protocol) in [("tcp", 6), ("udp", 17), ("sctp", 132), ("icmp", 1), ("nd", 58)] {
        for upper in corpus(folder) {
            let ip = rig::craft::Ip::default();
            for (from, to) in [
                ("10.1.0.100", "192.0.2.10"),
                ("10.1.0.100", "10.1.0.2"),
                ("2001:db8:1::100", "2001:db8:f::10"),
                ("2001:db8:1::100", "2001:db8:1::2"),
            ] {
                frames.push(CLIENT.ip(ip, from, to, protocol, &upper));
            }
        }
    }
    frames
}

#[test]
fn every_packet_of_the_corpus_has_one_verdict_however_it_is_spoilt() {
    let mut spec = spec::vlans();
    // Port 0, so that every port of the corpus is somebody's.
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        spec::listen(&mut spec, protocol, "192.0.2.10:0", &["10.2.0.11:0"]);
        spec::listen(&mut spec, protocol, "[2001:db8:f::10]:0", &["[2001:db8:2::11]:0"]);
    }
    spec::egress(&mut spec);
    let mut rig = Rig::new(&spec);
    rig.tick();
    rig.introduce(&SERVER, "10.2.0.11");
    rig.introduce(&SERVER, "2001:db8:2::11");
    let (mut sent, mut out) = (0_u64, 0_usize);
    let before = rig.worker.counters().received;
    for frame in frames() {
        let cuts = (0..frame.len()).map(|len| frame[..len].to_vec());
        let flips = (0..frame.len()).flat_map(|at| {
            [0x01, 0x80, 0xff].map(|with| {
                let mut flipped = frame.clone();
                flipped[at] ^= with;
                flipped
            })
        });
        let all: Vec<Vec<u8>> = [frame.clone()].into_iter().chain(cuts).chain(flips).collect();
        sent += all.len() as u64;
        for burst in all.chunks(64) {
            out += rig.burst(CLIENT.port, burst.to_vec()).len();
        }
        out += rig.advance(20).len();
    }
    assert_eq!(rig.worker.counters().received - before, sent);
    assert!(out > 0 && !rig.worker.flows().is_empty(), "the corpus reaches flows");
}
