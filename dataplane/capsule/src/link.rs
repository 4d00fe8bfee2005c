//! Carrier and MTU of a kernel interface, by one netlink question.
//!
//! DPDK's kernel-facing drivers (af_xdp, af_packet) report "up" whatever the carrier does, so their
//! link state comes from here. Blocking, a few microseconds; for the control thread.
//! Sources: rtnetlink(7).

use std::io;
use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, LinkXdp, XdpAttached};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use tmm_wire::MacAddr;

/// Whether a port can carry frames, and how fast.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LinkState {
    /// Carrier present and administratively up.
    pub up: bool,
    /// Speed in Mbit/s as the driver says it; none if it does not know.
    pub mbps: Option<u32>,
    /// Largest IP packet that the interface behind the port takes; none if there is none.
    pub mtu: Option<u32>,
}

/// What the kernel says about one of its interfaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InterfaceState {
    /// Its index in this network namespace.
    pub index: u32,
    /// Administratively up (IFF_UP).
    pub admin_up: bool,
    /// Carrier present (IFF_LOWER_UP).
    pub carrier: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Hardware address.
    pub mac: MacAddr,
    /// Whether an XDP program is attached.
    pub xdp_attached: bool,
}

/// The kernel could not be asked about an interface.
#[derive(Clone, Debug, thiserror::Error)]
#[error("netlink: {operation}: {cause}")]
pub struct NetlinkError {
    /// What failed.
    pub operation: &'static str,
    /// Why.
    pub cause: std::sync::Arc<io::Error>,
}

impl NetlinkError {
    /// Stable label for metrics and conditions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "netlink"
    }

    fn new(operation: &'static str, cause: impl Into<io::Error>) -> Self {
        Self { operation, cause: std::sync::Arc::new(cause.into()) }
    }
}

/// Asks the kernel about the interface `name` of this thread's network namespace; none if there is
/// no such interface.
///
/// # Errors
///
/// [`NetlinkError`] if the socket or the answer fails.
pub fn interface(name: &str) -> Result<Option<InterfaceState>, NetlinkError> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )
    .map_err(|errno| NetlinkError::new("open", errno))?;

    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let payload = NetlinkPayload::from(RouteNetlinkMessage::GetLink(link));
    let mut request = NetlinkMessage::new(header, payload);
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    sendto(socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())
        .map_err(|errno| NetlinkError::new("ask", errno))?;

    // An answer with all attributes of an interface is 1 to 4 KiB.
    let mut answer = vec![0; 32 * 1024];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())
        .map_err(|errno| NetlinkError::new("read", errno))?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer[..length])
        .map_err(|error| NetlinkError::new("parse", io::Error::other(error.to_string())))?;
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(Some(state(&link))),
        NetlinkPayload::Error(error) => match error.to_io() {
            cause if cause.raw_os_error() == Some(nix::libc::ENODEV) => Ok(None),
            cause => Err(NetlinkError::new("answer", cause)),
        },
        _ => Err(NetlinkError::new("answer", io::Error::other("unexpected message"))),
    }
}

/// Reads the attributes that matter here.
fn state(link: &LinkMessage) -> InterfaceState {
    let mut state = InterfaceState {
        index: link.header.index,
        admin_up: link.header.flags.contains(LinkFlags::Up),
        carrier: link.header.flags.contains(LinkFlags::LowerUp),
        mtu: 0,
        mac: MacAddr::default(),
        xdp_attached: false,
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => state.mtu = *mtu,
            LinkAttribute::Address(bytes) => {
                if let Ok(mac) = <[u8; 6]>::try_from(bytes.as_slice()) {
                    state.mac = MacAddr(mac);
                }
            }
            LinkAttribute::Xdp(xdp) => {
                state.xdp_attached = xdp
                    .iter()
                    .any(|x| matches!(x, LinkXdp::Attached(how) if *how != XdpAttached::None));
            }
            _ => {}
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::interface;

    #[test]
    fn loopback_is_reported_with_its_mtu_and_an_absent_interface_is_none() {
        let loopback = interface("lo").unwrap().unwrap();
        assert_eq!(loopback.mtu, 65_536);
        assert!(loopback.index > 0);
        assert_eq!(interface("nosuchif0").unwrap(), None);
    }
}
