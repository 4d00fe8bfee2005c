//! Receive and transmit queues of a port.
//!
//! Invariant: a queue is used by one thread at a time (it moves, it is not shared), its port stays
//! open while it lives, and it is only polled while its port runs: [`crate::Port::stop`] borrows
//! all queues of the port.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use std::sync::Arc;

use tmm_wire::PacketBuf;

use crate::Mbuf;
use crate::port::PortShared;

/// All queues of a port, in order of their number.
#[derive(Debug)]
pub struct Queues {
    /// Receive queues.
    pub rx: Vec<RxQueue>,
    /// Transmit queues.
    pub tx: Vec<TxQueue>,
}

/// A receive queue.
#[derive(Debug)]
pub struct RxQueue {
    pub(crate) port: Arc<PortShared>,
    pub(crate) index: u16,
    /// A device queue has no lock: it may move to another thread, not be shared.
    pub(crate) unshared: PhantomData<Cell<()>>,
}

/// A transmit queue.
#[derive(Debug)]
pub struct TxQueue {
    pub(crate) port: Arc<PortShared>,
    pub(crate) index: u16,
    /// Largest frame that the driver surely takes, if it trusts its caller; else none.
    pub(crate) frame_limit: Option<u32>,
    pub(crate) refused: u64,
    pub(crate) unshared: PhantomData<Cell<()>>,
}

impl RxQueue {
    /// Number of the queue.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Receives as many frames as `frames` has room for and appends them; returns how many.
    ///
    /// Give it a vector with a capacity of 32 and empty it each time. Does not allocate, does not
    /// block.
    #[inline]
    pub fn rx_burst(&mut self, frames: &mut Vec<Mbuf>) -> usize {
        if !self.port.is_running() {
            return 0;
        }
        let length = frames.len();
        let spare: &mut [MaybeUninit<Mbuf>] = frames.spare_capacity_mut();
        let room = u16::try_from(spare.len()).unwrap_or(u16::MAX);
        let raw = spare.as_mut_ptr().cast::<*mut dpdk_sys::rte_mbuf>();
        // JUSTIFICATION: the driver writes packets to a C array.
        // SAFETY: the port runs and only this handle polls the queue; `raw` has room for `room`
        // pointers, and an `Mbuf` is one pointer (`repr(transparent)`).
        let count = unsafe { dpdk_sys::dpdk_sys_rx_burst(self.port.id(), self.index, raw, room) };
        let count = usize::from(count);
        // JUSTIFICATION: the driver has filled the vector's spare part.
        // SAFETY: the driver wrote `count <= room` pointers to packets that it gives away.
        unsafe { frames.set_len(length + count) };
        count
    }
}

impl TxQueue {
    /// Number of the queue.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Frames that were dropped because the device cannot carry them: several segments, or longer
    /// than its buffers.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Sends frames from the front of `frames`; what the device has no room for stays, in order.
    /// Returns how many left the vector.
    ///
    /// Does not allocate, does not block.
    #[inline]
    pub fn tx_burst(&mut self, frames: &mut Vec<Mbuf>) -> usize {
        let before = frames.len();
        if !self.port.is_running() {
            return 0;
        }
        if let Some(limit) = self.frame_limit {
            frames.retain(|frame| !frame.is_chained() && frame.packet_len() <= limit as usize);
            self.refused += (before - frames.len()) as u64;
        }
        let length = frames.len();
        let count = u16::try_from(length).unwrap_or(u16::MAX);
        let raw = frames.as_mut_ptr().cast::<*mut dpdk_sys::rte_mbuf>();
        // JUSTIFICATION: the driver takes packets from a C array.
        // SAFETY: the port runs and only this handle fills the queue; `raw` holds `count` pointers
        // to packets of ours, of which the driver takes the first it says and leaves the rest.
        let sent = unsafe { dpdk_sys::dpdk_sys_tx_burst(self.port.id(), self.index, raw, count) };
        let sent = usize::from(sent).min(length);
        let start = frames.as_mut_ptr();
        // JUSTIFICATION: the sent packets are no longer ours, so they must not be dropped.
        // SAFETY: 0 is in bounds; the elements that were there are moved or forgotten below.
        unsafe { frames.set_len(0) };
        if sent == length {
            return before;
        }
        // JUSTIFICATION: as above.
        // SAFETY: `sent < length`, both within the allocation.
        let rest = unsafe { start.add(sent) };
        // JUSTIFICATION: as above.
        // SAFETY: moves `length - sent` elements within the allocation; overlap is allowed.
        unsafe { core::ptr::copy(rest, start, length - sent) };
        // JUSTIFICATION: as above.
        // SAFETY: the first `length - sent` elements are the unsent packets, each once.
        unsafe { frames.set_len(length - sent) };
        before - (length - sent)
    }
}
