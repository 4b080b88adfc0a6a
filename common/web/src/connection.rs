//! One connection, from its handshake to its end.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::client;
use crate::exchange::{Ends, Exchange, answer};
use crate::gate::{Gate, Guarded};
use crate::limits::Limits;
use crate::serve::{Arrival, Handler, Phase, Shared, Source};

/// Room for a request line that is too long to be told so (414) rather than cut off (431).
const HEAD_SLACK_BYTES: usize = 16 * 1024;
/// How long a connection that was accepted before the signal to stop may take to ask something.
const FIRST_REQUEST: Duration = Duration::from_secs(2);
/// How long a peer that asks nothing may take to leave once it was told to.
const LEAVE: Duration = Duration::from_secs(1);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams that a peer may open and reset, or make us reset, faster than they are dealt with.
const RESETS: usize = 32;
const WINDOW_BYTES: u32 = 64 * 1024;
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Serves a connection until it ends, by whichever side.
pub(crate) async fn run<H: Handler>(
    shared: Arc<Shared<H>>,
    arrival: Arrival,
    phase: watch::Receiver<Phase>,
) {
    let Arrival { mut stream, peer, source } = arrival;
    let (client, _counted) = match source {
        Some(source) => (peer.ip(), source),
        None => match announced(&shared, &mut stream, peer).await {
            Some(announced) => announced,
            None => return,
        },
    };
    let ends = Ends { peer, source: client };
    let acceptor = TlsAcceptor::from(shared.tls.current());
    let stream = match timeout(shared.limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http_2(shared, stream, ends, phase).await;
    } else {
        http_1(shared, stream, ends, phase).await;
    }
}

/// Whom a peer connects for that must say so, counted as one of that source's connections.
async fn announced<H: Handler>(
    shared: &Shared<H>,
    stream: &mut TcpStream,
    peer: SocketAddr,
) -> Option<(IpAddr, Source)> {
    let client = match timeout(shared.limits.handshake, client::announced(stream)).await {
        Ok(Ok(announced)) => announced.unwrap_or(peer.ip()),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "not told for whom");
            return None;
        }
        Err(_) => {
            tracing::debug!(%peer, "the PROXY header took too long");
            return None;
        }
    };
    let source = shared.sources.enter(client);
    if source.is_none() {
        tracing::debug!(%peer, %client, "too many connections from one source");
    }
    source.map(|source| (client, source))
}

async fn http_1<H: Handler>(
    shared: Arc<Shared<H>>,
    stream: TlsStream<TcpStream>,
    ends: Ends,
    phase: watch::Receiver<Phase>,
) {
    let limits = shared.limits.clone();
    let gate = Arc::new(Gate::default());
    let activity = Arc::new(Activity::default());
    let io = guarded(stream, Some(gate.clone()), &limits);
    let exchange =
        Arc::new(Exchange { shared, ends, activity: activity.clone(), gate: Some(gate) });
    let service =
        service_fn(move |request: http::Request<Incoming>| answer(exchange.clone(), request));
    let head_bytes = limits.header_bytes + limits.url_bytes + HEAD_SLACK_BYTES;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The gate has this deadline: hyper's would also end idle connections.
        .header_read_timeout(None)
        .max_headers(limits.headers_count)
        .max_header_size(head_bytes)
        .max_buf_size(head_bytes.max(8192))
        .serve_connection(TokioIo::new(io), service);
    drive(connection, &activity, &limits, phase).await;
}

async fn http_2<H: Handler>(
    shared: Arc<Shared<H>>,
    stream: TlsStream<TcpStream>,
    ends: Ends,
    phase: watch::Receiver<Phase>,
) {
    let limits = shared.limits.clone();
    let activity = Arc::new(Activity::default());
    let io = guarded(stream, None, &limits);
    let exchange = Arc::new(Exchange { shared, ends, activity: activity.clone(), gate: None });
    let service =
        service_fn(move |request: http::Request<Incoming>| answer(exchange.clone(), request));
    let head_bytes = limits.header_bytes + limits.url_bytes + HEAD_SLACK_BYTES;
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .max_header_list_size(u32::try_from(head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(io), service);
    drive(connection, &activity, &limits, phase).await;
}

fn guarded(
    stream: TlsStream<TcpStream>,
    gate: Option<Arc<Gate>>,
    limits: &Limits,
) -> Guarded<TlsStream<TcpStream>> {
    Guarded::new(stream, gate, limits.header_read, limits.write_stall)
}

/// What hyper's two connections have in common.
trait Connection: Future<Output = hyper::Result<()>> {
    /// Finishes what is in flight and takes no more.
    fn leave(self: Pin<&mut Self>);
}

impl<S, F, B> Connection for http1::Connection<TokioIo<Guarded<TlsStream<TcpStream>>>, S>
where
    S: hyper::service::Service<
            http::Request<Incoming>,
            Response = http::Response<B>,
            Error = std::convert::Infallible,
            Future = F,
        >,
    F: Future<Output = Result<http::Response<B>, std::convert::Infallible>>,
    B: hyper::body::Body<Error = std::convert::Infallible> + 'static,
{
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, F, B> Connection
    for http2::Connection<TokioIo<Guarded<TlsStream<TcpStream>>>, S, TokioExecutor>
where
    S: hyper::service::Service<
            http::Request<Incoming>,
            Response = http::Response<B>,
            Error = std::convert::Infallible,
            Future = F,
        >,
    F: Future<Output = Result<http::Response<B>, std::convert::Infallible>> + Send + 'static,
    B: hyper::body::Body<Data: Send, Error = std::convert::Infallible> + Send + 'static,
{
    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Runs the connection until it ends, is idle too long, stalls, or the process is to stop.
async fn drive(
    connection: impl Connection,
    activity: &Activity,
    limits: &Limits,
    phase: watch::Receiver<Phase>,
) {
    let mut phase = phase;
    let mut connection = pin!(connection);
    let mut stay = Stay::Open;
    if *phase.borrow_and_update() != Phase::Serve {
        stay = Stay::until_first_request();
    }
    loop {
        let next = match stay {
            Stay::Open => activity.next_check(limits),
            Stay::FirstRequest(until) | Stay::Leaving(until) => until,
        };
        tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            changed = phase.changed() => {
                let now = *phase.borrow_and_update();
                if changed.is_err() || now == Phase::Stop {
                    return;
                }
                // A connection that was just accepted deserves its one answer.
                if activity.seen_any() {
                    connection.as_mut().leave();
                    stay = Stay::Leaving(Instant::now() + limits.drain);
                } else {
                    stay = Stay::until_first_request();
                }
            }
            () = activity.first_request(), if matches!(stay, Stay::FirstRequest(_)) => {
                connection.as_mut().leave();
                stay = Stay::Leaving(Instant::now() + limits.drain);
            }
            () = sleep_until(next) => match (&stay, activity.verdict(limits)) {
                (Stay::Leaving(_), _) | (_, Verdict::Stalled) => return,
                (Stay::FirstRequest(_), _) | (Stay::Open, Verdict::Idle) => {
                    connection.as_mut().leave();
                    stay = Stay::Leaving(Instant::now() + LEAVE);
                }
                (Stay::Open, Verdict::Fine) => {}
            }
        }
    }
}

enum Stay {
    Open,
    FirstRequest(Instant),
    Leaving(Instant),
}

impl Stay {
    fn until_first_request() -> Self {
        Self::FirstRequest(Instant::now() + FIRST_REQUEST)
    }
}

enum Verdict {
    Fine,
    Idle,
    Stalled,
}

/// What a connection is busy with.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<Busy>,
    first: Notify,
}

#[derive(Debug)]
struct Busy {
    seen: u64,
    active: usize,
    /// When each response that has not been handed over was ready.
    responses: BTreeMap<u64, Instant>,
    last: Instant,
}

impl Default for Activity {
    fn default() -> Self {
        let state = Busy { seen: 0, active: 0, responses: BTreeMap::new(), last: Instant::now() };
        Self { state: Mutex::new(state), first: Notify::new() }
    }
}

impl Activity {
    /// Counts a request until the guard is dropped, which is when its response has gone.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.lock();
        state.seen += 1;
        state.active += 1;
        let number = state.seen;
        drop(state);
        self.first.notify_one();
        InFlight { activity: self.clone(), number }
    }

    fn seen_any(&self) -> bool {
        self.lock().seen > 0
    }

    async fn first_request(&self) {
        self.first.notified().await;
    }

    /// When to look next. A response that begins meanwhile wakes nobody, so never later than
    /// one could have stalled.
    fn next_check(&self, limits: &Limits) -> Instant {
        let state = self.lock();
        let soon = Instant::now() + limits.response_total;
        match state.responses.values().min() {
            Some(oldest) => *oldest + limits.response_total,
            None if state.active > 0 => soon,
            None => soon.min(state.last + limits.idle),
        }
    }

    fn verdict(&self, limits: &Limits) -> Verdict {
        let state = self.lock();
        let now = Instant::now();
        match state.responses.values().min() {
            Some(oldest) if now >= *oldest + limits.response_total => Verdict::Stalled,
            None if state.active == 0 && now >= state.last + limits.idle => Verdict::Idle,
            Some(_) | None => Verdict::Fine,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Busy> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is not answered yet, or whose answer is not gone yet.
#[derive(Debug)]
pub(crate) struct InFlight {
    activity: Arc<Activity>,
    number: u64,
}

impl InFlight {
    /// The response exists; from here on only the peer is slow.
    pub(crate) fn responding(&self) {
        self.activity.lock().responses.insert(self.number, Instant::now());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        state.responses.remove(&self.number);
        state.active = state.active.saturating_sub(1);
        state.last = Instant::now();
    }
}
