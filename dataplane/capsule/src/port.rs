//! Ports: attached, configured once for the device's largest frame, started, stopped, asked.
//!
//! A port is closed when its last handle (port or queue) is dropped; that detaches XDP programs and
//! removes tap interfaces. Invariant: a queue is polled only while its port runs.
//! Sources: DPDK 22.11 Programmer's Guide, "Poll Mode Driver".

mod attach;
mod error;

use std::ffi::CStr;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tmm_wire::MacAddr;

pub use error::{Operation, PortError};

use crate::eal::{Eal, EalShared};
use crate::link::{LinkState, interface};
use crate::{Capabilities, ExtendedStat, Pool, PortKind, PortStats, Queues, RxQueue, TxQueue, log};

/// What a port is and how it is set up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortSpec {
    /// The operator's name, such as `1.1`; also part of the device's name.
    pub name: String,
    /// What carries its frames.
    pub kind: PortKind,
    /// Receive queues, 1 to the device's most.
    pub rx_queues: u16,
    /// Transmit queues, 1 to the device's most.
    pub tx_queues: u16,
    /// Frames that each receive queue holds; brought into the device's range.
    pub rx_descriptors: u16,
    /// Frames that each transmit queue holds; brought into the device's range.
    pub tx_descriptors: u16,
    /// Largest frame in bytes, header and tag included; none is the largest that the device and one
    /// buffer of the pool can hold.
    pub max_frame: Option<u32>,
}

impl PortSpec {
    /// One queue each way with 1,024 descriptors and the largest frame.
    #[must_use]
    pub fn new(name: &str, kind: PortKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            max_frame: None,
        }
    }
}

/// What a device says about itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceInfo {
    /// Name of the driver, such as `net_af_xdp`.
    pub driver: String,
    /// DPDK's name of the device.
    pub device: String,
    /// Largest frame in bytes that the port was configured for, header and tag included.
    pub max_frame: u32,
    /// Receive queues that it could have.
    pub max_rx_queues: u16,
    /// Transmit queues that it could have.
    pub max_tx_queues: u16,
    /// What it does by itself.
    pub capabilities: Capabilities,
}

/// A configured port.
#[derive(Debug)]
pub struct Port {
    shared: Arc<PortShared>,
    kind: PortKind,
    info: DeviceInfo,
    rx_queues: u16,
    tx_queues: u16,
}

/// What a port and its queues hold together; closes the port when the last of them goes.
pub(crate) struct PortShared {
    id: u16,
    rx_queues: u16,
    name: Arc<str>,
    device: attach::Device,
    running: AtomicBool,
    /// Whether it ran and was stopped since: what waits in its rings waits still.
    paused: AtomicBool,
    /// Whether frames wait in a ring that nobody else empties.
    drained: bool,
    /// The receive queues take buffers from here.
    _pool: Pool,
    _eal: Arc<EalShared>,
}

impl PortShared {
    #[inline]
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Gives back what waits in the first receive queues' rings.
    fn drain(&mut self) {
        for queue in 0..self.rx_queues {
            let mut burst = [std::ptr::null_mut(); 32];
            loop {
                // JUSTIFICATION: the rings are the driver's.
                // SAFETY: the port runs, no queue handle is left, and `burst` has room for 32.
                let count =
                    unsafe { dpdk_sys::dpdk_sys_rx_burst(self.id, queue, burst.as_mut_ptr(), 32) };
                for raw in burst.iter().take(usize::from(count)) {
                    // JUSTIFICATION: received packets come as C pointers.
                    // SAFETY: the driver gave this packet away just now.
                    drop(unsafe { crate::Mbuf::from_raw(*raw) });
                }
                if count == 0 {
                    break;
                }
            }
        }
    }
}

impl fmt::Debug for PortShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortShared").field("id", &self.id).field("name", &self.name).finish()
    }
}

impl Drop for PortShared {
    fn drop(&mut self) {
        let mut running = *self.running.get_mut();
        if self.drained && *self.paused.get_mut() {
            // A stopped queue gives nothing.
            // JUSTIFICATION: the device is C's.
            // SAFETY: the port is open, configured and stopped, and no queue handle is left. A
            // failure leaves the frames where they are; `Eal::shutdown` tells of them.
            running = unsafe { dpdk_sys::rte_eth_dev_start(self.id) } == 0;
        }
        if running {
            if self.drained {
                self.drain();
            }
            // JUSTIFICATION: the device is C's.
            // SAFETY: the port is open and no queue handle is left to poll it. A failure leaves
            // nothing to do but to close it.
            unsafe { dpdk_sys::rte_eth_dev_stop(self.id) };
        }
        // JUSTIFICATION: as above.
        // SAFETY: the port is open and stopped; nobody uses its number afterwards.
        unsafe { dpdk_sys::rte_eth_dev_close(self.id) };
        self.device.detach();
    }
}

impl Port {
    /// Attaches the device, configures its queues and starts it.
    ///
    /// A driver's own file descriptors and XDP programs exist after this. Not for the packet path.
    ///
    /// # Errors
    ///
    /// [`PortError`], whose text names port, device and fix; nothing stays attached.
    pub fn configure(eal: &Eal, spec: &PortSpec, pool: &Pool) -> Result<(Self, Queues), PortError> {
        attach::configure(eal, spec, pool)
    }

    /// The operator's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What carries its frames.
    #[must_use]
    pub fn kind(&self) -> &PortKind {
        &self.kind
    }

    /// What the device says about itself.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// What the device does, and what is left to software.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.info.capabilities
    }

    /// Whether the port runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.shared.is_running()
    }

    /// Stops the port; its queues give and take nothing until [`Port::start`]. Frames in the rings of
    /// a ring port wait there.
    ///
    /// # Errors
    ///
    /// [`PortError::QueuesMissing`] unless `queues` are all of this port's, as proof that no thread
    /// polls them; [`PortError::Failed`] if the device refuses.
    pub fn stop(&self, queues: &mut Queues) -> Result<(), PortError> {
        self.check_all(queues)?;
        if !self.is_running() {
            return Ok(());
        }
        let mark = log::mark();
        // JUSTIFICATION: the device is C's.
        // SAFETY: the port is open, and all its queues are borrowed here, so nobody polls it.
        let code = unsafe { dpdk_sys::rte_eth_dev_stop(self.shared.id) };
        self.check(Operation::Stop, code, mark)?;
        self.shared.running.store(false, Ordering::Release);
        self.shared.paused.store(true, Ordering::Release);
        Ok(())
    }

    /// Starts the port again.
    ///
    /// # Errors
    ///
    /// As [`Port::stop`].
    pub fn start(&self, queues: &mut Queues) -> Result<(), PortError> {
        self.check_all(queues)?;
        if self.is_running() {
            return Ok(());
        }
        let mark = log::mark();
        // JUSTIFICATION: the device is C's.
        // SAFETY: the port is open and configured, and all its queues are borrowed here.
        let code = unsafe { dpdk_sys::rte_eth_dev_start(self.shared.id) };
        self.check(Operation::Start, code, mark)?;
        self.shared.paused.store(false, Ordering::Release);
        self.shared.running.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether frames can be carried, now. From the kernel for ports on its interfaces, whose
    /// drivers always say up. Takes microseconds; not for the packet path.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the kernel or the driver cannot be asked.
    pub fn link(&self) -> Result<LinkState, PortError> {
        if let Some(name) = self.kind.interface() {
            let state = interface(name.as_str())
                .map_err(|cause| PortError::Netlink { port: self.name().to_owned(), cause })?;
            // An interface that was taken away carries nothing.
            return Ok(LinkState {
                up: state.is_some_and(|state| state.admin_up && state.carrier),
                mbps: None,
                mtu: state.map(|state| state.mtu),
            });
        }
        let mark = log::mark();
        let mut link = dpdk_sys::rte_eth_link::default();
        // JUSTIFICATION: the device is C's.
        // SAFETY: the port is open; `link` is writable for the call.
        let code = unsafe { dpdk_sys::rte_eth_link_get_nowait(self.shared.id, &raw mut link) };
        self.check(Operation::Link, code, mark)?;
        let mbps = Some(link.link_speed).filter(|mbps| !matches!(*mbps, 0 | u32::MAX));
        Ok(LinkState { up: link.link_status() != 0, mbps, mtu: None })
    }

    /// The driver's counters.
    ///
    /// # Errors
    ///
    /// [`PortError::Failed`] if the driver refuses.
    pub fn stats(&self) -> Result<PortStats, PortError> {
        let mark = log::mark();
        let mut stats = dpdk_sys::rte_eth_stats::default();
        // JUSTIFICATION: the device is C's.
        // SAFETY: the port is open; `stats` is writable for the call.
        let code = unsafe { dpdk_sys::rte_eth_stats_get(self.shared.id, &raw mut stats) };
        self.check(Operation::Stats, code, mark)?;
        Ok(PortStats::from(&stats))
    }

    /// The driver's own counters, by its names.
    ///
    /// # Errors
    ///
    /// [`PortError::Failed`] if the driver refuses.
    pub fn extended_stats(&self) -> Result<Vec<ExtendedStat>, PortError> {
        let mark = log::mark();
        let id = self.shared.id;
        // JUSTIFICATION: the device is C's.
        // SAFETY: with no array the driver only says how many there are.
        let count = unsafe { dpdk_sys::rte_eth_xstats_get_names(id, std::ptr::null_mut(), 0) };
        self.check(Operation::ExtendedStats, count.min(0), mark)?;
        let count = count.max(0) as usize;
        let mut names = vec![dpdk_sys::rte_eth_xstat_name { name: [0; 64] }; count];
        let mut values = vec![dpdk_sys::rte_eth_xstat { id: 0, value: 0 }; count];
        // JUSTIFICATION: as above.
        // SAFETY: `names` has room for the number that is passed.
        let named =
            unsafe { dpdk_sys::rte_eth_xstats_get_names(id, names.as_mut_ptr(), count as u32) };
        self.check(Operation::ExtendedStats, named.min(0), mark)?;
        // JUSTIFICATION: as above.
        // SAFETY: `values` has room for the number that is passed.
        let got = unsafe { dpdk_sys::rte_eth_xstats_get(id, values.as_mut_ptr(), count as u32) };
        self.check(Operation::ExtendedStats, got.min(0), mark)?;
        values.truncate(got.max(0) as usize);
        let stat = |value: &dpdk_sys::rte_eth_xstat| {
            let name = names.get(value.id as usize)?;
            let bytes = name.name.map(|c| c as u8);
            let name = CStr::from_bytes_until_nul(&bytes).ok()?.to_string_lossy().into_owned();
            Some(ExtendedStat { name, value: value.value })
        };
        Ok(values.iter().filter_map(stat).collect())
    }

    /// The hardware address.
    ///
    /// # Errors
    ///
    /// [`PortError::Failed`] if the driver refuses.
    pub fn mac(&self) -> Result<MacAddr, PortError> {
        let mark = log::mark();
        let mut mac = dpdk_sys::rte_ether_addr::default();
        // JUSTIFICATION: the device is C's.
        // SAFETY: the port is open; `mac` is writable for the call.
        let code = unsafe { dpdk_sys::rte_eth_macaddr_get(self.shared.id, &raw mut mac) };
        self.check(Operation::Mac, code, mark)?;
        Ok(MacAddr(mac.addr_bytes))
    }

    /// Gives the device another hardware address.
    ///
    /// # Errors
    ///
    /// [`PortError::Failed`] if the driver cannot (a virtual function may not without its host's
    /// consent) or the address is a group's.
    pub fn set_mac(&self, mac: MacAddr) -> Result<(), PortError> {
        let mark = log::mark();
        let mut mac = dpdk_sys::rte_ether_addr { addr_bytes: mac.0 };
        // JUSTIFICATION: the device is C's.
        // SAFETY: the port is open; `mac` is readable for the call.
        let code =
            unsafe { dpdk_sys::rte_eth_dev_default_mac_addr_set(self.shared.id, &raw mut mac) };
        self.check(Operation::SetMac, code, mark)
    }

    /// Sets the device's MTU in bytes of IP packet. Ports are configured for the device's largest
    /// frame, so this is for devices whose other side must be told; on kernel interfaces it changes
    /// the interface.
    ///
    /// # Errors
    ///
    /// [`PortError::Failed`] if the driver refuses.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), PortError> {
        let mark = log::mark();
        // JUSTIFICATION: the device is C's.
        // SAFETY: the port is open.
        let code = unsafe { dpdk_sys::rte_eth_dev_set_mtu(self.shared.id, mtu) };
        self.check(Operation::SetMtu, code, mark)
    }

    /// Takes frames for every address, or only for its own.
    ///
    /// # Errors
    ///
    /// [`PortError::Failed`] if the driver cannot.
    pub fn set_promiscuous(&self, on: bool) -> Result<(), PortError> {
        let mark = log::mark();
        let id = self.shared.id;
        let code = if on {
            // JUSTIFICATION: the device is C's.
            // SAFETY: the port is open.
            unsafe { dpdk_sys::rte_eth_promiscuous_enable(id) }
        } else {
            // JUSTIFICATION: the device is C's.
            // SAFETY: the port is open.
            unsafe { dpdk_sys::rte_eth_promiscuous_disable(id) }
        };
        self.check(Operation::Promiscuous, code, mark)
    }

    /// Takes frames for every group address, or only for those it was told.
    ///
    /// # Errors
    ///
    /// [`PortError::Failed`] if the driver cannot.
    pub fn set_all_multicast(&self, on: bool) -> Result<(), PortError> {
        let mark = log::mark();
        let id = self.shared.id;
        let code = if on {
            // JUSTIFICATION: the device is C's.
            // SAFETY: the port is open.
            unsafe { dpdk_sys::rte_eth_allmulticast_enable(id) }
        } else {
            // JUSTIFICATION: the device is C's.
            // SAFETY: the port is open.
            unsafe { dpdk_sys::rte_eth_allmulticast_disable(id) }
        };
        self.check(Operation::AllMulticast, code, mark)
    }

    /// Whether `queues` are this port's, every one.
    fn check_all(&self, queues: &Queues) -> Result<(), PortError> {
        let mine = |shared: &Arc<PortShared>| Arc::ptr_eq(shared, &self.shared);
        let rx = queues.rx.iter().filter(|queue| mine(&queue.port)).count();
        let tx = queues.tx.iter().filter(|queue| mine(&queue.port)).count();
        if rx == usize::from(self.rx_queues) && tx == usize::from(self.tx_queues) {
            return Ok(());
        }
        Err(PortError::QueuesMissing {
            port: self.name().to_owned(),
            needed: usize::from(self.rx_queues) + usize::from(self.tx_queues),
            given: rx + tx,
        })
    }

    fn check(&self, operation: Operation, code: i32, mark: u64) -> Result<(), PortError> {
        error::check(self.name(), operation, code, mark)
    }

    /// The queues of a port that was just configured.
    fn queues(shared: &Arc<PortShared>, spec: &PortSpec, frame_limit: Option<u32>) -> Queues {
        let rx = |index| RxQueue { port: Arc::clone(shared), index, unshared: PhantomData };
        let tx = |index| TxQueue {
            port: Arc::clone(shared),
            index,
            frame_limit,
            refused: 0,
            unshared: PhantomData,
        };
        Queues {
            rx: (0..spec.rx_queues).map(rx).collect(),
            tx: (0..spec.tx_queues).map(tx).collect(),
        }
    }
}
