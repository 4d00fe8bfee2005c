//! Packets to a self IP: echo, port lockdown, answers to what we sent.
//!
//! `allowed_services` says which services a self IP accepts; none has a consumer inside the engine
//! yet, so an allowed one is counted `no_local_service`, another `port_lockdown`; neither is
//! answered. Replies to source-translated flows come here too: flows decide them.
//!
//! Sources: crds.md §14 rule 5 (CHK-504), licensing.md §12.1 (LIC-803).

use tmm_config::spec::ServiceProtocol;
use tmm_wire::{PacketBuf, PacketPool};

use crate::ctx::Ctx;
use crate::drop_reason::DropReason;
use crate::flows::Flows;
use crate::frame::{Fragment, IpFrame, protocol};
use crate::icmp::{self, Kind};

/// Decides a packet whose destination is a self IP of this replica.
pub(crate) fn receive<P: PacketPool>(
    buf: P::Buf,
    frame: &IpFrame,
    open: bool,
    flows: &mut Flows,
    ctx: &mut Ctx<'_, P>,
) {
    if frame.fragment != Fragment::None {
        return ctx.drop(buf, DropReason::FragmentUnsupported);
    }
    match icmp::kind(frame, buf.data()) {
        Kind::EchoRequest if is_allowed(frame, ctx) => return icmp::answer_echo(buf, frame, ctx),
        Kind::EchoRequest => return ctx.drop(buf, DropReason::PortLockdown),
        Kind::Error if open => return ctx.drop(buf, DropReason::IcmpErrorUnsupported),
        Kind::Other => return ctx.drop(buf, DropReason::IcmpUnsupported),
        Kind::NoIcmp | Kind::EchoReply | Kind::Error => {}
    }
    let is_service = matches!(frame.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
    if !open {
        // A service of the node is refused as one; all else could be a flow's.
        let reason = if is_service && is_allowed(frame, ctx) {
            DropReason::NoLocalService
        } else {
            DropReason::LicenseClosed
        };
        return ctx.drop(buf, reason);
    }
    if !is_service && icmp::kind(frame, buf.data()) == Kind::NoIcmp {
        return ctx.drop(buf, DropReason::ProtocolUnsupported);
    }
    if let Err(buf) = flows.admit_known(buf, frame, ctx) {
        refuse(buf, frame, ctx);
    }
}

/// Drops a packet to a self IP that belongs to no flow, by what the self IP accepts.
pub(crate) fn refuse<P: PacketPool>(buf: P::Buf, frame: &IpFrame, ctx: &mut Ctx<'_, P>) {
    let allowed = is_allowed(frame, ctx);
    let reason = if allowed { DropReason::NoLocalService } else { DropReason::PortLockdown };
    ctx.drop(buf, reason);
}

/// Whether the self IP that `frame` goes to accepts its service.
fn is_allowed<P: PacketPool>(frame: &IpFrame, ctx: &Ctx<'_, P>) -> bool {
    let wanted = match frame.protocol {
        protocol::TCP => ServiceProtocol::Tcp,
        protocol::UDP => ServiceProtocol::Udp,
        protocol::SCTP => ServiceProtocol::Sctp,
        protocol::ICMP | protocol::ICMPV6 => ServiceProtocol::Icmp,
        _ => return false,
    };
    let vlan = ctx.config.self_ip(frame.dst).and_then(|slot| ctx.config.vlan(slot));
    vlan.is_some_and(|vlan| {
        vlan.allowed_services.iter().any(|service| {
            service.protocol == wanted
                && (wanted == ServiceProtocol::Icmp
                    || service.port == 0
                    || service.port == frame.dst_port)
        })
    })
}
