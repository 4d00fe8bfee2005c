//! A TMM without packets: the real messages, mTLS and enforcer, and a list of what it was told.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use spk_entitlement::Jwks;
use spk_entitlement::enforcer::{Enforcer, Gate, Identity, Input, Output};
use spk_serving::tls::{Alpn, Tls, TlsFiles, TlsListener};
use tmm_config::{Nanos, Spec};
use tmm_rpc::{SERVER_NAME, Tmm, TmmServer, proto};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

/// What a double was told, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Hello,
    Apply(Box<Spec>),
    /// The code of the refusal, empty if accepted.
    Lease(String),
    Close,
}

/// A running double; ends when dropped.
pub struct Double {
    pub address: SocketAddr,
    told: Arc<watch::Sender<Vec<Told>>>,
    service: Arc<Service>,
    /// Its own, so that its end takes all connections with it.
    runtime: Option<Runtime>,
}

impl Drop for Double {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Double {
    /// A double that is pod `uid`, has its files in `state` and trusts `jwks`; it refuses the first
    /// `refusals` snapshots.
    pub fn start(
        address: SocketAddr,
        state: &Path,
        uid: &str,
        jwks: &str,
        refusals: usize,
    ) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let identity = Identity { pod: uid.to_owned(), namespace: String::from("spk-core") };
        let mut enforcer = Enforcer::new(identity);
        enforcer.handle_input(Input::TrustAnchor(Jwks::parse(jwks).unwrap()), Nanos(0));
        let told = Arc::new(watch::channel(Vec::new()).0);
        let service = Arc::new(Service {
            uid: uid.to_owned(),
            told: Arc::clone(&told),
            inner: Mutex::new(Inner { enforcer, nonces: 0, refusals }),
            begun: Instant::now(),
            peer: Mutex::default(),
            gate: watch::channel(proto::GateReply::default()).0,
        });
        let files = TlsFiles::grpc(state, SERVER_NAME);
        let server = tonic::transport::Server::builder()
            .add_service(TmmServer::from_arc(Arc::clone(&service)));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let tls = Tls::follow(files, Alpn::Http2, Arc::new(|_| {}));
            let incoming = TlsListener::serve(listener, tls).unwrap().into_incoming();
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self { address, told, service, runtime: Some(runtime) }
    }

    /// Waits, at most 5 s, until `reached` holds of what it was told.
    pub async fn until(&self, reached: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let mut told = self.told.subscribe();
        let wait = told.wait_for(|told| reached(told));
        let limit = std::time::Duration::from_secs(5);
        match tokio::time::timeout(limit, wait).await {
            Ok(told) => told.unwrap().clone(),
            Err(_) => panic!("never reached: {:?}", self.told.borrow()),
        }
    }

    /// Closes the gate as its deadline does.
    pub fn close_gate(&self) {
        self.service.input(Input::Close { reason: String::from("lease_ended") });
    }

    /// The certificate that the peer of the newest connection showed.
    pub fn peer(&self) -> Vec<u8> {
        self.service.peer.lock().unwrap().clone()
    }

    pub fn told(&self) -> Vec<Told> {
        self.told.borrow().clone()
    }
}

struct Service {
    uid: String,
    told: Arc<watch::Sender<Vec<Told>>>,
    inner: Mutex<Inner>,
    begun: Instant,
    peer: Mutex<Vec<u8>>,
    gate: watch::Sender<proto::GateReply>,
}

struct Inner {
    enforcer: Enforcer,
    nonces: u8,
    refusals: usize,
}

impl Service {
    fn tell(&self, told: Told) {
        self.told.send_modify(|list| list.push(told));
    }

    fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.begun.elapsed().as_nanos()).unwrap())
    }

    fn input(&self, input: Input) -> proto::GateReply {
        let mut inner = self.inner.lock().unwrap();
        inner.enforcer.handle_input(input, self.now());
        let mut reply = proto::GateReply::default();
        while let Some(output) = inner.enforcer.poll_output() {
            if let Output::Rejected(error) = output {
                reply.rejected = error.code().to_owned();
            }
        }
        reply.gate = match inner.enforcer.gate() {
            Gate::Closed { .. } => proto::GateState::Closed.into(),
            Gate::Open { .. } => proto::GateState::Open.into(),
            Gate::Latched => proto::GateState::Latched.into(),
        };
        self.gate.send_replace(proto::GateReply { rejected: String::new(), ..reply.clone() });
        reply
    }
}

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Tmm for Service {
    type WatchGateStream = Boxed<proto::GateReply>;
    type WatchReportsStream = Boxed<proto::Report>;

    async fn hello(
        &self,
        request: Request<proto::HelloRequest>,
    ) -> Result<Response<proto::HelloReply>, Status> {
        *self.peer.lock().unwrap() = request.peer_certs().unwrap()[0].to_vec();
        self.tell(Told::Hello);
        let nonce = {
            let mut inner = self.inner.lock().unwrap();
            inner.nonces += 1;
            [inner.nonces; 16]
        };
        self.input(Input::Hello { nonce });
        Ok(Response::new(proto::HelloReply {
            pod: self.uid.clone(),
            boot_id: format!("{:p}", Arc::as_ptr(&self.told)),
            nonce: nonce.to_vec(),
            ..proto::HelloReply::default()
        }))
    }

    async fn lease(
        &self,
        request: Request<proto::LeaseRequest>,
    ) -> Result<Response<proto::GateReply>, Status> {
        let reply = self.input(Input::Lease { jws: request.into_inner().jws });
        self.tell(Told::Lease(reply.rejected.clone()));
        Ok(Response::new(reply))
    }

    async fn close(
        &self,
        request: Request<proto::CloseRequest>,
    ) -> Result<Response<proto::GateReply>, Status> {
        let reply = self.input(Input::Close { reason: request.into_inner().reason });
        self.tell(Told::Close);
        Ok(Response::new(reply))
    }

    async fn watch_gate(
        &self,
        _: Request<proto::WatchGateRequest>,
    ) -> Result<Response<Self::WatchGateStream>, Status> {
        let stream = WatchStream::new(self.gate.subscribe()).map(Ok);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn apply(
        &self,
        request: Request<proto::ApplyRequest>,
    ) -> Result<Response<proto::ApplyReply>, Status> {
        let spec = Spec::decode(&request.into_inner().spec).unwrap();
        let generation = spec.generation;
        let refused = {
            let mut inner = self.inner.lock().unwrap();
            let refused = inner.refusals > 0;
            inner.refusals = inner.refusals.saturating_sub(1);
            refused
        };
        self.tell(Told::Apply(Box::new(spec)));
        Ok(Response::new(proto::ApplyReply {
            generation,
            accepted: !refused,
            ..proto::ApplyReply::default()
        }))
    }

    async fn watch_reports(
        &self,
        _: Request<proto::WatchReportsRequest>,
    ) -> Result<Response<Self::WatchReportsStream>, Status> {
        let report = Ok(proto::Report::default());
        let stream = tokio_stream::once(report).chain(tokio_stream::pending());
        Ok(Response::new(Box::pin(stream)))
    }

    async fn statistics(
        &self,
        _: Request<proto::StatisticsRequest>,
    ) -> Result<Response<proto::StatisticsReply>, Status> {
        Err(Status::unimplemented("no packets here"))
    }

    async fn flows(
        &self,
        _: Request<proto::FlowsRequest>,
    ) -> Result<Response<proto::FlowsReply>, Status> {
        Err(Status::unimplemented("no packets here"))
    }
}
