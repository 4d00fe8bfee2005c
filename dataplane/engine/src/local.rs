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
use crate::monitor::Monitors;

/// Decides a packet whose destination is a self IP of this replica.
pub(crate) fn receive<P: PacketPool>(
    buf: P::Buf,
    frame: &IpFrame,
    open: bool,
    flows: &mut Flows,
    monitors: &mut Monitors,
    ctx: &mut Ctx<'_, P>,
) {
    if frame.fragment != Fragment::None {
        return ctx.drop(buf, DropReason::FragmentUnsupported);
    }
    let kind = icmp::kind(frame, buf.data());
    match kind {
        Kind::EchoRequest if is_allowed(frame, ctx) => return icmp::answer_echo(buf, frame, ctx),
        Kind::EchoRequest => return ctx.drop(buf, DropReason::PortLockdown),
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
    if kind == Kind::NoIcmp && !is_service {
        return ctx.drop(buf, DropReason::ProtocolUnsupported);
    }
    if kind == Kind::Error && ctx.may_hand() && ctx.worker != 0 {
        // Probes are worker 0's, whatever packet of theirs is quoted.
        return ctx.hand(buf, frame.port, 0);
    }
    let Err(buf) = monitors.receive(buf, frame, ctx) else { return };
    if kind == Kind::Error {
        return ctx.drop(buf, DropReason::IcmpErrorUnsupported);
    }
    let Err(buf) = flows.admit_known(buf, frame, ctx) else { return };
    refuse(buf, frame, kind, ctx);
}

/// Drops a packet to a self IP that belongs to no flow, by what the self IP accepts.
fn refuse<P: PacketPool>(buf: P::Buf, frame: &IpFrame, kind: Kind, ctx: &mut Ctx<'_, P>) {
    let reason = match kind {
        // A reply that nobody waits for is no service.
        Kind::EchoReply => DropReason::IcmpUnsupported,
        _ if is_allowed(frame, ctx) => DropReason::NoLocalService,
        _ => DropReason::PortLockdown,
    };
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
