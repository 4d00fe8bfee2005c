//! 802.1Q tags, in the frame or stripped into the descriptor by the device.
//!
//! A priority tag (VLAN identifier 0) counts as no tag. A frame with two tags is refused: no VLAN
//! interface takes it.
//!
//! Source: IEEE 802.1Q-2018 §9.

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::buffer::{NoRoom, PacketBuf};
use crate::error::ParseError;
use crate::ethernet::{self, EthernetHeader};
use crate::header::Header;
use crate::id::{MacAddr, VlanId};

/// The four bytes between source address and type: tag control information, then the type of what
/// follows. The tag's own type (0x8100) is in the Ethernet header before it.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct VlanTag {
    /// Priority (3 bits), drop eligible (1), VLAN identifier (12).
    pub tci: U16,
    /// Type of what follows the tag.
    pub ethertype: U16,
}

impl Header for VlanTag {
    const TRUNCATED: ParseError = ParseError::VlanTruncated;
}

/// The VLAN of tag control information; none for a priority tag and for the reserved 4095.
#[must_use]
pub const fn vlan_of(tci: u16) -> Option<VlanId> {
    match VlanId::new(tci & 0x0fff) {
        Ok(vlan) => Some(vlan),
        Err(_) => None,
    }
}

/// The link layer of a frame, wherever its tag was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkLayer {
    /// Who it is for.
    pub destination: MacAddr,
    /// Who sent it.
    pub source: MacAddr,
    /// Its VLAN; none if untagged.
    pub vlan: Option<VlanId>,
    /// Type of the payload.
    pub ethertype: u16,
    /// Where the payload starts in the frame, in bytes: 14, or 18 with a tag in the frame.
    pub payload: usize,
}

impl LinkLayer {
    /// Reads the link layer of `frame`, whose device stripped the tag `stripped` if any.
    ///
    /// # Errors
    ///
    /// [`ParseError::EthernetTruncated`], [`ParseError::VlanTruncated`] or
    /// [`ParseError::VlanNested`].
    pub fn parse(frame: &[u8], stripped: Option<u16>) -> Result<Self, ParseError> {
        let (ethernet, rest) = EthernetHeader::split(frame)?;
        let mut tci = stripped;
        let mut ethertype = ethernet.ethertype.get();
        let mut payload = EthernetHeader::LEN;
        if ethertype == ethernet::VLAN && tci.is_none() {
            let (tag, _) = VlanTag::split(rest)?;
            tci = Some(tag.tci.get());
            ethertype = tag.ethertype.get();
            payload += VlanTag::LEN;
        }
        if ethertype == ethernet::VLAN || ethertype == ethernet::SERVICE_VLAN {
            return Err(ParseError::VlanNested);
        }
        if tci.is_some_and(|tci| tci & 0x0fff == 0x0fff) {
            // Reserved (§9.6, table 9-2); must not be taken for untagged.
            return Err(ParseError::VlanNested);
        }
        Ok(Self {
            destination: ethernet.destination,
            source: ethernet.source,
            vlan: tci.and_then(vlan_of),
            ethertype,
            payload,
        })
    }

    /// Writes an Ethernet header and, for a tagged VLAN, its tag to the front of `out`; gives their
    /// length, 14 or 18 bytes.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if `out` is shorter.
    pub fn write(
        out: &mut [u8],
        destination: MacAddr,
        source: MacAddr,
        vlan: Option<VlanId>,
        ethertype: u16,
    ) -> Result<usize, NoRoom> {
        let outer = if vlan.is_some() { ethernet::VLAN } else { ethertype };
        let header = EthernetHeader { destination, source, ethertype: outer.into() };
        header.write_to_prefix(out).map_err(|_| NoRoom { bytes: EthernetHeader::LEN })?;
        let Some(vlan) = vlan else { return Ok(EthernetHeader::LEN) };
        let bytes = EthernetHeader::LEN + VlanTag::LEN;
        let tag = VlanTag { tci: vlan.get().into(), ethertype: ethertype.into() };
        out.get_mut(EthernetHeader::LEN..)
            .and_then(|rest| tag.write_to_prefix(rest).ok())
            .ok_or(NoRoom { bytes })?;
        Ok(bytes)
    }
}

/// Removes the tag of a frame, from the descriptor and from the frame; gives its control
/// information.
///
/// # Errors
///
/// [`NoRoom`] if the first segment is shorter than the headers; the packet is unchanged.
pub fn pop<B: PacketBuf + ?Sized>(buf: &mut B) -> Result<Option<u16>, NoRoom> {
    let stripped = buf.stripped_vlan();
    buf.clear_stripped_vlan();
    let data = buf.data_mut();
    let bytes = EthernetHeader::LEN + VlanTag::LEN;
    if stripped.is_some() || data.get(12..14) != Some(&ethernet::VLAN.to_be_bytes()) {
        return Ok(stripped);
    }
    let tci = data.get(14..16).map(|tci| u16::from_be_bytes([tci[0], tci[1]]));
    let Some(tci) = tci.filter(|_| data.len() >= bytes) else { return Err(NoRoom { bytes }) };
    data.copy_within(0..12, VlanTag::LEN);
    buf.trim_front(VlanTag::LEN)?;
    Ok(Some(tci))
}

/// Puts a tag for `vlan` into an untagged frame.
///
/// # Errors
///
/// [`NoRoom`] without headroom, or if the frame is shorter than an Ethernet header; the packet is
/// unchanged.
pub fn push<B: PacketBuf + ?Sized>(buf: &mut B, vlan: VlanId) -> Result<(), NoRoom> {
    if buf.data().len() < EthernetHeader::LEN {
        return Err(NoRoom { bytes: EthernetHeader::LEN });
    }
    buf.grow_front(VlanTag::LEN)?;
    let data = buf.data_mut();
    data.copy_within(VlanTag::LEN..VlanTag::LEN + 12, 0);
    let [a, b] = ethernet::VLAN.to_be_bytes();
    let [c, d] = vlan.get().to_be_bytes();
    data[12..16].copy_from_slice(&[a, b, c, d]);
    Ok(())
}
