//! Delivers what the CWC signed to one TMM, and closes its gate.
//!
//! Owns the order: a close at once and before anything else, a renewal at once, an `open` or a latch
//! only after the TMM answered a snapshot (licensing.md §12.4), and of several that wait the newest.
//! Sources: licensing.md §11 (outputs `o`, `n`, `l`, `s`), §12.2, §12.3.

use std::convert::Infallible;

use spk_entitlement::messages::{GateState, Nonce, TmmNonce};
use spk_entitlement::reason::Reason;
use tmm_rpc::proto;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::Code;

use super::{LinkError, Talk, call};
use crate::core::News;

/// What the licence says of all gates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GateOrder {
    /// Leave them as they are.
    Leave,
    /// Close them.
    Close {
        /// Why.
        reason: Reason,
        /// Rises with each order.
        generation: u64,
    },
}

/// Something for one TMM.
#[derive(Debug)]
pub enum Statement {
    /// Ask for a nonce; unanswered if it cannot be had.
    Hello(oneshot::Sender<TmmNonce>),
    /// Deliver this `open` lease.
    Open(String),
    /// Deliver this renewal.
    Renew(String),
    /// Deliver this latch.
    Latch(String),
}

impl Talk<'_> {
    /// Follows the order and delivers statements.
    pub(super) async fn obey(
        &self,
        mut order: watch::Receiver<GateOrder>,
        statements: &mut mpsc::UnboundedReceiver<Statement>,
    ) -> Result<Infallible, LinkError> {
        let mut configured = self.configured.subscribe();
        let mut waiting: Option<String> = None;
        // What holds when it connects is no new order, and is not timed.
        let mut begins = true;
        order.mark_changed();
        loop {
            let ready = async {
                let configured = configured.wait_for(|ready| *ready).await;
                configured.map(|_| ()).map_err(|_| LinkError::Ended)
            };
            tokio::select! {
                biased;
                changed = order.changed() => {
                    changed.map_err(|_| LinkError::Ended)?;
                    let now = *order.borrow_and_update();
                    if let GateOrder::Close { reason, generation } = now {
                        waiting = None;
                        let gate = self.close(reason, generation).await?;
                        let closed = if begins { News::Gate(gate) } else { News::Closed(gate) };
                        self.tell(closed).await?;
                    }
                    begins = false;
                }
                statement = statements.recv() => match statement.ok_or(LinkError::Ended)? {
                    Statement::Hello(answer) => self.nonce(answer).await?,
                    Statement::Open(jws) | Statement::Latch(jws) => waiting = Some(jws),
                    Statement::Renew(jws) => self.renew(jws).await?,
                },
                result = ready, if waiting.is_some() => {
                    result?;
                    if let Some(jws) = waiting.take() {
                        self.open_with(jws).await?;
                    }
                }
            }
        }
    }

    async fn close(&self, reason: Reason, generation: u64) -> Result<proto::GateReply, LinkError> {
        let request = proto::CloseRequest { reason: reason.code().to_owned(), generation };
        call("Close", self.client.clone().close(request)).await
    }

    async fn nonce(&self, answer: oneshot::Sender<TmmNonce>) -> Result<(), LinkError> {
        let hello = call("Hello", self.client.clone().hello(proto::HelloRequest {})).await?;
        let Ok(nonce) = <[u8; 16]>::try_from(hello.nonce.as_slice()) else {
            return Err(LinkError::Call {
                call: "Hello",
                code: Code::DataLoss,
                message: String::from("nonce is not of 16 bytes"),
            });
        };
        let gate = gate_state(&hello.gate.unwrap_or_default());
        let tmm = TmmNonce { pod: hello.pod, name: hello.name, nonce: Nonce(nonce), gate };
        // Who asked may have gone on without it.
        let _ = answer.send(tmm);
        Ok(())
    }

    async fn renew(&self, jws: String) -> Result<(), LinkError> {
        let gate = call("Lease", self.client.clone().lease(proto::LeaseRequest { jws })).await?;
        // A renewal that came twice is no reason to ask (licensing.md §12.2, G5).
        if !gate.rejected.is_empty() && gate.rejected != REPLAYED {
            tracing::warn!(code = gate.rejected, "{} refused a renewal", self.target.pod);
            self.tell(News::RenewalRefused).await?;
        }
        self.tell(News::Gate(gate)).await
    }

    async fn open_with(&self, jws: String) -> Result<(), LinkError> {
        let gate = call("Lease", self.client.clone().lease(proto::LeaseRequest { jws })).await?;
        if !gate.rejected.is_empty() {
            tracing::warn!(code = gate.rejected, "{} refused a lease", self.target.pod);
        }
        self.tell(News::Gate(gate)).await
    }
}

/// The gate as messages carry it.
#[must_use]
pub fn gate_state(gate: &proto::GateReply) -> GateState {
    match gate.gate() {
        proto::GateState::Closed => GateState::Closed,
        proto::GateState::Open => GateState::Open,
        proto::GateState::Latched => GateState::Latched,
    }
}

/// Code of a renewal that is not newer than the last one.
const REPLAYED: &str = "lease_replayed";
