//! Every limit of a listener, in one place.

use std::time::Duration;

/// What one peer may take. Fields that are no duration are bytes or counts.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Names and values of all headers together, in bytes; more is 431.
    pub header_bytes: usize,
    /// Header fields; more is 431.
    pub headers_count: usize,
    /// Path and query, in bytes; more is 414.
    pub url_bytes: usize,
    /// A request body, in bytes; more is 413.
    pub body_bytes: usize,
    /// All request bodies that are in memory, in bytes; more is 503.
    pub bodies_bytes: usize,
    /// From accepting to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request's head to its last (HTTP/1.1).
    pub header_read: Duration,
    /// From the end of the head to the end of the body; later is 408.
    pub body_read: Duration,
    /// From the end of the body to the handler's response; later is 503. What the handler does goes on.
    pub handler: Duration,
    /// How long a peer may take no byte of what is written to it.
    pub write_stall: Duration,
    /// From having a response to having handed its last byte to the peer's connection.
    pub response_total: Duration,
    /// Without any request.
    pub idle: Duration,
    /// From the signal to stop to the end of the last request.
    pub drain: Duration,
    /// Connections at once; more wait to be accepted. Also bounded by the process's limit of
    /// open files, less some for everything else.
    pub connections: usize,
    /// Connections at once from one IPv4 address or IPv6 /64; more are closed.
    pub source_connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 16 * 1024,
            headers_count: 100,
            url_bytes: 8 * 1024,
            body_bytes: 64 * 1024,
            bodies_bytes: 256 * 1024 * 1024,
            handshake: Duration::from_secs(5),
            header_read: Duration::from_secs(5),
            body_read: Duration::from_secs(10),
            handler: Duration::from_secs(15),
            write_stall: Duration::from_secs(10),
            response_total: Duration::from_secs(60),
            idle: Duration::from_secs(75),
            drain: Duration::from_secs(10),
            connections: 10_000,
            source_connections: 512,
            streams: 64,
        }
    }
}
