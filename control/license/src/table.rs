//! The tables: which state follows in each slot.
//!
//! Owns next states only; outputs, timers and data are `machine`'s. Written as the reference writes
//! them, one row per state, so that both can be read side by side. Invariant: total, every pair of
//! state and trigger has a cell; a trigger without a column changes nothing (note h).
//!
//! Source: licensing.md §3.4 (L), §3.5 (R, N), §3.6 (S), LIC-210, LIC-230.

use crate::state::State;
use crate::trigger::Trigger;

/// What a cell says.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cell {
    /// `–`: nothing changes.
    Stay,
    /// `405`: the request is refused.
    Refuse,
    /// `409`: the request is refused, it comes at the wrong moment or again.
    Conflict,
    /// `404`: there is nothing to abandon.
    Missing,
    /// `R`: slot R handles it.
    Current,
    /// `S`: slot S handles it.
    Switch,
    /// The next state.
    To(State),
    /// 12, 14 or 15, as the new end says.
    Renewed,
    /// `none`: the slot is empty again.
    Clear,
    /// `none, L := 12`: the switch is complete.
    Done,
}

/// Slot L in `state`, 0 to 16; 17 and 18 are never there.
#[must_use]
pub fn license(state: State, trigger: Trigger) -> Cell {
    let row = LICENSE.get(usize::from(state.number()));
    find(row.map(<[Cell; 21]>::as_slice), &LICENSE_COLUMNS, trigger)
}

/// Slot R in `state`: none, 6 to 13.
#[must_use]
pub fn current(state: Option<State>, trigger: Trigger) -> Cell {
    let row = CURRENT.iter().find(|(from, _)| *from == state);
    find(row.map(|(_, cells)| cells.as_slice()), &CURRENT_COLUMNS, trigger)
}

/// Slot N in `state`: none, 17, 18.
#[must_use]
pub fn next(state: Option<State>, trigger: Trigger) -> Cell {
    let row = NEXT.iter().find(|(from, _)| *from == state);
    find(row.map(|(_, cells)| cells.as_slice()), &NEXT_COLUMNS, trigger)
}

/// Slot S in `state`: none, 3 to 11, 13.
#[must_use]
pub fn switch(state: Option<State>, trigger: Trigger) -> Cell {
    let row = SWITCH.iter().find(|(from, _)| *from == state);
    find(row.map(|(_, cells)| cells.as_slice()), &SWITCH_COLUMNS, trigger)
}

fn find(row: Option<&[Cell]>, columns: &[Trigger], trigger: Trigger) -> Cell {
    let column = columns.iter().position(|one| *one == trigger);
    row.zip(column).and_then(|(cells, column)| cells.get(column)).copied().unwrap_or(Cell::Stay)
}

/// One cell, as the reference writes it; `F` is `12/14/15`.
macro_rules! cell {
    (-) => {
        Cell::Stay
    };
    (405) => {
        Cell::Refuse
    };
    (409) => {
        Cell::Conflict
    };
    (404) => {
        Cell::Missing
    };
    (R) => {
        Cell::Current
    };
    (S) => {
        Cell::Switch
    };
    (F) => {
        Cell::Renewed
    };
    (none) => {
        Cell::Clear
    };
    (done) => {
        Cell::Done
    };
    ($number:tt) => {
        Cell::To(state!($number))
    };
}

macro_rules! state {
    (0) => {
        State::Default
    };
    (1) => {
        State::Initialised
    };
    (2) => {
        State::InitializationFailed
    };
    (3) => {
        State::RegistrationInProgress
    };
    (4) => {
        State::RegistrationComplete
    };
    (5) => {
        State::RegistrationFailed
    };
    (6) => {
        State::ReportInProgress
    };
    (7) => {
        State::ReadyToDownload
    };
    (8) => {
        State::ReportFailed
    };
    (9) => {
        State::DownloadFailed
    };
    (10) => {
        State::Downloaded
    };
    (11) => {
        State::VerificationInProgress
    };
    (12) => {
        State::VerificationComplete
    };
    (13) => {
        State::VerificationFailed
    };
    (14) => {
        State::ExpiringSoon
    };
    (15) => {
        State::ExpiringToday
    };
    (16) => {
        State::Expired
    };
    (17) => {
        State::TelemetryInProgress
    };
    (18) => {
        State::ReadyToGenerate
    };
}

macro_rules! from {
    (none) => {
        None
    };
    ($number:tt) => {
        Some(state!($number))
    };
}

/// Rows without their state: those of slot L are numbered from 0.
macro_rules! numbered {
    ($($number:tt: [$($cell:tt)+];)+) => { [$([$(cell!($cell)),+]),+] };
}

macro_rules! rows {
    ($($from:tt: [$($cell:tt)+];)+) => { [$((from!($from), [$(cell!($cell)),+])),+] };
}

/// Columns of slot L.
pub const LICENSE_COLUMNS: [Trigger; 21] = [
    Trigger::InitOk,
    Trigger::InitErr,
    Trigger::RegOk,
    Trigger::RegErr,
    Trigger::RepOk,
    Trigger::RepErr,
    Trigger::Get,
    Trigger::GetErr,
    Trigger::RcptOk,
    Trigger::RcptBad,
    Trigger::RcptSame,
    Trigger::UpSent,
    Trigger::UpTmp,
    Trigger::UpRej,
    Trigger::Retry,
    Trigger::JwtOk,
    Trigger::TSoon,
    Trigger::TToday,
    Trigger::TExp,
    Trigger::TRenew,
    Trigger::Cfg,
];

//      init   reg    rep    get       receipt        up             retry
//      ok err ok err ok err ok  err  ok  bad same  sent tmp rej   |  jwt  soon today exp renew cfg
#[rustfmt::skip]
const LICENSE: [[Cell; 21]; 17] = numbered! {
     0: [1  2   -  -   -  -   405 -    405 405 405   -    -   -     -  405  -    -     -   -     -];
     1: [-  -   -  -   -  -   405 -    405 405 405   -    -   -     3  405  -    -     -   -     -];
     2: [1  2   -  -   -  -   405 -    405 405 405   -    -   -     0  405  -    -     -   -     0];
     3: [-  -   4  5   -  -   405 -    405 405 405   -    -   -     -  405  -    -     -   -     -];
     4: [-  -   -  -   -  -   405 -    405 405 405   -    -   -     6  405  -    -     -   -     -];
     5: [-  -   -  -   -  -   405 -    405 405 405   -    -   -     3  405  -    -     -   -     0];
     6: [-  -   -  -   7  8   405 -    405 405 405   -    -   -     -  405  -    -     -   -     -];
     7: [-  -   -  -   -  -   10  9    405 405 405   11   -   -     -  405  -    -     2   -     0];
     8: [-  -   -  -   -  -   405 -    405 405 405   -    -   -     6  405  -    -     2   -     0];
     9: [-  -   -  -   -  -   10  9    405 405 405   -    -   -     6  405  -    -     2   -     0];
    10: [-  -   -  -   -  -   10  9    12  13  10    -    -   -     -  405  -    -     2   -     0];
    11: [-  -   -  -   -  -   405 -    12  13  11    11   11  13    11 405  -    -     2   -     -];
    12: [-  -   -  -   -  -   R   R    R   R   R     R    R   R     -  S    14   15    16  12    -];
    13: [-  -   -  -   -  -   10  9    12  13  13    11   -   13    11 405  -    -     2   -     0];
    14: [-  -   -  -   -  -   R   R    R   R   R     R    R   R     -  S    -    15    16  12    -];
    15: [-  -   -  -   -  -   R   R    R   R   R     R    R   R     -  S    -    -     16  F     -];
    16: [-  -   -  -   -  -   R   R    R   R   R     R    R   R     -  S    -    -     -   F     -];
};

/// Columns of slot R.
pub const CURRENT_COLUMNS: [Trigger; 12] = [
    Trigger::TWin,
    Trigger::RepOk,
    Trigger::RepErr,
    Trigger::Get,
    Trigger::GetErr,
    Trigger::RcptOk,
    Trigger::RcptBad,
    Trigger::RcptSame,
    Trigger::UpSent,
    Trigger::UpTmp,
    Trigger::UpRej,
    Trigger::Retry,
];

//        t.win rep    get      receipt       up            retry
//              ok err ok  err  ok  bad same  sent tmp rej
#[rustfmt::skip]
const CURRENT: [(Option<State>, [Cell; 12]); 9] = rows! {
    none: [6     -  -   405 -    405 405 409   -    -   -    -];
    6:    [6     7  8   405 -    405 405 409   -    -   -    -];
    7:    [6     -  -   10  9    405 405 409   11   -   -    -];
    8:    [6     -  -   405 -    405 405 409   -    -   -    6];
    9:    [6     -  -   10  9    405 405 409   -    -   -    6];
    10:   [6     -  -   10  9    12  13  409   -    -   -    -];
    11:   [6     -  -   405 -    12  13  409   11   11  13   11];
    12:   [6     -  -   405 -    405 405 409   -    -   -    -];
    13:   [6     -  -   10  9    12  13  409   11   -   13   11];
};

/// Columns of slot N.
pub const NEXT_COLUMNS: [Trigger; 4] =
    [Trigger::FirstActivation, Trigger::TWin, Trigger::RepOk, Trigger::RepErr];

//        first t.win rep.ok rep.err
#[rustfmt::skip]
const NEXT: [(Option<State>, [Cell; 4]); 3] = rows! {
    none: [17    -     -      -];
    17:   [-     18    -      -];
    18:   [-     -     17     18];
};

/// Columns of slot S. `get.err` leads to 9, which behaves as 7 (last line of the table).
pub const SWITCH_COLUMNS: [Trigger; 14] = [
    Trigger::JwtOk,
    Trigger::RegOk,
    Trigger::RegErr,
    Trigger::RepOk,
    Trigger::RepErr,
    Trigger::Get,
    Trigger::GetErr,
    Trigger::RcptOk,
    Trigger::RcptBad,
    Trigger::UpSent,
    Trigger::UpTmp,
    Trigger::UpRej,
    Trigger::Retry,
    Trigger::Cancel,
];

//        jwt.ok reg    rep    get      receipt   up            retry cancel
//               ok err ok err ok  err  ok   bad  sent tmp rej
#[rustfmt::skip]
const SWITCH: [(Option<State>, [Cell; 14]); 11] = rows! {
    none: [3      -  -   -  -   R   -    R    R    -    -   -    -     404];
    3:    [3      4  5   -  -   405 -    405  405  -    -   -    -     none];
    4:    [3      -  -   -  -   405 -    405  405  -    -   -    6     none];
    5:    [3      -  -   -  -   R   -    R    R    -    -   -    3     none];
    6:    [3      -  -   7  8   405 -    405  405  -    -   -    -     none];
    7:    [3      -  -   -  -   10  9    405  405  11   11  -    -     none];
    8:    [3      -  -   -  -   R   -    R    R    -    -   -    6     none];
    9:    [3      -  -   -  -   10  9    405  405  11   11  -    -     none];
    10:   [3      -  -   -  -   10  9    done 13   -    -   -    -     none];
    11:   [409    -  -   -  -   405 -    done 13   11   11  13   11    409];
    13:   [3      -  -   -  -   10  9    done 13   11   11  13   11    none];
};

#[cfg(test)]
pub(crate) mod tests;
