//! One installation for one test: its own database, token, keyd, authd and admind, on free ports.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::bench::{Bench, bench, free_port, run, script, serial, until};
use crate::browser::Browser;
use crate::client::Client;
use crate::http::{Connection, Trust};
use crate::process::Daemon;

/// How long a daemon may take until it serves; a debug build on two busy cores is slow.
const START: Duration = Duration::from_secs(60);

/// What kind of installation a test wants.
#[derive(Clone, Debug)]
pub struct Options {
    /// 1, or 2 for a second keyd and authd on the same database and token, under the same issuer.
    pub nodes: usize,
    /// Lines of configuration to add or replace: `("authd.some_key", "42")`, the value in TOML.
    pub set: Vec<(&'static str, &'static str)>,
    /// False for a database in which nothing is yet.
    pub migrated: bool,
    /// True for a courier that runs too.
    pub courier: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { nodes: 1, set: Vec::new(), migrated: true, courier: false }
    }
}

/// A running installation. Dropping it ends its processes and drops its database.
#[derive(Debug)]
pub struct Stand {
    dir: PathBuf,
    database: String,
    issuer: String,
    api: String,
    nodes: Vec<Node>,
    admind: Daemon,
    courier: Option<Daemon>,
    ports: Ports,
}

/// A keyd and an authd that serve together.
#[derive(Debug)]
pub struct Node {
    /// The signing service.
    pub keyd: Daemon,
    /// The public plane.
    pub authd: Daemon,
    folder: PathBuf,
    port: u16,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    issuer: u16,
    admin: u16,
}

impl Stand {
    /// Start an installation and wait until all of it is ready.
    pub fn start(options: &Options) -> Self {
        let mut stand = Self::prepare(options);
        stand.begin();
        stand
    }

    /// An installation of which nothing runs yet.
    pub fn prepare(options: &Options) -> Self {
        let bench = bench();
        let name = format!("s{}", serial());
        let dir = bench.dir().join(&name);
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).unwrap();
        let database = format!("stand_{name}");
        if options.migrated {
            bench.database_from_template(&database);
        } else {
            bench.database(&database, None);
        }
        run(script("token").arg(dir.join("token")).args([&bench.users().keyd, "opentrusty"]));

        let ports = Ports { issuer: free_port(), admin: free_port() };
        let folders: Vec<PathBuf> =
            (0..options.nodes).map(|node| dir.join(format!("n{node}"))).collect();
        let mut stand = Self {
            issuer: format!("https://localhost:{}", ports.issuer),
            api: format!("https://localhost:{}", ports.admin),
            nodes: Vec::new(),
            admind: Daemon::new("admind", &bench.users().admind, folders.first().unwrap()),
            courier: options
                .courier
                .then(|| Daemon::new("courier", &bench.users().courier, folders.first().unwrap())),
            dir,
            database,
            ports,
        };
        for (number, folder) in folders.into_iter().enumerate() {
            // The first node is where the issuer's own URL leads.
            let port = if number == 0 { ports.issuer } else { free_port() };
            stand.configure(bench, &folder, port, options);
            stand.nodes.push(Node::new(bench, folder, &stand.dir.join("token"), port));
        }
        stand
    }

    /// One more daemon with the settings of a node, not started: a second management plane, or one that a
    /// test starts on its own terms.
    pub fn stranger(&self, name: &'static str, node: usize) -> Daemon {
        let folder = &self.nodes.get(node).expect("a node of this stand").folder;
        let users = bench().users();
        match name {
            "keyd" => Daemon::new(name, &users.keyd, folder)
                .with_env("SOFTHSM2_CONF", &self.token().join("softhsm2.conf")),
            "authd" => Daemon::new(name, &users.authd, folder),
            "admind" => Daemon::new(name, &users.admind, folder),
            "courier" => Daemon::new(name, &users.courier, folder),
            other => panic!("there is no daemon {other}"),
        }
    }

    fn configure(&self, bench: &Bench, folder: &Path, port: u16, options: &Options) {
        let users = bench.users();
        run(script("folders").args([folder, folder, &folder.join("run")]).args([
            &users.keyd,
            &users.authd,
            &users.admind,
        ]));
        let mut command = script("configure");
        for (option, path) in [
            ("--state", folder),
            ("--data", folder),
            ("--run", &folder.join("run")),
            ("--bin", bench.bin()),
            ("--token", &self.dir.join("token")),
            ("--tls", &bench.dir().join("tls")),
            ("--pg", &bench.sockets()),
        ] {
            command.arg(option).arg(path);
        }
        command
            .args(["--issuer", &self.issuer, "--api", &self.api, "--database", &self.database])
            .args(["--auth-listen", &format!("127.0.0.1:{port}")])
            .args(["--admin-listen", &format!("127.0.0.1:{}", self.ports.admin)])
            .arg("--users")
            .arg([&*users.keyd, &users.authd, &users.admind, &users.courier].join(","));
        // All tests come from one address, and many of them fail on purpose.
        let roomy =
            [("authd.sign_in_attempts_network", "100000"), ("authd.client_attempts", "100000")];
        for (key, value) in roomy.iter().chain(&options.set) {
            command.args(["--set", &format!("{key}={value}")]);
        }
        run(&mut command);
    }

    /// Start everything of a prepared installation, and wait until it is ready.
    pub fn begin(&mut self) {
        for node in &mut self.nodes {
            node.start_keyd();
        }
        self.begin_rest();
    }

    /// The same, where every keyd runs already.
    pub fn begin_rest(&mut self) {
        self.admind.start();
        if let Some(courier) = &mut self.courier {
            courier.start();
        }
        for node in &mut self.nodes {
            node.authd.start();
        }
        self.wait_ready();
    }

    /// Wait until every plane answers that it is ready.
    pub fn wait_ready(&mut self) {
        wait_ready(&mut self.admind, self.ports.admin);
        for node in &mut self.nodes {
            node.wait_ready();
        }
    }

    /// Wait until the first key of every kind signs for every issuer that there is, those included without
    /// which the planes are ready already: until then admind holds the right to change keys now and then.
    pub fn wait_for_keys(&self) {
        // Five algorithms for tokens; the management API and the audit log are the platform's.
        let all = "SELECT count(*) > 0 AND bool_and(active = CASE WHEN tenant_id IS NULL THEN 7 ELSE 5 END)
             FROM (SELECT i.tenant_id, count(k.kid) AS active FROM issuers i
                   LEFT JOIN signing_keys k ON k.issuer_id = i.id AND k.state = 'active' GROUP BY i.id) of_each";
        until("every first key is active", START, || {
            (self.psql("opentrusty_owner", all).unwrap() == "t").then_some(())
        });
    }

    /// The issuer's URL, which is also where the first node listens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The management API's URL.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// What a client must trust, as rustls takes it.
    pub fn trust(&self) -> &'static Trust {
        bench().trust()
    }

    /// What a client must trust, for clients that are not ours.
    pub fn ca_pem(&self) -> &'static str {
        bench().trust().pem()
    }

    /// The file that holds [`Self::ca_pem`].
    pub fn ca_file(&self) -> PathBuf {
        bench().dir().join("tls/ca.pem")
    }

    /// A client without cookies, that reaches the first node.
    pub fn client(&self) -> Client {
        Client::new(self.trust())
    }

    /// A client that reaches the given node under the issuer's name.
    pub fn client_of(&self, node: usize) -> Client {
        let mut client = self.client();
        client.route(self.ports.issuer, self.nodes.get(node).expect("a node of this stand").port);
        client
    }

    /// A browser without cookies.
    pub fn browser(&self) -> Browser {
        Browser::new(self.client())
    }

    /// A node, to be killed or started again.
    pub fn node(&mut self, number: usize) -> &mut Node {
        self.nodes.get_mut(number).expect("a node of this stand")
    }

    /// The nodes, to look at.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The management plane, to look at.
    pub fn admind_here(&self) -> &Daemon {
        &self.admind
    }

    /// The port that the management plane listens on.
    pub fn admin_port(&self) -> u16 {
        self.ports.admin
    }

    /// The management plane, to be killed or started again.
    pub fn admind(&mut self) -> &mut Daemon {
        &mut self.admind
    }

    /// The courier of a stand that has one, to be killed or started again.
    pub fn courier(&mut self) -> &mut Daemon {
        self.courier.as_mut().expect("a stand with a courier")
    }

    /// The socket of a node that authd signs through.
    pub fn keyd_sign_socket(&self, node: usize) -> PathBuf {
        self.nodes.get(node).expect("a node of this stand").folder.join("run/sign/socket")
    }

    /// The socket of a node that admind manages keys through.
    pub fn keyd_manage_socket(&self, node: usize) -> PathBuf {
        self.nodes.get(node).expect("a node of this stand").folder.join("run/manage/socket")
    }

    /// The folder with this stand's PKCS#11 token.
    pub fn token(&self) -> PathBuf {
        self.dir.join("token")
    }

    /// The name of this stand's database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Run SQL in this stand's database as a role; rows one a line, columns split by `|`.
    ///
    /// # Errors
    /// What PostgreSQL said, when it refused.
    pub fn psql(&self, role: &str, sql: &str) -> Result<String, String> {
        bench().psql(&self.database, role, sql)
    }

    /// The `opentrusty` command with the variables of this stand's `env` file.
    pub fn cli(&self) -> Command {
        let mut command = bench().program("opentrusty");
        let env = fs::read_to_string(self.dir.join("n0/env")).unwrap();
        for line in env.lines() {
            let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
            command.env(name, value);
        }
        command
    }

    /// Put users, clients and the rest into the database, in the form of `opentrusty seed`.
    pub fn seed(&self, json: &Value) {
        let file = self.dir.join(format!("seed-{}.json", serial()));
        fs::write(&file, json.to_string()).unwrap();
        run(self.cli().arg("seed").arg(&file));
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.admind.show_log();
            if let Some(courier) = &self.courier {
                courier.show_log();
            }
            for node in &self.nodes {
                node.keyd.show_log();
                node.authd.show_log();
            }
        }
        self.admind.kill9();
        if let Some(courier) = &mut self.courier {
            courier.kill9();
        }
        for node in &mut self.nodes {
            node.authd.kill9();
            node.keyd.kill9();
        }
        // A second panic while the first unwinds would hide it.
        if !std::thread::panicking() {
            bench().drop_database(&self.database);
        }
    }
}

impl Node {
    fn new(bench: &Bench, folder: PathBuf, token: &Path, port: u16) -> Self {
        let users = bench.users();
        Self {
            keyd: Daemon::new("keyd", &users.keyd, &folder)
                .with_env("SOFTHSM2_CONF", &token.join("softhsm2.conf")),
            authd: Daemon::new("authd", &users.authd, &folder),
            folder,
            port,
        }
    }

    /// The port that this node's authd listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Start keyd and wait until it has tried its token and accepts.
    pub fn start_keyd(&mut self) {
        // `started` is what it says when the token is away.
        let ready = |keyd: &Daemon| {
            let log = keyd.log();
            log.matches(" keyd: ready").count() + log.matches(" keyd: started").count()
        };
        let before = ready(&self.keyd);
        self.keyd.start();
        until("keyd is ready", START, || {
            assert!(self.keyd.ended().is_none(), "keyd has ended:\n{}", self.keyd.log());
            (ready(&self.keyd) > before).then_some(())
        });
        let socket = self.folder.join("run/sign/socket");
        until("keyd accepts", START, || {
            assert!(self.keyd.ended().is_none(), "keyd has ended:\n{}", self.keyd.log());
            UnixStream::connect(&socket).ok()
        });
    }

    /// Wait until authd says that it is ready.
    pub fn wait_ready(&mut self) {
        wait_ready(&mut self.authd, self.port);
    }

    /// SIGKILL to both.
    pub fn kill9(&mut self) {
        self.authd.kill9();
        self.keyd.kill9();
    }

    /// Start both again after they were ended, and wait until they serve.
    pub fn restart(&mut self) {
        self.start_keyd();
        self.authd.start();
        self.wait_ready();
    }
}

fn wait_ready(daemon: &mut Daemon, port: u16) {
    let trust = bench().trust();
    let request =
        format!("GET /readyz HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
    let what = format!("{} is ready on port {port}", daemon.name());
    until(&what, START, || {
        assert!(daemon.ended().is_none(), "{} has ended:\n{}", daemon.name(), daemon.log());
        let mut connection = Connection::open(([127, 0, 0, 1], port).into(), trust).ok()?;
        connection.send(request.as_bytes()).ok()?;
        let response = connection.receive(false).ok()?;
        (response.status == 200).then_some(())
    });
}
