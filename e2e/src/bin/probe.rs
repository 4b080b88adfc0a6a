//! What a daemon's code could do from where a daemon is: this program enters the policy of one, by the same
//! functions and from the same settings file, and tries from a thread started afterwards.
//!
//! `probe free ACT…` tries without a sandbox, `probe keyd|authd|admind CONFIG ACT…` inside. An act is
//! `verb:argument`; each gives one line, the act and `ok`, `denied` or another kind of error.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use host::sandbox::{self, MemoryLock, Policy, Sandbox};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to hear it if standard error is closed.
            let _ = writeln!(std::io::stderr(), "probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome {
    let mut words = std::env::args().skip(1);
    let who = words.next().ok_or("whose place?")?;
    if who != "free" {
        let config = PathBuf::from(words.next().ok_or("which settings?")?);
        let policy = match who.as_str() {
            "keyd" => keyd::config::Config::load(Some(&config))?.reach(),
            "authd" | "admind" => plane(&config)?,
            _ => return Err("there is no such daemon".into()),
        };
        sandbox::harden(MemoryLock::Off)?;
        let _entered = sandbox::enter(Sandbox::Required, &policy)?;
    }
    let acts: Vec<String> = words.collect();
    let tried = std::thread::spawn(move || -> Vec<(String, std::io::Result<()>)> {
        acts.into_iter().map(|act| (act.clone(), attempt(&act))).collect()
    });
    let mut out = std::io::stdout();
    for (act, outcome) in tried.join().map_err(|_| "the worker panicked")? {
        let word = match outcome {
            Ok(()) => "ok".to_owned(),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => "denied".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        };
        writeln!(out, "{act} {word}")?;
    }
    Ok(())
}

/// As `app::policy` of authd and of admind: the folders of certificate and key.
fn plane(config: &Path) -> Result<Policy, Box<dyn std::error::Error>> {
    let settings: toml::Table = std::fs::read_to_string(config)?.parse()?;
    let path = |key: &str| -> Result<PathBuf, String> {
        let value = settings.get(key).and_then(toml::Value::as_str);
        Ok(PathBuf::from(value.ok_or(format!("no {key}"))?))
    };
    let read = web::Tls::folders(&path("tls_certificate")?, &path("tls_key")?)?;
    Ok(Policy { read, ..Policy::default() })
}

fn attempt(act: &str) -> std::io::Result<()> {
    let (verb, what) = act.split_once(':').ok_or(ErrorKind::InvalidInput)?;
    match verb {
        "read" => File::open(what).map(drop),
        "list" => std::fs::read_dir(what).map(drop),
        "write" => OpenOptions::new().append(true).open(what).map(drop),
        "create" => OpenOptions::new().write(true).create_new(true).open(what).map(drop),
        "link" => std::os::unix::fs::symlink("/etc/passwd", what),
        "run" => Command::new(what).status().map(drop),
        "bind" => TcpListener::bind(what).map(drop),
        "connect" => {
            let address = what.parse().map_err(|_| ErrorKind::InvalidInput)?;
            TcpStream::connect_timeout(&address, Duration::from_secs(5)).map(drop)
        }
        "unix" => UnixStream::connect(what).map(drop),
        "abstract" => UnixStream::connect_addr(&SocketAddr::from_abstract_name(what)?).map(drop),
        "signal" => {
            let number = what.parse().ok().and_then(rustix::process::Pid::from_raw);
            rustix::process::test_kill_process(number.ok_or(ErrorKind::InvalidInput)?)?;
            Ok(())
        }
        _ => Err(ErrorKind::InvalidInput.into()),
    }
}
