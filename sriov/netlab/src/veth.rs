//! Links between namespaces: veth pairs, a switch, further interfaces on one link.
//!
//! An end that faces a DPDK port has an MTU four bytes larger than the VLAN's, for the tag, and no
//! IPv6 of its own; the end of a peer has transmit offloads off, since checksums left to hardware
//! and tags left beside the frame never reach DPDK ([`VlanPort`](crate::VlanPort) sees to it).

use crate::{Error, Namespace, namespace::run};

/// Bytes of an 802.1Q tag, by which a port's MTU exceeds its VLAN's.
pub const TAG_BYTES: u32 = 4;

/// Makes a veth pair: `left_name` in `left`, `right_name` in `right`; both up.
///
/// # Errors
///
/// [`Error::Command`], for example if a name is longer than 15 bytes or in use.
pub fn pair(
    left: &Namespace,
    left_name: &str,
    left_mtu: u32,
    right: &Namespace,
    right_name: &str,
    right_mtu: u32,
) -> Result<(), Error> {
    run(std::process::Command::new("ip").args([
        "link",
        "add",
        "name",
        left_name,
        "netns",
        left.name(),
        "type",
        "veth",
        "peer",
        "name",
        right_name,
        "netns",
        right.name(),
    ]))?;
    for (namespace, name, mtu) in [(left, left_name, left_mtu), (right, right_name, right_mtu)] {
        namespace.ip(["link", "set", name, "mtu", &mtu.to_string(), "up"])?;
    }
    Ok(())
}

/// Connects `peer` to a DPDK port `port_name` in `node`: the peer's end has `mtu`, the port's end
/// [`TAG_BYTES`] more, no IPv6, and no offloads on either side.
///
/// # Errors
///
/// As [`pair`].
pub fn dpdk_port(
    peer: &Namespace,
    peer_name: &str,
    node: &Namespace,
    port_name: &str,
    mtu: u32,
) -> Result<(), Error> {
    pair(peer, peer_name, mtu, node, port_name, mtu + TAG_BYTES)?;
    silence(node, port_name)?;
    plain_frames(peer, peer_name)?;
    plain_frames(node, port_name)
}

/// Makes a bridge that forwards tagged frames as they are (it knows no VLANs).
///
/// # Errors
///
/// [`Error::Command`].
pub fn switch(namespace: &Namespace, name: &str, mtu: u32) -> Result<(), Error> {
    namespace.ip(["link", "add", "name", name, "type", "bridge", "mcast_snooping", "0"])?;
    silence(namespace, name)?;
    namespace.ip(["link", "set", name, "mtu", &mtu.to_string(), "up"])?;
    Ok(())
}

/// Plugs an interface into a switch of the same namespace.
///
/// # Errors
///
/// [`Error::Command`].
pub fn plug(namespace: &Namespace, interface: &str, switch: &str) -> Result<(), Error> {
    silence(namespace, interface)?;
    namespace.ip(["link", "set", interface, "master", switch, "up"])?;
    Ok(())
}

/// Adds a further interface on `parent`, with a hardware address of its own; give it a
/// [`VlanPort`](crate::VlanPort) to be in another VLAN.
///
/// # Errors
///
/// [`Error::Command`].
pub fn sub_interface(namespace: &Namespace, parent: &str, name: &str) -> Result<(), Error> {
    namespace
        .ip(["link", "add", "link", parent, "name", name, "type", "macvlan", "mode", "private"])?;
    namespace.ip(["link", "set", name, "up"])?;
    plain_frames(namespace, name)
}

/// Makes an interface send frames whole: checksums computed, tag in the frame, no segmentation.
///
/// # Errors
///
/// [`Error::Command`] if ethtool is missing or refuses.
pub fn plain_frames(namespace: &Namespace, interface: &str) -> Result<(), Error> {
    namespace.run("ethtool", ["-K", interface, "tx", "off", "txvlan", "off"])?;
    Ok(())
}

/// Keeps the kernel from speaking IPv6 on an interface that is not its own.
fn silence(namespace: &Namespace, interface: &str) -> Result<(), Error> {
    namespace.sysctl(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "1")
}
