//! A server that Debian packages, run in the foreground by a folder's `run`: settings of its own, loopback only,
//! ended by number.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use e2e::Stand;
use e2e::authority::{Certificates, Leaf};
use e2e::bench::{bench, free_port, until};

/// Seconds that a server lives at most: `timeout` ends it and what it started, also when the test is gone.
const LIFE_S: &str = "120";
/// How long it may take until it listens.
const START: Duration = Duration::from_secs(20);

/// A pair for `localhost` that clients of this bench believe.
fn leaf() -> &'static Leaf {
    static LEAF: OnceLock<Leaf> = OnceLock::new();
    LEAF.get_or_init(|| Certificates::copied().new_leaf("authd"))
}

/// A server that listens.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    folder: PathBuf,
    ports: Vec<u16>,
}

/// One that is to be started, as soon as its ports are known to the issuer.
pub(crate) struct Prepared {
    name: &'static str,
    command: Command,
    folder: PathBuf,
    ports: Vec<u16>,
}

impl Prepared {
    /// The `run` of a folder, with a folder to write into and so many ports to listen on: `RP_PORT_0` is the first.
    pub(crate) fn new(stand: &Stand, name: &'static str, ports: usize) -> Self {
        let ports: Vec<u16> = (0..ports).map(|_| free_port()).collect();
        let folder = bench().dir().join(format!("{name}-{}", ports[0]));
        fs::create_dir(&folder).expect("a new folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("its mode");
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=3", LIFE_S])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(name).join("run"))
            .env("RP_CA", stand.ca_file())
            .env("RP_ISSUER", stand.issuer())
            .env("RP_FOLDER", &folder)
            .env("RP_TLS", &leaf().folder)
            .envs(
                ports
                    .iter()
                    .enumerate()
                    .map(|(at, port)| (format!("RP_PORT_{at}"), port.to_string())),
            );
        Self { name, command, folder, ports }
    }

    /// Tell it something: `RP_` and the name is the variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.command.env(format!("RP_{name}"), value);
        self
    }

    /// The origin at its first port.
    pub(crate) fn origin(&self) -> String {
        format!("https://localhost:{}", self.ports[0])
    }

    /// Start it and wait until it listens on every port.
    pub(crate) fn start(mut self) -> Server {
        let log = File::create(self.folder.join("output.log")).expect("a log");
        let child = self
            .command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn()
            .expect("timeout starts");
        let mut server = Server { name: self.name, child, folder: self.folder, ports: self.ports };
        for port in server.ports.clone() {
            until(&format!("{} listens on {port}", server.name), START, || {
                let ended = server.child.try_wait().expect("its state");
                assert!(ended.is_none(), "{} has ended:\n{}", server.name, server.log());
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
        server
    }
}

impl Server {
    /// The number of one of its ports.
    pub(crate) fn port(&self, number: usize) -> u16 {
        self.ports[number]
    }

    /// What it and its `run` have written.
    fn log(&self) -> String {
        ["output.log", "error.log"]
            .map(|name| fs::read_to_string(self.folder.join(name)).unwrap_or_default())
            .concat()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.folder.display(), self.log());
        }
        if matches!(self.child.try_wait(), Ok(None)) {
            // `timeout` hands SIGTERM on to the server, which ends its own.
            let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
            let _ = self.child.wait();
        }
    }
}
