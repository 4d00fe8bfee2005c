//! The CWC's end of the local form: it serves the socket.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use spk_entitlement::messages::{Envelope, Properties, Route};
use tokio::io::{ReadHalf, split};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tokio_util::codec::FramedRead;

use super::frame::{Frame, codec, text, write_all};
use super::queue::Queue;
use crate::core::{Core, Task};
use crate::outbox::{Number, PublishError};
use crate::supervise::{Ended, Session};

/// The socket that the CWC serves.
#[derive(Debug)]
pub struct LocalServer {
    path: PathBuf,
}

/// A message in the CWC's hands: it comes again from here, as there is no broker that keeps it.
#[derive(Debug)]
pub struct Letter {
    properties: Properties,
    body: String,
}

impl LocalServer {
    /// Serves `path`; its directory must exist.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Session for LocalServer {
    type Tag = Letter;

    async fn run(&mut self, core: &mut Core<Letter>) -> Ended {
        let listener = match listen(&self.path) {
            Ok(listener) => listener,
            Err(error) => {
                let reason = format!("cannot serve the bus at {}: {error}", self.path.display());
                tracing::error!("{reason}");
                return Ended::Lost(reason);
            }
        };
        tracing::info!("serving the bus at {}", self.path.display());
        core.up();
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        let mut serving = Serving {
            listener,
            arrivals,
            sender,
            peers: HashMap::new(),
            next_peer: 0,
            instances: BTreeMap::new(),
            io: JoinSet::new(),
        };
        let ended = serving.serve(core).await;
        // Nobody is there to answer any more.
        let _ = fs::remove_file(&self.path);
        ended
    }

    async fn better_prospects(&mut self) {
        std::future::pending().await
    }
}

/// Listens at `path`, mode 0600 from its first moment on. Takes the place of an older socket.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

type PeerId = u64;

/// What came from a peer; none when it is gone.
type Arrived = (PeerId, Option<Frame>);

#[derive(Debug)]
struct Serving {
    listener: UnixListener,
    arrivals: mpsc::Receiver<Arrived>,
    sender: mpsc::Sender<Arrived>,
    peers: HashMap<PeerId, Peer>,
    next_peer: PeerId,
    instances: BTreeMap<String, Instance>,
    io: JoinSet<()>,
}

#[derive(Debug)]
struct Peer {
    frames: mpsc::UnboundedSender<Frame>,
    namespace: Option<String>,
}

#[derive(Debug, Default)]
struct Instance {
    queue: Queue,
    reader: Option<PeerId>,
}

impl Serving {
    async fn serve(&mut self, core: &mut Core<Letter>) -> Ended {
        loop {
            while let Some((number, envelope)) = core.outbox.poll_output(Instant::now()) {
                self.publish(core, number, envelope);
            }
            tokio::select! {
                task = core.next_task() => match task {
                    Task::Send | Task::Acknowledge(_) => {}
                    Task::HandBack(letters) => {
                        letters.into_iter().for_each(|letter| receive(core, letter, true));
                    }
                    Task::Close(done) => return Ended::Closed(done),
                },
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) => self.welcome(socket),
                    Err(error) => return Ended::Lost(format!("the bus's socket failed: {error}")),
                },
                Some((peer, frame)) = self.arrivals.recv() => match frame {
                    Some(frame) => self.take(core, peer, frame),
                    None => self.forget(peer),
                },
                Some(_) = self.io.join_next() => {}
            }
        }
    }

    fn welcome(&mut self, socket: UnixStream) {
        let peer = self.next_peer;
        self.next_peer += 1;
        let (reader, writer) = split(socket);
        let (frames, receiver) = mpsc::unbounded_channel();
        self.io.spawn(write_all(writer, receiver));
        self.io.spawn(read_all(reader, peer, self.sender.clone()));
        self.peers.insert(peer, Peer { frames, namespace: None });
    }

    fn take(&mut self, core: &mut Core<Letter>, peer: PeerId, frame: Frame) {
        // Frames of a peer that was dropped may still be on their way.
        let Some(Peer { namespace, .. }) = self.peers.get(&peer) else { return };
        match (namespace.clone(), frame) {
            (None, Frame::Hello { namespace }) => self.greet(peer, namespace),
            (Some(_), Frame::Publish { number, properties, body }) => {
                let taken = core.inbox.held() < LENGTH;
                if taken {
                    receive(core, Letter { properties, body }, false);
                }
                self.send(peer, Frame::Answer { number, taken });
            }
            (Some(namespace), Frame::Done { tag }) => {
                self.instances.entry(namespace.clone()).or_default().queue.done(tag);
                self.deliver(&namespace);
            }
            (Some(namespace), Frame::Back { tag }) => {
                self.instances.entry(namespace.clone()).or_default().queue.back(tag);
                self.deliver(&namespace);
            }
            (None, Frame::Publish { .. } | Frame::Done { .. } | Frame::Back { .. })
            | (Some(_), Frame::Hello { .. })
            | (
                _,
                Frame::Welcome
                | Frame::Refused { .. }
                | Frame::Answer { .. }
                | Frame::Deliver { .. },
            ) => {
                tracing::warn!("a peer of the local bus sent a frame out of place");
                self.forget(peer);
            }
        }
    }

    fn greet(&mut self, peer: PeerId, namespace: String) {
        let known = self.instances.contains_key(&namespace);
        if !known && self.instances.len() >= INSTANCES {
            return self.refuse(peer, format!("{INSTANCES} instances are on the bus already"));
        }
        let instance = self.instances.entry(namespace.clone()).or_default();
        if instance.reader.is_some() {
            let reason = format!("another Controller of {namespace} is on the bus");
            return self.refuse(peer, reason);
        }
        instance.reader = Some(peer);
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.namespace = Some(namespace.clone());
        }
        self.send(peer, Frame::Welcome);
        self.deliver(&namespace);
    }

    fn refuse(&mut self, peer: PeerId, reason: String) {
        self.send(peer, Frame::Refused { reason });
        self.forget(peer);
    }

    /// Its writer ends when all is written, and with it the connection.
    fn forget(&mut self, peer: PeerId) {
        let namespace = self.peers.remove(&peer).and_then(|peer| peer.namespace);
        let instance = namespace.and_then(|namespace| self.instances.get_mut(&namespace));
        if let Some(instance) = instance.filter(|instance| instance.reader == Some(peer)) {
            instance.reader = None;
            instance.queue.lost();
        }
    }

    fn send(&self, peer: PeerId, frame: Frame) {
        if let Some(peer) = self.peers.get(&peer) {
            // A writer that ended shows as a peer that is gone.
            let _ = peer.frames.send(frame);
        }
    }

    fn publish(&mut self, core: &mut Core<Letter>, number: Number, envelope: Envelope) {
        let Some(body) = text(&envelope) else {
            return core.outbox.answered(number, Err(PublishError::Rejected));
        };
        let result = match &envelope.route {
            Route::Cwc => {
                receive(core, Letter { properties: envelope.properties, body }, false);
                Ok(())
            }
            Route::Namespace(namespace) if self.instances.contains_key(namespace) => {
                let namespace = namespace.clone();
                self.enqueue(&namespace, envelope);
                Ok(())
            }
            Route::Namespace(_) => {
                core.returned(&envelope.route.key());
                Err(PublishError::Unroutable)
            }
            Route::Heartbeat | Route::License => {
                let namespaces: Vec<String> = self.instances.keys().cloned().collect();
                namespaces.iter().for_each(|name| self.enqueue(name, envelope.clone()));
                Ok(())
            }
        };
        core.outbox.answered(number, result);
    }

    fn enqueue(&mut self, namespace: &str, envelope: Envelope) {
        if let Some(instance) = self.instances.get_mut(namespace) {
            instance.queue.push(envelope, Instant::now());
            self.deliver(namespace);
        }
    }

    fn deliver(&mut self, namespace: &str) {
        let Some(instance) = self.instances.get_mut(namespace) else { return };
        let Some(peer) = instance.reader.and_then(|reader| self.peers.get(&reader)) else { return };
        while let Some(given) = instance.queue.poll_output(Instant::now()) {
            // What cannot be in a frame was refused by `publish`.
            let Some(body) = text(&given.envelope) else { continue };
            let properties = given.envelope.properties;
            let (tag, redelivered) = (given.tag, given.redelivered);
            // A writer that ended shows as a peer that is gone.
            let _ = peer.frames.send(Frame::Deliver { tag, redelivered, properties, body });
        }
    }
}

/// What need not be kept, as it is a repeat or refused, goes.
fn receive(core: &mut Core<Letter>, letter: Letter, redelivered: bool) {
    let (properties, body) = (letter.properties.clone(), letter.body.clone());
    drop(core.receive(&properties, body.as_bytes(), redelivered, letter));
}

async fn read_all(reader: ReadHalf<UnixStream>, peer: PeerId, arrivals: mpsc::Sender<Arrived>) {
    let mut reader = FramedRead::new(reader, codec());
    while let Some(Ok(bytes)) = reader.next().await {
        let Some(frame) = Frame::decode(&bytes) else { break };
        if arrivals.send((peer, Some(frame))).await.is_err() {
            return;
        }
    }
    // The end may be closed, too.
    let _ = arrivals.send((peer, None)).await;
}

/// Messages that the CWC may hold: `x-max-length` of queue `cwc`, with `x-overflow` reject-publish.
const LENGTH: usize = 10_000;
/// Namespaces with a queue (licensing.md §10.4).
const INSTANCES: usize = 256;
/// Frames that were read and not yet dealt with; then the peers wait.
const ARRIVALS: usize = 64;
