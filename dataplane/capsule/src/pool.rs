//! Packet buffers, reserved at start.
//!
//! Invariant: the memory of a pool is never given back while the environment runs, so a packet may
//! outlive every handle to its pool.

use std::ffi::CString;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use tmm_wire::PacketPool;

use crate::eal::{Eal, EalShared, errno, error_text};
use crate::{Mbuf, log};

/// What a pool holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolSpec {
    /// Unique in the process, at most 20 bytes.
    pub name: String,
    /// Packet buffers; 2^n - 1 wastes no memory. Each device queue keeps as many as it has
    /// descriptors, each thread up to `cache`.
    pub packets: u32,
    /// Buffers that each thread may keep for itself, 0 to 512 and at most `packets` / 1.5.
    pub cache: u32,
    /// Bytes of frame that one buffer holds besides its headroom of 128.
    pub frame_room: u16,
}

impl PoolSpec {
    /// `packets` buffers of 2,048 bytes with a cache of 256 (less in a small pool).
    #[must_use]
    pub fn new(name: &str, packets: u32) -> Self {
        let cache = if packets >= 1024 { 256 } else { 0 };
        Self { name: name.to_owned(), packets, cache, frame_room: 2048 }
    }
}

/// A pool could not be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The numbers or the name of the specification are out of range.
    #[error(
        "pool {name:?}: name up to 20 bytes without NUL, cache <= 512 and <= packets / 1.5 are \
         needed ({packets} packets, cache {cache})"
    )]
    Invalid {
        /// Name of the pool.
        name: String,
        /// Packets asked for.
        packets: u32,
        /// Cache asked for.
        cache: u32,
    },
    /// Not enough memory in the environment.
    #[error(
        "pool {name:?}: no memory for {packets} packets of {frame_room} bytes (about {need_mib} \
         MiB): give the environment more memory or the pool fewer packets; DPDK: {cause}"
    )]
    NoMemory {
        /// Name of the pool.
        name: String,
        /// Packets asked for.
        packets: u32,
        /// Bytes of frame in each.
        frame_room: u16,
        /// About what all of them take.
        need_mib: u64,
        /// DPDK's own words.
        cause: String,
    },
    /// Another pool has the name.
    #[error("pool {name:?} exists already: pool names are unique in a process")]
    Exists {
        /// Name of the pool.
        name: String,
    },
    /// Anything else.
    #[error("pool {name:?}: {cause}")]
    Failed {
        /// Name of the pool.
        name: String,
        /// DPDK's own words.
        cause: String,
    },
}

impl PoolError {
    /// Stable label for metrics and conditions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "pool_invalid",
            Self::NoMemory { .. } => "pool_no_memory",
            Self::Exists { .. } => "pool_exists",
            Self::Failed { .. } => "pool_failed",
        }
    }
}

/// A mempool that lives as long as the environment.
///
/// Invariant: `raw` came from rte_pktmbuf_pool_create and is freed by [`Eal::shutdown`] at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawPool(NonNull<dpdk_sys::rte_mempool>);

// JUSTIFICATION: pools are shared by all workers.
// SAFETY: a mempool's operations are safe from every thread (DPDK Programmer's Guide, "Mempool
// Library": multi-producer, multi-consumer is the default that rte_pktmbuf_pool_create uses).
unsafe impl Send for RawPool {}
// JUSTIFICATION: as above.
// SAFETY: as above.
unsafe impl Sync for RawPool {}

impl RawPool {
    pub(crate) fn as_ptr(self) -> *mut dpdk_sys::rte_mempool {
        self.0.as_ptr()
    }

    /// Packets that are somewhere else than in the pool or a thread's cache.
    pub(crate) fn in_use(self) -> u32 {
        // JUSTIFICATION: the count is kept in C.
        // SAFETY: the pool lives (type invariant); the function only reads.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.as_ptr()) }
    }
}

/// A handle to a pool of packet buffers; clones share the pool.
#[derive(Clone)]
pub struct Pool {
    raw: RawPool,
    name: Arc<str>,
    packets: u32,
    frame_room: u16,
    eal: Arc<EalShared>,
}

impl Pool {
    /// Reserves the buffers. Not for the packet path.
    ///
    /// # Errors
    ///
    /// [`PoolError`] with the fix in its text.
    pub fn new(eal: &Eal, spec: &PoolSpec) -> Result<Self, PoolError> {
        let invalid = || PoolError::Invalid {
            name: spec.name.clone(),
            packets: spec.packets,
            cache: spec.cache,
        };
        let name = CString::new(spec.name.as_str()).map_err(|_| invalid())?;
        let fits = spec.cache <= 512 && u64::from(spec.cache) * 3 <= u64::from(spec.packets) * 2;
        let room = spec.frame_room.checked_add(HEADROOM).ok_or_else(invalid)?;
        if spec.name.is_empty() || spec.name.len() > 20 || spec.packets == 0 || !fits {
            return Err(invalid());
        }
        let mark = log::mark();
        // JUSTIFICATION: packet memory must be DPDK's, so that devices can reach it.
        // SAFETY: `name` is a C string that outlives the call; the environment runs (`eal`).
        let raw = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(
                name.as_ptr(),
                spec.packets,
                spec.cache,
                0,
                room,
                SOCKET_ID_ANY,
            )
        };
        let Some(raw) = NonNull::new(raw).map(RawPool) else {
            let number = errno();
            let name = spec.name.clone();
            let cause = format!("{} ({})", error_text(number), log::since(mark));
            return Err(match number {
                nix::libc::ENOMEM => PoolError::NoMemory {
                    name,
                    packets: spec.packets,
                    frame_room: spec.frame_room,
                    need_mib: (u64::from(spec.packets) * (u64::from(room) + OVERHEAD)) >> 20,
                    cause,
                },
                nix::libc::EEXIST => PoolError::Exists { name },
                _ => PoolError::Failed { name, cause },
            });
        };
        eal.shared().remember(&spec.name, raw);
        Ok(Self {
            raw,
            name: spec.name.as_str().into(),
            packets: spec.packets,
            frame_room: spec.frame_room,
            eal: Arc::clone(eal.shared()),
        })
    }

    /// Name of the pool.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Buffers in all.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.packets
    }

    /// Buffers that are out: held by the program or a device's receive queue. Walks the threads'
    /// caches; not for the packet path.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.raw.in_use()
    }

    /// Buffers that can be had now, all caches included.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.packets.saturating_sub(self.in_use())
    }

    /// Bytes of frame that one buffer holds besides its headroom.
    #[must_use]
    pub fn frame_room(&self) -> u16 {
        self.frame_room
    }

    pub(crate) fn raw(&self) -> RawPool {
        self.raw
    }

    pub(crate) fn belongs_to(&self, eal: &Arc<EalShared>) -> bool {
        Arc::ptr_eq(&self.eal, eal)
    }
}

impl PacketPool for Pool {
    type Buf = Mbuf;

    #[inline]
    fn alloc(&mut self) -> Option<Mbuf> {
        // JUSTIFICATION: the buffer is the pool's.
        // SAFETY: the pool lives (`eal` is held).
        let raw = unsafe { dpdk_sys::dpdk_sys_pktmbuf_alloc(self.raw.as_ptr()) };
        // JUSTIFICATION: the buffer comes as a C pointer.
        // SAFETY: null, or a fresh descriptor with a reference count of 1 that nobody else knows.
        unsafe { Mbuf::from_raw(raw) }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name)
            .field("packets", &self.packets)
            .field("frame_room", &self.frame_room)
            .finish_non_exhaustive()
    }
}

/// Memory of any NUMA node.
const SOCKET_ID_ANY: i32 = -1;
/// Bytes before the frame in every buffer.
const HEADROOM: u16 = dpdk_sys::RTE_PKTMBUF_HEADROOM as u16;
/// About what a buffer takes besides its data: descriptor and the mempool's header.
const OVERHEAD: u64 = 128 + 64;
