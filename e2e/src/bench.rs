//! What all tests of one binary share: the cluster with its migrated template, the authority, the
//! programs. Made at first use, removed by a reaper when the binary has ended, however it ended.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::http::Trust;
use crate::trace;

/// The database that every stand's own is copied from.
const TEMPLATE: &str = "opentrusty_template";
/// Ports below the kernel's ephemeral range, so that no outgoing connection takes one of ours.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The shared part.
#[derive(Debug)]
pub struct Bench {
    dir: PathBuf,
    bin: PathBuf,
    trust: Trust,
    users: Users,
    /// Its standard input is what tells the reaper that we are gone.
    _reaper: Child,
}

/// The users that the daemons run as: separate ones under root, otherwise all the caller.
#[derive(Debug)]
pub(crate) struct Users {
    pub(crate) keyd: String,
    pub(crate) authd: String,
    pub(crate) admind: String,
    pub(crate) courier: String,
}

/// The bench of this test binary.
pub fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(Bench::make)
}

/// Is this process root?
pub fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// For tests of what only separate users can show. They fail without root; they never skip.
pub fn require_root() {
    assert!(
        is_root(),
        "this test needs root: it checks what separate system users may do to each other. \
         Run `sudo make test`, or leave it out by name with `cargo test -- --skip`"
    );
}

/// Wait until `condition` gives a value, or panic after `deadline` saying what was waited for.
pub fn until<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited {deadline:?} in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A port of 127.0.0.1 that nothing listens on.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start;
    // Where a binary begins depends on its number, so that two of them rarely try the same ports.
    let begin = u16::try_from(std::process::id().wrapping_mul(61) % u32::from(span)).unwrap();
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (begin.wrapping_add(step)) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// A number that no other caller in this process gets.
pub(crate) fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Run a command to its end and return what it printed; panic with all of it when it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One of the scripts that `make up` uses too.
pub(crate) fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/dev").join(name))
}

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, Permissions::from_mode(bits)).unwrap();
}

impl Users {
    fn of_this_run() -> Self {
        if is_root() {
            run(&mut script("users"));
            return Self {
                keyd: "opentrusty-keyd".into(),
                authd: "opentrusty-authd".into(),
                admind: "opentrusty-admind".into(),
                courier: "opentrusty-courier".into(),
            };
        }
        let me = run(Command::new("id").arg("-un")).trim().to_owned();
        Self { keyd: me.clone(), authd: me.clone(), admind: me.clone(), courier: me }
    }
}

impl Bench {
    fn make() -> Self {
        let dir =
            PathBuf::from(run(Command::new("mktemp").args(["-d", "/tmp/ot-bench-XXXXXX"])).trim());
        mode(&dir, 0o711);
        let reaper = Self::reaper(&dir);
        let users = Users::of_this_run();
        let bin = Self::programs(&dir);
        run(script("cluster").args([&dir.join("pg"), &dir.join("run")]).args([
            "start",
            "--throwaway",
            "--owner-createdb",
        ]));
        run(script("certificates")
            .arg(dir.join("tls"))
            .args([format!("authd:{}", users.authd), format!("admind:{}", users.admind)]));
        let trust = Trust::in_file(&dir.join("tls/ca.pem"));
        let bench = Self { dir, bin, trust, users, _reaper: reaper };
        bench.database(TEMPLATE, None);
        bench.migrate(TEMPLATE);
        bench
    }

    fn reaper(dir: &Path) -> Child {
        let log = fs::File::create(dir.join("reap.log")).unwrap();
        script("reap")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // A group of its own: what interrupts the test at a terminal must not interrupt this.
            .process_group(0)
            .spawn()
            .expect("packaging/dev/reap starts")
    }

    /// The programs beside this test binary, copied to where every user can run them.
    fn programs(dir: &Path) -> PathBuf {
        let test = std::env::current_exe().unwrap();
        let built = test.ancestors().nth(2).unwrap();
        let bin = dir.join("bin");
        fs::create_dir(&bin).unwrap();
        mode(&bin, 0o755);
        for program in ["keyd", "authd", "admind", "opentrusty"] {
            let from = built.join(program);
            fs::copy(&from, bin.join(program)).unwrap_or_else(|error| {
                panic!("{} is not there ({error}); `make test` builds it first", from.display())
            });
            mode(&bin.join(program), 0o755);
            if let Some(folder) = trace::folder() {
                trace::wrap(&bin.join(program), &folder);
            }
        }
        bin
    }

    fn migrate(&self, database: &str) {
        run(self
            .program("opentrusty")
            .arg("migrate")
            .env("OPENTRUSTY_PG_SOCKET_DIR", self.sockets())
            .env("OPENTRUSTY_PG_DATABASE", database)
            .env("OPENTRUSTY_PG_OWNER", "opentrusty_owner"));
    }

    /// The folder that everything of this binary lies under.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of PostgreSQL's socket.
    pub fn sockets(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// What a client must trust to talk to the stands.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(crate) fn users(&self) -> &Users {
        &self.users
    }

    pub(crate) fn bin(&self) -> &Path {
        &self.bin
    }

    /// One of our programs with an environment of nothing but a PATH.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command
    }

    /// Make a database: empty, or a copy of another one that nobody is connected to.
    pub fn database(&self, name: &str, template: Option<&str>) {
        run(script("cluster")
            .args([&self.dir.join("pg"), &self.sockets()])
            .args(["database", name])
            .args(template));
    }

    pub(crate) fn database_from_template(&self, name: &str) {
        self.database(name, Some(TEMPLATE));
    }

    pub(crate) fn drop_database(&self, name: &str) {
        run(script("cluster").args([&self.dir.join("pg"), &self.sockets()]).args(["drop", name]));
    }

    /// Stop the server that every stand of this binary shares, as a crash would: whoever calls keeps other
    /// tests away. What was acknowledged is on disk before.
    pub fn stop_postgresql(&self) {
        self.psql(TEMPLATE, "postgres", "CHECKPOINT").unwrap();
        run(script("cluster").args([&self.dir.join("pg"), &self.sockets()]).arg("stop"));
    }

    /// Start the server again.
    pub fn start_postgresql(&self) {
        run(script("cluster").args([&self.dir.join("pg"), &self.sockets()]).args([
            "start",
            "--throwaway",
            "--owner-createdb",
        ]));
    }

    /// Run SQL as a role; rows come back one a line, columns split by `|`.
    ///
    /// # Errors
    /// What PostgreSQL said, when it refused.
    pub fn psql(&self, database: &str, role: &str, sql: &str) -> Result<String, String> {
        let output = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-U", role])
            .args(["-c", sql, "-h"])
            .arg(self.sockets())
            .stdin(Stdio::null())
            .output()
            .expect("psql starts");
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
    }

    /// Tell the reaper of a process, before anything can go wrong with it.
    pub(crate) fn remember(&self, pid: u32) {
        let file = OpenOptions::new().create(true).append(true).open(self.dir.join("started"));
        writeln!(file.unwrap(), "{pid}").unwrap();
    }
}
