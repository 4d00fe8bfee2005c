//! The kinds of ports, and DPDK's names and arguments for them.
//!
//! Pure: strings in, strings out. Sources: DPDK 22.11 Network Interface Controller Drivers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::right::Right;

/// The name of a kernel interface: 1 to 15 bytes without `/`, `,`, `=` or white space.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct InterfaceName(String);

/// The address of a PCI function, such as `0000:3b:02.1`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PciAddress(String);

/// A value cannot be passed to a driver.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceArgumentError {
    /// No name of a kernel interface.
    #[error("{name:?} is no interface name: 1 to 15 bytes without `/`, `,`, `=` or white space")]
    Interface {
        /// What was given.
        name: String,
    },
    /// No address of a PCI function.
    #[error("{address:?} is no PCI address: write it as domain:bus:device.function, 0000:3b:02.1")]
    Pci {
        /// What was given.
        address: String,
    },
    /// A path with characters that DPDK's argument parser splits at.
    #[error(
        "path {path:?} holds one of `, = [ ]`, which a driver argument cannot carry: rename it"
    )]
    Path {
        /// What was given.
        path: PathBuf,
    },
    /// The name of the port makes too long or odd a device name.
    #[error("port name {name:?} must be 1 to 32 letters, digits, `-`, `_` or `.`")]
    PortName {
        /// What was given.
        name: String,
    },
    /// A number is out of the driver's range.
    #[error("{argument} = {value} is outside {least} to {most}")]
    Range {
        /// The argument.
        argument: &'static str,
        /// What was given.
        value: u32,
        /// Smallest value.
        least: u32,
        /// Largest value.
        most: u32,
    },
}

impl DeviceArgumentError {
    /// Stable label for metrics and conditions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Interface { .. } => "device_interface_name",
            Self::Pci { .. } => "device_pci_address",
            Self::Path { .. } => "device_path",
            Self::PortName { .. } => "device_port_name",
            Self::Range { .. } => "device_argument_range",
        }
    }
}

/// The characters that split a list of driver arguments.
const SPLITTERS: [char; 4] = [',', '=', '[', ']'];

impl FromStr for InterfaceName {
    type Err = DeviceArgumentError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let odd =
            |c: char| c == '/' || c.is_whitespace() || c.is_control() || SPLITTERS.contains(&c);
        if name.is_empty() || name.len() > 15 || name.contains(odd) || matches!(name, "." | "..") {
            return Err(DeviceArgumentError::Interface { name: name.to_owned() });
        }
        Ok(Self(name.to_owned()))
    }
}

impl InterfaceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PciAddress {
    type Err = DeviceArgumentError;

    /// Takes `dddd:bb:dd.f` and `bb:dd.f`, hexadecimal.
    fn from_str(address: &str) -> Result<Self, Self::Err> {
        let refused = || DeviceArgumentError::Pci { address: address.to_owned() };
        let full = if address.len() == 7 { format!("0000:{address}") } else { address.to_owned() };
        let field = |text: Option<&str>, digits: usize| {
            text.filter(|text| text.len() == digits)
                .and_then(|text| u32::from_str_radix(text, 16).ok())
                .ok_or_else(refused)
        };
        let mut parts = full.split([':', '.']);
        field(parts.next(), 4)?;
        field(parts.next(), 2)?;
        let device = field(parts.next(), 2)?;
        let function = field(parts.next(), 1)?;
        let separators: String = full.chars().filter(|c| matches!(c, ':' | '.')).collect();
        if separators != "::." || device > 31 || function > 7 {
            return Err(refused());
        }
        Ok(Self(full.to_ascii_lowercase()))
    }
}

impl PciAddress {
    /// The address with its domain, lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which end of an in-process pair of ring ports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RingEnd {
    /// One end.
    A,
    /// The other: receives what A sends.
    B,
}

/// What carries a port's frames.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PortKind {
    /// An SR-IOV function (or another PCI device) bound to vfio-pci.
    Pci {
        /// Its address.
        address: PciAddress,
    },
    /// A kernel interface by AF_XDP sockets. The interface must have as many queues.
    AfXdp {
        /// The interface.
        interface: InterfaceName,
        /// An XDP object that redirects the data plane's frames; none is DPDK's own, which takes
        /// all. An own one stays attached after kill -9.
        program: Option<PathBuf>,
    },
    /// A kernel interface by packet sockets. IPv4 fragments come reassembled, so they are lost.
    AfPacket {
        /// The interface.
        interface: InterfaceName,
    },
    /// A tap interface that DPDK makes, and removes when the port is dropped.
    Tap {
        /// The interface to make.
        interface: InterfaceName,
    },
    /// Shared memory with another process; this one is the server, which survives its client.
    Memif {
        /// The socket: an abstract name unless `file`.
        socket: PathBuf,
        /// Whether `socket` is a file, which a crash leaves behind.
        file: bool,
        /// Interface number on the socket.
        id: u32,
        /// Binary logarithm of the ring's length, 1 to 14; DPDK's default is 10.
        ring_log2: u8,
        /// Bytes of one buffer, 64 to 16,384; DPDK's default is 2,048.
        buffer_bytes: u16,
    },
    /// The client of another process's [`PortKind::Memif`]: for generators, not for the data plane,
    /// since a client may die with its server.
    MemifClient {
        /// The server's socket: an abstract name unless `file`.
        socket: PathBuf,
        /// Whether `socket` is a file.
        file: bool,
        /// Interface number on the socket.
        id: u32,
        /// Whether the server reads and writes this process's packet buffers in place.
        zero_copy: bool,
    },
    /// A ring whose output is its own input.
    RingLoopback,
    /// One end of a pair of rings in this process: what one end sends, the other receives.
    RingPair {
        /// Name of the pair, up to 16 bytes.
        pair: String,
        /// Which end.
        end: RingEnd,
    },
    /// Receives empty frames without end and swallows what is sent.
    Null {
        /// Bytes of each received frame, 14 to 2,048.
        frame_bytes: u16,
        /// Whether frames are copied, as a device with its own memory does.
        copy: bool,
    },
    /// Capture files: frames are read from one and written to another.
    Pcap {
        /// Frames to receive; none receives nothing.
        input: Option<PathBuf>,
        /// Where sent frames go; none swallows them.
        output: Option<PathBuf>,
        /// Whether the input starts over at its end.
        repeat: bool,
    },
    /// virtio-net in this process towards a vhost-user socket.
    VirtioUser {
        /// The socket.
        socket: PathBuf,
        /// Whether this process listens on it.
        server: bool,
    },
}

impl PortKind {
    /// Stable name of the kind, as in `node.yaml`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pci { .. } => "pci",
            Self::AfXdp { .. } => "af_xdp",
            Self::AfPacket { .. } => "af_packet",
            Self::Tap { .. } => "tap",
            Self::Memif { .. } => "memif",
            Self::MemifClient { .. } => "memif-client",
            Self::RingLoopback => "ring",
            Self::RingPair { .. } => "ring-pair",
            Self::Null { .. } => "null",
            Self::Pcap { .. } => "pcap",
            Self::VirtioUser { .. } => "virtio-user",
        }
    }

    /// The kernel interface whose link state is the port's; none if DPDK knows it best.
    #[must_use]
    pub fn interface(&self) -> Option<&InterfaceName> {
        match self {
            Self::AfXdp { interface, .. } | Self::AfPacket { interface } => Some(interface),
            Self::Pci { .. }
            | Self::Tap { .. }
            | Self::Memif { .. }
            | Self::MemifClient { .. }
            | Self::RingLoopback
            | Self::RingPair { .. }
            | Self::Null { .. }
            | Self::Pcap { .. }
            | Self::VirtioUser { .. } => None,
        }
    }

    /// Rights that the kind needs.
    #[must_use]
    pub const fn rights(&self) -> &'static [Right] {
        match self {
            Self::Pci { .. } => &[Right::IpcLock],
            Self::AfXdp { .. } => &[Right::NetAdmin, Right::NetRaw, Right::Bpf],
            Self::AfPacket { .. } => &[Right::NetRaw],
            Self::Tap { .. } => &[Right::NetAdmin],
            Self::Memif { .. }
            | Self::MemifClient { .. }
            | Self::RingLoopback
            | Self::RingPair { .. }
            | Self::Null { .. }
            | Self::Pcap { .. }
            | Self::VirtioUser { .. } => &[],
        }
    }

    /// Whether the process at the other end maps this one's packet memory.
    pub(crate) const fn maps_memory(&self) -> bool {
        match self {
            Self::VirtioUser { .. } | Self::MemifClient { .. } => true,
            Self::Pci { .. }
            | Self::AfXdp { .. }
            | Self::AfPacket { .. }
            | Self::Tap { .. }
            | Self::Memif { .. }
            | Self::RingLoopback
            | Self::RingPair { .. }
            | Self::Null { .. }
            | Self::Pcap { .. } => false,
        }
    }

    /// Libraries of the drivers that the kind needs.
    pub(crate) const fn drivers(&self) -> &'static [&'static str] {
        match self {
            // The function's own driver is the caller's to name, or DPDK's default directory's.
            Self::Pci { .. } => &["librte_bus_pci"],
            Self::AfXdp { .. } => &["librte_net_af_xdp"],
            Self::AfPacket { .. } => &["librte_net_af_packet"],
            Self::Tap { .. } => &["librte_net_tap"],
            Self::Memif { .. } | Self::MemifClient { .. } => &["librte_net_memif"],
            Self::RingLoopback | Self::RingPair { .. } => &["librte_net_ring"],
            Self::Null { .. } => &["librte_net_null"],
            Self::Pcap { .. } => &["librte_net_pcap"],
            Self::VirtioUser { .. } => &["librte_net_virtio"],
        }
    }

    /// DPDK's name for the device of the port `port`.
    pub(crate) fn device_name(&self, port: &str) -> Result<String, DeviceArgumentError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=32).contains(&port.len()) || !port.chars().all(plain) {
            return Err(DeviceArgumentError::PortName { name: port.to_owned() });
        }
        // A device name starts with its driver's.
        let driver = match self {
            Self::Pci { address } => return Ok(address.to_string()),
            Self::AfXdp { .. } => "net_af_xdp",
            Self::AfPacket { .. } => "net_af_packet",
            Self::Tap { .. } => "net_tap",
            Self::Memif { .. } | Self::MemifClient { .. } => "net_memif",
            Self::RingLoopback | Self::RingPair { .. } => "net_ring",
            Self::Null { .. } => "net_null",
            Self::Pcap { .. } => "net_pcap",
            Self::VirtioUser { .. } => "net_virtio_user",
        };
        Ok(format!("{driver}_{port}"))
    }

    /// Largest frame in bytes that the kind's own buffers hold, beside packet buffers of `room`
    /// bytes; none if they set no limit.
    pub(crate) fn frame_limit(&self, room: u32) -> Option<u32> {
        match self {
            Self::AfPacket { .. } => Some(packet_slot(room) - PACKET_SLOT_OVERHEAD),
            Self::AfXdp { .. } => Some(room.saturating_sub(XDP_HEADROOM)),
            Self::Memif { buffer_bytes, .. } => Some(u32::from(*buffer_bytes)),
            Self::Pci { .. }
            | Self::Tap { .. }
            | Self::MemifClient { .. }
            | Self::RingLoopback
            | Self::RingPair { .. }
            | Self::Null { .. }
            | Self::Pcap { .. }
            | Self::VirtioUser { .. } => None,
        }
    }

    /// DPDK's arguments for the device with `queues` queue pairs and packet buffers of `room`
    /// bytes.
    pub(crate) fn device_arguments(
        &self,
        queues: u16,
        room: u32,
    ) -> Result<String, DeviceArgumentError> {
        Ok(match self {
            Self::Pci { .. } | Self::RingLoopback | Self::RingPair { .. } => String::new(),
            Self::AfXdp { interface, program } => {
                let mut text = format!("iface={interface},start_queue=0,queue_count={queues}");
                if let Some(program) = program {
                    text += &format!(",xdp_prog={}", path(program)?);
                }
                text
            }
            Self::AfPacket { interface } => {
                // The queue discipline would only add a lock.
                let slot = packet_slot(room);
                let slots = (8 * 1024 * 1024 / slot).min(4096);
                format!(
                    "iface={interface},qpairs={queues},qdisc_bypass=1,blocksz=65536,\
                     framesz={slot},framecnt={slots}"
                )
            }
            Self::Tap { interface } => format!("iface={interface}"),
            Self::Memif { socket, file, id, ring_log2, buffer_bytes } => {
                let log2 = range("ring_log2", u32::from(*ring_log2), 1, 14)?;
                let bytes = range("buffer_bytes", u32::from(*buffer_bytes), 64, 16_384)?;
                let kind = if *file { "no" } else { "yes" };
                let socket = path(socket)?;
                format!(
                    "role=server,id={id},socket={socket},socket-abstract={kind},rsize={log2},\
                     bsize={bytes}"
                )
            }
            Self::MemifClient { socket, file, id, zero_copy } => {
                let kind = if *file { "no" } else { "yes" };
                let copies = if *zero_copy { "yes" } else { "no" };
                let socket = path(socket)?;
                format!(
                    "role=client,id={id},socket={socket},socket-abstract={kind},zero-copy={copies}"
                )
            }
            Self::Null { frame_bytes, copy } => {
                let size = range("frame_bytes", u32::from(*frame_bytes), 14, 2048)?;
                format!("size={size},copy={}", u8::from(*copy))
            }
            Self::Pcap { input, output, repeat } => {
                let mut list = Vec::new();
                if let Some(input) = input {
                    list.push(format!("rx_pcap={}", path(input)?));
                }
                if let Some(output) = output {
                    list.push(format!("tx_pcap={}", path(output)?));
                }
                if *repeat {
                    list.push("infinite_rx=1".to_owned());
                }
                list.join(",")
            }
            Self::VirtioUser { socket, server } => {
                let socket = path(socket)?;
                format!("path={socket},queues={queues},server={}", u8::from(*server))
            }
        })
    }
}

/// Bytes of one slot of a packet socket's ring: the largest power of two (so that blocks hold whole
/// slots) whose data fits into packet buffers of `room` bytes; the driver insists on that.
fn packet_slot(room: u32) -> u32 {
    1 << (room + 32).clamp(256, 65_536).ilog2()
}

/// What the kernel keeps before each frame that an AF_XDP socket receives (XDP_PACKET_HEADROOM).
const XDP_HEADROOM: u32 = 256;
/// What the kernel keeps of a slot for its own header.
const PACKET_SLOT_OVERHEAD: u32 = 66;

/// A path that a driver argument can carry.
fn path(path: &Path) -> Result<&str, DeviceArgumentError> {
    path.to_str()
        .filter(|text| !text.contains(SPLITTERS) && !text.contains(char::is_control))
        .ok_or_else(|| DeviceArgumentError::Path { path: path.to_owned() })
}

/// `value` if it is in the driver's range.
fn range(
    argument: &'static str,
    value: u32,
    least: u32,
    most: u32,
) -> Result<u32, DeviceArgumentError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(DeviceArgumentError::Range { argument, value, least, most })
}

#[cfg(test)]
mod tests;
