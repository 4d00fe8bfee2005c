//! A Controller's end of the local form.

use std::path::PathBuf;

use spk_entitlement::messages::{Envelope, Route};
use tokio::io::{ReadHalf, split};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout};
use tokio_stream::StreamExt as _;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

use super::frame::{Frame, codec, text, write_all};
use crate::core::{Core, Task};
use crate::outbox::{Number, PublishError};
use crate::supervise::{Ended, Session};

/// The way to the CWC's socket.
#[derive(Debug)]
pub struct LocalClient {
    path: PathBuf,
    namespace: String,
}

impl LocalClient {
    /// The way of the Controller of `namespace` to the socket `path`.
    pub const fn new(path: PathBuf, namespace: String) -> Self {
        Self { path, namespace }
    }

    async fn connect(&self) -> Result<Open, String> {
        let name = self.path.display();
        let socket = UnixStream::connect(&self.path)
            .await
            .map_err(|error| format!("cannot reach the bus at {name}: {error}"))?;
        let (reader, writer) = split(socket);
        let (frames, receiver) = mpsc::unbounded_channel();
        let mut writing = JoinSet::new();
        writing.spawn(write_all(writer, receiver));
        let mut open = Open { reader: FramedRead::new(reader, codec()), frames, writing };
        open.send(Frame::Hello { namespace: self.namespace.clone() });
        match timeout(PATIENCE, open.next_frame()).await {
            Ok(Ok(Frame::Welcome)) => Ok(open),
            Ok(Ok(Frame::Refused { reason })) => Err(reason),
            Ok(Ok(_)) => Err(String::from("the CWC greets wrongly")),
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err(format!("the CWC does not answer at {name}")),
        }
    }
}

impl Session for LocalClient {
    type Tag = u64;

    async fn run(&mut self, core: &mut Core<u64>) -> Ended {
        let mut open = match self.connect().await {
            Ok(open) => open,
            Err(reason) => {
                tracing::error!("{reason}");
                return Ended::Lost(reason);
            }
        };
        tracing::info!("connected to the bus at {}", self.path.display());
        core.up();
        let ended = open.serve(core).await;
        match &ended {
            Ended::Lost(reason) => tracing::warn!("lost the bus: {reason}"),
            Ended::Closed(_) => open.close(core.last_acknowledgements()).await,
        }
        ended
    }

    async fn better_prospects(&mut self) {
        std::future::pending().await
    }
}

/// A connection in use. Its writer ends with it.
#[derive(Debug)]
struct Open {
    reader: FramedRead<ReadHalf<UnixStream>, LengthDelimitedCodec>,
    frames: mpsc::UnboundedSender<Frame>,
    writing: JoinSet<()>,
}

impl Open {
    async fn serve(&mut self, core: &mut Core<u64>) -> Ended {
        loop {
            let now = Instant::now();
            if core.outbox.is_overdue(now) {
                return Ended::Lost(String::from("the CWC did not confirm a message in time"));
            }
            while let Some((number, envelope)) = core.outbox.poll_output(now) {
                self.publish(core, number, envelope);
            }
            tokio::select! {
                task = core.next_task() => match task {
                    Task::Send => {}
                    Task::Acknowledge(tags) => {
                        tags.into_iter().for_each(|tag| self.send(Frame::Done { tag }));
                    }
                    Task::HandBack(tags) => {
                        tags.into_iter().for_each(|tag| self.send(Frame::Back { tag }));
                    }
                    Task::Close(done) => return Ended::Closed(done),
                },
                frame = self.next_frame() => {
                    if let Err(reason) = frame.and_then(|frame| self.take(core, frame)) {
                        return Ended::Lost(reason);
                    }
                }
            }
        }
    }

    /// Acknowledges the last messages and closes, in bounded time.
    async fn close(mut self, last: Vec<u64>) {
        last.into_iter().for_each(|tag| self.send(Frame::Done { tag }));
        drop(self.frames);
        // What is not written then comes again.
        let _ = timeout(CLOSING, self.writing.join_next()).await;
    }

    fn publish(&self, core: &mut Core<u64>, number: Number, envelope: Envelope) {
        match (&envelope.route, text(&envelope)) {
            (Route::Cwc, Some(body)) => {
                self.send(Frame::Publish { number, properties: envelope.properties, body });
            }
            (Route::Cwc, None) => core.outbox.answered(number, Err(PublishError::Rejected)),
            (Route::Namespace(_) | Route::Heartbeat | Route::License, _) => {
                core.outbox.answered(number, Err(PublishError::Unroutable));
            }
        }
    }

    fn take(&self, core: &mut Core<u64>, frame: Frame) -> Result<(), String> {
        match frame {
            Frame::Answer { number, taken } => {
                let result = if taken { Ok(()) } else { Err(PublishError::Rejected) };
                core.outbox.answered(number, result);
                Ok(())
            }
            Frame::Deliver { tag, redelivered, properties, body } => {
                if let Some(tag) = core.receive(&properties, body.as_bytes(), redelivered, tag) {
                    self.send(Frame::Done { tag });
                }
                Ok(())
            }
            Frame::Hello { .. }
            | Frame::Welcome
            | Frame::Refused { .. }
            | Frame::Publish { .. }
            | Frame::Done { .. }
            | Frame::Back { .. } => Err(String::from("the CWC sent a frame out of place")),
        }
    }

    fn send(&self, frame: Frame) {
        // A writer that ended shows in the next read.
        let _ = self.frames.send(frame);
    }

    /// The next frame. May be cancelled without loss.
    async fn next_frame(&mut self) -> Result<Frame, String> {
        match self.reader.next().await {
            Some(Ok(bytes)) => {
                Frame::decode(&bytes).ok_or_else(|| String::from("the CWC sent no frame of ours"))
            }
            Some(Err(error)) => Err(format!("reading from the CWC failed: {error}")),
            None => Err(String::from("the CWC closed the connection")),
        }
    }
}

/// Longest wait for the greeting.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest orderly end.
const CLOSING: Duration = Duration::from_secs(2);
