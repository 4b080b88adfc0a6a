//! Accepting connections, and stopping.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use host::sandbox::Entered;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{interval, sleep, timeout};

use crate::client::Proxies;
use crate::connection;
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::networks::network;
use crate::request::Request;
use crate::response::Response;
use crate::tls::Tls;

/// Descriptors that connections may not take: the database, keyd, the log, credentials.
const DESCRIPTORS_KEPT: u64 = 64;
/// After a failure to accept; doubled up to the maximum while it goes on.
const BACKOFF: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Runs in a task of its own and to its end, whatever the peer does.
    fn handle(self: Arc<Self>, request: Request) -> impl Future<Output = Response> + Send;
}

/// How a listener serves.
pub struct Server {
    /// What peers may take.
    pub limits: Limits,
    /// The names served; see [`Hosts`].
    pub hosts: Hosts,
    /// The proxies that are believed.
    pub proxies: Proxies,
    /// The certificate.
    pub tls: Arc<Tls>,
}

/// What all connections of a listener share.
pub(crate) struct Shared<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) limits: Limits,
    pub(crate) hosts: Hosts,
    pub(crate) proxies: Proxies,
    pub(crate) sources: Arc<Sources>,
    pub(crate) tls: Arc<Tls>,
    /// Bytes left for request bodies.
    pub(crate) bodies: Arc<Semaphore>,
    /// Held by whatever must end before [`serve`] returns.
    pub(crate) running: mpsc::Sender<()>,
}

/// What connections should be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serve,
    /// Finish what is in flight.
    Drain,
    /// Be gone.
    Stop,
}

/// Serves until `shutdown` is ready, then lets requests in flight finish for at most
/// [`Limits::drain`].
///
/// # Errors
/// Only if the listener cannot be used at all; a connection that fails harms no other.
pub async fn serve<H: Handler>(
    entered: Entered,
    listener: std::net::TcpListener,
    server: Server,
    handler: Arc<H>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let slots = slots(&server.limits)?;
    let (running, mut all_ended) = mpsc::channel(1);
    let drain = server.limits.drain;
    let shared = Arc::new(Shared {
        handler,
        bodies: Arc::new(Semaphore::new(server.limits.bodies_bytes.min(Semaphore::MAX_PERMITS))),
        sources: Arc::new(Sources::new(server.limits.source_connections)),
        limits: server.limits,
        proxies: server.proxies,
        hosts: server.hosts,
        tls: server.tls,
        running,
    });
    let (phase, _) = watch::channel(Phase::Serve);
    vouch();

    accept(&listener, &shared, &slots, &phase, shutdown).await;

    // Closed before the drain: what still queues is for whoever listens next.
    drop(listener);
    drop(shared);
    let _ = phase.send(Phase::Drain);
    if timeout(drain, all_ended.recv()).await.is_err() {
        tracing::warn!("requests were still running at the end of the drain");
        let _ = phase.send(Phase::Stop);
    }
    drop(entered);
    Ok(())
}

/// As many connections as the limit says and the process can hold.
fn slots(limits: &Limits) -> io::Result<Arc<Semaphore>> {
    let descriptors = host::descriptors::raise_limit()?.saturating_sub(DESCRIPTORS_KEPT);
    let can_hold = usize::try_from(descriptors).unwrap_or(usize::MAX).max(1);
    if can_hold < limits.connections {
        tracing::warn!(connections = can_hold, "the limit of open files allows fewer connections");
    }
    Ok(Arc::new(Semaphore::new(limits.connections.min(can_hold))))
}

async fn accept<H: Handler>(
    listener: &TcpListener,
    shared: &Arc<Shared<H>>,
    slots: &Arc<Semaphore>,
    phase: &watch::Sender<Phase>,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let mut backoff = BACKOFF;
    loop {
        let slot = tokio::select! {
            () = &mut shutdown => return,
            slot = slots.clone().acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_about_the_peer(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept; waiting");
                tokio::select! {
                    () = &mut shutdown => return,
                    () = sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(BACKOFF_MAX);
                continue;
            }
        };
        backoff = BACKOFF;
        // Through the PROXY protocol one peer brings many sources: they count when it has named them.
        let source = if shared.proxies.protocol.contain(peer.ip()) {
            None
        } else if let Some(source) = shared.sources.enter(peer.ip()) {
            Some(source)
        } else {
            tracing::debug!(%peer, "too many connections from one source");
            continue;
        };
        let held = (slot, shared.running.clone());
        let arrival = Arrival { stream, peer, source };
        start(shared.clone(), arrival, phase.subscribe(), held);
    }
}

fn start<H: Handler>(
    shared: Arc<Shared<H>>,
    arrival: Arrival,
    phase: watch::Receiver<Phase>,
    held: impl Send + 'static,
) {
    // Small answers must not wait for the peer's acknowledgement of the one before.
    if let Err(error) = arrival.stream.set_nodelay(true) {
        tracing::debug!(peer = %arrival.peer, %error, "the connection was gone already");
        return;
    }
    tokio::spawn(async move {
        connection::run(shared, arrival, phase).await;
        drop(held);
    });
}

/// A connection that was accepted.
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// What it counts for; `None`: it has to say so itself, in a PROXY header.
    pub(crate) source: Option<Source>,
}

/// A connection that died in the queue, which says nothing about the listener.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Connections by where they come from.
pub(crate) struct Sources {
    open: Mutex<HashMap<IpAddr, usize>>,
    most: usize,
}

impl Sources {
    fn new(most: usize) -> Self {
        Self { open: Mutex::new(HashMap::new()), most }
    }

    /// Counts a connection until what is returned is dropped. `None`: too many already.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Source> {
        let network = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Source { sources: self.clone(), network })
    }
}

/// One connection of a source.
pub(crate) struct Source {
    sources: Arc<Sources>,
    network: IpAddr,
}

impl Drop for Source {
    fn drop(&mut self) {
        let mut open = self.sources.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// Feeds systemd's watchdog, if it watches, for as long as the runtime gets around to it.
pub fn vouch() {
    let Some(period) = host::systemd::watchdog() else { return };
    tokio::spawn(async move {
        let mut beat = interval(period / 3);
        loop {
            beat.tick().await;
            host::systemd::alive();
        }
    });
}

/// Ends when the process is asked to: SIGTERM or SIGINT. systemd hears of it.
pub async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    host::systemd::stopping();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f29_a_source_has_so_many_connections_and_gets_them_back() {
        let sources = Arc::new(Sources::new(2));
        let enter = |address: &str| sources.enter(address.parse().unwrap());
        let (first, second) = (enter("192.0.2.1"), enter("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        let v6 = (enter("2001:db8::1"), enter("2001:db8::ffff:1"));
        assert!(v6.0.is_some() && v6.1.is_some());
        assert!(enter("2001:db8:0:0:1::").is_none());
        assert!(enter("2001:db8:0:1::").is_some());
        drop((second, v6));
        assert!(sources.open.lock().unwrap().is_empty(), "nothing is kept of who left");
    }
}
