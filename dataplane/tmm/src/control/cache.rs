//! What a latched process resumes from after a crash: its latch and its last applied snapshot.
//!
//! Owns two files in a folder that outlives the process but not the pod. Decides nothing: a latch
//! that is read back passes the enforcer as a new one does, and only if it latches the gate is the
//! snapshot applied. Written while the gate is latched only, so a trial finds nothing (it waits
//! closed for an `open` lease).
//!
//! Source: licensing.md §12.2 (G15).

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tmm_config::Spec;
use tmm_rpc::proto::GateState;
use tokio::sync::{mpsc, oneshot, watch};

use super::applier::Message;
use super::gatekeeper::{GateHandle, Request};
use crate::log;

/// The folder.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// A cache in `folder`, which is made when it is first written.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Latches the gate and applies the snapshot, if both are there and the latch is good; whether
    /// it did.
    pub async fn resume(&self, gate: &GateHandle, applier: &mpsc::Sender<Message>) -> bool {
        let (latch, spec) = (self.read(LATCH).await, self.read(SNAPSHOT).await);
        let (Some(latch), Some(spec)) = (latch, spec) else { return false };
        let Ok(jws) = String::from_utf8(latch) else { return false };
        let Ok(spec) = Spec::decode(&spec) else { return false };
        match gate.ask(Request::Lease { jws }).await {
            Ok(answer) if answer.gate.gate() == GateState::Latched => {}
            Ok(_) | Err(_) => return false,
        }
        let (answer, applied) = oneshot::channel();
        if applier.send(Message::Apply(Box::new(spec), answer)).await.is_err() {
            return false;
        }
        applied.await.is_ok_and(|applied| applied.report.accepted)
    }

    /// Keeps the newest latch and, with it, the newest accepted snapshot, until both senders are
    /// gone.
    pub async fn follow(
        self,
        mut latches: watch::Receiver<Option<String>>,
        mut specs: watch::Receiver<Option<Arc<Spec>>>,
    ) {
        loop {
            let latch = latches.borrow_and_update().clone();
            let spec = specs.borrow_and_update().clone();
            if let Some(latch) = latch {
                let cache = self.clone();
                // It waits for a disk.
                let kept = tokio::task::spawn_blocking(move || {
                    let written = spec.map_or(Ok(()), |spec| cache.write(SNAPSHOT, &spec.encode()));
                    written.and_then(|()| cache.write(LATCH, latch.as_bytes()))
                });
                if let Ok(Err(error)) = kept.await {
                    log::library("cache", &format!("cannot write: {error}"));
                }
            }
            tokio::select! {
                Ok(()) = latches.changed() => {}
                Ok(()) = specs.changed() => {}
                else => return,
            }
        }
    }

    async fn read(&self, name: &str) -> Option<Vec<u8>> {
        tokio::fs::read(self.folder.join(name)).await.ok()
    }

    /// Replaces a file at once. Not synced: a machine that loses its memory loses the pod too.
    fn write(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let path = self.folder.join(name);
        if std::fs::read(&path).is_ok_and(|held| held == contents) {
            return Ok(());
        }
        make_folder(&self.folder)?;
        let aside = self.folder.join(format!(".{name}.new"));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(contents)?;
        std::fs::rename(aside, path)
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The latch statement.
const LATCH: &str = "latch.jws";
/// The snapshot, in its canonical form.
const SNAPSHOT: &str = "snapshot.json";
