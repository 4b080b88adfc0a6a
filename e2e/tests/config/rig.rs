//! One daemon's settings, changed, and how the daemon ends when it is started with them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use e2e::bench::{bench, is_root, until};
use e2e::{Daemon, Options, Stand};

/// In every secret that a case gives: it must not come back.
pub(crate) const CANARY: &str = "hunter2";
/// A daemon that has not refused its settings after this has taken them.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: it was still running.
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
    pub(crate) stdout: String,
}

/// The daemons of an installation that is configured and not running.
struct Daemons {
    /// Its files must stay.
    _stand: Stand,
    all: Vec<Daemon>,
    folder: PathBuf,
}

// A `Stand` holds child processes, which are `Send` but of no use to two threads; these never run.
fn daemons() -> &'static Daemons {
    static MADE: OnceLock<Daemons> = OnceLock::new();
    MADE.get_or_init(|| {
        let stand = Stand::prepare(&Options::default());
        let folder = stand.token().parent().unwrap().join("n0");
        let all = ["keyd", "authd", "admind", "courier"].map(|name| stand.stranger(name, 0)).into();
        Daemons { _stand: stand, all, folder }
    })
}

/// A daemon by name.
fn daemon(name: &str) -> &'static Daemon {
    daemons().all.iter().find(|daemon| daemon.name() == name).unwrap()
}

/// The folder of the installation.
pub(crate) fn folder() -> &'static PathBuf {
    &daemons().folder
}

/// A file that the daemon's user can read, for a case's own purposes.
pub(crate) fn file(content: &[u8], mode: u32) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder().join(format!("config/case-{number}"));
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// Settings that are good but for what a case does to them.
pub(crate) struct Settings {
    daemon: &'static Daemon,
    text: String,
    env: Vec<(String, String)>,
    mode: u32,
}

impl Settings {
    pub(crate) fn of(name: &str) -> Self {
        let daemon = daemon(name);
        let text = fs::read_to_string(daemon.config()).unwrap();
        Self { daemon, text, env: Vec::new(), mode: 0o644 }
    }

    /// Replace or add a line; the value in TOML.
    pub(crate) fn set(self, key: &str, value: &str) -> Self {
        let mut settings = self.without(key);
        writeln!(settings.text, "{key} = {value}").unwrap();
        settings
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        let begin = format!("{key} = ");
        let kept: Vec<&str> = self.text.lines().filter(|line| !line.starts_with(&begin)).collect();
        self.text = format!("{}\n", kept.join("\n"));
        self
    }

    pub(crate) fn append(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Write them down.
    pub(crate) fn file(&self) -> PathBuf {
        let path = file(self.text.as_bytes(), self.mode);
        if self.mode & 0o004 == 0 && is_root() {
            let user = format!("root:opentrusty-{}", self.daemon.name());
            assert!(Command::new("chown").arg(user).arg(&path).status().unwrap().success());
        }
        path
    }

    fn command(&self) -> Command {
        let mut command = self.daemon.command_with(&self.file());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Start it.
    pub(crate) fn start(&self) -> Ended {
        end(&mut self.command())
    }

    /// Ask it whether the settings are good.
    pub(crate) fn check(&self) -> Ended {
        end(self.command().arg("--check"))
    }
}

/// Start a daemon with a settings file of a case's own.
pub(crate) fn start_with(name: &str, path: &Path) -> Ended {
    end(&mut daemon(name).command_with(path))
}

/// Run a command until it ends or has shown that it will not.
pub(crate) fn end(command: &mut Command) -> Ended {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = std::time::Instant::now();
    let status = until("the program ends or has gone on", PATIENCE * 2, || {
        let ended = child.try_wait().unwrap();
        (ended.is_some() || begin.elapsed() > PATIENCE).then_some(ended)
    });
    if status.is_none() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    Ended {
        code: status.and_then(|status| status.code()),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

/// What is wrong with how a program refused its settings, if anything.
pub(crate) fn fault(program: &str, ended: &Ended, names: &[&str]) -> Option<String> {
    let code = ended.code;
    if code != Some(78) {
        let last = ended.stderr.lines().last().unwrap_or_default();
        return Some(match code {
            Some(code) => format!("ended with {code}, not 78: {last}"),
            None => format!("went on: {last}"),
        });
    }
    // Log lines may come before it; the last word is one line that says it all.
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let last = lines.last().copied().unwrap_or_default();
    if !last.starts_with(&format!("{program}: ")) {
        return Some(format!("no line of its own: {}", ended.stderr));
    }
    if lines.iter().filter(|line| line.starts_with(&format!("{program}: "))).count() != 1 {
        return Some(format!("more than one line: {}", ended.stderr));
    }
    for name in names {
        if !last.contains(name) {
            return Some(format!("does not name {name}: {last}"));
        }
    }
    if ended.stderr.contains(CANARY) || ended.stdout.contains(CANARY) {
        return Some(format!("repeats a secret: {}", ended.stderr));
    }
    None
}

/// The `opentrusty` command with an environment of a test's own.
pub(crate) fn opentrusty(args: &[&str], env: &[(&str, &str)]) -> Ended {
    let mut command = bench().program("opentrusty");
    command.args(args).envs(env.iter().copied());
    end(&mut command)
}
