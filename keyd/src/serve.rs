//! The two sockets, the threads behind them, and the uid check in front of them.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder, JoinHandle};
use std::time::{Duration, Instant};

use host::config::ConfigError;
use host::exit::Fatal;
use host::sandbox::Entered;
use host::{peer, systemd};
use wire::{Refused, Reply, Request};

use crate::answer::App;
use crate::config::{Config, Uids};
use crate::connection::Connection;
use crate::hsm::Lane;
use crate::permit::{Peer, permitted};
use crate::queue::{Declined, Job, Queue};

/// Most connections of one socket.
const CONNECTIONS_MAX: usize = 32;
/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 128;
/// After this long in the queue nobody waits for a signature any more.
const STALE_AFTER: Duration = Duration::from_secs(2);
/// Readers hold one frame and no recursion deeper than that of claims.
const READER_STACK: usize = 512 * 1024;

/// A socket, who may use it, and what they sent.
struct Door {
    app: Arc<App>,
    peer: Peer,
    uid: u32,
    queue: Arc<Queue>,
    open: Arc<AtomicUsize>,
}

/// Both sockets, listening.
pub struct Listeners {
    sign: UnixListener,
    manage: UnixListener,
}

impl Listeners {
    /// Takes the sockets that systemd passed, or makes them.
    pub fn new(config: &Config) -> Result<Self, Fatal> {
        Ok(Self {
            sign: listener("sign", "sign_socket", config.sign_socket.as_deref())?,
            manage: listener("manage", "manage_socket", config.manage_socket.as_deref())?,
        })
    }
}

fn listener(name: &str, key: &'static str, path: Option<&Path>) -> Result<UnixListener, Fatal> {
    if let Some(inherited) = systemd::inherited_unix(name)? {
        inherited.set_nonblocking(false)?;
        // SO_PEERCRED shows a client whoever called listen() last: systemd made the socket as root, and
        // clients want to see keyd.
        rustix::net::listen(&inherited, BACKLOG).map_err(io::Error::from)?;
        return Ok(inherited);
    }
    let path = path.ok_or_else(|| {
        ConfigError::new(key, "is missing", "name a path, or pass the socket from systemd")
    })?;
    bind(path).map_err(|error| {
        ConfigError::new(key, format!("{} cannot be bound ({error})", path.display()), "check it")
            .into()
    })
}

/// Binds beside the path and renames onto it: a stale socket is replaced, and there is no moment at which
/// the new one has other rights than 0660.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(about) if !about.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is no socket"));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there"));
        }
        Ok(_) => {}
    }
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&beside)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o660))?;
    fs::rename(&beside, path)?;
    Ok(listener)
}

/// What works, until it is told to stop.
pub struct Running {
    queues: [Arc<Queue>; 2],
    workers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Finishes what was asked, and takes no more. A request that comes now gets no answer: the end of the
    /// connection tells its sender to ask the next keyd.
    pub fn drain(self) {
        for queue in &self.queues {
            queue.close();
        }
        for worker in self.workers {
            // A panic has aborted the process.
            let _ = worker.join();
        }
    }
}

/// Starts every thread. `entered` proves that each of them is born inside the sandbox.
pub fn start(
    entered: Entered,
    app: &Arc<App>,
    listeners: Listeners,
    uids: Uids,
    workers: usize,
) -> io::Result<Running> {
    drop(entered);
    let [sign, manage] = [Arc::new(Queue::default()), Arc::new(Queue::default())];
    let mut running =
        Running { queues: [Arc::clone(&sign), Arc::clone(&manage)], workers: Vec::new() };
    for n in 0..workers {
        running.workers.push(work(format!("sign-{n}"), app, Peer::Authd, Arc::clone(&sign))?);
    }
    running.workers.push(work("manage".to_owned(), app, Peer::Admind, Arc::clone(&manage))?);
    let doors = [
        (Peer::Authd, uids.authd, sign, listeners.sign),
        (Peer::Admind, uids.admind, manage, listeners.manage),
    ];
    for (peer, uid, queue, listener) in doors {
        let open = Arc::new(AtomicUsize::new(0));
        let door = Door { app: Arc::clone(app), peer, uid, queue, open };
        Builder::new()
            .name(format!("accept-{}", peer.name()))
            .spawn(move || accept(&Arc::new(door), &listener))?;
    }
    Ok(running)
}

/// One worker: a thread with a session of its own.
fn work(name: String, app: &Arc<App>, peer: Peer, queue: Arc<Queue>) -> io::Result<JoinHandle<()>> {
    let app = Arc::clone(app);
    let mut lane = Lane::new(&app.hsm, peer == Peer::Admind);
    Builder::new().name(name).spawn(move || {
        while let Some(Job { connection, id, request, since }) = queue.take() {
            let stale = peer == Peer::Authd && since.elapsed() > STALE_AFTER;
            let reply = if stale {
                app.refuse(peer, Refused::Busy)
            } else {
                app.work(&mut lane, peer, request)
            };
            connection.finish(id, &reply);
        }
    })
}

fn accept(door: &Arc<Door>, listener: &UnixListener) {
    for stream in listener.incoming() {
        let admitted = stream.and_then(|stream| admit(door, stream));
        if let Err(error) = admitted {
            tracing::warn!(peer = door.peer.name(), %error, "a connection was not taken");
            // Out of descriptors, most likely: let some close.
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn admit(door: &Arc<Door>, stream: UnixStream) -> io::Result<()> {
    let uid = peer::uid(&stream)?;
    if uid != door.uid {
        door.app.refuse(door.peer, Refused::NotPermitted);
        tracing::error!(socket = door.peer.name(), uid, "ALARM: a stranger was turned away");
        return Ok(());
    }
    let place = Place::take(&door.open);
    if place.is_one_too_many {
        tracing::warn!(peer = door.peer.name(), "too many connections");
        return Ok(());
    }
    let connection = Connection::new(stream, door.peer)?;
    let door = Arc::clone(door);
    let reader = Builder::new().name("read".to_owned()).stack_size(READER_STACK);
    reader.spawn(move || {
        let _place = place;
        connection.read(|id, request| handle(&door, &connection, id, request));
    })?;
    Ok(())
}

fn handle(door: &Door, connection: &Arc<Connection>, id: u64, request: Request) {
    if !permitted(door.peer, &request) {
        connection.answer(id, &door.app.refuse(door.peer, Refused::NotPermitted));
        return;
    }
    if let Some(reply) = door.app.at_once(&request) {
        connection.answer(id, &reply);
        return;
    }
    connection.begin();
    let job = Job { connection: Arc::clone(connection), id, request, since: Instant::now() };
    match door.queue.push(job) {
        Ok(()) | Err(Declined::Closed) => {}
        Err(Declined::Full(_)) => {
            let busy: Reply = door.app.refuse(door.peer, Refused::Busy);
            connection.finish(id, &busy);
        }
    }
}

/// One of the connections of a socket; given back when dropped.
struct Place {
    open: Arc<AtomicUsize>,
    is_one_too_many: bool,
}

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        let before = open.fetch_add(1, Ordering::AcqRel);
        Self { open: Arc::clone(open), is_one_too_many: before >= CONNECTIONS_MAX }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}
