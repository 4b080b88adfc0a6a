//! The units and the processes in them: do they run, and have they given up what they should?

use std::fs;

use super::finding::{Finding, fail, ok, warn};
use crate::appliance::{DAEMONS, Daemon};
use crate::program::{self, Program};
use crate::serve;

/// What systemd says of a service.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unit {
    load: String,
    active: String,
    sub: String,
    restarts: u32,
    pid: Option<u32>,
}

/// What the kernel says of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Process {
    /// Real, effective, saved and of the file system.
    uids: Vec<u32>,
    no_new_privs: bool,
    seccomp: u32,
    bounding: u64,
    permitted: u64,
    locked_kib: u64,
    /// Addresses of TCP sockets of its own uid that listen.
    listening: Vec<String>,
}

pub(super) fn check() -> Vec<Finding> {
    let mut all = Vec::new();
    for daemon in DAEMONS {
        let unit = unit(daemon);
        all.push(judge_unit(daemon, &unit));
        let Some(pid) = unit.pid else { continue };
        let uid = program::user(daemon.user()).map(|user| user.uid.as_raw()).ok();
        match process(pid, uid) {
            Some(process) => all.extend(judge_process(daemon, uid, &process)),
            None => all.push(warn(
                sandbox_name(daemon),
                "its process ended meanwhile",
                "run doctor again",
            )),
        }
        all.extend(exposure(daemon));
    }
    all.extend(
        DAEMONS.iter().flat_map(|daemon| daemon.sockets()).map(|socket| judge_socket(socket)),
    );
    all.push(versions());
    all
}

fn sandbox_name(daemon: Daemon) -> String {
    format!("sandbox.{}", daemon.name())
}

/// The process of a daemon, if it runs.
pub(super) fn pid(daemon: Daemon) -> Option<u32> {
    unit(daemon).pid
}

fn unit(daemon: Daemon) -> Unit {
    let show = Program::new("systemctl").args([
        "show",
        "--property=LoadState,ActiveState,SubState,NRestarts,MainPID",
        daemon.service(),
    ]);
    parse_unit(&show.answer().unwrap_or_default())
}

fn parse_unit(text: &str) -> Unit {
    let mut unit = Unit::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "LoadState" => value.clone_into(&mut unit.load),
            "ActiveState" => value.clone_into(&mut unit.active),
            "SubState" => value.clone_into(&mut unit.sub),
            "NRestarts" => unit.restarts = value.parse().unwrap_or(0),
            "MainPID" => unit.pid = value.parse().ok().filter(|pid| *pid != 0),
            _ => {}
        }
    }
    unit
}

fn judge_unit(daemon: Daemon, unit: &Unit) -> Finding {
    let service = daemon.service();
    let name = format!("unit.{}", daemon.name());
    let state = format!("{} ({})", unit.active, unit.sub);
    match (unit.load.as_str(), unit.active.as_str()) {
        ("loaded", "active") if unit.restarts > 0 => {
            let fix = format!("see why: journalctl -u {service}");
            warn(
                name,
                format!("{state}, restarted {} times since it was started", unit.restarts),
                fix,
            )
        }
        ("loaded", "active") => ok(name, state),
        ("loaded", _) => fail(
            name,
            state,
            format!("systemctl start {service}; journalctl -u {service} says why it ended"),
        ),
        _ => fail(
            name,
            format!("{service} is not installed"),
            format!("install opentrusty-{}", daemon.name()),
        ),
    }
}

fn judge_socket(socket: &str) -> Finding {
    let state = Program::new("systemctl").args(["is-active", socket]).answer().unwrap_or_default();
    let name = format!("unit.{socket}");
    if state == "active" {
        return ok(name, state);
    }
    fail(name, state, format!("systemctl start {socket}"))
}

fn process(pid: u32, uid: Option<u32>) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let sockets = ["tcp", "tcp6"].map(|table| {
        // In its own network namespace.
        fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default()
    });
    let listening = sockets.iter().flat_map(|table| listeners(table, uid)).collect();
    Some(Process { listening, ..parse_status(&status) })
}

fn parse_status(text: &str) -> Process {
    let mut process = Process::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match key {
            "Uid" => {
                process.uids = value.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            }
            "NoNewPrivs" => process.no_new_privs = value == "1",
            "Seccomp" => process.seccomp = value.parse().unwrap_or(0),
            "CapBnd" => process.bounding = capabilities(value),
            "CapPrm" => process.permitted = capabilities(value),
            "VmLck" => {
                let kib = value.split_whitespace().next().and_then(|n| n.parse().ok());
                process.locked_kib = kib.unwrap_or(0);
            }
            _ => {}
        }
    }
    process
}

/// What cannot be read counts as all of them.
fn capabilities(value: &str) -> u64 {
    u64::from_str_radix(value, 16).unwrap_or(u64::MAX)
}

/// Sockets of this uid in state 0A (listen), of a table as in proc(5).
fn listeners(table: &str, uid: Option<u32>) -> Vec<String> {
    let row = |line: &str| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let owner = fields.nth(3)?.parse::<u32>().ok()?;
        (state == "0A" && Some(owner) == uid).then(|| local.to_owned())
    };
    table.lines().skip(1).filter_map(row).collect()
}

fn judge_process(daemon: Daemon, uid: Option<u32>, process: &Process) -> Vec<Finding> {
    let name = sandbox_name(daemon);
    let mut lost = Vec::new();
    if !process.uids.iter().all(|one| Some(*one) == uid) || process.uids.is_empty() {
        lost.push(format!("it does not run as {} alone", daemon.user()));
    }
    if !process.no_new_privs {
        lost.push("it may gain privileges (NoNewPrivs 0)".to_owned());
    }
    if process.seccomp != 2 {
        lost.push(format!("no system call filter (Seccomp {})", process.seccomp));
    }
    if process.bounding != 0 || process.permitted != 0 {
        lost.push(format!("capabilities {:x}, at most {:x}", process.permitted, process.bounding));
    }
    if !process.listening.is_empty() {
        lost.push(format!("it has opened ports by itself ({})", process.listening.join(", ")));
    }
    let mut all = vec![if lost.is_empty() {
        ok(
            name,
            "own user, no capabilities, no new privileges, system calls filtered, no port of its own",
        )
    } else {
        let fix = format!("remove what weakens the unit: systemctl cat {}", daemon.service());
        fail(name, lost.join("; "), fix)
    }];
    if daemon == Daemon::Keyd {
        let name = "memory.keyd";
        all.push(if process.locked_kib > 0 {
            ok(name, format!("{} KiB locked, kept out of swap", process.locked_kib))
        } else {
            let fix =
                "LimitMEMLOCK=infinity in its unit and memory_lock = \"required\" in keyd.toml";
            warn(name, "not locked: the PIN may reach swap", fix)
        });
    }
    all
}

/// What `systemd-analyze` thinks that the unit could still reach.
fn exposure(daemon: Daemon) -> Option<Finding> {
    let service = daemon.service();
    let table = Program::new("systemd-analyze").args(["security", "--no-pager", service]);
    let tenths = overall(&table.answer().ok()?)?;
    Some(judge_exposure(daemon, tenths))
}

/// The number in the last line, times ten.
fn overall(table: &str) -> Option<u32> {
    let line = table.lines().rev().find(|line| line.contains("Overall exposure level"))?;
    let number = line.rsplit_once(": ")?.1.split_whitespace().next()?;
    let (whole, tenth) = number.split_once('.')?;
    Some(whole.parse::<u32>().ok()? * 10 + tenth.parse::<u32>().ok()?)
}

fn judge_exposure(daemon: Daemon, tenths: u32) -> Finding {
    let limit = if daemon == Daemon::Courier { 13 } else { 4 };
    let name = format!("exposure.{}", daemon.name());
    let seen = format!("{}.{} of 10", tenths / 10, tenths % 10);
    if tenths <= limit {
        return ok(name, seen);
    }
    let fix = format!("a drop-in weakens it: systemctl cat {}", daemon.service());
    warn(name, format!("{seen}, packaged it is at most {}.{}", limit / 10, limit % 10), fix)
}

fn versions() -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    let others: Vec<String> = ["keyd", "authd", "admind"]
        .iter()
        .filter_map(|name| {
            let program = serve::program(name).ok()?;
            let said =
                Program::new(&program.to_string_lossy()).args(["--version"]).answer().ok()?;
            (said != format!("{name} {ours}")).then_some(said)
        })
        .collect();
    if others.is_empty() {
        return ok("version", ours);
    }
    let fix = "install the same version of all packages";
    fail("version", format!("opentrusty {ours} beside {}", others.join(", ")), fix)
}

#[cfg(test)]
#[path = "processes_tests.rs"]
mod tests;
