//! `serve all`: keyd, authd, admind and the courier as separate processes and, under root, as separate users.
//!
//! It restarts what dies and stops all of them together: the planes first, then keyd, so that what is in
//! flight can still be signed. A daemon that refuses its settings ends everything: it would refuse again.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use host::config::ConfigError;
use nix::unistd::User;
use rustix::fs::FlockOperation;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::instance::{Daemon, Instance};
use crate::database::block_on;
use crate::failure::Failure;
use crate::settings::Place;

/// The first pause before a restart; it doubles up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(5);
/// A daemon that ran this long has started well: the next pause is the first again.
const STEADY: Duration = Duration::from_secs(10);
/// How long a plane may take to end after SIGTERM: it finishes what is in flight.
const STOP_PLANE: Duration = Duration::from_secs(12);
/// How long keyd may take then: nobody asks it anything any more. Together less than `make down` waits.
const STOP_KEYD: Duration = Duration::from_secs(6);
/// `EX_CONFIG`: the daemon refuses its settings.
const CONFIG: i32 = 78;
/// What a daemon inherits of our environment, by the names of our settings.
const INHERITED: [(&str, &str); 4] =
    [("path", "PATH"), ("home", "HOME"), ("lang", "LANG"), ("log", "OPENTRUSTY_LOG")];

pub(super) fn run(place: &Place, instance: &Instance) -> Result<(), Failure> {
    host::telemetry::init("opentrusty");
    for folder in ["log", "pids"] {
        let path = instance.state.join(folder);
        fs::create_dir_all(&path).map_err(Failure::io(path.display().to_string()))?;
    }
    let _alone = alone(&instance.state)?;
    let mut environment = BTreeMap::new();
    for (setting, name) in INHERITED {
        if let Some(value) = place.optional::<String>(setting)? {
            environment.insert(name.to_owned(), value);
        }
    }
    let children = instance
        .daemons
        .iter()
        .map(|daemon| Kept::new(instance, daemon, &environment))
        .collect::<Result<Vec<_>, _>>()?;
    block_on(keep_all(children))
}

/// Holds the instance as long as the file is open.
fn alone(state: &Path) -> Result<File, Failure> {
    let path = state.join("pids/serve.lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(Failure::io(path.display().to_string()))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| Failure::refused(format!("another serve all runs on {}", state.display())))?;
    Ok(file)
}

/// A daemon to be kept running.
struct Kept {
    daemon: Daemon,
    /// Whom it becomes; `None`: it stays who we are.
    identity: Option<User>,
    environment: BTreeMap<String, String>,
    log: PathBuf,
    pid_file: PathBuf,
}

/// One that is being kept.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn keep_all(children: Vec<Kept>) -> Result<(), Failure> {
    let handler = |kind| signal(kind).map_err(Failure::io("signals cannot be caught"));
    let mut term = handler(SignalKind::terminate())?;
    let mut int = handler(SignalKind::interrupt())?;
    let mut hup = handler(SignalKind::hangup())?;
    let (failed, mut failures) = mpsc::channel(children.len().max(1));
    let running: Vec<Running> = children
        .into_iter()
        .map(|kept| {
            let (stop, stopped) = oneshot::channel();
            let failed = failed.clone();
            let task = tokio::spawn(async move {
                if let Err(failure) = kept.keep(stopped).await {
                    // The receiver lives as long as the runtime.
                    let _ = failed.send(failure).await;
                }
            });
            Running { stop, task }
        })
        .collect();
    let failure = tokio::select! {
        failure = failures.recv() => failure,
        _ = term.recv() => None,
        _ = int.recv() => None,
        _ = hup.recv() => None,
    };
    tracing::info!("stopping");
    let mut planes = running;
    let keyd = if planes.is_empty() { None } else { Some(planes.remove(0)) };
    stop_all(planes).await;
    stop_all(keyd).await;
    match failure {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

async fn stop_all(running: impl IntoIterator<Item = Running>) {
    let tasks: Vec<_> = running
        .into_iter()
        .map(|one| {
            // A task that has ended already hears nothing, and need not.
            let _ = one.stop.send(());
            one.task
        })
        .collect();
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "a daemon was lost sight of");
        }
    }
}

impl Kept {
    fn new(
        instance: &Instance,
        daemon: &Daemon,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        let identity = identity(daemon)?;
        let mut environment = environment.clone();
        if let Some(user) = &identity {
            // Not ours, which it may be unable to look into.
            environment.insert("HOME".to_owned(), user.dir.display().to_string());
        }
        environment.extend(daemon.env.clone());
        Ok(Self {
            identity,
            environment,
            log: instance.state.join("log").join(format!("{}.log", daemon.name)),
            pid_file: instance.state.join("pids").join(format!("{}.pid", daemon.name)),
            daemon: daemon.clone(),
        })
    }

    /// Runs the daemon until it is told to stop.
    async fn keep(&self, mut stop: oneshot::Receiver<()>) -> Result<(), Failure> {
        let name = self.daemon.name;
        let mut pause = PAUSE_FIRST;
        loop {
            let begin = Instant::now();
            let mut child = self.start()?;
            let status = tokio::select! {
                status = child.wait() => status.map_err(Failure::io(name))?,
                _ = &mut stop => {
                    self.end(&mut child).await?;
                    return Ok(());
                }
            };
            remove(&self.pid_file);
            if status.code() == Some(CONFIG) {
                return Err(self.misconfigured());
            }
            if begin.elapsed() >= STEADY {
                pause = PAUSE_FIRST;
            }
            tracing::warn!(daemon = name, %status, pause_ms = pause.as_millis(), "ended; starting it again");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = &mut stop => return Ok(()),
            }
            pause = (pause * 2).min(PAUSE_LAST);
        }
    }

    fn start(&self) -> Result<Child, Failure> {
        let name = self.daemon.name;
        let cannot = || format!("{} cannot be started", self.daemon.program.display());
        // Names and addresses of people are in it.
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log);
        let log = log.map_err(Failure::io(self.log.display().to_string()))?;
        let twin = log.try_clone().map_err(Failure::io(self.log.display().to_string()))?;
        let mut command = Command::new(&self.daemon.program);
        command
            .arg("--config")
            .arg(&self.daemon.config)
            .args(self.daemon.role)
            .env_clear()
            .envs(&self.environment)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(twin)
            .stderr(log)
            .process_group(0);
        if let Some(user) = &self.identity {
            // The standard library also drops the supplementary groups when root becomes somebody else.
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let child = command.spawn().map_err(Failure::io(cannot()))?;
        let pid = child.id().unwrap_or_default();
        write(&self.pid_file, pid)?;
        tracing::info!(daemon = name, pid, user = self.daemon.user, "started");
        Ok(child)
    }

    /// SIGTERM, and SIGKILL to whatever is left of its process group when it takes too long.
    async fn end(&self, child: &mut Child) -> Result<ExitStatus, Failure> {
        let name = self.daemon.name;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself just now; `wait` tells either way.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let patience = if name == "keyd" { STOP_KEYD } else { STOP_PLANE };
        let status = if let Ok(status) = tokio::time::timeout(patience, child.wait()).await {
            status
        } else {
            tracing::error!(daemon = name, "did not stop in {} s; killing it", patience.as_secs());
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process_group(pid, Signal::KILL);
            }
            child.wait().await
        };
        remove(&self.pid_file);
        let status = status.map_err(Failure::io(name))?;
        tracing::info!(daemon = name, %status, "stopped");
        Ok(status)
    }

    /// What the daemon said about its settings, as its own last line.
    fn misconfigured(&self) -> Failure {
        let log = fs::read(&self.log).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(4096)..).unwrap_or_default();
        let tail = String::from_utf8_lossy(tail);
        let last = tail.lines().last().unwrap_or_default().to_owned();
        let problem = format!("refuses its settings ({last})");
        let fix =
            format!("correct {}; its log is {}", self.daemon.config.display(), self.log.display());
        Failure::Config(ConfigError::new(self.daemon.name, problem, fix))
    }
}

/// Whom a daemon runs as. Without root there is nobody to become.
fn identity(daemon: &Daemon) -> Result<Option<User>, Failure> {
    let at = || format!("{}.user", daemon.name);
    let found = User::from_name(&daemon.user)
        .map_err(|error| Failure::value(at(), error.to_string()))?
        .ok_or_else(|| Failure::value(at(), format!("there is no user {:?}", daemon.user)))?;
    let own = rustix::process::geteuid();
    if own.is_root() {
        return Ok(Some(found));
    }
    if found.uid.as_raw() == own.as_raw() {
        return Ok(None);
    }
    Err(Failure::value(at(), format!("only root can start a process as {:?}", daemon.user)))
}

/// A reader must never see half a number.
fn write(path: &Path, pid: u32) -> Result<(), Failure> {
    let new = path.with_extension("new");
    fs::write(&new, format!("{pid}\n"))
        .and_then(|()| fs::rename(&new, path))
        .map_err(Failure::io(path.display().to_string()))
}

fn remove(path: &Path) {
    // It is gone when somebody cleaned up already; a stale one is checked against the process by its reader.
    let _ = fs::remove_file(path);
}

#[cfg(test)]
#[path = "supervise_tests.rs"]
mod tests;
