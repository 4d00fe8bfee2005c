//! The packet buffer that the engine is generic over.
//!
//! Invariant: [`PacketBuf::data`] is the first segment and starts at the Ethernet header; frames
//! that the engine rewrites have all their headers in it.

/// No room at the asked end of a buffer, or the buffer is shorter than asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("packet buffer has no room for {bytes} bytes")]
pub struct NoRoom {
    /// Bytes that were asked for.
    pub bytes: usize,
}

/// One owned packet: a first segment whose front and back grow and trim, and perhaps more segments.
///
/// Dropping it frees it. Nothing here allocates.
pub trait PacketBuf {
    /// Bytes of the first segment, from the Ethernet header on.
    fn data(&self) -> &[u8];

    /// The same, to write.
    fn data_mut(&mut self) -> &mut [u8];

    /// Length of the whole packet in bytes, all segments.
    fn packet_len(&self) -> usize;

    /// Whether the packet has further segments after [`PacketBuf::data`].
    fn is_chained(&self) -> bool {
        self.packet_len() != self.data().len()
    }

    /// Calls `each` with every segment in order.
    fn for_each_segment(&self, each: &mut dyn FnMut(&[u8]));

    /// Grows the front by `bytes` with unspecified contents.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if the headroom is smaller; the packet is unchanged.
    fn grow_front(&mut self, bytes: usize) -> Result<(), NoRoom>;

    /// Grows the back of a single-segment packet by `bytes` with unspecified contents.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if the tailroom is smaller or the packet is chained; it is unchanged.
    fn grow_back(&mut self, bytes: usize) -> Result<(), NoRoom>;

    /// Removes `bytes` from the front of the first segment.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if the first segment is shorter; the packet is unchanged.
    fn trim_front(&mut self, bytes: usize) -> Result<(), NoRoom>;

    /// Removes `bytes` from the back of a single-segment packet.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if it is shorter or chained; the packet is unchanged.
    fn trim_back(&mut self, bytes: usize) -> Result<(), NoRoom>;

    /// The tag control information that the device stripped into the descriptor, if it did.
    fn stripped_vlan(&self) -> Option<u16>;

    /// Forgets the descriptor's tag.
    fn clear_stripped_vlan(&mut self);
}

/// Gives empty packet buffers with headroom; never blocks, never grows.
pub trait PacketPool {
    /// The buffer that the pool gives.
    type Buf: PacketBuf;

    /// An empty buffer, or none if the pool is exhausted.
    fn alloc(&mut self) -> Option<Self::Buf>;
}

/// A packet in a plain vector: for tests, tools and the fuzzers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeapBuf {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    stripped_vlan: Option<u16>,
}

/// Room before and behind the frame in a [`HeapBuf`], in bytes (the headroom is DPDK's default).
const HEADROOM: usize = 128;
const TAILROOM: usize = 2048;

impl HeapBuf {
    /// A packet that holds a copy of `frame`, with 128 bytes before and 2 KiB behind it.
    #[must_use]
    pub fn new(frame: &[u8]) -> Self {
        let mut bytes = vec![0; HEADROOM + frame.len() + TAILROOM];
        bytes[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
        Self { bytes, start: HEADROOM, end: HEADROOM + frame.len(), stripped_vlan: None }
    }

    /// The same packet as a device that strips tags delivers it.
    #[must_use]
    pub fn with_stripped_vlan(mut self, tci: u16) -> Self {
        self.stripped_vlan = Some(tci);
        self
    }
}

impl PacketBuf for HeapBuf {
    fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    fn packet_len(&self) -> usize {
        self.end - self.start
    }

    fn for_each_segment(&self, each: &mut dyn FnMut(&[u8])) {
        each(self.data());
    }

    fn grow_front(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.start = self.start.checked_sub(bytes).ok_or(NoRoom { bytes })?;
        Ok(())
    }

    fn grow_back(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if self.bytes.len() - self.end < bytes {
            return Err(NoRoom { bytes });
        }
        self.end += bytes;
        Ok(())
    }

    fn trim_front(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if self.packet_len() < bytes {
            return Err(NoRoom { bytes });
        }
        self.start += bytes;
        Ok(())
    }

    fn trim_back(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if self.packet_len() < bytes {
            return Err(NoRoom { bytes });
        }
        self.end -= bytes;
        Ok(())
    }

    fn stripped_vlan(&self) -> Option<u16> {
        self.stripped_vlan
    }

    fn clear_stripped_vlan(&mut self) {
        self.stripped_vlan = None;
    }
}

/// Gives [`HeapBuf`]s without end, up to an optional number in all.
#[derive(Clone, Debug, Default)]
pub struct HeapPool {
    /// How many buffers are left to give; none means no limit.
    pub left: Option<usize>,
}

impl PacketPool for HeapPool {
    type Buf = HeapBuf;

    fn alloc(&mut self) -> Option<HeapBuf> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(1)?;
        }
        Some(HeapBuf::new(&[]))
    }
}
