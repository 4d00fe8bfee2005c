//! Neighbour solicitations and advertisements.
//!
//! Source: RFC 4861 §4.3, §4.4, §7.2.

use std::net::{IpAddr, Ipv6Addr};

use zerocopy::IntoBytes;

use super::{BuildError, Envelope, lay};
use crate::header::Header;
use crate::icmp::{self, IcmpHeader};
use crate::id::MacAddr;
use crate::ip;
use crate::nd::{self, solicited_node};

/// Hop limit of ND (RFC 4861 §7.1).
const ND_HOP_LIMIT: u8 = 255;
/// Header, target and one link-layer option.
const LEN: usize = IcmpHeader::LEN + 16 + 8;

/// Writes a solicitation for `target`: to its solicited-node group, or to `to` to ask whether a
/// known neighbour is still there (RFC 4861 §7.3). Carries the source link-layer address, so
/// `sender.1` must not be unspecified.
///
/// # Errors
///
/// [`BuildError::NoRoom`] if `out` is shorter than 72 bytes.
pub fn neighbour_solicitation(
    out: &mut [u8],
    sender: (MacAddr, Ipv6Addr),
    target: Ipv6Addr,
    to: Option<Ipv6Addr>,
) -> Result<usize, BuildError> {
    let ends = (sender.1, to.unwrap_or_else(|| solicited_node(target)));
    let option = (nd::SOURCE_LINK_LAYER, sender.0);
    message(out, ends, icmp::V6_NEIGHBOUR_SOLICITATION, 0, target, option)
}

/// Whom an advertisement answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NdAnswer {
    /// The solicitation's sender.
    To(Ipv6Addr),
    /// Nobody: unsolicited, to all nodes, overriding what is cached.
    Unsolicited,
}

/// Writes an advertisement that `target` is at `mac`, from `source` (the target itself unless it is
/// a VIP that a self IP speaks for). An answer to an unspecified address (duplicate address
/// detection) goes to all nodes (RFC 4861 §7.2.4).
///
/// # Errors
///
/// [`BuildError::NoRoom`] if `out` is shorter than 72 bytes.
pub fn neighbour_advertisement(
    out: &mut [u8],
    source: Ipv6Addr,
    target: Ipv6Addr,
    mac: MacAddr,
    answer: NdAnswer,
) -> Result<usize, BuildError> {
    const ROUTER: u16 = 0x8000;
    const SOLICITED: u16 = 0x4000;
    const OVERRIDE: u16 = 0x2000;
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let (destination, flags) = match answer {
        NdAnswer::To(asker) if !asker.is_unspecified() => (asker, ROUTER | SOLICITED | OVERRIDE),
        NdAnswer::To(_) | NdAnswer::Unsolicited => (ALL_NODES, ROUTER | OVERRIDE),
    };
    let option = (nd::TARGET_LINK_LAYER, mac);
    let kind = icmp::V6_NEIGHBOUR_ADVERTISEMENT;
    message(out, (source, destination), kind, flags, target, option)
}

fn message(
    out: &mut [u8],
    (source, destination): (Ipv6Addr, Ipv6Addr),
    kind: u8,
    flags: u16,
    target: Ipv6Addr,
    (option, mac): (u8, MacAddr),
) -> Result<usize, BuildError> {
    let envelope = Envelope {
        source: IpAddr::V6(source),
        destination: IpAddr::V6(destination),
        hop_limit: ND_HOP_LIMIT,
        traffic_class: 0,
    };
    let header =
        IcmpHeader { kind, code: 0, checksum: 0.into(), id: flags.into(), sequence: 0.into() };
    envelope.fill(out, ip::ICMPV6, LEN, |payload, mut sum| {
        lay(payload, &header);
        payload[8..24].copy_from_slice(&target.octets());
        payload[24] = option;
        payload[25] = 1;
        payload[26..32].copy_from_slice(mac.as_bytes());
        sum.add(payload);
        payload[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    })
}
