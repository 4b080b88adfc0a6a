//! The walls around each process: what it gave up, what its user may not touch, what its sandbox keeps it
//! from. All of it needs separate users, so all of it needs root.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support: a failure here is the failure of the test that asked"
)]

mod apart;
mod inside;
mod process;
mod replaced;

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use e2e::bench::{bench, require_root};
use e2e::{Options, Stand};

const DAEMONS: [&str; 3] = ["keyd", "authd", "admind"];

/// A running installation that the tests of this binary only look at.
fn stand() -> &'static Stand {
    static STAND: OnceLock<Stand> = OnceLock::new();
    require_root();
    STAND.get_or_init(|| Stand::start(&Options::default()))
}

/// The folder of its node.
fn node() -> std::path::PathBuf {
    stand().token().parent().unwrap().join("n0")
}

fn pid(daemon: &str) -> u32 {
    let stand = stand();
    let daemon = match daemon {
        "keyd" => &stand.nodes()[0].keyd,
        "authd" => &stand.nodes()[0].authd,
        _ => stand.admind_here(),
    };
    daemon.pid().unwrap()
}

fn id(user: &str, which: &str) -> u32 {
    let output = Command::new("id").args([which, user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// A command as a system user, with no other groups than its own.
fn as_user(user: &str, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={user}"))
        .arg(format!("--regid={user}"))
        .args(["--clear-groups", "--", program])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

fn user(daemon: &str) -> String {
    format!("opentrusty-{daemon}")
}

/// Run the probe as a daemon's user, in its place (`Some`: the daemon's settings) or free; each act with its
/// outcome.
fn probe(daemon: &str, inside: bool, acts: &[String]) -> Vec<(String, String)> {
    static PLACED: OnceLock<()> = OnceLock::new();
    let program = bench().dir().join("bin/probe");
    PLACED.get_or_init(|| {
        std::fs::copy(env!("CARGO_BIN_EXE_probe"), &program).unwrap();
    });
    let mut command = as_user(&user(daemon), program.to_str().unwrap());
    if inside {
        command.arg(daemon).arg(node().join(format!("config/{daemon}.toml")));
    } else {
        command.arg("free");
    }
    let output = command.args(acts).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let tried: Vec<(String, String)> = text
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(act, outcome)| (act.to_owned(), outcome.to_owned()))
        .collect();
    assert_eq!(tried.len(), acts.len(), "{text}");
    tried
}

/// All of these acts are denied.
#[track_caller]
fn denied(daemon: &str, inside: bool, acts: &[String]) {
    let through: Vec<_> = probe(daemon, inside, acts)
        .into_iter()
        .filter(|(_, outcome)| outcome != "denied")
        .collect();
    assert!(through.is_empty(), "{daemon} (inside: {inside}) was not denied: {through:?}");
}

/// All of these acts succeed.
#[track_caller]
fn allowed(daemon: &str, inside: bool, acts: &[String]) {
    let stopped: Vec<_> =
        probe(daemon, inside, acts).into_iter().filter(|(_, outcome)| outcome != "ok").collect();
    assert!(stopped.is_empty(), "{daemon} (inside: {inside}) could not: {stopped:?}");
}
