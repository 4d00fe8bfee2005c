//! The ports of `tmm.yaml` as devices.
//!
//! Owns the words for kinds, buffer sizes, queues per port and MAC addresses. Opens ports; polls
//! none. Source: operations.md §4.6, §4.8.

use std::path::PathBuf;

use capsule::{DeviceArgumentError, Eal, Pool, Port, PortError, PortKind, PortSpec, Queues};
use tmm_config::PortFacts;
use tmm_wire::{MacAddr, PortId};

use crate::log;
use crate::mac;
use crate::settings::{KindWord, PortEntry, Settings};

/// One port that is open.
#[derive(Debug)]
pub struct OpenPort {
    /// Its index.
    pub id: PortId,
    /// The device.
    pub port: Port,
    /// Its address.
    pub mac: MacAddr,
    /// Its queues, until packet threads take them.
    pub queues: Queues,
}

/// A port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its device cannot be named so.
    #[error("ports {name}: {cause}")]
    Argument {
        /// The port.
        name: String,
        /// What is wrong.
        cause: DeviceArgumentError,
    },
    /// The device cannot be used.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl OpenError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Argument { cause, .. } => cause.code(),
            Self::Port(error) => error.code(),
        }
    }
}

/// The device that `entry` names.
///
/// # Errors
///
/// [`OpenError::Argument`].
pub fn kind(entry: &PortEntry) -> Result<PortKind, OpenError> {
    let device = entry.device.clone().unwrap_or_default();
    let refused = |cause| OpenError::Argument { name: entry.name.clone(), cause };
    let interface = || device.parse().map_err(refused);
    Ok(match entry.kind {
        KindWord::AfXdp => PortKind::AfXdp { interface: interface()?, program: None },
        KindWord::AfPacket => PortKind::AfPacket { interface: interface()? },
        KindWord::Tap => PortKind::Tap { interface: interface()? },
        KindWord::Memif => PortKind::Memif {
            file: device.starts_with('/'),
            socket: PathBuf::from(device),
            id: 0,
            ring_log2: 10,
            buffer_bytes: 2048,
        },
        KindWord::Ring => PortKind::RingLoopback,
        KindWord::Null => PortKind::Null { frame_bytes: 64, copy: false },
        KindWord::Pcap => {
            let (input, output) = device.split_once(',').unwrap_or((&device, ""));
            let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
            PortKind::Pcap { input: path(input), output: path(output), repeat: false }
        }
        KindWord::VirtioUser => {
            PortKind::VirtioUser { socket: PathBuf::from(device), server: false }
        }
        KindWord::Pci => PortKind::Pci { address: device.parse().map_err(refused)? },
    })
}

/// Bytes of frame that one packet buffer must hold for all of `kinds`: 2,048, or up to 9,728 where
/// an interface has a larger MTU. AF_XDP takes no buffer above 2,048.
#[must_use]
pub fn frame_room(kinds: &[PortKind]) -> u16 {
    if kinds.iter().any(|kind| matches!(kind, PortKind::AfXdp { .. })) {
        return SMALL_ROOM;
    }
    let mtu_of = |kind: &PortKind| {
        let name = kind.interface()?;
        capsule::interface(name.as_str()).ok().flatten().map(|state| state.mtu)
    };
    let largest = kinds.iter().filter_map(mtu_of).max().unwrap_or(0);
    if largest + FRAME_OVERHEAD > u32::from(SMALL_ROOM) { LARGE_ROOM } else { SMALL_ROOM }
}

/// Opens a port with a queue pair for each of `workers` packet threads, or fewer if the device has
/// no more.
///
/// # Errors
///
/// [`OpenError`].
pub fn open(
    eal: &Eal,
    pool: &Pool,
    entry: &PortEntry,
    id: PortId,
    kind: &PortKind,
    workers: u16,
    settings: &Settings,
) -> Result<OpenPort, OpenError> {
    let mut spec = PortSpec::new(&entry.name, kind.clone());
    let pairs = if several_queues(kind) { workers } else { 1 };
    (spec.rx_queues, spec.tx_queues) = (pairs, pairs);
    let (port, queues) = match Port::configure(eal, &spec, pool) {
        Err(PortError::TooManyQueues { .. } | PortError::Failed { .. }) if pairs > 1 => {
            log::setting(&format!(
                "interface {} has fewer than {pairs} queues; packet threads share one",
                entry.name
            ));
            (spec.rx_queues, spec.tx_queues) = (1, 1);
            Port::configure(eal, &spec, pool)?
        }
        outcome => outcome?,
    };
    let derived =
        mac::derive(&settings.file.cluster_uid, &settings.identity.namespace, id, settings.replica);
    // A device that keeps its own address, or takes frames for it alone, is asked for all frames:
    // the engine compares the destination itself. A tap's address is its kernel's end's too, which
    // must be another station.
    let is_set = !matches!(kind, PortKind::Tap { .. }) && port.set_mac(derived).is_ok();
    if let (false, Err(error)) = (is_set, port.set_promiscuous(true)) {
        log::setting(&format!("interface {}: {error}", entry.name));
    }
    if let Err(error) = port.set_all_multicast(true) {
        log::library("capsule", &error.to_string());
    }
    Ok(OpenPort { id, port, mac: derived, queues })
}

/// What `port` can carry now: the largest IP packet, tag included, and whether the link is up.
#[must_use]
pub fn facts(port: &Port) -> PortFacts {
    let device = port.info().max_frame.saturating_sub(ETHERNET_HEADER);
    let link = port.link().ok();
    let interface = link.and_then(|link| link.mtu).unwrap_or(device);
    PortFacts {
        max_mtu: u16::try_from(device.min(interface)).unwrap_or(u16::MAX),
        link_up: link.is_some_and(|link| link.up),
    }
}

/// Kinds whose frames may be spread over queues.
const fn several_queues(kind: &PortKind) -> bool {
    match kind {
        PortKind::Pci { .. }
        | PortKind::AfXdp { .. }
        | PortKind::AfPacket { .. }
        | PortKind::VirtioUser { .. } => true,
        PortKind::Tap { .. }
        | PortKind::Memif { .. }
        | PortKind::MemifClient { .. }
        | PortKind::RingLoopback
        | PortKind::RingPair { .. }
        | PortKind::Null { .. }
        | PortKind::Pcap { .. } => false,
    }
}

const SMALL_ROOM: u16 = 2048;
const LARGE_ROOM: u16 = 9728;
/// Ethernet header in bytes.
const ETHERNET_HEADER: u32 = 14;
/// Ethernet header, tag and FCS in bytes.
const FRAME_OVERHEAD: u32 = 22;
