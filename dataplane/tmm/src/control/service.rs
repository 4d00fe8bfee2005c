//! The gRPC service of port 8750: turns calls into messages and answers back. Decides nothing.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use spk_entitlement::Identity;
use tmm_config::Spec;
use tmm_rpc::Tmm;
use tmm_rpc::proto::{
    ApplyReply, ApplyRequest, CloseRequest, FlowsReply, FlowsRequest, GateReply, HelloReply,
    HelloRequest, LeaseRequest, Report, StatisticsReply, StatisticsRequest, WatchGateRequest,
    WatchReportsRequest,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::control::applier::Message;
use crate::control::collector::Latest;
use crate::control::gatekeeper::{self, Answer, GateHandle};
use crate::control::lister::Lister;
use crate::control::tables;
use crate::flow_listing::FlowFilter;
use crate::random::random_bytes;
use crate::shared::Shared;

/// The service.
#[derive(Debug)]
pub struct Service {
    /// Who this TMM is.
    pub identity: Identity,
    /// Name of the pod.
    pub name: String,
    /// Changes with every start.
    pub boot_id: String,
    /// The gate.
    pub gate: GateHandle,
    /// The applier.
    pub applier: mpsc::Sender<Message>,
    /// Members and interfaces.
    pub reports: watch::Receiver<Report>,
    /// Listings of flows.
    pub lister: Lister,
    /// The newest copies.
    pub latest: Latest,
    /// The shared words.
    pub shared: Arc<Shared>,
}

impl Service {
    async fn ask_gate(&self, request: gatekeeper::Request) -> Result<Answer, Status> {
        self.gate.ask(request).await.map_err(|error| Status::unavailable(error.to_string()))
    }
}

type Followed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn follow<S, T>(receiver: watch::Receiver<S>, say: impl Fn(S) -> T + Send + 'static) -> Followed<T>
where
    S: Clone + Send + Sync + 'static,
    T: 'static,
{
    Box::pin(WatchStream::new(receiver).map(move |state| Ok(say(state))))
}

#[tonic::async_trait]
impl Tmm for Service {
    type WatchGateStream = Followed<GateReply>;
    type WatchReportsStream = Followed<Report>;

    async fn hello(&self, _: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let nonce = random_bytes().map_err(|error| Status::internal(error.to_string()))?;
        let answer = self.ask_gate(gatekeeper::Request::Hello { nonce }).await?;
        Ok(Response::new(HelloReply {
            pod: self.identity.pod.clone(),
            name: self.name.clone(),
            boot_id: self.boot_id.clone(),
            nonce: nonce.to_vec(),
            gate: Some(answer.gate),
            last_epoch: answer.last.0,
            last_seq: answer.last.1,
            latch: answer.latch.unwrap_or_default(),
        }))
    }

    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<GateReply>, Status> {
        let jws = request.into_inner().jws;
        let answer = self.ask_gate(gatekeeper::Request::Lease { jws }).await?;
        Ok(Response::new(answer.gate))
    }

    async fn close(&self, request: Request<CloseRequest>) -> Result<Response<GateReply>, Status> {
        let mut reason = request.into_inner().reason;
        // A code of licensing.md §9 is far shorter; this goes into logs and answers.
        if let Some((end, _)) = reason.char_indices().nth(REASON_LIMIT) {
            reason.truncate(end);
        }
        let answer = self.ask_gate(gatekeeper::Request::Close { reason }).await?;
        Ok(Response::new(answer.gate))
    }

    async fn watch_gate(
        &self,
        _: Request<WatchGateRequest>,
    ) -> Result<Response<Self::WatchGateStream>, Status> {
        Ok(Response::new(follow(self.gate.follow(), |gate| gatekeeper::reply(&gate))))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyReply>, Status> {
        let bytes = request.into_inner().spec;
        let gone = || Status::unavailable("the configuration's task ended");
        // A large one takes its time, in which a lease or a close must not wait.
        let spec = tokio::task::spawn_blocking(move || Spec::decode(&bytes))
            .await
            .map_err(|_| gone())?
            .map_err(|error| Status::invalid_argument(format!("no snapshot: {error}")))?;
        let (answer, wait) = oneshot::channel();
        self.applier.send(Message::Apply(Box::new(spec), answer)).await.map_err(|_| gone())?;
        let applied = wait.await.map_err(|_| gone())?;
        if !applied.taken {
            return Err(Status::unavailable("a packet thread does not take the configuration"));
        }
        Ok(Response::new(ApplyReply::new(&applied.report, applied.running)))
    }

    async fn watch_reports(
        &self,
        _: Request<WatchReportsRequest>,
    ) -> Result<Response<Self::WatchReportsStream>, Status> {
        Ok(Response::new(follow(self.reports.clone(), |report| report)))
    }

    async fn statistics(
        &self,
        request: Request<StatisticsRequest>,
    ) -> Result<Response<StatisticsReply>, Status> {
        let wanted = request.into_inner().tables;
        let config = self.shared.config.load_full();
        let mut tables = self.latest.read(|readings| tables::all(readings, &config));
        if !wanted.is_empty() {
            tables.retain(|table| wanted.contains(&table.name));
        }
        Ok(Response::new(StatisticsReply { tables }))
    }

    async fn flows(&self, request: Request<FlowsRequest>) -> Result<Response<FlowsReply>, Status> {
        let FlowsRequest { client, vip, member, limit } = request.into_inner();
        let filter = FlowFilter {
            client: address("client", &client)?,
            vip: address("vip", &vip)?,
            member: address("member", &member)?,
        };
        let limit = if limit == 0 { FLOWS } else { limit.min(MOST_FLOWS) };
        let config = self.shared.config.load_full();
        let listed = self.lister.list(filter, limit as usize, &config).await;
        listed.map(Response::new).map_err(|error| Status::unavailable(error.to_string()))
    }
}

/// The address in a field of a filter; empty is none.
fn address(field: &str, text: &str) -> Result<Option<IpAddr>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |_| Status::invalid_argument(format!("{field}: {text:?} is no IP address"));
    text.parse().map(Some).map_err(wrong)
}

/// Flows of a listing that sets no limit.
const FLOWS: u32 = 1000;
/// Most flows of a listing.
const MOST_FLOWS: u32 = 100_000;
/// Characters of a reason.
const REASON_LIMIT: usize = 64;
