//! One peer's connection: bytes to requests, replies to bytes, and every limit on the way.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{SendFlags, send};
use wire::{Decoder, FRAME_MAX, REPLY_MAX, Refused, Reply, Request};

use crate::permit::Peer;

/// Most requests of one connection that wait for an answer; then keyd stops reading from it.
pub const IN_FLIGHT_MAX: usize = 64;
/// Bytes of the receive buffer; the longest frame fits. Also how many unsent bytes stop the reading.
const BUFFER: usize = 64 * 1024;
/// How long a frame may take to arrive, and how long a peer may leave its replies unread.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection that passed the uid check.
pub struct Connection {
    stream: UnixStream,
    /// Who is at the other end.
    pub peer: Peer,
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Default)]
struct State {
    in_flight: usize,
    unsent: Vec<u8>,
    /// A thread of its own is sending `unsent`, because the peer was slow.
    draining: bool,
    closed: bool,
    reader_waits: bool,
}

impl Connection {
    /// Takes over an accepted stream.
    pub fn new(stream: UnixStream, peer: Peer) -> std::io::Result<Arc<Self>> {
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Arc::new(Self { stream, peer, state: Mutex::default(), room: Condvar::new() }))
    }

    /// Reads until the peer is gone, breaks the rules or is too slow; `handle` gets each request.
    pub fn read(self: &Arc<Self>, mut handle: impl FnMut(u64, Request)) {
        if let Err(end) = self.read_frames(&mut handle)
            && let Some(reason) = end
        {
            tracing::warn!(peer = self.peer.name(), reason, "connection closed");
        }
        self.close();
    }

    /// Ends with `None` when there is nothing to complain about.
    fn read_frames(
        &self,
        handle: &mut impl FnMut(u64, Request),
    ) -> Result<(), Option<&'static str>> {
        let mut buffer = vec![0; BUFFER];
        let mut filled = 0;
        let mut deadline: Option<Instant> = None;
        let mut timed = false;
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Some("a frame took too long"));
            }
            if timed || left.is_some() {
                self.stream.set_read_timeout(left).map_err(|_| None)?;
                timed = left.is_some();
            }
            let space = buffer.get_mut(filled..).unwrap_or_default();
            match (&self.stream).read(space) {
                Ok(0) if filled == 0 => return Err(None),
                Ok(0) => return Err(Some("the peer left in the middle of a frame")),
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Err(Some("a frame took too long"));
                }
                Err(_) => return Err(None),
            }
            let used = self.take_frames(buffer.get(..filled).unwrap_or_default(), handle)?;
            buffer.copy_within(used..filled, 0);
            filled -= used;
            deadline = match deadline {
                _ if filled == 0 => None,
                Some(running) if used == 0 => Some(running),
                Some(_) | None => Some(Instant::now() + PATIENCE),
            };
        }
    }

    fn take_frames(
        &self,
        bytes: &[u8],
        handle: &mut impl FnMut(u64, Request),
    ) -> Result<usize, Option<&'static str>> {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            match Decoder::new(FRAME_MAX).next(rest) {
                Ok(None) => return Ok(used),
                Ok(Some((id, request, length))) => {
                    self.wait_for_room()?;
                    used += length;
                    handle(id, request);
                }
                Err(error) => {
                    tracing::warn!(peer = self.peer.name(), %error, "malformed frame");
                    return Err(None);
                }
            }
        }
    }

    fn wait_for_room(&self) -> Result<(), Option<&'static str>> {
        let mut state = self.lock();
        while !state.closed && (state.in_flight >= IN_FLIGHT_MAX || state.unsent.len() >= BUFFER) {
            state.reader_waits = true;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.reader_waits = false;
        if state.closed { Err(None) } else { Ok(()) }
    }

    /// Counts a request that a worker will answer.
    pub fn begin(&self) {
        self.lock().in_flight += 1;
    }

    /// Answers a request that was counted by [`Self::begin`].
    pub fn finish(self: &Arc<Self>, id: u64, reply: &Reply) {
        let frame = framed(id, reply);
        let mut state = self.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        self.send(state, &frame);
    }

    /// Answers a request at once.
    pub fn answer(self: &Arc<Self>, id: u64, reply: &Reply) {
        let frame = framed(id, reply);
        self.send(self.lock(), &frame);
    }

    /// Sends what the socket takes now. The rest is for a thread of its own: a worker never waits for a peer.
    fn send(self: &Arc<Self>, mut state: MutexGuard<'_, State>, frame: &[u8]) {
        let mut rest = frame;
        while !state.closed && !state.draining && !rest.is_empty() {
            match send(&self.stream, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    let connection = Arc::clone(self);
                    let drain = std::thread::Builder::new().name("drain".to_owned());
                    state.draining = drain.spawn(move || connection.drain()).is_ok();
                    state.closed = !state.draining;
                }
                Err(_) => state.closed = true,
            }
        }
        if state.draining {
            state.unsent.extend_from_slice(rest);
        }
        let wake = state.reader_waits;
        let closed = state.closed;
        drop(state);
        if closed {
            self.close();
        } else if wake {
            self.room.notify_all();
        }
    }

    fn drain(&self) {
        let mut chunk = Vec::new();
        loop {
            {
                let mut state = self.lock();
                std::mem::swap(&mut chunk, &mut state.unsent);
                state.draining = !chunk.is_empty() && !state.closed;
                if !state.draining {
                    return;
                }
            }
            let sent = (&self.stream).write_all(&chunk);
            chunk.clear();
            if sent.is_err() {
                tracing::warn!(peer = self.peer.name(), "connection closed: replies left unread");
                self.close();
                return;
            }
            self.room.notify_all();
        }
    }

    /// Ends the connection in both directions and wakes whoever waits on it.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.unsent = Vec::new();
        drop(state);
        // Gone already is as good.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.room.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn framed(id: u64, reply: &Reply) -> Vec<u8> {
    wire::encode(id, reply, REPLY_MAX)
        .or_else(|_| {
            tracing::error!("a reply did not fit into a frame");
            wire::encode(id, &Reply::Refused(Refused::Internal), REPLY_MAX)
        })
        .unwrap_or_default()
}
