//! The task that owns the connection.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use wire::{Decoder, REPLY_MAX, Reply};

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// Encoded but unsent bytes that stop the taking of further requests.
const UNSENT_MAX: usize = 64 * 1024;
const READ_CHUNK: usize = 16 * 1024;
/// A keyd that owes answers and says nothing for this long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A request on its way, and who waits for the answer. Dropping it says that there will be none.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) id: u64,
    pub(crate) frame: Vec<u8>,
    /// After this it is not sent any more.
    pub(crate) send_by: Instant,
    pub(crate) answer: oneshot::Sender<Reply>,
    /// Held until the answer is there, even if nobody waits for it: keyd still has the request.
    pub(crate) place: OwnedSemaphorePermit,
}

impl Ask {
    fn is_wanted(&self) -> bool {
        !self.answer.is_closed() && Instant::now() < self.send_by
    }
}

/// Serves until every [`crate::Signer`] is gone.
pub(crate) async fn run(path: PathBuf, keyd_uid: u32, mut queue: mpsc::Receiver<Ask>) {
    let mut waiting = VecDeque::new();
    loop {
        // Nobody asks: no reason to connect.
        if waiting.is_empty() {
            match queue.recv().await {
                Some(ask) => waiting.push_back(ask),
                None => return,
            }
        }
        let Some(stream) = connect(&path, keyd_uid, &mut queue, &mut waiting).await else {
            continue;
        };
        let mut connection = Connection { stream, pending: HashMap::new(), unsent: Vec::new() };
        match connection.serve(&mut queue, &mut waiting).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the connection to keyd is lost"),
        }
    }
}

/// Connects, with growing pauses; `None` as soon as nobody waits any more.
async fn connect(
    path: &Path,
    keyd_uid: u32,
    queue: &mut mpsc::Receiver<Ask>,
    waiting: &mut VecDeque<Ask>,
) -> Option<UnixStream> {
    let mut pause = PAUSE_FIRST;
    loop {
        match trusted(path, keyd_uid).await {
            Ok(stream) => return Some(stream),
            Err(error) => tracing::warn!(%error, "keyd cannot be reached"),
        }
        let until = Instant::now() + pause;
        pause = (pause * 2).min(PAUSE_MAX);
        loop {
            tokio::select! {
                () = sleep_until(until) => break,
                Some(ask) = queue.recv() => waiting.push_back(ask),
            }
        }
        waiting.retain(Ask::is_wanted);
        if waiting.is_empty() {
            return None;
        }
    }
}

/// A connection whose other end the kernel knows to be keyd.
async fn trusted(path: &Path, keyd_uid: u32) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path).await?;
    let uid = stream.peer_cred()?.uid();
    if uid != keyd_uid {
        tracing::error!(uid, keyd_uid, "ALARM: the socket of keyd belongs to somebody else");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "this is not keyd"));
    }
    Ok(stream)
}

struct Connection {
    stream: UnixStream,
    /// By request id. Dropped with the connection: then every waiter knows.
    pending: HashMap<u64, (oneshot::Sender<Reply>, OwnedSemaphorePermit)>,
    unsent: Vec<u8>,
}

impl Connection {
    /// `Ok` when every `Signer` is gone and every answer delivered.
    async fn serve(
        &mut self,
        queue: &mut mpsc::Receiver<Ask>,
        waiting: &mut VecDeque<Ask>,
    ) -> io::Result<()> {
        for ask in waiting.drain(..) {
            self.take(ask);
        }
        let mut received = Vec::new();
        let mut heard = Instant::now();
        let mut open = true;
        while open || !self.pending.is_empty() {
            let (mut reader, mut writer) = self.stream.split();
            tokio::select! {
                ask = queue.recv(), if open && self.unsent.len() < UNSENT_MAX => match ask {
                    Some(ask) => {
                        if self.pending.is_empty() {
                            heard = Instant::now();
                        }
                        self.take(ask);
                    }
                    None => open = false,
                },
                sent = writer.write(&self.unsent), if !self.unsent.is_empty() => {
                    self.unsent.drain(..sent?);
                }
                got = read(&mut reader, &mut received) => {
                    got?;
                    heard = Instant::now();
                    self.deliver(&mut received)?;
                }
                () = sleep_until(heard + SILENCE_MAX), if !self.pending.is_empty() => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "keyd is silent"));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, ask: Ask) {
        if ask.is_wanted() {
            self.unsent.extend_from_slice(&ask.frame);
            self.pending.insert(ask.id, (ask.answer, ask.place));
        }
    }

    fn deliver(&mut self, received: &mut Vec<u8>) -> io::Result<()> {
        let mut used = 0;
        loop {
            let rest = received.get(used..).unwrap_or_default();
            let frame = Decoder::new(REPLY_MAX).next::<Reply>(rest).map_err(invalid)?;
            let Some((id, reply, length)) = frame else { break };
            used += length;
            let (answer, _place) = self
                .pending
                .remove(&id)
                .ok_or_else(|| invalid("an answer to a question that was not asked"))?;
            // Whoever asked may have stopped waiting.
            let _ = answer.send(reply);
        }
        received.drain(..used);
        Ok(())
    }
}

async fn read(
    reader: &mut tokio::net::unix::ReadHalf<'_>,
    received: &mut Vec<u8>,
) -> io::Result<()> {
    received.reserve(READ_CHUNK);
    match reader.read_buf(received).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "keyd closed the connection")),
        _ => Ok(()),
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
