//! The Unix socket of spk-node: how a person asks and orders (`spkctl node`).
//!
//! Owns the protocol, both ends: one JSON request a line, one JSON answer a line. The socket lies in
//! a folder of mode 0700 and has mode 0600: whoever may open it may order.
//! Source: issue `packets` section 7.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::files::catalogue::Catalogue;
use crate::supervisor::{PartName, PartState};
use spk_controller::view::View;

/// What a person asks or orders.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Everything that spk-node knows.
    Status,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// Everything that spk-node knows.
    Status(Box<NodeStatus>),
    /// The request was not carried out.
    Refused {
        /// Stable code.
        code: String,
        /// One sentence.
        message: String,
    },
}

/// Everything that spk-node knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The Controller.
    pub controller: View,
    /// The processes: TMMs in the order of `node.yaml`, then the others.
    pub processes: Vec<ProcessView>,
    /// What is wrong with files, besides the conditions of objects.
    pub complaints: Vec<Complaint>,
}

/// Something wrong with a file of the resource directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Complaint {
    /// The file.
    pub file: String,
    /// Line of the document or of the error.
    pub line: u64,
    /// One sentence.
    pub problem: String,
}

/// One process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessView {
    /// Name of its directory and log, such as `tmm-0`.
    pub name: String,
    /// Index of its replica, if it is a TMM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u16>,
    /// `running`, `waiting` or `stopped`.
    pub state: String,
    /// Process id while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Whether an earlier spk-node started it.
    pub adopted: bool,
    /// Restarts by this spk-node.
    pub restarts: u32,
    /// Why it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// Asks the spk-node whose socket is at `path`; waits at most 10 s.
///
/// # Errors
///
/// The system's error, also if the answer is none.
pub fn ask(path: &Path, request: Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ASK_LIMIT))?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// What the socket answers from.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The Controller's newest view.
    pub views: watch::Receiver<Arc<View>>,
    /// The resource directory.
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
    /// State of each process.
    pub processes: Vec<(PartName, watch::Receiver<PartState>)>,
}

/// Listens at `path`. The caller holds the lock of the state directory, so a socket that is there
/// is a dead one's.
///
/// # Errors
///
/// The system's error.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers at `listener` until the runtime ends.
pub fn serve(listener: UnixListener, desk: Desk) {
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let desk = desk.clone();
                    tokio::spawn(async move {
                        if let Err(error) = desk.attend(stream).await {
                            tracing::debug!(%error, "socket connection ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
}

impl Desk {
    async fn attend(&self, stream: tokio::net::UnixStream) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = tokio::io::BufReader::new(read.take(REQUEST_LIMIT)).lines();
        while let Some(line) = lines.next_line().await? {
            let answer = match serde_json::from_str(&line) {
                Ok(request) => self.answer(request),
                Err(error) => refused("request_malformed", &error),
            };
            let mut text = serde_json::to_vec(&answer)?;
            text.push(b'\n');
            write.write_all(&text).await?;
        }
        Ok(())
    }

    fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Status(Box::new(self.status())),
        }
    }

    /// Everything that spk-node knows.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            controller: self.views.borrow().as_ref().clone(),
            processes: self.processes(),
            complaints: self
                .catalogue
                .borrow()
                .complaints()
                .into_iter()
                .map(|(file, line, problem)| Complaint { file, line, problem })
                .collect(),
        }
    }

    /// The processes.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessView> {
        let of = |(part, state): &(PartName, watch::Receiver<PartState>)| {
            ProcessView::of(part, &state.borrow())
        };
        self.processes.iter().map(of).collect()
    }
}

impl ProcessView {
    fn of(part: &PartName, state: &PartState) -> Self {
        let (word, pid, adopted, restarts, cause) = match state {
            PartState::Stopped => ("stopped", None, false, 0, None),
            PartState::Running { pid, adopted, restarts, .. } => {
                ("running", Some(*pid), *adopted, *restarts, None)
            }
            PartState::Waiting { cause, restarts, .. } => {
                ("waiting", None, false, *restarts, Some(cause.clone()))
            }
        };
        let PartName { name, index } = part.clone();
        Self { name, index, state: word.to_owned(), pid, adopted, restarts, cause }
    }
}

fn refused(code: &str, error: &dyn std::error::Error) -> Answer {
    Answer::Refused { code: code.to_owned(), message: error.to_string() }
}

const ASK_LIMIT: Duration = Duration::from_secs(10);
/// Bytes that one connection may send.
const REQUEST_LIMIT: u64 = 64 << 10;
