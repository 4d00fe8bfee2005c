//! The processor's cycle counter.
//!
//! For cycle counts only: one read costs about 30 cycles, so stamp bursts, never packets.

/// Cycles since an arbitrary start (the time stamp counter on x86).
#[must_use]
pub fn cycles() -> u64 {
    // JUSTIFICATION: the counter's instruction has no safe form on every target.
    // SAFETY: reads a register; no memory is touched.
    unsafe { dpdk_sys::dpdk_sys_tsc() }
}

/// Rate of [`cycles`], as DPDK measured it when the environment started; 0 before that.
#[must_use]
pub fn cycles_per_second() -> u64 {
    // JUSTIFICATION: the rate is a variable of DPDK.
    // SAFETY: returns a word that is written once in rte_eal_init.
    unsafe { dpdk_sys::rte_get_tsc_hz() }
}
