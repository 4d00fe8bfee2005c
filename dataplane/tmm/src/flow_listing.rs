//! Lists flows by request: the control side asks, each packet thread answers piece by piece.
//!
//! A listing goes to a thread as a page with its room already reserved, and comes back full or at
//! the table's end. A thread looks at [`PIECE`] sessions a turn, so a long table costs no packet.

use std::net::IpAddr;

use tmm_config::Nanos;
use tmm_engine::Flows;
use tmm_engine::flows::FlowRow;

/// Which flows are wanted; an empty field matches all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowFilter {
    /// Address of the client.
    pub client: Option<IpAddr>,
    /// Address that it sent to.
    pub vip: Option<IpAddr>,
    /// Address that it was sent on to.
    pub member: Option<IpAddr>,
}

impl FlowFilter {
    fn takes(&self, row: &FlowRow) -> bool {
        let fits = |wanted: Option<IpAddr>, is: IpAddr| wanted.is_none_or(|wanted| wanted == is);
        fits(self.client, row.client.0)
            && fits(self.vip, row.asked.0)
            && fits(self.member, row.server.0)
    }
}

/// One thread's part of a listing.
#[derive(Debug)]
pub struct FlowPage {
    /// Which flows.
    pub filter: FlowFilter,
    /// What was found; never grows past its capacity.
    pub rows: Vec<FlowRow>,
    /// Whether there was no room for a flow.
    pub is_full: bool,
    /// Asked by: so that a late answer is not taken for another's.
    pub number: u64,
    place: u32,
}

impl FlowPage {
    /// A page with room for `limit` rows.
    #[must_use]
    pub fn new(number: u64, filter: FlowFilter, limit: usize) -> Self {
        Self { filter, rows: Vec::with_capacity(limit), is_full: false, number, place: 0 }
    }

    /// Looks at the next piece of the table. Returns whether the page is done. Allocates nothing.
    pub fn advance(&mut self, flows: &Flows, now: Nanos) -> bool {
        let end = self.place.saturating_add(PIECE);
        for row in flows.page(now, self.place, end).filter(|row| self.filter.takes(row)) {
            if self.rows.len() == self.rows.capacity() {
                self.is_full = true;
                return true;
            }
            self.rows.push(row);
        }
        self.place = end;
        end >= flows.places()
    }
}

/// Sessions that a thread looks at in one turn: some microseconds.
pub const PIECE: u32 = 128;
