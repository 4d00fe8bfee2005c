//! The grid of licensing.md §11: 8 states, 11 events, what follows.
//!
//! Owns the table and nothing else. Invariant (LIC-640): `Latched` and `LatchedLost` are left only
//! for each other, and none of their actions blocks.

/// Where a Controller stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    /// There is no trust anchor.
    Boot,
    /// No verdict allows; asking every 5 s.
    Asking,
    /// A verdict allows; asking for the entitlement.
    Confirming,
    /// Entitled by a trial; asking no more.
    Active,
    /// A statement blocks.
    Blocked,
    /// No valid statement came in time.
    Lost,
    /// A latch is held.
    Latched,
    /// A latch is held, and no valid statement came in time.
    LatchedLost,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Boot,
        Self::Asking,
        Self::Confirming,
        Self::Active,
        Self::Blocked,
        Self::Lost,
        Self::Latched,
        Self::LatchedLost,
    ];

    /// Its name: stable, for logs and status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boot => "Boot",
            Self::Asking => "Asking",
            Self::Confirming => "Confirming",
            Self::Active => "Active",
            Self::Blocked => "Blocked",
            Self::Lost => "Lost",
            Self::Latched => "Latched",
            Self::LatchedLost => "LatchedLost",
        }
    }

    /// Whether a latch is held.
    #[must_use]
    pub const fn is_latched(self) -> bool {
        match self {
            Self::Latched | Self::LatchedLost => true,
            Self::Boot
            | Self::Asking
            | Self::Confirming
            | Self::Active
            | Self::Blocked
            | Self::Lost => false,
        }
    }

    /// Whether the need of a TMM is served here: its event does something.
    pub(super) const fn serves_tmms(self) -> bool {
        match self {
            Self::Confirming | Self::Active | Self::Latched | Self::LatchedLost => true,
            Self::Boot | Self::Asking | Self::Blocked | Self::Lost => false,
        }
    }
}

/// What happens. The words are those of licensing.md §11.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    Late,
    Ver,
    Paid,
    Trial,
    Ok,
    Prod,
    Block,
    T5,
    Silent,
    Tmm,
    Latch,
}

/// What is done. The letters are those of licensing.md §11.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// `v`: take the verdict of the statement.
    Verdict,
    /// `o`: deliver the answer's leases.
    Open,
    /// `n`: deliver the statement as a renewal.
    Renew,
    /// `q`: ask.
    Ask,
    /// `a`: ask for a lease of this TMM.
    AskLease,
    /// `b`: block, contact is lost.
    BlockLost,
    /// `l`: hold the latch.
    Latch,
    /// `s`: send the latch to this TMM.
    SendLatch,
    /// `w`: warn with the reason of a statement that would block.
    WarnIgnored,
    /// `c`: warn, contact is lost.
    WarnLost,
}

/// One cell: the next state and what is done, in order.
pub(super) const fn cell(state: State, event: Event) -> (State, &'static [Action]) {
    use Action::{
        Ask, AskLease, BlockLost, Latch, Open, Renew, SendLatch, Verdict, WarnIgnored, WarnLost,
    };
    use State::{Active, Asking, Blocked, Boot, Confirming, Latched, LatchedLost, Lost};
    match (state, event) {
        (
            Boot,
            Event::Late
            | Event::Ver
            | Event::Paid
            | Event::Trial
            | Event::Ok
            | Event::Prod
            | Event::Block
            | Event::T5
            | Event::Silent
            | Event::Tmm
            | Event::Latch,
        ) => (Boot, &[]),

        (Asking | Confirming | Active | Blocked | Lost, Event::Late) => (Asking, &[Verdict]),
        (Asking | Confirming | Blocked | Lost, Event::Ver) => (Confirming, &[Verdict, Open]),
        (Active, Event::Ver) => (Active, &[Verdict, Open]),
        (Asking | Confirming | Active | Blocked | Lost | Latched | LatchedLost, Event::Paid) => {
            (Latched, &[Latch])
        }
        (Asking | Confirming | Active | Blocked | Lost, Event::Trial) => (Active, &[Verdict]),
        (Asking | Blocked | Lost, Event::Ok | Event::Prod) => (Confirming, &[Verdict, Ask]),
        (Confirming, Event::Ok | Event::Prod) => (Confirming, &[Verdict, Renew]),
        (Active, Event::Ok) => (Active, &[Verdict, Renew]),
        (Active, Event::Prod) => (Confirming, &[Verdict, Renew, Ask]),
        (Asking, Event::Block) => (Asking, &[Verdict]),
        (Confirming | Active | Blocked | Lost, Event::Block) => (Blocked, &[Verdict]),
        (Asking | Confirming | Lost, Event::T5) => (state, &[Ask]),
        (Active | Blocked, Event::T5) => (state, &[]),
        (Asking | Confirming | Active | Blocked, Event::Silent) => (Lost, &[BlockLost]),
        (Lost, Event::Silent) => (Lost, &[]),
        (Confirming | Active, Event::Tmm) => (state, &[AskLease]),
        (Asking | Blocked | Lost, Event::Tmm) => (state, &[]),
        (Asking | Confirming | Active | Blocked | Lost | Latched, Event::Latch) => {
            (Latched, &[Latch])
        }

        (Latched | LatchedLost, Event::Late | Event::Block) => (Latched, &[WarnIgnored]),
        (Latched | LatchedLost, Event::Ver | Event::Trial | Event::Ok) => (Latched, &[Verdict]),
        (Latched | LatchedLost, Event::Prod) => (Latched, &[Verdict, Ask]),
        (Latched | LatchedLost, Event::T5) => (state, &[Ask]),
        (Latched, Event::Silent) => (LatchedLost, &[WarnLost]),
        (LatchedLost, Event::Silent) => (LatchedLost, &[]),
        (Latched | LatchedLost, Event::Tmm) => (state, &[SendLatch]),
        (LatchedLost, Event::Latch) => (LatchedLost, &[Latch]),
    }
}
