//! The licence of a machine without CWC: the test authority and its heartbeat.
//!
//! Owns the heartbeat of 60 s and the order that the links follow. Opens only when a person said so
//! over the socket. Sources: licensing.md §2.5, §12.2; issue `packets` section 7.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::authority::{self, SELF_ISSUED, TestAuthority, Wanted};
use spk_controller::{Licence, Order, Vault, VaultError};

/// Between two heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(60);

/// Leases by the test authority.
#[derive(Debug)]
pub struct SelfIssued {
    authority: Mutex<TestAuthority>,
    /// Held while a wish is stored, so that the last one said is the one stored.
    turn: Mutex<()>,
    vault: Arc<dyn Vault>,
    orders: watch::Sender<Order>,
}

/// What the authority did last.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityView {
    /// Whether gates are wanted open.
    pub open: bool,
    /// Who signs: `self-issued`.
    pub licence: String,
    /// Name of the signing key.
    pub kid: String,
    /// Epoch of this spk-node's statements.
    pub epoch: u64,
    /// Statements signed in this epoch.
    pub seq: u64,
}

impl SelfIssued {
    /// Takes the authority's wish of before the restart.
    #[must_use]
    pub fn new(authority: TestAuthority, vault: Arc<dyn Vault>) -> Arc<Self> {
        let order = order(authority.wanted(), None);
        let orders = watch::channel(order).0;
        Arc::new(Self { authority: Mutex::new(authority), turn: Mutex::new(()), vault, orders })
    }

    /// Opens or closes all gates, and waits for the disk that keeps the wish. To close takes effect
    /// before it is stored, whatever becomes of the storing.
    ///
    /// # Errors
    ///
    /// [`VaultError`] if the wish cannot be stored; an open is not done then, a close holds until
    /// the next start.
    pub fn want(&self, wanted: Wanted) -> Result<(), VaultError> {
        // An earlier wish that panicked left nothing half done.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted == Wanted::Closed {
            self.take(wanted);
        }
        authority::store_wish(&self.vault, wanted)?;
        if wanted == Wanted::Open {
            self.take(wanted);
        }
        Ok(())
    }

    fn take(&self, wanted: Wanted) {
        let mut authority = self.lock();
        authority.want(wanted);
        self.orders.send_if_modified(|held| match (&held, wanted) {
            // Said twice: the gates are open, the heartbeat goes on.
            (Order::Open { .. }, Wanted::Open) => false,
            (_, wanted) => {
                *held = order(wanted, None);
                true
            }
        });
    }

    /// What the authority did last.
    #[must_use]
    pub fn view(&self) -> AuthorityView {
        let authority = self.lock();
        let (epoch, seq) = authority.last();
        AuthorityView {
            open: *self.orders.borrow() != CLOSED,
            licence: SELF_ISSUED.to_owned(),
            kid: authority.kid().to_owned(),
            epoch,
            seq,
        }
    }

    /// Signs a heartbeat every 60 s; never ends.
    pub async fn beat(self: Arc<Self>) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            beat.tick().await;
            self.renew();
        }
    }

    /// Signs one heartbeat, if the gates are wanted open.
    pub fn renew(&self) {
        let mut authority = self.lock();
        if let Some(renewal) = authority.renew(unix_seconds()) {
            self.orders.send_replace(Order::Open { renewal: Some(renewal) });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, TestAuthority> {
        // A panic elsewhere leaves the counters whole: they only rise.
        self.authority.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Licence for SelfIssued {
    fn order(&self) -> watch::Receiver<Order> {
        self.orders.subscribe()
    }

    fn open(&self, namespace: &str, pod: &str, nonce: &[u8; 16]) -> Option<String> {
        if *self.orders.borrow() == CLOSED {
            return None;
        }
        self.lock().open(namespace, pod, nonce, unix_seconds())
    }

    fn note(&self) -> Option<&'static str> {
        Some(SELF_ISSUED)
    }
}

fn order(wanted: Wanted, renewal: Option<String>) -> Order {
    match wanted {
        Wanted::Open => Order::Open { renewal },
        Wanted::Closed => CLOSED,
    }
}

fn unix_seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

const CLOSED: Order = Order::Close { reason: SELF_ISSUED };

#[cfg(test)]
mod tests;
