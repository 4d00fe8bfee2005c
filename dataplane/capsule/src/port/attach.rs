//! Attaching a device and setting it up, with every failure named.
//!
//! The order is DPDK's: attach, describe, configure, queues, start. Whatever fails, dropping the
//! half-made port takes it down again.

use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{fs, ptr};

use super::error::{Operation, PortError};
use super::{DeviceInfo, Port, PortShared, PortSpec, Queues};
use crate::device::{PortKind, RingEnd};
use crate::eal::{Eal, error_text};
use crate::link::{InterfaceState, interface};
use crate::{Capabilities, Pool, log};

/// An attached device, to be detached once.
#[derive(Debug)]
pub(super) struct Device {
    /// DPDK's name of its bus.
    bus: &'static CStr,
    /// Its name there.
    name: CString,
}

impl Device {
    /// Takes a closed device off its bus, so that its name can be attached again. A PCI function
    /// too: closing its port leaves the function probed without one, and no later look would find
    /// a port on it.
    pub(super) fn detach(&self) {
        // JUSTIFICATION: the device list is C's.
        // SAFETY: both are C strings; the port is closed, so nobody uses the device. A failure
        // leaves an unused entry in a list.
        unsafe { dpdk_sys::rte_eal_hotplug_remove(self.bus.as_ptr(), self.name.as_ptr()) };
    }
}

/// Makes the port of `spec`; see [`Port::configure`].
pub(super) fn configure(
    eal: &Eal,
    spec: &PortSpec,
    pool: &Pool,
) -> Result<(Port, Queues), PortError> {
    if !pool.belongs_to(eal.shared()) {
        return Err(PortError::ForeignPool { port: spec.name.clone() });
    }
    let setup = Setup { spec, pool, mark: log::mark(), before: precheck(spec)? };
    let room = u32::from(pool.frame_room());
    if let Some(asked) = spec.max_frame.filter(|asked| *asked > room) {
        return Err(PortError::FrameTooLarge { port: spec.name.clone(), asked, most: room });
    }
    let (id, device) = setup.attach(room)?;
    let shared = Arc::new(PortShared {
        id,
        rx_queues: spec.rx_queues,
        name: spec.name.as_str().into(),
        device,
        running: AtomicBool::new(false),
        paused: AtomicBool::new(false),
        drained: matches!(spec.kind, PortKind::RingLoopback | PortKind::RingPair { .. }),
        _pool: pool.clone(),
        _eal: Arc::clone(eal.shared()),
    });
    let raw = setup.describe(id)?;
    let info = setup.set_up_queues(id, &raw)?;
    let frame_limit = (!info.capabilities.sends_chains()).then_some(room);
    let mut queues = Port::queues(&shared, spec, frame_limit);
    let port = Port {
        shared,
        kind: spec.kind.clone(),
        info,
        rx_queues: spec.rx_queues,
        tx_queues: spec.tx_queues,
    };
    match port.start(&mut queues) {
        Err(PortError::Failed { operation, code, .. }) => Err(setup.failure(operation, code)),
        Err(error) => Err(error),
        Ok(()) => Ok((port, queues)),
    }
}

/// Refuses what DPDK would refuse in worse words; gives the kernel interface's state, if any.
fn precheck(spec: &PortSpec) -> Result<Option<InterfaceState>, PortError> {
    let port = spec.name.clone();
    match &spec.kind {
        PortKind::AfXdp { interface: name, program } => {
            if let Some(program) = program {
                readable(&port, program)?;
            }
            existing(port, name.as_str()).map(Some)
        }
        PortKind::AfPacket { interface: name } => existing(port, name.as_str()).map(Some),
        PortKind::Tap { interface: name } => {
            let state = interface(name.as_str())
                .map_err(|cause| PortError::Netlink { port: port.clone(), cause })?;
            if state.is_some() {
                let cause = "an interface of this name exists".to_owned();
                return Err(PortError::Busy { port, device: name.to_string(), cause });
            }
            Ok(None)
        }
        PortKind::Pci { address } => {
            if !Path::new("/sys/bus/pci/devices").join(address.as_str()).exists() {
                return Err(PortError::AbsentFunction { port, address: address.to_string() });
            }
            Ok(None)
        }
        PortKind::Pcap { input: Some(input), .. } => readable(&port, input).map(|()| None),
        PortKind::Pcap { input: None, .. }
        | PortKind::Memif { .. }
        | PortKind::MemifClient { .. }
        | PortKind::RingLoopback
        | PortKind::RingPair { .. }
        | PortKind::Null { .. }
        | PortKind::VirtioUser { .. } => Ok(None),
    }
}

fn existing(port: String, name: &str) -> Result<InterfaceState, PortError> {
    match interface(name) {
        Ok(Some(state)) => Ok(state),
        Ok(None) => Err(PortError::AbsentInterface { port, interface: name.to_owned() }),
        Err(cause) => Err(PortError::Netlink { port, cause }),
    }
}

fn readable(port: &str, path: &Path) -> Result<(), PortError> {
    fs::File::open(path).map(drop).map_err(|error| PortError::AbsentFile {
        port: port.to_owned(),
        path: path.display().to_string(),
        kind: error.kind(),
    })
}

/// One device on its way up.
struct Setup<'a> {
    spec: &'a PortSpec,
    pool: &'a Pool,
    /// Where the log stood before.
    mark: u64,
    /// The kernel interface before anything was done to it.
    before: Option<InterfaceState>,
}

impl Setup<'_> {
    /// Puts the device on its bus and finds its number.
    fn attach(&self, room: u32) -> Result<(u16, Device), PortError> {
        let kind = &self.spec.kind;
        let argument = |cause| PortError::Argument { port: self.spec.name.clone(), cause };
        let name = kind.device_name(&self.spec.name).map_err(argument)?;
        let arguments = kind.device_arguments(self.spec.rx_queues, room).map_err(argument)?;
        // Names and arguments are checked text without NUL.
        let name = CString::new(name).unwrap_or_default();
        let arguments = CString::new(arguments).unwrap_or_default();
        match kind {
            PortKind::Pci { address } => {
                // The start of the environment probed it, unless a port had it and was dropped, or it
                // was bound since.
                let found = self.find(&name).or_else(|| {
                    self.hotplug(PCI_BUS, &name, c"");
                    self.find(&name)
                });
                let id = found.ok_or_else(|| {
                    let link = format!("/sys/bus/pci/devices/{address}/driver");
                    let driver = fs::read_link(link).ok();
                    let driver = driver.as_deref().and_then(Path::file_name);
                    PortError::Unbound {
                        port: self.spec.name.clone(),
                        address: address.to_string(),
                        driver: driver.map_or_else(String::new, |d| d.to_string_lossy().into()),
                        cause: log::since(0),
                    }
                })?;
                Ok((id, Device { bus: PCI_BUS, name }))
            }
            PortKind::RingPair { pair, end } => {
                let id = self.attach_rings(pair, *end)?;
                Ok((id, Device { bus: VIRTUAL_BUS, name }))
            }
            PortKind::AfXdp { .. }
            | PortKind::AfPacket { .. }
            | PortKind::Tap { .. }
            | PortKind::Memif { .. }
            | PortKind::MemifClient { .. }
            | PortKind::RingLoopback
            | PortKind::Null { .. }
            | PortKind::Pcap { .. }
            | PortKind::VirtioUser { .. } => {
                let code = self.hotplug(VIRTUAL_BUS, &name, &arguments);
                self.check(Operation::Attach, code)?;
                let found = self.find(&name);
                let device = Device { bus: VIRTUAL_BUS, name };
                match found {
                    Some(id) => Ok((id, device)),
                    None => {
                        device.detach();
                        Err(self.failure(Operation::Attach, -nix::libc::ENODEV))
                    }
                }
            }
        }
    }

    /// Puts a device on its bus and has it probed; 0 or a negative errno.
    fn hotplug(&self, bus: &CStr, name: &CStr, arguments: &CStr) -> i32 {
        // JUSTIFICATION: the device list is C's.
        // SAFETY: three C strings that live through the call; the environment runs.
        unsafe { dpdk_sys::rte_eal_hotplug_add(bus.as_ptr(), name.as_ptr(), arguments.as_ptr()) }
    }

    /// Makes one end of a pair of rings a port.
    fn attach_rings(&self, pair: &str, end: RingEnd) -> Result<u16, PortError> {
        let (out, into) = match end {
            RingEnd::A => ("a", "b"),
            RingEnd::B => ("b", "a"),
        };
        let rings = |from: &str, queues: u16| -> Result<Vec<_>, PortError> {
            (0..queues).map(|queue| self.ring(&format!("{pair}_{from}{queue}"))).collect()
        };
        let rx = rings(into, self.spec.rx_queues)?;
        let tx = rings(out, self.spec.tx_queues)?;
        let name = CString::new(self.spec.name.as_str()).unwrap_or_default();
        // JUSTIFICATION: the ring driver takes rings by pointer only.
        // SAFETY: both arrays hold as many rings as said, which are never freed; u32::MAX is any
        // NUMA node.
        let id = unsafe {
            dpdk_sys::rte_eth_from_rings(
                name.as_ptr(),
                rx.as_ptr(),
                u32::from(self.spec.rx_queues),
                tx.as_ptr(),
                u32::from(self.spec.tx_queues),
                u32::MAX,
            )
        };
        self.check(Operation::Attach, if id < 0 { -crate::eal::errno() } else { 0 })?;
        u16::try_from(id).map_err(|_| self.failure(Operation::Attach, -nix::libc::ERANGE))
    }

    /// The ring called `name`, made if there is none yet.
    fn ring(&self, name: &str) -> Result<*mut dpdk_sys::rte_ring, PortError> {
        let name = CString::new(name).unwrap_or_default();
        // JUSTIFICATION: DPDK keeps the list of rings.
        // SAFETY: a C string that lives through the call.
        let found = unsafe { dpdk_sys::rte_ring_lookup(name.as_ptr()) };
        if !found.is_null() {
            return Ok(found);
        }
        let slots = u32::from(self.spec.tx_descriptors).next_power_of_two();
        // JUSTIFICATION: as above.
        // SAFETY: as above; -1 is any NUMA node, and each end of a ring is one queue's.
        let ring = unsafe { dpdk_sys::rte_ring_create(name.as_ptr(), slots, -1, SINGLE_USERS) };
        if ring.is_null() {
            return Err(self.failure(Operation::Attach, -crate::eal::errno()));
        }
        Ok(ring)
    }

    /// The number of the port on the device called `name`.
    fn find(&self, name: &CStr) -> Option<u16> {
        let mut id = 0;
        // JUSTIFICATION: the device list is C's.
        // SAFETY: a C string and a writable word, both for the call.
        let code = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
        (code == 0).then_some(id)
    }

    fn describe(&self, id: u16) -> Result<dpdk_sys::rte_eth_dev_info, PortError> {
        let mut info = dpdk_sys::rte_eth_dev_info::default();
        // JUSTIFICATION: the device is C's.
        // SAFETY: the port is open; `info` is writable for the call.
        let code = unsafe { dpdk_sys::rte_eth_dev_info_get(id, &raw mut info) };
        self.check(Operation::Describe, code)?;
        Ok(info)
    }

    /// Configures the port for its largest frame and sets its queues up.
    fn set_up_queues(
        &self,
        id: u16,
        raw: &dpdk_sys::rte_eth_dev_info,
    ) -> Result<DeviceInfo, PortError> {
        let spec = self.spec;
        let port = || spec.name.clone();
        for (asked, most) in
            [(spec.rx_queues, raw.max_rx_queues), (spec.tx_queues, raw.max_tx_queues)]
        {
            if asked == 0 || asked > most {
                let device = self.device_label();
                return Err(PortError::TooManyQueues { port: port(), device, asked, most });
            }
        }
        let capabilities = self.capabilities(raw);
        let (mtu, max_frame) = self.largest(raw)?;
        let mut conf = dpdk_sys::rte_eth_conf::default();
        conf.rxmode.mtu = mtu;
        if spec.rx_queues > 1 && capabilities.rss_fields() != 0 {
            conf.rxmode.mq_mode = dpdk_sys::DPDK_SYS_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = capabilities.rss_fields();
        }
        // Frames of several segments, where the device can receive and send them.
        conf.rxmode.offloads = raw.rx_offload_capa & dpdk_sys::DPDK_SYS_RX_SCATTER;
        conf.txmode.offloads = raw.tx_offload_capa & dpdk_sys::DPDK_SYS_TX_MULTI_SEGS;
        // JUSTIFICATION: the device is C's.
        // SAFETY: the port is open and stopped; `conf` is readable for the call.
        let code = unsafe {
            dpdk_sys::rte_eth_dev_configure(id, spec.rx_queues, spec.tx_queues, &raw const conf)
        };
        self.check(Operation::Configure, code)?;

        let (mut rx, mut tx) = (spec.rx_descriptors, spec.tx_descriptors);
        // JUSTIFICATION: as above.
        // SAFETY: the port is open; both words are writable for the call.
        let code =
            unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(id, &raw mut rx, &raw mut tx) };
        self.check(Operation::Configure, code)?;
        let needed = self.kept_buffers(rx) * u32::from(spec.rx_queues);
        let free = self.pool.available();
        if needed > 0 && needed >= free {
            let pool = self.pool.name().to_owned();
            return Err(PortError::PoolTooSmall { port: port(), pool, needed, free });
        }
        for queue in 0..spec.rx_queues {
            let pool = self.pool.raw().as_ptr();
            // JUSTIFICATION: as above.
            // SAFETY: the port is configured and stopped; the pool outlives it (`PortShared`); -1
            // is any NUMA node and a null configuration the driver's default.
            let code = unsafe {
                dpdk_sys::rte_eth_rx_queue_setup(id, queue, rx, u32::MAX, ptr::null(), pool)
            };
            self.check(Operation::RxQueue, code)?;
        }
        for queue in 0..spec.tx_queues {
            // JUSTIFICATION: as above.
            // SAFETY: as above.
            let code =
                unsafe { dpdk_sys::rte_eth_tx_queue_setup(id, queue, tx, u32::MAX, ptr::null()) };
            self.check(Operation::TxQueue, code)?;
        }
        Ok(DeviceInfo {
            driver: text(raw.driver_name),
            device: spec.kind.device_name(&spec.name).unwrap_or_default(),
            max_frame,
            max_rx_queues: raw.max_rx_queues,
            max_tx_queues: raw.max_tx_queues,
            capabilities,
        })
    }

    /// The MTU to configure, and the largest frame that it means.
    fn largest(&self, raw: &dpdk_sys::rte_eth_dev_info) -> Result<(u32, u32), PortError> {
        let known = raw.max_mtu != u16::MAX && raw.max_rx_pktlen > u32::from(raw.max_mtu);
        let overhead =
            if known { raw.max_rx_pktlen - u32::from(raw.max_mtu) } else { ETHERNET_OVERHEAD };
        let room = u32::from(self.pool.frame_room());
        let mut most = room.min(u32::from(raw.max_mtu).saturating_add(overhead));
        if known {
            most = most.min(raw.max_rx_pktlen);
        }
        most = most.min(self.spec.kind.frame_limit(room).unwrap_or(most));
        if let Some(asked) = self.spec.max_frame {
            if asked > most {
                return Err(PortError::FrameTooLarge { port: self.spec.name.clone(), asked, most });
            }
            most = asked;
        }
        // What a driver without an opinion says (1,514) is less than DPDK's own default.
        let mtu = most.saturating_sub(overhead);
        let declared = raw.max_rx_pktlen.saturating_sub(overhead);
        Ok((if known { mtu } else { mtu.min(declared.max(1500)) }, most))
    }

    fn capabilities(&self, raw: &dpdk_sys::rte_eth_dev_info) -> Capabilities {
        // Null and tap list hash functions that they do not have.
        let hashes = matches!(self.spec.kind, PortKind::Pci { .. });
        Capabilities::new(
            raw.rx_offload_capa,
            raw.tx_offload_capa,
            raw.flow_type_rss_offloads,
            hashes,
        )
    }

    /// Buffers of the pool that the driver keeps for a receive queue of `descriptors`.
    fn kept_buffers(&self, descriptors: u16) -> u32 {
        match self.spec.kind {
            PortKind::Pci { .. } | PortKind::VirtioUser { .. } => u32::from(descriptors),
            // Its fill ring is twice as long; they do not come back before the process ends.
            PortKind::AfXdp { .. } => 2 * u32::from(descriptors) + 1,
            PortKind::AfPacket { .. }
            | PortKind::Tap { .. }
            | PortKind::Memif { .. }
            | PortKind::MemifClient { .. }
            | PortKind::RingLoopback
            | PortKind::RingPair { .. }
            | PortKind::Null { .. }
            | PortKind::Pcap { .. } => 0,
        }
    }

    fn check(&self, operation: Operation, code: i32) -> Result<(), PortError> {
        if code >= 0 { Ok(()) } else { Err(self.failure(operation, code)) }
    }

    /// What the operator calls the device.
    fn device_label(&self) -> String {
        match &self.spec.kind {
            PortKind::Pci { address } => address.to_string(),
            PortKind::AfXdp { interface, .. }
            | PortKind::AfPacket { interface }
            | PortKind::Tap { interface } => interface.to_string(),
            PortKind::Memif { socket, .. }
            | PortKind::MemifClient { socket, .. }
            | PortKind::VirtioUser { socket, .. } => socket.display().to_string(),
            PortKind::RingLoopback
            | PortKind::RingPair { .. }
            | PortKind::Null { .. }
            | PortKind::Pcap { .. } => self.spec.kind.name().to_owned(),
        }
    }

    /// Names a failure by its number, the log, and what the process and the machine have.
    fn failure(&self, operation: Operation, code: i32) -> PortError {
        let port = self.spec.name.clone();
        let cause = log::since(self.mark);
        let rights = self.spec.kind.rights();
        // The number does not tell: drivers return -1, which is EPERM, for all kinds of failures.
        if let Some(right) = rights.iter().find(|right| !right.held()) {
            return PortError::MissingRight { port, right: *right, cause };
        }
        if let Some((_, most)) = cause.split_once("larger than combined queue count ") {
            let digits: String = most.chars().take_while(char::is_ascii_digit).collect();
            let most = digits.parse().unwrap_or(0);
            let (device, asked) = (self.device_label(), self.spec.rx_queues);
            return PortError::TooManyQueues { port, device, asked, most };
        }
        let taken = matches!(-code, nix::libc::EBUSY | nix::libc::EADDRINUSE | nix::libc::EEXIST)
            || cause.contains("in use")
            // Interface, rights and queues are there, so the socket's queue has another user. Also
            // for some milliseconds after it was closed.
            || cause.contains("create xsk socket")
            || self.before.is_some_and(|state| state.xdp_attached);
        if taken {
            return PortError::Busy { port, device: self.device_label(), cause };
        }
        PortError::Failed { port, operation, code, reason: error_text(-code), cause }
    }
}

/// A string of C's that is never freed.
fn text(raw: *const std::ffi::c_char) -> String {
    if raw.is_null() {
        return String::new();
    }
    // JUSTIFICATION: drivers' names are C strings.
    // SAFETY: not null, NUL-terminated, and static in the driver.
    unsafe { CStr::from_ptr(raw) }.to_string_lossy().into_owned()
}

/// DPDK's bus of virtual devices.
const VIRTUAL_BUS: &CStr = c"vdev";
/// Its bus of PCI functions.
const PCI_BUS: &CStr = c"pci";
/// RING_F_SP_ENQ | RING_F_SC_DEQ.
const SINGLE_USERS: u32 = 1 | 2;
/// Ethernet header and FCS, as DPDK counts a frame around its MTU.
const ETHERNET_OVERHEAD: u32 = 18;
