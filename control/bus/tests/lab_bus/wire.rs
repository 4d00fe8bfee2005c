//! A TCP line between an end and the broker that can be cut, and whose answers can be held back.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// How the present connections are treated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Open,
    /// What the broker says reaches nobody.
    Deaf,
    /// They end.
    Cut,
}

/// A line; dropping it cuts it.
pub struct Wire {
    port: u16,
    mode: Arc<watch::Sender<Mode>>,
    _tasks: JoinSet<()>,
}

impl Wire {
    /// A line to 127.0.0.1:`to`.
    pub async fn to(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(watch::Sender::new(Mode::Open));
        let mut tasks = JoinSet::new();
        let modes = mode.clone();
        tasks.spawn(async move {
            let mut lines = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
                modes.send_replace(Mode::Open);
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                lines.spawn(carry(near_in, far_out, modes.subscribe(), false));
                lines.spawn(carry(far_in, near_out, modes.subscribe(), true));
            }
        });
        Self { port, mode, _tasks: tasks }
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Holds back what the broker says, until the next connection is made.
    pub fn hold_answers(&self) {
        self.mode.send_replace(Mode::Deaf);
    }

    /// Cuts all connections; the next one is carried.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    answers: bool,
) {
    let mut bytes = vec![0; 65_536];
    let mut deaf = false;
    loop {
        tokio::select! {
            biased;
            changed = mode.changed() => {
                let now = *mode.borrow_and_update();
                // Once deaf, a connection never hears again: its stream has a gap.
                deaf |= answers && now == Mode::Deaf;
                if changed.is_err() || now == Mode::Cut {
                    return;
                }
            }
            read = from.read(&mut bytes) => match read {
                Ok(length) if length > 0 => {
                    if !deaf && to.write_all(&bytes[..length]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
