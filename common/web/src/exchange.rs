//! One request and its response: the checks before a handler, the handler in a task of its
//! own, and the headers after it.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use crate::connection::{Activity, InFlight};
use crate::gate::{Follows, Gate};
use crate::limits::Limits;
use crate::request::{Request, RequestId};
use crate::response::{self, Response};
use crate::serve::{Handler, Shared};

/// A body that is over its limit by less than this is read to its end and thrown away, so that
/// the peer reads our answer rather than a reset connection.
const OVERRUN_BYTES: u64 = 1024 * 1024;

const PIECE_BYTES: usize = 16 * 1024;
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The two ends of a connection that are not ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// The other end of the TCP connection.
    pub(crate) peer: SocketAddr,
    /// The peer, or for whom it connects by its PROXY header.
    pub(crate) source: IpAddr,
}

/// What the exchanges of one connection share.
pub(crate) struct Exchange<H> {
    pub(crate) shared: Arc<Shared<H>>,
    pub(crate) ends: Ends,
    pub(crate) activity: Arc<Activity>,
    /// Only under HTTP/1.1.
    pub(crate) gate: Option<Arc<Gate>>,
}

/// Why a request reaches no handler, or gets no answer of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Method,
    Url,
    Headers,
    Framing,
    NoHost,
    WrongHost,
    Body,
    SlowBody,
    BrokenBody,
    Full,
}

impl Refusal {
    fn response(self, id: &RequestId) -> Response {
        let (status, code, detail) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method", "no such method here"),
            Self::Url => (StatusCode::URI_TOO_LONG, "url", "the URL is too long"),
            Self::Headers => {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                (status, "headers", "the headers are too many or too long")
            }
            Self::Framing => (StatusCode::BAD_REQUEST, "framing", "the request is malformed"),
            Self::NoHost => (StatusCode::BAD_REQUEST, "host", "Host must be there once"),
            Self::WrongHost => {
                (StatusCode::MISDIRECTED_REQUEST, "host", "this host is not served here")
            }
            Self::Body => (StatusCode::PAYLOAD_TOO_LARGE, "body", "the body is too long"),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "body", "the body took too long"),
            Self::BrokenBody => (StatusCode::BAD_REQUEST, "body", "the body is malformed"),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "busy", "busy; try again"),
        };
        let mut response = response::problem(status, code, detail, id);
        match self {
            Self::Method => {
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
            }
            Self::Full => {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Url
            | Self::Headers
            | Self::Framing
            | Self::NoHost
            | Self::WrongHost
            | Self::Body
            | Self::SlowBody
            | Self::BrokenBody => {}
        }
        response
    }

    /// Whether what follows on an HTTP/1.1 connection cannot be trusted to be a request.
    fn ends_connection(self) -> bool {
        match self {
            Self::WrongHost | Self::Full => false,
            Self::Method
            | Self::Url
            | Self::Headers
            | Self::Framing
            | Self::NoHost
            | Self::Body
            | Self::SlowBody
            | Self::BrokenBody => true,
        }
    }
}

/// Answers one request, whatever it is.
pub(crate) async fn answer<H: Handler>(
    exchange: Arc<Exchange<H>>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Tracked>, Infallible> {
    let in_flight = exchange.activity.begin();
    let started = Instant::now();
    let id = RequestId::random();
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let http_1 = parts.version < Version::HTTP_2;
    // Never the query, and no segment that could be a secret: it belongs to nobody's log.
    let path = masked(&path);
    let span = tracing::info_span!("request", %id, %method, path);

    let mut close = chunked(&parts.headers);
    let mut response = match receive(&exchange, parts, body, &id).instrument(span.clone()).await {
        Ok((request, room)) => handle(&exchange, request, room, span.clone()).await,
        Err(refusal) => {
            close |= refusal.ends_connection();
            refusal.response(&id)
        }
    };
    response::secure(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    if http_1 && close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    tracing::debug!(parent: &span, status, ms, "answered");
    in_flight.responding();
    if method == Method::HEAD {
        response = without_body(response);
    }
    Ok(response.map(|body| Tracked::new(body, in_flight)))
}

/// The answer to HEAD: hyper leaves the body out under HTTP/1.1 only.
fn without_body(response: Response) -> Response {
    let length = response.body().size_hint().exact().unwrap_or(0);
    let mut response = response.map(|_| Full::default());
    response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    response
}

/// Checks the head and reads the body.
async fn receive<H: Handler>(
    exchange: &Exchange<H>,
    parts: Parts,
    body: Incoming,
    id: &RequestId,
) -> Result<(Request, Room), Refusal> {
    let shared = &exchange.shared;
    let length = body.size_hint().exact();
    if let Some(gate) = &exchange.gate {
        gate.open(length.map_or(Follows::Anything, Follows::Bytes));
    }
    let head = check(&parts, shared);
    // The body is read even if the head is refused: what is left unread would be in the way of
    // the answer, and of the next request.
    let mut room = Room::new(shared.bodies.clone());
    let read = read(body, &shared.limits, &mut room);
    let read = timeout(shared.limits.body_read, read).await.unwrap_or(Err(Refusal::SlowBody));
    head?;
    let client = shared.proxies.client(exchange.ends.source, &parts.headers);
    let request = Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        body: read?,
        peer: exchange.ends.peer,
        client,
        id: id.clone(),
    };
    Ok((request, room))
}

fn check<H>(parts: &Parts, shared: &Shared<H>) -> Result<(), Refusal> {
    let limits = &shared.limits;
    if !matches!(
        parts.method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE
            | Method::OPTIONS
    ) {
        return Err(Refusal::Method);
    }
    if parts.uri.path_and_query().is_some_and(|path| path.as_str().len() > limits.url_bytes) {
        return Err(Refusal::Url);
    }
    let bytes: usize =
        parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if parts.headers.len() > limits.headers_count || bytes > limits.header_bytes {
        return Err(Refusal::Headers);
    }
    // hyper reads a list that ends in chunked; nothing else that is fit for a request exists.
    if chunked(&parts.headers) {
        let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
        let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !codings.next().is_some_and(plain) || codings.next().is_some() {
            return Err(Refusal::Framing);
        }
    }
    let host = host(parts)?;
    let probe = matches!(parts.uri.path(), "/healthz" | "/readyz");
    if probe || shared.hosts.serves(host) { Ok(()) } else { Err(Refusal::WrongHost) }
}

fn chunked(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
}

/// The one host that the request names, whether in its target, in `:authority` or in `Host`.
fn host(parts: &Parts) -> Result<&str, Refusal> {
    let target = parts.uri.authority().map(http::uri::Authority::as_str);
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (Some(_), Some(_)) => return Err(Refusal::NoHost),
        (Some(value), None) => Some(value.to_str().map_err(|_| Refusal::NoHost)?),
        (None, _) => None,
    };
    match (target, field) {
        // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any
        // HTTP/1.1 request message that lacks a Host header field".
        (Some(_) | None, None) if parts.version < Version::HTTP_2 => Err(Refusal::NoHost),
        (None, None) => Err(Refusal::NoHost),
        (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => Err(Refusal::NoHost),
        (Some(host), _) | (None, Some(host)) => Ok(host),
    }
}

/// Reads a body to its end, or to where reading on would only serve the peer.
async fn read(body: Incoming, limits: &Limits, room: &mut Room) -> Result<Bytes, Refusal> {
    let most = limits.body_bytes as u64;
    if body.size_hint().lower() > most + OVERRUN_BYTES {
        return Err(Refusal::Body);
    }
    let mut body = body;
    let mut kept = BytesMut::new();
    let mut total: u64 = 0;
    let mut refused = None;
    while let Some(frame) = body.frame().await {
        // Trailers are dropped: nothing here is in them.
        let Ok(data) = frame.map_err(|_| Refusal::BrokenBody)?.into_data() else { continue };
        total += data.len() as u64;
        if total > most {
            refused = Some(Refusal::Body);
            kept = BytesMut::new();
        }
        if total > most + OVERRUN_BYTES {
            break;
        }
        if refused.is_none() {
            match room.grow(data.len()) {
                Ok(()) => kept.extend_from_slice(&data),
                Err(full) => refused = Some(full),
            }
        }
    }
    refused.map_or(Ok(kept.freeze()), Err)
}

/// The part of the memory for bodies that one body has.
struct Room {
    of: Arc<Semaphore>,
    held: Vec<OwnedSemaphorePermit>,
}

impl Room {
    fn new(of: Arc<Semaphore>) -> Self {
        Self { of, held: Vec::new() }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let count = u32::try_from(bytes).map_err(|_| Refusal::Full)?;
        let more = self.of.clone().try_acquire_many_owned(count).map_err(|_| Refusal::Full)?;
        match self.held.first_mut() {
            Some(held) => held.merge(more),
            None => self.held.push(more),
        }
        Ok(())
    }
}

/// Runs the handler in a task of its own: neither the peer's leaving nor a panic in it can stop
/// it half way or take the connection's other requests along. Nor does our own patience: whoever waits is told
/// that it takes too long, and what was begun is not cut off between two of its steps.
async fn handle<H: Handler>(
    exchange: &Exchange<H>,
    request: Request,
    room: Room,
    span: tracing::Span,
) -> Response {
    let id = request.id.clone();
    let handler = exchange.shared.handler.clone();
    let running = exchange.shared.running.clone();
    let task = async move {
        let response = handler.handle(request).await;
        drop((room, running));
        response
    };
    let task = tokio::spawn(task.instrument(span.clone()));
    let error = match timeout(exchange.shared.limits.handler, task).await {
        Ok(Ok(response)) => return response,
        Ok(Err(error)) => error,
        Err(_) => {
            tracing::error!(parent: &span, "a handler takes too long");
            return Refusal::Full.response(&id);
        }
    };
    if error.is_panic() {
        tracing::error!(parent: &span, "a handler panicked: this is a defect");
        let detail = "something went wrong here";
        return response::problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail, &id);
    }
    Refusal::Full.response(&id)
}

/// A response body that counts as in flight until it is gone.
///
/// It is handed over in pieces: hyper's HTTP/2 takes a whole piece from here before the peer's
/// window has room for it, and a body that it took in one would look gone at once.
pub(crate) struct Tracked {
    body: Full<Bytes>,
    rest: Bytes,
    _in_flight: InFlight,
}

impl Tracked {
    fn new(body: Full<Bytes>, in_flight: InFlight) -> Self {
        Self { body, rest: Bytes::new(), _in_flight: in_flight }
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                Poll::Ready(Some(Err(never))) => match never {},
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.size_hint().exact() {
            Some(unread) => SizeHint::with_exact(unread + self.rest.len() as u64),
            None => SizeHint::default(),
        }
    }
}

/// The longest segment of a path that is logged as it is, in bytes. No route of ours has a longer name; a
/// bearer secret or a handle is longer.
const SEGMENT_MAX: usize = 36;

fn masked(path: &str) -> String {
    let mask = |segment| if str::len(segment) > SEGMENT_MAX { "*" } else { segment };
    path.split('/').map(mask).collect::<Vec<_>>().join("/")
}
