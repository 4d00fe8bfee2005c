//! The network of the lab: namespaces, links, VLAN ports, addresses, routes.
//!
//! ```text
//!  client v0 --tag 100-- ext0 [node] int0 --tag 200-- switch --+-- server-1 v0
//!                                                              +-- server-2 v0
//!                                                              +-- server-3 v0
//! ```
//!
//! With two replicas the client's side has a switch too, and the node has `ext1` and `int1`.

use anyhow::Result;
use netlab::{Namespace, VlanPort, veth};

use crate::plan::{self, Family};

/// What may differ between labs.
#[derive(Clone, Copy, Debug)]
pub struct TopologyOptions {
    /// MTU of both VLANs, without Ethernet header and tag.
    pub mtu: u32,
    /// TMM replicas, 1 or 2.
    pub replicas: u8,
}

impl Default for TopologyOptions {
    fn default() -> Self {
        Self { mtu: 1500, replicas: 1 }
    }
}

/// The network; dropping it removes all of it.
#[derive(Debug)]
pub struct Topology {
    /// The client, gateway to the world.
    pub client: Namespace,
    /// Its port on the external VLAN.
    pub client_port: VlanPort,
    /// The servers, 1 to 3 at places 0 to 2.
    pub servers: Vec<Namespace>,
    /// Their ports on the internal VLAN.
    pub server_ports: Vec<VlanPort>,
    /// Where `spk-node` and its TMMs run.
    pub node: Namespace,
    /// The switches.
    pub switch: Namespace,
}

impl Topology {
    /// Builds it under names that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// What netlab reports.
    pub fn build(prefix: &str, options: TopologyOptions) -> Result<Self> {
        let name = |label: &str| format!("{prefix}-{label}");
        let client = Namespace::create(&name("client"))?;
        let node = Namespace::create(&name("node"))?;
        let switch = Namespace::create(&name("switch"))?;
        let wide = options.mtu + veth::TAG_BYTES;
        veth::switch(&switch, "inside", wide)?;
        if options.replicas == 1 {
            veth::dpdk_port(&client, "v0", &node, "ext0", options.mtu)?;
        } else {
            veth::switch(&switch, "outside", wide)?;
            veth::pair(&client, "v0", options.mtu, &switch, "client", wide)?;
            veth::plug(&switch, "client", "outside")?;
        }
        for index in 0..options.replicas {
            let inside = format!("int{index}");
            veth::dpdk_port(&switch, &inside, &node, &inside, options.mtu)?;
            switch.ip(["link", "set", &inside, "mtu", &wide.to_string()])?;
            veth::plug(&switch, &inside, "inside")?;
            if options.replicas > 1 {
                let outside = format!("ext{index}");
                veth::dpdk_port(&switch, &outside, &node, &outside, options.mtu)?;
                switch.ip(["link", "set", &outside, "mtu", &wide.to_string()])?;
                veth::plug(&switch, &outside, "outside")?;
            }
        }
        let client_port = VlanPort::access(&client, "v0", plan::EXTERNAL_TAG)?;
        let (mut servers, mut server_ports) = (Vec::new(), Vec::new());
        for number in 1..=plan::SERVERS {
            let server = Namespace::create(&name(&format!("server-{number}")))?;
            let plug = format!("server-{number}");
            veth::pair(&server, "v0", options.mtu, &switch, &plug, wide)?;
            veth::plain_frames(&switch, &plug)?;
            veth::plug(&switch, &plug, "inside")?;
            server_ports.push(VlanPort::access(&server, "v0", plan::INTERNAL_TAG)?);
            servers.push(server);
        }
        let topology = Self { client, client_port, servers, server_ports, node, switch };
        topology.number()?;
        Ok(topology)
    }

    /// Gives addresses and routes of the plan.
    fn number(&self) -> Result<()> {
        for family in Family::BOTH {
            let prefix = family.prefix();
            let host = if family == Family::V4 { 32 } else { 128 };
            self.client.address("v0", &format!("{}/{prefix}", plan::client(family)))?;
            self.client.address("lo", &format!("{}/{host}", plan::world(family)))?;
            let gateway = plan::external_self(0, family).to_string();
            self.client.route(plan::vip_subnet(family), &gateway)?;
            for (place, server) in self.servers.iter().enumerate() {
                server.address("v0", &format!("{}/{prefix}", plan::server(place + 1, family)))?;
                server.route("default", &plan::internal_self(0, family).to_string())?;
            }
        }
        Ok(())
    }

    /// All namespaces.
    pub fn namespaces(&mut self) -> impl Iterator<Item = &mut Namespace> {
        [&mut self.client, &mut self.node, &mut self.switch]
            .into_iter()
            .chain(self.servers.iter_mut())
    }

    /// TCP, UDP and SCTP frames that reached the client and the servers, and when the last did.
    ///
    /// # Errors
    ///
    /// What netlab reports.
    pub fn delivered(&self) -> Result<netlab::Stamp> {
        let mut sum = self.client_port.stamps()?.inbound_traffic;
        for port in &self.server_ports {
            let stamp = port.stamps()?.inbound_traffic;
            sum.frames += stamp.frames;
            sum.bytes += stamp.bytes;
            sum.last = sum.last.max(stamp.last);
        }
        Ok(sum)
    }
}
