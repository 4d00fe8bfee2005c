//! The engine's real worker on a device, with its table filled: what a packet thread does in a turn.
//!
//! Receive, decide, timers, send. Counts the cycles of turns that had frames, from before the
//! receive burst to after the send burst, as testpmd's `--record-core-cycles` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use capsule::{Mbuf, Pool, Queues, cycles};
use tmm_config::{GateWord, Nanos};
use tmm_engine::flows::{FlowSetup, HashKeys};
use tmm_engine::net::NetSizes;
use tmm_engine::{DropReason, Outbox, Worker, WorkerSetup};
use tmm_wire::{PacketBuf, PacketPool};

use crate::traffic::{self, Leg, Templates};

/// Frames of one burst.
pub const BURST: usize = 32;
/// Frames that may wait for the port.
const OUTBOX: usize = 1024;

/// Flows of each family.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// IPv4.
    pub v4: u32,
    /// IPv6.
    pub v6: u32,
}

/// What a run has counted; read by another thread.
#[derive(Debug, Default)]
pub struct Counted {
    /// Frames received.
    pub packets: AtomicU64,
    /// Cycles of turns with frames.
    pub busy_cycles: AtomicU64,
    /// Turns with frames.
    pub bursts: AtomicU64,
    /// Packets dropped for another reason than a full device.
    pub drops: AtomicU64,
}

/// A worker with its outbox and clock.
#[derive(Debug)]
pub struct UnderTest {
    worker: Worker<Pool>,
    out: Outbox<Mbuf>,
    frames: Vec<Mbuf>,
    started: u64,
    /// Nanoseconds a cycle, in 2^-32.
    scale: u64,
    base: Nanos,
}

impl UnderTest {
    /// A worker whose tables have room for `sizes` and hold nothing yet.
    ///
    /// # Errors
    ///
    /// If the tables do not fit.
    pub fn new(pool: Pool, sizes: Sizes) -> Result<Self> {
        let setup = WorkerSetup {
            worker: 0,
            workers: 1,
            macs: vec![traffic::OUR_MAC],
            burst: BURST,
            net: NetSizes::default(),
            flows: FlowSetup {
                sessions_v4: sizes.v4,
                sessions_v6: sizes.v6,
                keys: HashKeys([
                    0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344,
                    0xa409_3822_299f_31d0_082e_fa98_ec4e_6c89,
                    0x4528_21e6_38d0_1377_be54_66cf_34e9_0c6c,
                    0xc0ac_29b7_c97c_50dd_3f84_d5b5_b547_0917,
                    0x9216_d5d9_8979_fb1b_d131_0ba6_98df_b5ac,
                ]),
                seed: 1,
                limit_bytes: None,
                worker: 0,
                workers: 1,
            },
            seed: 1,
        };
        let base = Nanos::from_secs(1000);
        let worker = Worker::new(&setup, Arc::new(traffic::config()?), pool, base)?;
        let rate = capsule::cycles_per_second().max(1_000_000);
        Ok(Self {
            worker,
            out: Outbox::new(1, 1, OUTBOX),
            frames: Vec::with_capacity(BURST),
            started: cycles(),
            scale: u64::try_from((1_000_000_000_u128 << 32) / u128::from(rate))?,
            base,
        })
    }

    /// Makes the member known and opens all flows of `sizes`, by their first frames.
    ///
    /// # Errors
    ///
    /// If a frame does not open its flow: a table that is not full of flows would flatter.
    pub fn fill(&mut self, pool: &mut Pool, sizes: Sizes) -> Result<()> {
        self.introduce(pool)?;
        self.open_flows(pool, Sizes { v4: 0, v6: 0 }, sizes)
    }

    /// Makes the member known in both families.
    ///
    /// # Errors
    ///
    /// If our self IPs do not answer.
    pub fn introduce(&mut self, pool: &mut Pool) -> Result<()> {
        for frame in traffic::introductions() {
            let buf = filled(pool, frame.len(), |data| data.copy_from_slice(&frame))?;
            self.frames.push(buf);
            self.decide();
            ensure!(self.out.port(traffic::PORT).len() == 1, "the member's question is unanswered");
            self.out.port(traffic::PORT).clear();
        }
        Ok(())
    }

    /// Opens the flows from `from` on up to `to`, by their first frames.
    ///
    /// # Errors
    ///
    /// As [`UnderTest::fill`].
    pub fn open_flows(&mut self, pool: &mut Pool, from: Sizes, to: Sizes) -> Result<()> {
        let templates = Templates::default();
        for flow in from.v4..to.v4 {
            let leg = Leg { flow, is_reply: false };
            let buf = filled(pool, traffic::FRAME, |data| templates.write(leg, data))?;
            self.take(buf);
        }
        let mut frame = [0; traffic::FRAME_V6];
        for flow in from.v6..to.v6 {
            traffic::forward_v6(flow, &mut frame);
            let buf = filled(pool, frame.len(), |data| data.copy_from_slice(&frame))?;
            self.take(buf);
        }
        self.flush();
        let drops: Vec<_> =
            self.worker.counters().drop_rows().filter(|(_, count)| *count > 0).collect();
        let (open, wanted) = (self.worker.flows().len(), to.v4 + to.v6);
        ensure!(open == wanted && drops.is_empty(), "{open} of {wanted} flows, drops {drops:?}");
        Ok(())
    }

    /// Sends `count` frames of open IPv4 flows through the worker, in full bursts, both ways.
    ///
    /// # Errors
    ///
    /// If the pool is too small.
    pub fn hit(&mut self, pool: &mut Pool, flows: u32, count: u32) -> Result<()> {
        let (templates, mut draw) = (Templates::default(), traffic::Draw::new(flows, 11));
        for _ in 0..count {
            let leg = draw.next_leg();
            let buf = filled(pool, traffic::FRAME, |data| templates.write(leg, data))?;
            self.take(buf);
        }
        self.flush();
        Ok(())
    }

    /// Decides a frame with its burst and forgets what comes out.
    fn take(&mut self, buf: Mbuf) {
        self.frames.push(buf);
        if self.frames.len() == BURST {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.decide();
        self.out.port(traffic::PORT).clear();
    }

    fn decide(&mut self) {
        let now = self.now(cycles());
        self.worker.burst(traffic::PORT, &mut self.frames, GateWord::LATCHED, now, &mut self.out);
    }

    #[inline]
    fn now(&self, cycles: u64) -> Nanos {
        let passed = u128::from(cycles.wrapping_sub(self.started)) * u128::from(self.scale);
        self.base.plus(Nanos((passed >> 32) as u64))
    }

    /// One turn; returns the frames received.
    #[inline(never)]
    pub fn turn(&mut self, queues: &mut Queues, begin: u64) -> usize {
        let (Some(rx), Some(tx)) = (queues.rx.first_mut(), queues.tx.first_mut()) else { return 0 };
        let now = self.now(begin);
        let received = rx.rx_burst(&mut self.frames);
        if received > 0 {
            let (frames, out) = (&mut self.frames, &mut self.out);
            self.worker.burst(traffic::PORT, frames, GateWord::LATCHED, now, out);
        }
        self.worker.tick(GateWord::LATCHED, now, &mut self.out);
        let waiting = self.out.port(traffic::PORT);
        if !waiting.is_empty() {
            tx.tx_burst(waiting);
        }
        received
    }

    /// Turns until `ended`, adding to `counted`.
    pub fn run(&mut self, queues: &mut Queues, counted: &Counted, ended: impl Fn() -> bool) {
        let (mut packets, mut busy, mut bursts) = (0, 0, 0);
        while !ended() {
            // Told now and then: a store costs, and windows are long.
            for _ in 0..64 {
                let begin = cycles();
                let received = self.turn(queues, begin);
                if received > 0 {
                    busy += cycles().wrapping_sub(begin);
                    packets += received as u64;
                    bursts += 1;
                }
            }
            counted.packets.store(packets, Ordering::Relaxed);
            counted.busy_cycles.store(busy, Ordering::Relaxed);
            counted.bursts.store(bursts, Ordering::Relaxed);
            // What finds the device full was hit all the same.
            let counters = self.worker.counters();
            let drops = counters.dropped() - counters.drops(DropReason::TxFull);
            counted.drops.store(drops, Ordering::Relaxed);
        }
    }

    /// The worker.
    #[must_use]
    pub fn worker(&self) -> &Worker<Pool> {
        &self.worker
    }
}

/// A buffer of `length` bytes that `write` fills.
///
/// # Errors
///
/// If the pool is empty or its buffers are shorter.
pub fn filled(pool: &mut Pool, length: usize, write: impl FnOnce(&mut [u8])) -> Result<Mbuf> {
    let mut buf = pool.alloc().context("the pool is empty")?;
    buf.grow_back(length)?;
    write(buf.data_mut());
    Ok(buf)
}
