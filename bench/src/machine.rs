//! What it was measured on, and making it worth measuring: a database whose commits are durable.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::bench::{bench, until};

/// Tests give durability up for speed; a bench must not. Turns it back on in the stands' cluster.
pub fn make_durable() {
    let ask = |sql: &str| bench().psql("postgres", "postgres", sql).unwrap();
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        ask(&format!("ALTER SYSTEM SET {setting} = on"));
    }
    ask("SELECT pg_reload_conf()");
    until("commits are durable", Duration::from_secs(10), || {
        let on = |setting: &str| ask(&format!("SHOW {setting}")) == "on";
        (on("fsync") && on("synchronous_commit") && on("full_page_writes")).then_some(())
    });
    // What was written before is on no disk yet.
    ask("CHECKPOINT");
}

/// PostgreSQL's first process.
pub fn postmaster() -> u32 {
    let file = bench().dir().join("pg/data/postmaster.pid");
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text.lines().next().unwrap().trim().parse().unwrap()
}

/// `fdatasync` of one 8 kB block, per second, where the database lies, by PostgreSQL's own program. `None`
/// when that is not installed.
pub fn fdatasync_rate() -> Option<f64> {
    let programs = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut programs: Vec<PathBuf> = programs
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/pg_test_fsync")))
        .filter(|program| program.exists())
        .collect();
    programs.sort();
    let mut child = Command::new(programs.pop()?)
        .args(["-s", "1", "-f"])
        .arg(bench().dir().join("fsync"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    // It goes on with twenty other ways to write; the first table has what PostgreSQL does.
    let rate =
        BufReader::new(child.stdout.take()?).lines().map_while(Result::ok).find_map(|line| {
            line.trim().strip_prefix("fdatasync")?.split_whitespace().next()?.parse().ok()
        });
    child.kill().ok()?;
    child.wait().ok()?;
    rate
}

/// The PKCS#11 module that keyd is told to use.
pub fn pkcs11_module() -> PathBuf {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"];
    let found = places.into_iter().map(PathBuf::from).find(|place| place.exists());
    found.expect("SoftHSM, as packaging/dev/install-packages installs it")
}

/// Cores, processor, kernel and load, in one line.
pub fn describe() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut line = format!("{} cores, {model}, Linux {}", cores(), kernel.trim());
    let postgres = bench().psql("postgres", "postgres", "SHOW server_version").unwrap();
    let version = postgres.split(' ').next().unwrap_or_default();
    write!(line, ", PostgreSQL {version}, SoftHSM, load {}", load()).unwrap();
    line
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The load average of the last minute: what others do on this machine, and we.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}
