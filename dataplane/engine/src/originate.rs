//! Packets of our own: a buffer from the pool, an Ethernet header, and what a builder writes.
//!
//! The MACs stay zero; the adjacency writes them. What the packet says is `tmm_wire::build`'s.

use tmm_wire::build::BuildError;
use tmm_wire::{Header, PacketBuf, PacketPool, ethernet};

use crate::ctx::Ctx;
use crate::drop_reason::DropReason;

impl<P: PacketPool> Ctx<'_, P> {
    /// A new frame of the ethertype whose payload `write` writes into at most `room` bytes, giving
    /// its length. Counted as originated; it needs a verdict. None, counted, if there is no buffer,
    /// no room in it, or `write` fails or writes nothing.
    pub fn originate_frame(
        &mut self,
        ethertype: u16,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, BuildError>,
    ) -> Option<P::Buf> {
        let mut buf = self.originate()?;
        let header = ethernet::EthernetHeader::LEN;
        let len = match buf.grow_back(header + room) {
            Ok(()) => {
                let data = buf.data_mut();
                data[..header - 2].fill(0);
                data[header - 2..header].copy_from_slice(&ethertype.to_be_bytes());
                write(&mut data[header..]).unwrap_or(0)
            }
            Err(_) => 0,
        };
        if len == 0 || buf.trim_back(room - len).is_err() {
            self.drop(buf, DropReason::BufferRoom);
            return None;
        }
        Some(buf)
    }

    /// The same for an IP packet to a destination of either family.
    pub fn originate_ip(
        &mut self,
        is_v6: bool,
        room: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, BuildError>,
    ) -> Option<P::Buf> {
        let ethertype = if is_v6 { ethernet::IPV6 } else { ethernet::IPV4 };
        self.originate_frame(ethertype, room, write)
    }
}
