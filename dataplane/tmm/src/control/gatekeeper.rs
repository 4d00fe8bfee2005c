//! Runs the enforcer: gives it time and nonces, publishes its word, answers peers, logs.
//!
//! Decides nothing. Invariants: the word is published before the line that tells of it, and before
//! the answer to the peer (licensing.md §12.1, §12.2); followers hear of a change and of nothing
//! else; the file of the key set is read by a task of its own, so a mount that hangs delays nobody.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use spk_entitlement::{Enforcer, Gate, Input, Jwks, Output};
use tmm_rpc::proto::{GateReply, GateState};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::clock;
use crate::log;
use crate::shared::Shared;

/// What a peer asks of the enforcer.
#[derive(Debug)]
pub enum Request {
    /// A nonce was made.
    Hello {
        /// The nonce.
        nonce: [u8; 16],
    },
    /// A lease came.
    Lease {
        /// Compact JWS.
        jws: String,
    },
    /// The gate shall be closed.
    Close {
        /// Why.
        reason: String,
    },
}

/// What the enforcer answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The gate, and the refusal if there is one.
    pub gate: GateReply,
    /// The pair of the last accepted statement.
    pub last: (u64, u64),
    /// The latch of a latched gate.
    pub latch: Option<String>,
}

/// How to reach the gatekeeper.
#[derive(Clone, Debug)]
pub struct GateHandle {
    requests: mpsc::Sender<(Request, oneshot::Sender<Answer>)>,
    state: watch::Receiver<Gate>,
    ignored: watch::Receiver<u64>,
    latches: watch::Receiver<Option<String>>,
}

/// The gatekeeper is gone: the process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the gate's task ended")]
pub struct GateGone;

impl GateHandle {
    /// Asks the enforcer.
    ///
    /// # Errors
    ///
    /// [`GateGone`].
    pub async fn ask(&self, request: Request) -> Result<Answer, GateGone> {
        let (answer, wait) = oneshot::channel();
        self.requests.send((request, answer)).await.map_err(|_| GateGone)?;
        wait.await.map_err(|_| GateGone)
    }

    /// The gate, to follow; [`reply()`] says it in words.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Gate> {
        self.state.clone()
    }

    /// The gate now, with the time that it has left.
    #[must_use]
    pub fn now(&self) -> GateReply {
        reply(&self.state.borrow())
    }

    /// The statement that latched the gate, to follow; none before it.
    #[must_use]
    pub fn follow_latch(&self) -> watch::Receiver<Option<String>> {
        self.latches.clone()
    }

    /// How often a latched gate was asked to close.
    #[must_use]
    pub fn latched_ignored(&self) -> u64 {
        *self.ignored.borrow()
    }
}

/// The task.
#[derive(Debug)]
pub struct Gatekeeper {
    enforcer: Enforcer,
    shared: Arc<Shared>,
    anchor: PathBuf,
    /// Text of the key set in use.
    anchor_text: Option<String>,
    /// Whether it was told that there is no file.
    is_missed: bool,
    /// Text that was refused last, so that it is told once.
    refused_text: Option<String>,
    requests: mpsc::Receiver<(Request, oneshot::Sender<Answer>)>,
    state: watch::Sender<Gate>,
    ignored: watch::Sender<u64>,
    latches: watch::Sender<Option<String>>,
}

impl Gatekeeper {
    /// A gatekeeper of a closed gate that follows the key set in file `anchor`.
    #[must_use]
    pub fn new(enforcer: Enforcer, shared: Arc<Shared>, anchor: PathBuf) -> (Self, GateHandle) {
        let (ask, requests) = mpsc::channel(64);
        let (state, follow) = watch::channel(enforcer.gate().clone());
        let (ignored, count) = watch::channel(0);
        let (latches, latch) = watch::channel(None);
        let handle = GateHandle { requests: ask, state: follow, ignored: count, latches: latch };
        let keeper = Self {
            enforcer,
            shared,
            anchor,
            anchor_text: None,
            is_missed: false,
            refused_text: None,
            requests,
            state,
            ignored,
            latches,
        };
        (keeper, handle)
    }

    /// Serves until every handle is gone. The key set is looked at before the first request.
    pub async fn run(mut self) {
        let (tell, mut texts) = mpsc::channel(1);
        let reader = tokio::spawn(read_texts(self.anchor.clone(), tell));
        if let Ok(Some(text)) = timeout(FIRST_LOOK, texts.recv()).await {
            self.take_anchor(text);
        }
        loop {
            let wake = self.next_wake();
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some((request, answer)) => self.serve(request, answer),
                    None => break,
                },
                Some(text) = texts.recv() => self.take_anchor(text),
                () = sleep_until(wake) => {
                    self.enforcer.handle_timeout(clock::boot());
                    self.act();
                }
            }
        }
        reader.abort();
    }

    /// When the enforcer's timer is due. Tokio's clock stops in a suspend, so it looks twice a
    /// second; workers compare the deadline themselves.
    fn next_wake(&self) -> Instant {
        let longest = Duration::from_millis(500);
        let wait = self
            .enforcer
            .poll_timeout()
            .map_or(longest, |at| Duration::from_nanos(at.since(clock::boot()).0).min(longest));
        Instant::now() + wait
    }

    fn serve(&mut self, request: Request, answer: oneshot::Sender<Answer>) {
        let input = match request {
            Request::Hello { nonce } => Input::Hello { nonce },
            Request::Lease { jws } => Input::Lease { jws },
            Request::Close { reason } => Input::Close { reason },
        };
        self.enforcer.handle_input(input, clock::boot());
        let rejected = self.act();
        let gate = GateReply {
            rejected: rejected.unwrap_or_default().to_owned(),
            ..reply(self.enforcer.gate())
        };
        let latch = self.enforcer.latch().map(str::to_owned);
        // A peer that went away needs no answer.
        let _ = answer.send(Answer { gate, last: self.enforcer.last(), latch });
    }

    /// Does what the enforcer says; the code of a refusal, if there was one.
    fn act(&mut self) -> Option<&'static str> {
        let mut rejected = None;
        while let Some(output) = self.enforcer.poll_output() {
            match output {
                Output::Publish(word) => self.shared.gate.store(word),
                Output::Opened => log::gate_opened(),
                Output::Closed { reason } => log::gate_closed(&reason),
                Output::Accepted => {}
                Output::Rejected(error) => {
                    log::lease_rejected(error.code());
                    rejected = Some(error.code());
                }
            }
        }
        // A renewal moves the deadline only; followers learn that too.
        self.state.send_if_modified(|held| {
            let is_news = held != self.enforcer.gate();
            if is_news {
                held.clone_from(self.enforcer.gate());
            }
            is_news
        });
        self.ignored.send_replace(self.enforcer.latched_ignored());
        self.latches.send_if_modified(|held| {
            let is_news = held.as_deref() != self.enforcer.latch();
            if is_news {
                *held = self.enforcer.latch().map(str::to_owned);
            }
            is_news
        });
        rejected
    }

    /// Takes the key set if its text changed; none is a file that cannot be read. A missing or bad
    /// file leaves the last good one.
    fn take_anchor(&mut self, text: Option<String>) {
        let Some(text) = text else {
            if !self.is_missed && self.anchor_text.is_none() {
                self.is_missed = true;
                log::trust_anchor(
                    "license/jwks.json is missing; the gate stays closed until it comes",
                );
            }
            return;
        };
        if self.anchor_text.as_ref() == Some(&text) || self.refused_text.as_ref() == Some(&text) {
            return;
        }
        match Jwks::parse(&text) {
            Ok(keys) => {
                let kids: Vec<&str> = keys.kids().collect();
                log::trust_anchor(&format!("{} keys: {}", kids.len(), kids.join(", ")));
                self.enforcer.handle_input(Input::TrustAnchor(keys), clock::boot());
                self.act();
                self.anchor_text = Some(text);
            }
            Err(error) => {
                log::trust_anchor(&format!("license/jwks.json is refused: {error}"));
                self.refused_text = Some(text);
            }
        }
    }
}

/// The gate in words, with the time that it has left now.
#[must_use]
pub fn reply(gate: &Gate) -> GateReply {
    let (gate, reason, deadline_ms) = match gate {
        Gate::Closed { reason } => (GateState::Closed, reason.clone(), 0),
        Gate::Open { deadline } => {
            (GateState::Open, String::new(), deadline.since(clock::boot()).0 / 1_000_000)
        }
        Gate::Latched => (GateState::Latched, String::new(), 0),
    };
    GateReply { gate: gate as i32, reason, deadline_ms, rejected: String::new() }
}

/// Tells the text of `file` once a second, none if it cannot be read, until nobody listens.
async fn read_texts(file: PathBuf, tell: mpsc::Sender<Option<String>>) {
    loop {
        let text = async {
            let mut text = String::new();
            let file = tokio::fs::File::open(&file).await?;
            file.take(ANCHOR_LIMIT).read_to_string(&mut text).await?;
            std::io::Result::Ok(text)
        };
        if tell.send(text.await.ok()).await.is_err() {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Time between two looks at the key set's file.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long requests wait for the first look.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Bytes of a key set; what is longer is cut, and then no key set.
const ANCHOR_LIMIT: u64 = 1 << 20;
