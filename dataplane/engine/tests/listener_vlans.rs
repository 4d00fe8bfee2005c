//! Which VLANs a listener exists on.

mod rig;

use rig::craft::{CLIENT, SERVER, SYN, Tcp};
use rig::{Rig, Station, spec};
use tmm_config::spec::VlanSet;
use tmm_engine::DropReason;
use tmm_wire::Protocol;

const THIRD: &str = "vlan-third";

/// A station on a third VLAN, 30 at port 1.1.
const NEIGHBOUR: Station =
    Station { port: 0, tag: Some(30), mac: tmm_wire::MacAddr([2, 0, 0, 0, 3, 1]) };

fn only(ids: &[&str]) -> VlanSet {
    VlanSet::Only(ids.iter().map(|id| (*id).to_owned()).collect())
}

fn all_but(ids: &[&str]) -> VlanSet {
    VlanSet::AllBut(ids.iter().map(|id| (*id).to_owned()).collect())
}

/// CHK-051: the same SYN on a listed and on another VLAN is answered (forwarded to a member) or
/// dropped and counted, for a list, for a category, for both and inverted. A category reaches the
/// engine as the list of its VLANs, which the planner made of it, and both as the union.
#[test]
fn a_listener_takes_a_syn_on_its_vlans_and_on_others_it_is_counted_as_denied() {
    let cases = [
        ("no list", VlanSet::All, [true, true]),
        ("list", only(&[spec::OUTSIDE]), [true, false]),
        ("category with the third VLAN alone", only(&[THIRD]), [false, true]),
        ("list and category", only(&[spec::OUTSIDE, THIRD]), [true, true]),
        ("inverted list", all_but(&[spec::OUTSIDE]), [false, true]),
        ("inverted list and category", all_but(&[spec::OUTSIDE, THIRD]), [false, false]),
        ("a list of missing VLANs alone", only(&[]), [false, false]),
        ("all but missing ones", all_but(&[]), [true, true]),
    ];
    for (name, vlans, expected) in cases {
        for (vip, member, clients) in [
            ("192.0.2.10:80", "10.2.0.11:8080", ["10.1.0.100:5", "10.3.0.100:5"]),
            (
                "[2001:db8:f::10]:80",
                "[2001:db8:2::11]:8080",
                ["[2001:db8:1::100]:5", "[2001:db8:3::100]:5"],
            ),
        ] {
            let mut spec = spec::vlans();
            spec.vlans.push(spec::vlan(THIRD, 30, "1.1", 3));
            let at = spec::listen(&mut spec, Protocol::Tcp, vip, &[member]);
            spec.listeners[at].vlans = vlans.clone();
            let mut rig = Rig::new(&spec);
            rig.tick();
            let (address, _) = rig::craft::end(member);
            rig.introduce(&SERVER, &address.to_string());
            let syn = Tcp { flags: SYN, seq: 1, ..Tcp::default() };
            for ((station, client), expected) in
                [CLIENT, NEIGHBOUR].iter().zip(clients).zip(expected)
            {
                let frame = station.tcp(client, vip, syn);
                if expected {
                    let seen = rig.send(station, frame);
                    assert_eq!(seen.len(), 1, "{name} {vip} from {client}");
                    assert_eq!(seen[0].to(), member);
                } else {
                    rig.must_drop(station, frame, DropReason::VlanDeny);
                }
            }
        }
    }
}
