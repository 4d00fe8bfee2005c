//! Forged packets of a sender that sees nothing of a flow but knows its addresses and ports: they
//! end no flow, move no tag and no number that a flow is judged by.

mod rig;

use rig::craft::{ACK, CLIENT, FIN, ROUTER, RST, SERVER, SYN, Tcp};
use rig::{Rig, Seen, Station, spec};
use tmm_engine::DropReason;
use tmm_engine::flows::FlowState;
use tmm_wire::Protocol;

const ABORT: [u8; 4] = [6, 0, 0, 4];
const ABORT_REFLECTED: [u8; 4] = [6, 1, 0, 4];
const COMPLETE_REFLECTED: [u8; 4] = [14, 1, 0, 4];
const COOKIE_ECHO: [u8; 8] = [10, 0, 0, 8, 1, 2, 3, 4];
const COOKIE_ACK: [u8; 4] = [11, 0, 0, 4];
const DATA: [u8; 20] = [0, 3, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 60, b'd', b'a', b't', b'a'];
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;

/// INIT or INIT ACK with a tag.
fn init(kind: u8, tag: u32) -> Vec<u8> {
    let mut chunk = vec![kind, 0, 0, 20];
    chunk.extend(tag.to_be_bytes());
    chunk.extend([0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1]);
    chunk
}

/// A client, a member, and a rig between them.
struct Ends {
    rig: Rig,
    client: &'static str,
    vip: &'static str,
    member: &'static str,
}

impl Ends {
    fn new(protocol: Protocol) -> Self {
        let (client, vip, member) = ("10.1.0.100:38412", "192.0.2.50:38412", "10.2.0.11:38412");
        let mut spec = spec::vlans();
        let at = spec::listen(&mut spec, protocol, vip, &[member]);
        spec.listeners[at].handshake_timeout = 30;
        let mut rig = Rig::new(&spec);
        rig.tick();
        rig.introduce(&SERVER, "10.2.0.11");
        Self { rig, client, vip, member }
    }

    fn flows(&self) -> u32 {
        self.rig.worker.flows().len()
    }

    /// SCTP of `station` in the client's name.
    fn up(&mut self, station: &Station, tag: u32, chunks: &[u8]) -> Vec<Seen> {
        self.rig.send(station, station.sctp(self.client, self.vip, tag, chunks))
    }

    fn down(&mut self, tag: u32, chunks: &[u8]) -> Vec<Seen> {
        self.rig.send(&SERVER, SERVER.sctp(self.member, self.client, tag, chunks))
    }

    /// The client takes tag 100, the member 200.
    fn associate(&mut self) {
        assert_eq!(self.up(&CLIENT, 0, &init(INIT, 100)).len(), 1);
        assert_eq!(self.down(100, &init(INIT_ACK, 200)).len(), 1);
        self.finish();
    }

    fn finish(&mut self) {
        assert_eq!(self.up(&CLIENT, 200, &COOKIE_ECHO).len(), 1, "COOKIE ECHO");
        assert_eq!(self.down(100, &COOKIE_ACK).len(), 1, "COOKIE ACK");
        self.must_live();
    }

    /// DATA goes both ways with the tags 100 and 200 in one flow.
    fn must_live(&mut self) {
        assert_eq!(self.flows(), 1);
        assert_eq!(self.up(&CLIENT, 200, &DATA).len(), 1, "the client's DATA");
        assert_eq!(self.down(100, &DATA).len(), 1, "the member's DATA");
    }

    fn must_drop(&mut self, tag: u32, chunks: &[u8]) {
        let frame = ROUTER.sctp(self.client, self.vip, tag, chunks);
        self.rig.must_drop(&ROUTER, frame, DropReason::SctpBadTag);
    }

    fn tcp_up(&mut self, station: &Station, flags: u8, seq: u32, ack: u32) {
        let segment = Tcp { flags, seq, ack, payload: b"" };
        let seen = self.rig.send(station, station.tcp(self.client, self.vip, segment));
        assert_eq!(seen.len(), 1, "what passes is forwarded");
    }

    fn tcp_down(&mut self, flags: u8, seq: u32, ack: u32) {
        let segment = Tcp { flags, seq, ack, payload: b"" };
        let seen = self.rig.send(&SERVER, SERVER.tcp(self.member, self.client, segment));
        assert_eq!(seen.len(), 1, "what passes is forwarded");
    }

    /// The client's next byte is 1001, the member's 5001.
    fn connect(&mut self) {
        self.tcp_up(&CLIENT, SYN, 1000, 0);
        self.tcp_down(SYN | ACK, 5000, 1001);
        self.tcp_up(&CLIENT, ACK, 1001, 5001);
    }

    fn state(&self) -> FlowState {
        self.rig.worker.flows().rows(self.rig.now).next().expect("a flow").state
    }
}

#[test]
fn forged_init_and_reflected_end_do_not_end_an_association() {
    for end in [ABORT_REFLECTED, COMPLETE_REFLECTED, ABORT] {
        let mut ends = Ends::new(Protocol::Sctp);
        ends.associate();
        assert_eq!(ends.up(&ROUTER, 0, &init(INIT, 666)).len(), 1, "the member judges an INIT");
        ends.must_drop(666, &end);
        ends.must_live();
    }
}

#[test]
fn forged_init_and_reflected_end_do_not_end_a_handshake() {
    for answered in [false, true] {
        let mut ends = Ends::new(Protocol::Sctp);
        ends.up(&CLIENT, 0, &init(INIT, 100));
        if answered {
            ends.down(100, &init(INIT_ACK, 200));
        }
        ends.up(&ROUTER, 0, &init(INIT, 666));
        ends.must_drop(666, &ABORT_REFLECTED);
        if !answered {
            assert_eq!(ends.down(100, &init(INIT_ACK, 200)).len(), 1);
        }
        // The member answers the forged one as well; the client throws that away.
        ends.down(666, &init(INIT_ACK, 201));
        ends.finish();
    }
}

#[test]
fn refused_forged_restart_keeps_the_association() {
    // RFC 9260 §5.2.2: an INIT with new addresses is aborted with its own tag, and the association
    // goes on.
    let mut ends = Ends::new(Protocol::Sctp);
    ends.associate();
    ends.up(&ROUTER, 0, &init(INIT, 666));
    assert_eq!(ends.down(666, &ABORT).len(), 1, "who asked for the restart is told");
    ends.must_live();
}

#[test]
fn repeated_cookie_echo_puts_no_forged_tag_in_force() {
    for answered in [false, true] {
        let mut ends = Ends::new(Protocol::Sctp);
        ends.associate();
        ends.up(&ROUTER, 0, &init(INIT, 666));
        if answered {
            ends.down(666, &init(INIT_ACK, 201));
        }
        assert_eq!(ends.up(&CLIENT, 200, &COOKIE_ECHO).len(), 1);
        ends.must_live();
        // Nor one by a sender that does not know what the member answered.
        ends.must_drop(666, &COOKIE_ECHO);
        ends.must_live();
    }
}

#[test]
fn forged_init_during_a_restart_makes_no_pair_of_two_handshakes() {
    let mut ends = Ends::new(Protocol::Sctp);
    ends.associate();
    ends.up(&CLIENT, 0, &init(INIT, 101));
    ends.down(101, &init(INIT_ACK, 201));
    ends.up(&ROUTER, 0, &init(INIT, 666));
    // The restart's cookie no longer fits: the client repeats its INIT, the old association stands.
    ends.up(&CLIENT, 201, &COOKIE_ECHO);
    ends.must_live();
    ends.up(&CLIENT, 0, &init(INIT, 101));
    ends.down(101, &init(INIT_ACK, 202));
    assert_eq!(ends.up(&CLIENT, 202, &COOKIE_ECHO).len(), 1);
    assert_eq!(ends.down(101, &COOKIE_ACK).len(), 1);
    assert_eq!(ends.up(&CLIENT, 202, &DATA).len(), 1);
    assert_eq!(ends.flows(), 1);
}

#[test]
fn flow_that_a_forged_init_opened_serves_the_true_client() {
    let mut ends = Ends::new(Protocol::Sctp);
    ends.up(&ROUTER, 0, &init(INIT, 666));
    assert_eq!(ends.flows(), 1);
    ends.associate();
}

/// The forged numbers are everywhere on the circle but within a window of the true ones.
const FAR: [u32; 6] = [77, 0x2000_0000, 0x7000_0000, 0x8000_1001, 0xb000_0000, 0xf000_0000];

#[test]
fn forged_fin_outside_the_window_does_not_begin_the_close() {
    for seq in FAR {
        let mut ends = Ends::new(Protocol::Tcp);
        ends.connect();
        ends.tcp_up(&ROUTER, FIN | ACK, seq, 5001);
        assert_eq!(ends.state(), FlowState::Open, "FIN at {seq:#x}");
        // The member closes its half; the client goes on for longer than a closed flow is kept.
        ends.tcp_down(FIN | ACK, 5001, 1001);
        ends.tcp_up(&CLIENT, ACK, 1001, 5002);
        for _ in 0..8 {
            ends.rig.pass(1000);
            ends.tcp_up(&CLIENT, ACK, 1001, 5002);
        }
        assert_eq!(ends.flows(), 1, "FIN at {seq:#x}");
    }
}

#[test]
fn forged_acknowledgement_does_not_make_a_true_reset_or_fin_disbelieved() {
    for ack in FAR {
        // By the closer look (FIN is set) and by the hit path.
        for flags in [ACK, ACK | FIN] {
            let mut ends = Ends::new(Protocol::Tcp);
            ends.connect();
            ends.tcp_up(&ROUTER, flags, 0x4000_0000, ack);
            ends.tcp_down(RST, 5001, 0);
            assert_eq!(ends.flows(), 0, "acknowledgement {ack:#x} with flags {flags:#x}");
        }
        let mut ends = Ends::new(Protocol::Tcp);
        ends.connect();
        ends.tcp_up(&ROUTER, ACK, 1001, ack);
        ends.tcp_down(FIN | ACK, 5001, 1001);
        assert_ne!(ends.state(), FlowState::Open, "acknowledgement {ack:#x}");
    }
}

#[test]
fn forged_acknowledgement_does_not_complete_a_handshake() {
    for ack in FAR {
        let mut ends = Ends::new(Protocol::Tcp);
        ends.tcp_up(&CLIENT, SYN, 1000, 0);
        ends.tcp_down(SYN | ACK, 5000, 1001);
        ends.tcp_up(&ROUTER, ACK, 1001, ack);
        assert_ne!(ends.state(), FlowState::Open, "acknowledgement {ack:#x}");
        ends.tcp_up(&CLIENT, ACK, 1001, 5001);
        assert_eq!(ends.state(), FlowState::Open);
    }
}
