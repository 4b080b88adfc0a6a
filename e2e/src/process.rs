//! One daemon: started as its user, ended by number, its words kept for when a test fails.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{bench, is_root, run, until};

/// How long a daemon may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(20);
/// What is shown of a log when a test fails.
const TAIL_LINES: usize = 40;

/// A daemon of a stand.
#[derive(Debug)]
pub struct Daemon {
    name: &'static str,
    /// The program, and the flag that makes it this daemon where it is another one's.
    program: (&'static str, Option<&'static str>),
    user: String,
    config: PathBuf,
    log: PathBuf,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Daemon {
    pub(crate) fn new(name: &'static str, user: &str, folder: &Path) -> Self {
        Self {
            name,
            program: if name == "courier" { ("admind", Some("--courier")) } else { (name, None) },
            user: user.to_owned(),
            config: folder.join("config").join(format!("{name}.toml")),
            log: folder.join("log").join(format!("{name}.log")),
            environment: Vec::new(),
            child: None,
        }
    }

    pub(crate) fn with_env(mut self, name: &str, value: &Path) -> Self {
        self.environment.push((name.to_owned(), value.display().to_string()));
        self
    }

    /// Give it a variable from its next start on: settings in the environment win over its file.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The program's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// What it has written to stderr since the stand began.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process number, when it was started and not yet ended by us.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The command that starts it, as its user; for tests that start one on their own terms.
    pub fn command(&self) -> Command {
        self.command_with(&self.config)
    }

    /// The same with another settings file.
    pub fn command_with(&self, config: &Path) -> Command {
        let (program, role) = self.program;
        let mut command = bench().program(program);
        command.arg("--config").arg(config).args(role).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if is_root() {
            command.uid(number(&self.user, "-u")).gid(number(&self.user, "-g"));
        }
        command
    }

    /// Start it, without waiting until it serves.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} is running already", self.name);
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let child = self
            .command()
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.name));
        bench().remember(child.id());
        self.child = Some(child);
    }

    /// Has it ended by itself?
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().unwrap()
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill9(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and wait until it has ended in its own way.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap_or_else(|| panic!("{} is not running", self.name));
        signal(child.id(), Signal::TERM);
        until(&format!("{} ends after SIGTERM", self.name), STOP, || child.try_wait().unwrap())
    }

    /// Send it a signal, such as STOP and CONT.
    pub fn signal(&self, which: Signal) {
        signal(self.pid().unwrap_or_else(|| panic!("{} is not running", self.name)), which);
    }

    pub(crate) fn show_log(&self) {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        eprintln!("--- {} ({} lines) ---", self.log.display(), lines.len());
        for line in lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)) {
            eprintln!("{line}");
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = self.child.as_mut() {
            // It may have ended by itself; either way nothing of it stays.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(pid: u32, which: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, which).unwrap();
}

fn number(user: &str, which: &str) -> u32 {
    run(Command::new("id").args([which, user])).trim().parse().unwrap()
}
