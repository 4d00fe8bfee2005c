//! One owned packet in DPDK's memory.
//!
//! Invariant: an [`Mbuf`] is the only handle to its descriptor chain, whose reference count is 1;
//! `data_off + data_len <= buf_len` in every segment.

use core::fmt;
use core::ptr::NonNull;

use tmm_wire::PacketBuf;
use tmm_wire::buffer::NoRoom;

/// An owned packet buffer; dropping it gives it back to its pool.
///
/// The same size as a pointer, so a burst is an array of them.
#[repr(transparent)]
pub struct Mbuf {
    raw: NonNull<dpdk_sys::rte_mbuf>,
}

// JUSTIFICATION: packets move from the worker that received them to the one that owns their flow.
// SAFETY: the handle is the descriptor's only owner, and its pool's operations are safe from every
// thread (the pools of this crate are multi-producer and multi-consumer).
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes over the descriptor at `raw`; none if it is null.
    ///
    /// # Safety
    ///
    /// A `raw` that is not null is an allocated packet with a reference count of 1 that nobody else
    /// holds.
    pub(crate) unsafe fn from_raw(raw: *mut dpdk_sys::rte_mbuf) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self { raw })
    }

    /// Number of segments, 1 or more.
    #[must_use]
    pub fn segments(&self) -> u16 {
        self.header().nb_segs
    }

    /// Bytes free before the frame.
    #[must_use]
    pub fn headroom(&self) -> usize {
        usize::from(self.header().data_off)
    }

    /// Bytes free behind the first segment's data.
    #[must_use]
    pub fn tailroom(&self) -> usize {
        let header = self.header();
        usize::from(header.buf_len) - usize::from(header.data_off) - usize::from(header.data_len)
    }

    #[inline]
    fn header(&self) -> &dpdk_sys::rte_mbuf {
        // JUSTIFICATION: the descriptor is C memory; DPDK has no accessor that avoids the read.
        // SAFETY: `raw` is an allocated descriptor that only this handle refers to (type
        // invariant), so it is initialised and nobody writes to it while `&self` lives.
        unsafe { self.raw.as_ref() }
    }

    #[inline]
    fn header_mut(&mut self) -> &mut dpdk_sys::rte_mbuf {
        // JUSTIFICATION: as in `header`.
        // SAFETY: as in `header`, and `&mut self` makes this the only reference.
        unsafe { self.raw.as_mut() }
    }

    /// The data of the segment that `header` describes.
    #[inline]
    fn segment(header: &dpdk_sys::rte_mbuf) -> &[u8] {
        let start = header.buf_addr.cast::<u8>();
        // JUSTIFICATION: the frame lies in DPDK's memory.
        // SAFETY: `buf_addr` starts `buf_len` bytes of the segment and `data_off` is within them.
        let start = unsafe { start.add(usize::from(header.data_off)) };
        // JUSTIFICATION: as above.
        // SAFETY: `data_off + data_len <= buf_len` (type invariant), the kernel gave the pool's
        // memory zeroed, and the borrow of the descriptor keeps its only owner from writing.
        unsafe { core::slice::from_raw_parts(start, usize::from(header.data_len)) }
    }
}

impl PacketBuf for Mbuf {
    #[inline]
    fn data(&self) -> &[u8] {
        Self::segment(self.header())
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        let header = self.header_mut();
        let start = header.buf_addr.cast::<u8>();
        // JUSTIFICATION: the frame lies in DPDK's memory.
        // SAFETY: `buf_addr` starts `buf_len` bytes of the segment and `data_off` is within them.
        let start = unsafe { start.add(usize::from(header.data_off)) };
        // JUSTIFICATION: as above.
        // SAFETY: `data_off + data_len <= buf_len` (type invariant), the memory is initialised, and
        // `&mut self` makes this the only reference to it.
        unsafe { core::slice::from_raw_parts_mut(start, usize::from(header.data_len)) }
    }

    #[inline]
    fn packet_len(&self) -> usize {
        self.header().pkt_len as usize
    }

    #[inline]
    fn is_chained(&self) -> bool {
        self.header().nb_segs != 1
    }

    fn for_each_segment(&self, each: &mut dyn FnMut(&[u8])) {
        let mut header = self.header();
        loop {
            each(Self::segment(header));
            let Some(next) = NonNull::new(header.next) else { return };
            // JUSTIFICATION: DPDK chains segments by pointer.
            // SAFETY: a chain's segments belong to its first one, hence to this handle.
            header = unsafe { next.as_ref() };
        }
    }

    #[inline]
    fn grow_front(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let header = self.header_mut();
        let (grown, false) = (bytes as u16, bytes > usize::from(header.data_off)) else {
            return Err(NoRoom { bytes });
        };
        let Some(data_len) = header.data_len.checked_add(grown) else {
            return Err(NoRoom { bytes });
        };
        header.data_off -= grown;
        header.data_len = data_len;
        header.pkt_len += u32::from(grown);
        Ok(())
    }

    #[inline]
    fn grow_back(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if self.is_chained() || bytes > self.tailroom() {
            return Err(NoRoom { bytes });
        }
        let header = self.header_mut();
        // The tailroom is at most u16::MAX.
        header.data_len += bytes as u16;
        header.pkt_len += bytes as u32;
        Ok(())
    }

    #[inline]
    fn trim_front(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let header = self.header_mut();
        if bytes > usize::from(header.data_len) {
            return Err(NoRoom { bytes });
        }
        header.data_off += bytes as u16;
        header.data_len -= bytes as u16;
        header.pkt_len -= bytes as u32;
        Ok(())
    }

    #[inline]
    fn trim_back(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if self.is_chained() {
            return Err(NoRoom { bytes });
        }
        let header = self.header_mut();
        if bytes > usize::from(header.data_len) {
            return Err(NoRoom { bytes });
        }
        header.data_len -= bytes as u16;
        header.pkt_len -= bytes as u32;
        Ok(())
    }

    #[inline]
    fn stripped_vlan(&self) -> Option<u16> {
        let header = self.header();
        // af_packet sets RX_VLAN alone when it has put the tag back into the frame.
        (header.ol_flags & dpdk_sys::DPDK_SYS_MBUF_RX_VLAN_STRIPPED != 0).then_some(header.vlan_tci)
    }

    #[inline]
    fn clear_stripped_vlan(&mut self) {
        self.header_mut().ol_flags &=
            !(dpdk_sys::DPDK_SYS_MBUF_RX_VLAN_STRIPPED | dpdk_sys::DPDK_SYS_MBUF_RX_VLAN);
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // JUSTIFICATION: the packet goes back to a pool that C owns.
        // SAFETY: this handle is the only owner of the chain and is gone after this call.
        unsafe { dpdk_sys::dpdk_sys_pktmbuf_free(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf")
            .field("packet_len", &self.packet_len())
            .field("segments", &self.segments())
            .finish_non_exhaustive()
    }
}
