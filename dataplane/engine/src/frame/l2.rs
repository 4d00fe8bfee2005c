//! The Ethernet header, its tag in the frame or in the descriptor.

use tmm_wire::{MacAddr, VlanId};

use crate::drop_reason::DropReason;

/// EtherTypes that the engine tells apart (IEEE).
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// 802.1Q tag.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
}

/// One Ethernet header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EtherFrame {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// Tag, from the frame or the descriptor; none if untagged or priority-tagged.
    pub tag: Option<VlanId>,
    /// EtherType behind the tag.
    pub ethertype: u16,
    /// Bytes of the header in the frame: 14 or 18.
    pub len: usize,
}

impl EtherFrame {
    /// Reads the header of `data`; `stripped` is the tag control information that the device took
    /// out of the frame.
    ///
    /// # Errors
    ///
    /// [`DropReason::FrameTooShort`], [`DropReason::BadSourceMac`], or
    /// [`DropReason::VlanUnknown`] for two tags or the reserved one.
    pub fn parse(data: &[u8], stripped: Option<u16>) -> Result<Self, DropReason> {
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1, rest @ ..] = data else {
            return Err(DropReason::FrameTooShort);
        };
        let (dst, src) =
            (MacAddr([*d0, *d1, *d2, *d3, *d4, *d5]), MacAddr([*s0, *s1, *s2, *s3, *s4, *s5]));
        if src.is_group() || src == MacAddr::default() {
            return Err(DropReason::BadSourceMac);
        }
        let outer = u16::from_be_bytes([*t0, *t1]);
        let (tci, ethertype, len) = if outer == ethertype::VLAN {
            let [c0, c1, t0, t1, ..] = rest else {
                return Err(DropReason::FrameTooShort);
            };
            if stripped.is_some() {
                return Err(DropReason::VlanUnknown);
            }
            (Some(u16::from_be_bytes([*c0, *c1])), u16::from_be_bytes([*t0, *t1]), 18)
        } else {
            (stripped, outer, 14)
        };
        if ethertype == ethertype::VLAN {
            return Err(DropReason::VlanUnknown);
        }
        let tag = tci.map(super::tag).transpose()?.flatten();
        Ok(Self { dst, src, tag, ethertype, len })
    }
}
