//! Who is where: the addresses of the samples (`tests/data/samples/README.md`).
//!
//! Owns names, tags and addresses; builds nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Tag of the external VLAN.
pub const EXTERNAL_TAG: u16 = 100;
/// Tag of the internal VLAN.
pub const INTERNAL_TAG: u16 = 200;
/// Servers behind the internal VLAN.
pub const SERVERS: usize = 3;
/// Port on which the members of `web` serve HTTP.
pub const WEB_PORT: u16 = 8080;
/// Port of the members of `echo`, and of its VIP.
pub const ECHO_PORT: u16 = 7007;
/// Port of iperf3.
pub const IPERF_PORT: u16 = 5201;
/// Port of the VIP `amf`.
pub const NGAP_PORT: u16 = 38412;
/// Port of the HTTP server that stands for the world.
pub const WORLD_PORT: u16 = 80;

/// The two address families.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn pick(self, v4: [u8; 4], v6: [u16; 8]) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from(v4).into(),
            Self::V6 => Ipv6Addr::from(v6).into(),
        }
    }

    /// Prefix length of both VLANs' subnets.
    pub const fn prefix(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }

    /// `ping` flag of the family.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }
}

/// The client's address on the external VLAN.
pub fn client(family: Family) -> IpAddr {
    family.pick([198, 51, 100, 50], [0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x50])
}

/// Replica `index`'s self IP on the external VLAN.
pub fn external_self(index: u8, family: Family) -> IpAddr {
    let last = 0x11 + u16::from(index);
    family.pick([198, 51, 100, 11 + index], [0x2001, 0xdb8, 0x100, 0, 0, 0, 0, last])
}

/// Replica `index`'s self IP on the internal VLAN.
pub fn internal_self(index: u8, family: Family) -> IpAddr {
    let last = 0x11 + u16::from(index);
    family.pick([10, 20, 0, 11 + index], [0x2001, 0xdb8, 0x200, 0, 0, 0, 0, last])
}

/// Server `number`'s address, 1 to [`SERVERS`].
pub fn server(number: usize, family: Family) -> IpAddr {
    let number = u8::try_from(number).unwrap_or(0);
    let last = 0x20 + u16::from(number);
    family.pick([10, 20, 0, 20 + number], [0x2001, 0xdb8, 0x200, 0, 0, 0, 0, last])
}

/// An address of "the world": the client's loopback, behind the static route.
pub fn world(family: Family) -> IpAddr {
    family.pick([203, 0, 113, 80], [0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x80])
}

fn vip(last: u8, family: Family) -> IpAddr {
    // The samples write the same digits in both families: .10 and ::10.
    let digits = u16::from(last / 10 * 16 + last % 10);
    family.pick([192, 0, 2, last], [0x2001, 0xdb8, 0x10, 0, 0, 0, 0, digits])
}

/// VIP of `web`, port 80.
pub fn web(family: Family) -> IpAddr {
    vip(10, family)
}

/// VIP of `echo`.
pub fn echo(family: Family) -> IpAddr {
    vip(20, family)
}

/// VIP of `iperf` and `iperf-data`.
pub fn iperf(family: Family) -> IpAddr {
    vip(30, family)
}

/// VIP of `amf`.
pub fn amf(family: Family) -> IpAddr {
    vip(50, family)
}

/// Subnet of all VIPs.
pub const fn vip_subnet(family: Family) -> &'static str {
    match family {
        Family::V4 => "192.0.2.0/24",
        Family::V6 => "2001:db8:10::/64",
    }
}

/// An address as a URL holds it.
pub fn url_host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The picture of the lab, for people.
pub const PICTURE: &str = r#"
   client                         TMM (DPDK)                        servers 1, 2, 3
 198.51.100.50 ---- VLAN 100 ---- 1.1   1.2 ---- VLAN 200 ----+---- 10.20.0.21
 2001:db8:100::50             198.51.100.11  10.20.0.11       +---- 10.20.0.22
                              2001:db8:100::11                +---- 10.20.0.23
                                       2001:db8:200::11             2001:db8:200::21 to ::23
 behind the client:          VIPs (routed to the self IP)
 203.0.113.80 "the world"    192.0.2.10:80      web    TCP   -> servers 1-3, port 8080
                             192.0.2.20:7007    echo   UDP   -> servers 1-3
                             192.0.2.30:5201    iperf  TCP and UDP -> server 1
                             192.0.2.50:38412   amf    SCTP  -> servers 1-3, source = self IP
                             and the same at 2001:db8:10::10, ::20, ::30, ::50
 The servers' way out is the self IP 10.20.0.11; outside they appear as 198.51.100.11.
"#;
