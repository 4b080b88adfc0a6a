//! The byte stream under HTTP: who is slow is cut off, and what HTTP/1.1 parsers read
//! differently is not read at all.
//!
//! hyper takes a bare line feed as a line end and drops a fragment from the request target;
//! software in front may not. A difference in where a request ends is request smuggling, so
//! the gate refuses such a head before hyper sees it: the offending byte is replaced by NUL,
//! which no head may contain, and hyper answers 400 and closes.
//!
//! To know a head from a body, the gate passes one head, then waits to be told by the exchange
//! ([`Gate::open`]) how long the body is.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

const READ_BYTES: usize = 8 * 1024;

/// How long the body is that follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// This many bytes, perhaps none; then the next head.
    Bytes(u64),
    /// Chunks, or something that the exchange will not read: the connection ends after this
    /// exchange, so nothing behind it is ever a head.
    Anything,
}

/// The exchange's handle on the stream under it.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    waiting: Option<Waker>,
}

#[derive(Debug)]
enum Phase {
    Head(Scan),
    /// A head went through and hyper has not called the exchange yet.
    Held,
    Body(u64),
    Rest,
    /// A head was refused; there is no more input.
    Shut,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Head(Scan::default())
    }
}

impl Gate {
    /// Lets through what follows the head that was just read.
    pub(crate) fn open(&self, follows: Follows) {
        let mut state = self.lock();
        state.phase = match follows {
            Follows::Bytes(0) => Phase::default(),
            Follows::Bytes(count) => Phase::Body(count),
            Follows::Anything => Phase::Rest,
        };
        if let Some(waker) = state.waiting.take() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has been seen of a head.
#[derive(Debug, Default)]
struct Scan {
    started: bool,
    after_request_line: bool,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    LineStart,
    InLine,
    AfterReturn {
        blank: bool,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    End,
    Refuse,
}

impl Scan {
    fn byte(&mut self, byte: u8) -> Verdict {
        self.started = true;
        match (byte, self.place) {
            (b'\n', Place::AfterReturn { blank }) => {
                self.place = Place::LineStart;
                let head_ends = blank && self.after_request_line;
                // RFC 9112 §2.2: "a server that is expecting to receive and parse a
                // request-line SHOULD ignore at least one empty line (CRLF) received prior to
                // the request-line".
                self.after_request_line |= !blank;
                if head_ends { Verdict::End } else { Verdict::Pass }
            }
            (b'\n' | 0, _) | (_, Place::AfterReturn { .. }) => Verdict::Refuse,
            (b'\r', place) => {
                self.place = Place::AfterReturn { blank: matches!(place, Place::LineStart) };
                Verdict::Pass
            }
            (b'#', _) if !self.after_request_line => Verdict::Refuse,
            (_, _) => {
                self.place = Place::InLine;
                Verdict::Pass
            }
        }
    }
}

/// A stream with deadlines, and with a gate if it carries HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    inner: S,
    gate: Option<Arc<Gate>>,
    /// Read from the peer, not yet let through.
    stash: BytesMut,
    head: Deadline,
    write: Deadline,
}

impl<S> Guarded<S> {
    pub(crate) fn new(
        inner: S,
        gate: Option<Arc<Gate>>,
        header_read: Duration,
        write_stall: Duration,
    ) -> Self {
        let (head, write) = (Deadline::new(header_read), Deadline::new(write_stall));
        Self { inner, gate, stash: BytesMut::new(), head, write }
    }
}

/// A timer that runs only while something is being waited for.
#[derive(Debug)]
struct Deadline {
    limit: Duration,
    running: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn new(limit: Duration) -> Self {
        Self { limit, running: None }
    }

    fn passed(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.limit;
        self.running.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx).is_ready()
    }

    fn stop(&mut self) {
        self.running = None;
    }

    /// The outcome of a write, bounded in time.
    fn bound<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Ready(outcome) => {
                self.stop();
                Poll::Ready(outcome)
            }
            Poll::Pending if self.passed(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Reads more into the stash; 0 is the end of input.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
        self.stash.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn pass(&mut self, count: usize, out: &mut ReadBuf<'_>) -> usize {
        let count = count.min(self.stash.len()).min(out.remaining());
        out.put_slice(self.stash.get(..count).unwrap_or_default());
        self.stash.advance(count);
        if self.stash.is_empty() {
            // An idle connection keeps no buffer.
            self.stash = BytesMut::new();
        }
        count
    }

    /// Passes stashed bytes of a head, up to its end or its offence.
    fn pass_head(&mut self, scan: &mut Scan, out: &mut ReadBuf<'_>) -> Option<Phase> {
        let room = out.remaining();
        let mut seen: usize = 0;
        let mut next = None;
        for byte in self.stash.iter().take(room) {
            seen += 1;
            match scan.byte(*byte) {
                Verdict::Pass => {}
                Verdict::End => next = Some(Phase::Held),
                Verdict::Refuse => next = Some(Phase::Shut),
            }
            if next.is_some() {
                break;
            }
        }
        if matches!(next, Some(Phase::Shut)) {
            self.pass(seen.saturating_sub(1), out);
            out.put_slice(&[0]);
        } else {
            self.pass(seen, out);
        }
        next
    }

    fn read_gated(
        &mut self,
        gate: &Gate,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = gate.lock();
        match &state.phase {
            Phase::Held => {
                state.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Phase::Shut => return Poll::Ready(Ok(())),
            Phase::Head(_) | Phase::Body(_) | Phase::Rest => {}
        }
        if self.stash.is_empty() {
            match self.fill(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    let begun = matches!(&state.phase, Phase::Head(scan) if scan.started);
                    if begun && self.head.passed(cx) {
                        return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                    }
                    return Poll::Pending;
                }
            }
        }
        match &mut state.phase {
            Phase::Head(scan) => {
                if let Some(next) = self.pass_head(scan, out) {
                    state.phase = next;
                    self.head.stop();
                }
            }
            Phase::Body(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                *left -= self.pass(most, out) as u64;
                if *left == 0 {
                    state.phase = Phase::default();
                }
            }
            Phase::Rest => {
                self.pass(usize::MAX, out);
            }
            Phase::Held | Phase::Shut => {}
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.gate.clone() {
            Some(_) if out.remaining() == 0 => Poll::Ready(Ok(())),
            Some(gate) => this.read_gated(&gate, cx, out),
            None => Pin::new(&mut this.inner).poll_read(cx, out),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.write.bound(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(cx, slices);
        this.write.bound(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_flush(cx);
        this.write.bound(outcome, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.write.bound(outcome, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn stream() -> (DuplexStream, Guarded<DuplexStream>, Arc<Gate>) {
        let (peer, inner) = duplex(64 * 1024);
        let gate = Arc::new(Gate::default());
        let short = Duration::from_millis(50);
        (peer, Guarded::new(inner, Some(gate.clone()), short, short), gate)
    }

    async fn read(stream: &mut Guarded<DuplexStream>) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let count = stream.read(&mut bytes).await.unwrap();
        bytes.truncate(count);
        bytes
    }

    #[tokio::test]
    async fn a_head_goes_through_alone_and_its_body_when_asked_for() {
        let (mut peer, mut stream, gate) = stream();
        let (first, second) = ("POST / HTTP/1.1\r\na: b\r\n\r\n", "\r\nGET /2 HTTP/1.1\r\n\r\n");
        peer.write_all(format!("{first}body{second}").as_bytes()).await.unwrap();
        assert_eq!(read(&mut stream).await, first.as_bytes());
        let held = tokio::time::timeout(Duration::from_millis(5), read(&mut stream)).await;
        assert!(held.is_err(), "nobody has said how long the body is");
        gate.open(Follows::Bytes(4));
        assert_eq!(read(&mut stream).await, b"body");
        assert_eq!(read(&mut stream).await, second.as_bytes());
        gate.open(Follows::Anything);
        peer.write_all(b"a\n\n#\0").await.unwrap();
        assert_eq!(read(&mut stream).await, b"a\n\n#\0");
    }

    #[tokio::test]
    async fn w100_what_parsers_read_differently_ends_the_input() {
        for (sent, passed) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\0"),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", "GET / HTTP/1.1\r\nHost: a\0"),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", "GET / HTTP/1.1\r\nHost: a\r\n\0"),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\0"),
            ("GET /#x HTTP/1.1\r\n\r\n", "GET /\0"),
            ("\nGET / HTTP/1.1\r\n\r\n", "\0"),
            ("GET / HTTP/1.1\r\na: \0b\r\n\r\n", "GET / HTTP/1.1\r\na: \0"),
        ] {
            let (mut peer, mut stream, _gate) = stream();
            peer.write_all(sent.as_bytes()).await.unwrap();
            assert_eq!(String::from_utf8(read(&mut stream).await).unwrap(), passed, "{sent:?}");
            assert_eq!(read(&mut stream).await, b"", "{sent:?}");
        }
    }

    #[tokio::test]
    async fn f29_a_head_that_does_not_end_and_a_peer_that_does_not_read_are_cut_off() {
        let (mut peer, mut stream, _gate) = stream();
        peer.write_all(b"GET /").await.unwrap();
        assert_eq!(read(&mut stream).await, b"GET /");
        let error = stream.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let error = stream.write_all(&vec![0; 128 * 1024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_idle_connection_is_not_a_slow_head() {
        let (mut peer, mut stream, _gate) = stream();
        let idle = tokio::time::timeout(Duration::from_millis(120), read(&mut stream)).await;
        assert!(idle.is_err(), "still waiting");
        peer.write_all(b"G").await.unwrap();
        assert_eq!(read(&mut stream).await, b"G");
    }
}
