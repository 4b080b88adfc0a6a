//! The units: told of their new files, enabled, started, and waited for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::{Method, Request};

use super::plan::{Database, Plan};
use super::remote::RELAY_UNITS;
use super::steps::{self, Steps};
use super::tls;
use crate::appliance::{self, DAEMONS, Daemon, MIGRATE, TARGET};
use crate::database::block_on;
use crate::failure::Failure;
use crate::http::{Client, body};
use crate::listener;
use crate::program::Program;

/// How long all of them may take to be ready: a network HSM is slow to open.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);

/// What was written beside the units.
#[derive(Debug, Clone, Copy)]
pub(super) struct DropIns {
    pub(super) changed: bool,
    /// Listeners have to be opened anew.
    pub(super) ports: bool,
    /// The way to a remote database has changed.
    pub(super) relay: bool,
}

impl DropIns {
    /// What was written: nothing yet, or by a run that nobody knows the end of, anything.
    pub(super) const fn since(unfinished: bool) -> Self {
        Self { changed: unfinished, ports: unfinished, relay: unfinished }
    }
}

pub(super) fn run(plan: &Plan, drop_ins: DropIns, steps: &mut Steps) -> Result<(), Failure> {
    if drop_ins.changed {
        systemctl(&["daemon-reload"])?;
    }
    let relay = matches!(plan.database, Database::Remote(_));
    let mut units: Vec<&str> = vec![TARGET, MIGRATE];
    for daemon in DAEMONS {
        units.push(daemon.service());
        units.extend(daemon.sockets());
    }
    if relay {
        units.push(RELAY_UNITS[0]);
    }
    let units = installed(&units)?;
    let before = states("is-enabled", &units)?;
    // Some are started by others and have nothing to enable.
    let disabled: Vec<&str> = units
        .iter()
        .zip(&before)
        .filter(|(_, state)| *state == "disabled")
        .map(|(unit, _)| *unit)
        .collect();
    if disabled.is_empty() {
        steps::same("the units are enabled")?;
    } else {
        systemctl(&[&["enable", "--quiet"][..], &disabled].concat())?;
        steps.done(&format!("enabled {}", disabled.join(" ")))?;
    }
    if drop_ins.ports {
        // A socket listens where it did until it is opened anew, and that needs its service out of the way.
        let moved = [Daemon::Authd, Daemon::Admind];
        let services = moved.map(Daemon::service);
        let sockets: Vec<&str> = moved.iter().flat_map(|one| one.sockets()).copied().collect();
        systemctl(&[&["stop"][..], &services, &sockets].concat())?;
    }
    start(&units, steps)
}

/// The way to a remote database, before anybody needs it.
pub(super) fn open_relay(drop_ins: DropIns) -> Result<(), Failure> {
    systemctl(&["daemon-reload"])?;
    if drop_ins.relay {
        // What runs goes on to the server that it was started for.
        systemctl(&[&["stop"][..], &RELAY_UNITS].concat())?;
    }
    systemctl(&["start", RELAY_UNITS[0]])
}

/// Ends the way to a remote database that is not ours any more, before its units go.
pub(super) fn close_relay(there: &[PathBuf]) -> Result<(), Failure> {
    let names = there.iter().filter_map(|path| path.file_name()?.to_str());
    let units: Vec<&str> = names.collect();
    if units.is_empty() {
        return Ok(());
    }
    systemctl(&[&["disable", "--now", "--quiet"][..], &units].concat())
}

/// Those that run with former settings are started anew; the rest is started if it does not run.
fn start(units: &[&str], steps: &mut Steps) -> Result<(), Failure> {
    let before = states("is-active", units)?;
    let running = |unit: &str| {
        units.iter().zip(&before).any(|(one, state)| *one == unit && state == "active")
    };
    let stale: Vec<&str> = DAEMONS
        .into_iter()
        .filter(|daemon| steps.is_stale(*daemon) && running(daemon.service()))
        .map(Daemon::service)
        .collect();
    if !stale.is_empty() {
        systemctl(&[&["restart"][..], &stale].concat())?;
        steps.done(&format!("restarted {}", stale.join(" ")))?;
    }
    let down: Vec<&str> = units
        .iter()
        .zip(&before)
        .filter(|(unit, state)| *state != "active" && **unit != MIGRATE)
        .map(|(unit, _)| *unit)
        .collect();
    if down.is_empty() {
        return steps::same("the units run");
    }
    systemctl(&[&["start"][..], &down].concat())?;
    steps.done(&format!("started {}", down.join(" ")))
}

/// Waits until both listeners say that they can serve.
pub(super) fn wait(plan: &Plan) -> Result<(), Failure> {
    let client = Client::new(tls::ca(plan))?;
    let doors = [
        (plan.issuer.as_str(), listener::of(Daemon::Authd, plan.listen_port)),
        (plan.api.as_str(), listener::of(Daemon::Admind, plan.api_port)),
    ];
    let begin = Instant::now();
    block_on(async {
        for (origin, at) in doors {
            while let Err(failure) = ready(&client, origin, at).await {
                if begin.elapsed() > PATIENCE {
                    let hint = "look with journalctl -u 'opentrusty-*'";
                    return Err(Failure::refused(format!(
                        "{origin} is not ready: {failure}; {hint}"
                    )));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    })?;
    steps::same(&format!("{} and {} are ready", plan.issuer, plan.api))
}

/// Asks on this machine, whatever address the name has elsewhere.
async fn ready(client: &Client, origin: &str, at: SocketAddr) -> Result<(), Failure> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("{origin}/readyz"))
        .body(body(""))
        .map_err(|error| Failure::refused(error.to_string()))?;
    let response = client.send_at(request, Some(at)).await?;
    if response.status().is_success() {
        return Ok(());
    }
    Err(Failure::refused(format!("/readyz answers {}", response.status())))
}

/// Those of the units that are on this machine: the daemons are packages of their own.
fn installed<'a>(units: &[&'a str]) -> Result<Vec<&'a str>, Failure> {
    let mut found = Vec::new();
    for unit in units {
        let state =
            Program::new("systemctl").args(["show", "--property=LoadState", "--value", unit]);
        if state.answer()? == "loaded" {
            found.push(*unit);
        }
    }
    if found.contains(&TARGET) {
        return Ok(found);
    }
    Err(Failure::refused(format!("there is no {TARGET}; install the packages")))
}

/// One word for each unit.
fn states(question: &str, units: &[&str]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::with_capacity(units.len());
    for unit in units {
        all.push(Program::new("systemctl").args([question, unit]).answer()?);
    }
    Ok(all)
}

fn systemctl(args: &[&str]) -> Result<(), Failure> {
    Program::new("systemctl").args(args.iter().copied()).run().map(|_| ())
}

/// Whether a file is one of the relay's units.
pub(super) fn is_relay(path: &std::path::Path) -> bool {
    path.file_stem().is_some_and(|name| name == "opentrusty-database")
}

/// Whether setup has to open the sockets anew.
pub(super) fn is_port(path: &std::path::Path) -> bool {
    [Daemon::Authd, Daemon::Admind]
        .iter()
        .flat_map(|daemon| daemon.sockets())
        .any(|socket| appliance::port_file(socket) == path)
}
