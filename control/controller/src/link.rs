//! The conversation with one TMM.
//!
//! Owns connecting, reconnecting with growing pauses, delivering the newest snapshot, and following
//! reports and gate; [`statements`] delivers the licence. Decides nothing: the snapshot and the
//! statements are given to it, and what the TMM says goes to [`super::core`].
//!
//! Invariant: a process that answers is sent the newest snapshot at once after it connects (OPS-137),
//! and what opens its gate only after it answered a snapshot. Sources: operations.md §1.2 (N1), §1.4,
//! licensing.md §12.2.

pub mod statements;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use spk_plan::Plan;
use spk_serving::tls::Tls;
use tmm_rpc::{ConnectError, TlsMaterial, TmmClient, proto};
use tokio::sync::{mpsc, watch};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::core::News;
use super::ports::Target;
use statements::{GateOrder, Statement};

/// What the link to each TMM needs.
#[derive(Clone)]
pub struct LinkContext {
    /// Namespace of the TMMs.
    pub namespace: String,
    /// Certificates of the Controller; the newest are taken for each connection.
    pub tls: Tls,
    /// The newest plan; none before the first.
    pub plans: watch::Receiver<Option<Arc<Plan>>>,
    /// What the licence says of all gates.
    pub gates: watch::Receiver<GateOrder>,
    /// Where news go, with the replica's index.
    pub news: mpsc::Sender<(u16, News)>,
}

impl std::fmt::Debug for LinkContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkContext").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Keeps the conversation with `target` going until it is dropped.
pub async fn keep(
    target: Target,
    mut context: LinkContext,
    mut statements: mpsc::UnboundedReceiver<Statement>,
) {
    let mut pause = SHORTEST_PAUSE;
    let mut told = None;
    let begun = Instant::now();
    let mut answered = false;
    loop {
        let error = match converse(&target, &mut context, &mut statements, &mut answered).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if std::mem::take(&mut answered) {
            pause = SHORTEST_PAUSE;
        } else if told.is_none() && begun.elapsed() < START_GRACE {
            // A process that was just started is not silent yet.
            tokio::time::sleep(pause).await;
            continue;
        }
        let cause = error.to_string();
        if told.as_ref() != Some(&cause) {
            let (ip, port) = (target.address.ip(), target.address.port());
            tracing::warn!(cause, "No heartbeat from {}: [{ip}]:{port}", tmm_rpc::SERVER_NAME);
            told = Some(cause.clone());
        }
        if context.news.send((target.index, News::Lost { cause })).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The Controller has no certificate yet.
    #[error("{cause}")]
    NoCertificate {
        /// What is missing.
        cause: String,
    },
    /// No connection.
    #[error("{0}: {cause}", cause = root(.0))]
    Connect(#[from] ConnectError),
    /// Another pod answers at the address.
    #[error("pod {found} answers instead of {wanted}; is another TMM on this address?")]
    OtherPod {
        /// UID that answers.
        found: String,
        /// UID that should.
        wanted: String,
    },
    /// A call failed.
    #[error("call {call} failed: {message}")]
    Call {
        /// Its name.
        call: &'static str,
        /// The status's code.
        code: Code,
        /// What the other side or the transport says.
        message: String,
    },
    /// A call was not answered in time.
    #[error("call {call} was not answered within {seconds} s")]
    Silent {
        /// Its name.
        call: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// The TMM or the Controller ends.
    #[error("conversation ended")]
    Ended,
}

impl LinkError {
    /// Stable label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoCertificate { .. } => "tmm_no_certificate",
            Self::Connect(error) => error.code(),
            Self::OtherPod { .. } => "tmm_other_pod",
            Self::Call { .. } => "tmm_call",
            Self::Silent { .. } => "tmm_silent",
            Self::Ended => "tmm_ended",
        }
    }
}

async fn converse(
    target: &Target,
    context: &mut LinkContext,
    statements: &mut mpsc::UnboundedReceiver<Statement>,
    answered: &mut bool,
) -> Result<Infallible, LinkError> {
    let Some(pem) = context.tls.pem() else {
        let cause = context.tls.not_ready().unwrap_or_default();
        return Err(LinkError::NoCertificate { cause });
    };
    let tls = TlsMaterial::from_pem(pem.ca, pem.certificate, pem.key);
    let mut client = TmmClient::to(target.address, &tls).await?;
    let hello = call("Hello", client.hello(proto::HelloRequest {})).await?;
    if hello.pod != target.uid {
        return Err(LinkError::OtherPod { found: hello.pod, wanted: target.uid.clone() });
    }
    *answered = true;
    tracing::info!(boot = hello.boot_id, "{} answers", target.pod);
    let talk = Talk { target, context, client, configured: watch::channel(false).0 };
    // What was meant for an earlier connection answers nonces of that one.
    while statements.try_recv().is_ok() {}
    let (boot_id, latch) = (hello.boot_id, hello.latch);
    let gate = hello.gate.unwrap_or_default();
    talk.tell(News::Connected { boot_id, gate, latch }).await?;
    let gates = context.gates.clone();
    let ended =
        tokio::try_join!(talk.deliver(), talk.obey(gates, statements), talk.reports(), talk.gate());
    ended.map(|(never, ..)| never)
}

/// One connection.
struct Talk<'a> {
    target: &'a Target,
    context: &'a LinkContext,
    client: TmmClient<Channel>,
    /// Whether it answered a snapshot since the configuration was last withheld.
    configured: watch::Sender<bool>,
}

impl Talk<'_> {
    async fn tell(&self, news: News) -> Result<(), LinkError> {
        self.context.news.send((self.target.index, news)).await.map_err(|_| LinkError::Ended)
    }

    /// Sends the newest snapshot, now and after each change; a refused one again every 2 s.
    async fn deliver(&self) -> Result<Infallible, LinkError> {
        let mut plans = self.context.plans.clone();
        let mut client = self.client.clone();
        loop {
            let plan = plans.borrow_and_update().clone();
            let mut refused = false;
            if plan.is_none() {
                self.configured.send_replace(false);
            }
            if let Some(plan) = plan {
                let index = self.target.index;
                // A large one takes its time, in which a lease or a close must not wait.
                let request = tokio::task::spawn_blocking(move || {
                    proto::ApplyRequest::new(&plan.spec_for(index))
                });
                let request = request.await.map_err(|_| LinkError::Ended)?;
                let reply = call_within(APPLY_LIMIT, "Apply", client.apply(request)).await?;
                refused = !reply.accepted;
                self.tell(News::Applied(reply)).await?;
                self.configured.send_replace(true);
            }
            let changed = async { plans.changed().await.map_err(|_| LinkError::Ended) };
            if refused {
                // Crds.md §4.2: a refusal is tried again.
                let _ = tokio::time::timeout(RETRY, changed).await;
            } else {
                changed.await?;
            }
        }
    }

    async fn reports(&self) -> Result<Infallible, LinkError> {
        let request = proto::WatchReportsRequest {};
        let mut stream = call("WatchReports", self.client.clone().watch_reports(request)).await?;
        loop {
            let report =
                stream.message().await.map_err(|status| failed("WatchReports", &status))?;
            self.tell(News::Report(report.ok_or(LinkError::Ended)?)).await?;
        }
    }

    async fn gate(&self) -> Result<Infallible, LinkError> {
        let request = proto::WatchGateRequest {};
        let mut stream = call("WatchGate", self.client.clone().watch_gate(request)).await?;
        loop {
            let gate = stream.message().await.map_err(|status| failed("WatchGate", &status))?;
            self.tell(News::Gate(gate.ok_or(LinkError::Ended)?)).await?;
        }
    }
}

async fn call<T>(
    name: &'static str,
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, LinkError> {
    call_within(CALL_LIMIT, name, answer).await
}

async fn call_within<T>(
    limit: Duration,
    name: &'static str,
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, LinkError> {
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failed(name, &status)),
        Err(_) => Err(LinkError::Silent { call: name, seconds: limit.as_secs() }),
    }
}

fn failed(call: &'static str, status: &Status) -> LinkError {
    LinkError::Call { call, code: status.code(), message: status.message().to_owned() }
}

/// The last cause of an error: what a person can act on.
fn root(error: &ConnectError) -> String {
    let mut cause: &dyn std::error::Error = &error.source;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A TMM that was just started may take this long to answer.
const START_GRACE: Duration = Duration::from_secs(2);
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// A TMM answers a snapshot when its packet threads run it, for which it waits 5 s itself.
const APPLY_LIMIT: Duration = Duration::from_secs(30);
/// Crds.md §4.2: a failed delivery is tried again every 2 s.
const RETRY: Duration = Duration::from_secs(2);
