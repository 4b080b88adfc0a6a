//! A real keyd on a real `SoftHSM` token, and a client that can also misbehave.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use host::clock::now_s;
use keyd::jws::Verifier;
use rustix::process::{Pid, Signal, kill_process};
use wire::{
    Algorithm, Class, Decoder, FRAME_MAX, KeyView, Kid, Purpose, REPLY_MAX, Refused, Reply,
    Request, Sealed, Sign, TokenState,
};

pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const ADMIN: &str = "https://api.example.com";
pub(crate) const PIN: &str = "1234";
const PATIENCE: Duration = Duration::from_secs(20);

static BEDS: AtomicU32 = AtomicU32::new(0);

/// A folder with a token, settings and, once started, a daemon.
pub(crate) struct Bed {
    pub(crate) dir: PathBuf,
    pub(crate) module: PathBuf,
    settings: Vec<(&'static str, String)>,
    environment: Vec<(&'static str, String)>,
    child: Option<Child>,
}

pub(crate) fn softhsm() -> PathBuf {
    let places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/lib64/libsofthsm2.so",
    ];
    let found = places.iter().map(Path::new).find(|place| place.exists());
    found.expect("these tests need SoftHSM (Debian: softhsm2)").to_owned()
}

pub(crate) fn must(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Bed {
    /// A fresh token; keyd not started yet. Both peers are the uid that runs the tests.
    pub(crate) fn new() -> Self {
        let n = BEDS.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("keyd-test-{}-{n}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.join("tokens")).unwrap();
        let conf = format!("directories.tokendir = {}/tokens\n", dir.display());
        fs::write(dir.join("softhsm2.conf"), conf).unwrap();
        let mut bed = Self {
            dir,
            module: softhsm(),
            settings: Vec::new(),
            environment: Vec::new(),
            child: None,
        };
        bed.init_token();
        bed.write_pin(PIN);
        let uid = rustix::process::getuid().as_raw().to_string();
        bed.set("authd_user", &uid);
        bed.set("admind_user", &uid);
        bed
    }

    /// A started keyd with default settings.
    pub(crate) fn started() -> Self {
        let mut bed = Self::new();
        bed.start();
        bed
    }

    pub(crate) fn init_token(&self) {
        let free =
            ["--init-token", "--free", "--label", "bed", "--pin", PIN, "--so-pin", "87654321"];
        must(self.tool("softhsm2-util").args(free));
    }

    pub(crate) fn write_pin(&self, pin: &str) {
        let path = self.dir.join("pin");
        let _ = fs::remove_file(&path);
        fs::write(&path, pin).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    }

    /// Another program on the same token.
    pub(crate) fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SOFTHSM2_CONF", self.dir.join("softhsm2.conf"));
        command
    }

    pub(crate) fn set(&mut self, key: &'static str, value: &str) {
        self.settings.retain(|(other, _)| *other != key);
        self.settings.push((key, value.to_owned()));
    }

    pub(crate) fn set_env(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The command that would start keyd, with its settings written.
    pub(crate) fn command(&self, suffix: &str) -> Command {
        let mut text = String::new();
        let file = |name: &str| self.path(name).display().to_string();
        for (key, value) in [
            ("pkcs11_module", self.module.display().to_string()),
            ("module_config", file("softhsm2.conf")),
            ("token_dir", file("tokens")),
            ("token_label", "bed".to_owned()),
            ("pin_file", file("pin")),
            ("admin_audience", ADMIN.to_owned()),
            ("sign_socket", file(&format!("sign{suffix}"))),
            ("manage_socket", file(&format!("manage{suffix}"))),
        ] {
            if !self.settings.iter().any(|(other, _)| *other == key) {
                writeln!(text, "{key} = {value:?}").unwrap();
            }
        }
        for (key, value) in &self.settings {
            match value.parse::<u64>() {
                Ok(number) => writeln!(text, "{key} = {number}").unwrap(),
                Err(_) => writeln!(text, "{key} = {value:?}").unwrap(),
            }
        }
        let config = self.path(&format!("keyd{suffix}.toml"));
        let _ = fs::remove_file(&config);
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyd"));
        command.env_clear().arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null());
        command.env("SOFTHSM2_CONF", self.path("softhsm2.conf"));
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        command.stderr(log);
        command
    }

    /// Starts keyd and waits until it has either become ready or said that it cannot.
    pub(crate) fn start(&mut self) {
        self.child = Some(self.command("").spawn().unwrap());
        self.await_socket("");
    }

    /// Starts another keyd on the same token; its sockets end in `suffix`.
    pub(crate) fn spawn_twin(&self, suffix: &str) -> Twin {
        Twin(self.command(suffix).spawn().unwrap())
    }

    pub(crate) fn await_socket(&self, suffix: &str) {
        let path = self.path(&format!("manage{suffix}"));
        until("keyd answers", || {
            let Ok(stream) = UnixStream::connect(&path) else { return false };
            Client::over(stream).try_call(&Request::Health).is_some_and(|reply| {
                matches!(reply, Reply::Health(TokenState::Ready | TokenState::Locked))
            })
        });
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let mut status = None;
        until("keyd ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Resident memory of the daemon, KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let pid = self.child.as_ref().unwrap().id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    pub(crate) fn sign_socket(&self) -> Client {
        Client::connect(&self.path("sign"))
    }

    pub(crate) fn manage_socket(&self) -> Client {
        Client::connect(&self.path("manage"))
    }

    /// A key that signs at once: the first of its group.
    pub(crate) fn active_key(&self, algorithm: Algorithm, class: Class) -> (KeyView, Sealed) {
        let mut manage = self.manage_socket();
        let (view, _) = manage.generate(algorithm, class);
        manage.activate(view.kid)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of keyd\n{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A second daemon; killed when dropped.
pub(crate) struct Twin(pub(crate) Child);

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A blocking client.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    buffer: Vec<u8>,
    next: u64,
}

impl Client {
    pub(crate) fn connect(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).unwrap())
    }

    pub(crate) fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: Vec::new(), next: 1 }
    }

    pub(crate) fn send(&mut self, request: &Request) -> u64 {
        let id = self.next;
        self.next += 1;
        self.stream.write_all(&wire::encode(id, request, FRAME_MAX).unwrap()).unwrap();
        id
    }

    /// The next reply; `None` when the connection has ended.
    pub(crate) fn receive(&mut self) -> Option<(u64, Reply)> {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            if let Some((id, reply, used)) = Decoder::new(REPLY_MAX).next(&self.buffer).unwrap() {
                self.buffer.drain(..used);
                return Some((id, reply));
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    pub(crate) fn try_call(&mut self, request: &Request) -> Option<Reply> {
        let id = self.next;
        self.next += 1;
        self.stream.write_all(&wire::encode(id, request, FRAME_MAX).unwrap()).ok()?;
        let (echoed, reply) = self.receive()?;
        assert_eq!(echoed, id);
        Some(reply)
    }

    pub(crate) fn call(&mut self, request: &Request) -> Reply {
        self.try_call(request).expect("keyd closed the connection")
    }

    pub(crate) fn refusal(&mut self, request: &Request) -> Refused {
        let reply = self.call(request);
        let Reply::Refused(why) = reply else { panic!("{reply:?}") };
        why
    }

    pub(crate) fn changed(&mut self, request: &Request) -> (KeyView, Sealed) {
        let reply = self.call(request);
        let Reply::Changed { sealed, view } = reply else { panic!("{reply:?}") };
        (view, sealed)
    }

    pub(crate) fn generate(&mut self, algorithm: Algorithm, class: Class) -> (KeyView, Sealed) {
        self.changed(&Request::Generate { issuer: ISSUER.to_owned(), algorithm, class })
    }

    pub(crate) fn activate(&mut self, kid: Kid) -> (KeyView, Sealed) {
        self.changed(&Request::Activate { kid, first: true })
    }

    pub(crate) fn load(&mut self, rows: &[Sealed]) -> (u32, Vec<u32>) {
        let reply = self.call(&Request::Load(rows.to_vec()));
        let Reply::Loaded { accepted, planted } = reply else { panic!("{reply:?}") };
        (accepted, planted)
    }

    pub(crate) fn keys(&mut self) -> Vec<KeyView> {
        let reply = self.call(&Request::PublicKeys);
        let Reply::PublicKeys(keys) = reply else { panic!("{reply:?}") };
        keys
    }

    pub(crate) fn signed(&mut self, kid: Kid) -> String {
        let reply = self.call(&access(kid));
        let Reply::Signed(jws) = reply else { panic!("{reply:?}") };
        jws
    }
}

/// Claims that are good for an access token, with members replaced.
pub(crate) fn claims(changes: &[(&str, serde_json::Value)]) -> Vec<u8> {
    let now = now_s();
    let mut claims = serde_json::json!({
        "iss": ISSUER, "sub": "u1", "aud": "https://app.example.com", "iat": now, "exp": now + 1,
        "jti": "j1", "client_id": "c1",
    });
    for (name, value) in changes {
        claims[*name] = value.clone();
    }
    claims.to_string().into_bytes()
}

/// A request that the policy allows for an active key of class `Token`.
pub(crate) fn access(kid: Kid) -> Request {
    Request::Sign(Sign { kid, purpose: Purpose::AccessToken, claims: claims(&[]) })
}

/// Asserts that `jws` is by this key, and returns its header.
pub(crate) fn verified(jws: &str, key: &KeyView) -> String {
    let (input, signature) = jws.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let verifier = Verifier::new(key.algorithm, &key.public).unwrap();
    assert!(verifier.accepts(input.as_bytes(), &signature));
    let header = URL_SAFE_NO_PAD.decode(input.split('.').next().unwrap()).unwrap();
    String::from_utf8(header).unwrap()
}
