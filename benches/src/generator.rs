//! The other end of the wire: turns every frame it receives into a fresh one.
//!
//! A fixed number of frames circulates, so nothing is lost and the device under test always finds
//! work. Frames are rewritten in place and drawn uniformly from all flows and both directions. The
//! first frames that come back are checked against what the engine must have made of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use capsule::{Mbuf, Pool, Queues};
use tmm_wire::PacketBuf;

use crate::traffic::{self, Draw, Templates};
use crate::under_test::{BURST, filled};

/// Frames that circulate.
pub const CIRCULATING: usize = 512;
/// Frames that are checked.
const CHECKED: u64 = 20_000;
/// Without a frame for so long all are taken for lost, and as many are sent again. A device that
/// connects loses what it is sent too early.
const SILENCE: Duration = Duration::from_millis(100);

/// What came back; read by another thread.
#[derive(Debug, Default)]
pub struct CameBack {
    /// Frames received.
    pub packets: AtomicU64,
    /// Frames checked.
    pub checked: AtomicU64,
    /// Frames checked and found wrong.
    pub wrong: AtomicU64,
}

/// Sends the first frames and then one for each that comes back, until `ended`.
///
/// # Errors
///
/// If the pool is too small.
pub fn run(
    queues: &mut Queues,
    pool: &mut Pool,
    flows: u32,
    back: &CameBack,
    ended: impl Fn() -> bool,
) -> Result<()> {
    ensure!(!queues.rx.is_empty() && !queues.tx.is_empty(), "a port with a queue each way");
    let templates = Templates::default();
    let mut draw = Draw::new(flows, 0x9e37_79b9_7f4a_7c15);
    let mut frames: Vec<Mbuf> = Vec::with_capacity(BURST);
    let mut begun = 0;
    let (mut packets, mut checked, mut wrong) = (0_u64, 0, 0);
    let mut last = (0, Instant::now());
    while !ended() {
        for _ in 0..64 {
            if frames.is_empty() {
                if begun < CIRCULATING {
                    while frames.len() < BURST {
                        let leg = draw.next_leg();
                        let write = |data: &mut [u8]| templates.write(leg, data);
                        frames.push(filled(pool, traffic::FRAME, write)?);
                    }
                    begun += BURST;
                } else {
                    packets += queues.rx[0].rx_burst(&mut frames) as u64;
                    if checked < CHECKED {
                        for frame in frames.iter().filter(|f| f.data().len() == traffic::FRAME) {
                            checked += 1;
                            wrong += u64::from(!traffic::is_right(frame.data(), flows));
                        }
                    }
                    // The engine announces itself and asks for neighbours now and then.
                    frames.retain_mut(|frame| {
                        let data = frame.data_mut();
                        if data.len() != traffic::FRAME {
                            return traffic::answer_arp(data);
                        }
                        templates.write(draw.next_leg(), data);
                        true
                    });
                }
            }
            if !frames.is_empty() {
                queues.tx[0].tx_burst(&mut frames);
            }
        }
        if last.0 != packets {
            last = (packets, Instant::now());
        } else if last.1.elapsed() > SILENCE {
            last.1 = Instant::now();
            begun = 0;
        }
        back.packets.store(packets, Ordering::Relaxed);
        back.checked.store(checked, Ordering::Relaxed);
        back.wrong.store(wrong, Ordering::Relaxed);
    }
    Ok(())
}
