//! The files of an installation as text. Pure: what a plan says is all that they depend on.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use oauth::form::encode;
use secrecy::{ExposeSecret as _, SecretString};

use super::plan::{Database, Plan, Token};
use super::remote::Passwords;
use crate::appliance::{
    self, CA, DATABASE, Daemon, ETC, MIGRATE_USER, OWNER, PG_SOCKETS, SETTINGS,
};

/// The owner's connection to a remote database, readable by whoever migrates.
pub(crate) const OWNER_URL: &str = "/etc/opentrusty/database.url";
/// A copy, where every daemon can read it: the file that was named may be anybody's.
pub(crate) const DATABASE_CA: &str = "/etc/opentrusty/database-ca.pem";
const SIGN: &str = "/run/opentrusty/sign.sock";
const MANAGE: &str = "/run/opentrusty/manage.sock";

/// A file that is to be.
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) body: SecretString,
    pub(super) owner: &'static str,
    pub(super) group: &'static str,
    pub(super) mode: u32,
    /// Who reads it, and has to be started anew when it changes.
    pub(super) of: Vec<Daemon>,
    /// Whether its first line says who wrote it; a file that is one value has no room for it.
    pub(super) signed: bool,
}

/// What the roles connect by.
pub(super) struct Urls {
    authd: SecretString,
    admind: SecretString,
    courier: SecretString,
    /// Of a remote database.
    owner: Option<SecretString>,
    /// The authority that signed a remote server's certificate, if it is not one of the web's.
    root: Option<String>,
}

impl Urls {
    pub(super) fn local() -> Self {
        let url = |role: &str| {
            let socket = encode(PG_SOCKETS);
            SecretString::from(format!("postgres:///{DATABASE}?host={socket}&user={role}"))
        };
        Self {
            authd: url("opentrusty_authd"),
            admind: url("opentrusty_admind"),
            courier: url("opentrusty_courier"),
            owner: None,
            root: None,
        }
    }

    pub(super) fn remote(
        server: &super::remote::Server,
        passwords: &Passwords,
        root: Option<String>,
    ) -> Self {
        let ca = root.is_some().then_some(DATABASE_CA);
        let url = |role: &str, password: &SecretString| server.connection(role, password, ca);
        Self {
            authd: url("opentrusty_authd", &passwords.authd),
            admind: url("opentrusty_admind", &passwords.admind),
            courier: url("opentrusty_courier", &passwords.courier),
            owner: Some(url(OWNER, &passwords.owner)),
            root,
        }
    }
}

/// The settings files, in the order that they are written. `urls`: unless what is there is to stay.
pub(super) fn settings(plan: &Plan, urls: Option<&Urls>, has_ca: bool) -> Vec<Text> {
    let mut all = vec![
        public(Path::new(SETTINGS), own(plan, has_ca), Vec::new()),
        private(Daemon::Keyd, keyd(plan)),
    ];
    if let Some(urls) = urls {
        all.push(private(Daemon::Authd, authd(plan, urls)));
        all.push(private(Daemon::Admind, admind(plan, urls)));
        all.push(private(Daemon::Courier, courier(urls)));
        if let Some(owner) = &urls.owner {
            all.push(Text {
                path: OWNER_URL.into(),
                body: SecretString::from(format!("{}\n", owner.expose_secret())),
                owner: MIGRATE_USER,
                group: MIGRATE_USER,
                mode: 0o400,
                of: Vec::new(),
                signed: false,
            });
        }
    }
    if let Some(root) = urls.and_then(|urls| urls.root.clone()) {
        let of = vec![Daemon::Authd, Daemon::Admind, Daemon::Courier];
        all.push(Text { signed: false, ..public(Path::new(DATABASE_CA), root, of) });
    }
    if let Token::SoftHsm { .. } = plan.token {
        let path = Path::new(appliance::SOFTHSM_CONF);
        all.push(public(path, appliance::softhsm_conf(), vec![Daemon::Keyd]));
        // The unit reads it: the module looks for its settings in the environment alone.
        let body = format!("SOFTHSM2_CONF={}\n", appliance::SOFTHSM_CONF);
        all.push(public(Path::new(appliance::KEYD_ENV), body, vec![Daemon::Keyd]));
    }
    all
}

/// The drop-ins of units: ports, and the way to a remote database.
pub(super) fn units(plan: &Plan) -> Vec<Text> {
    let mut all = Vec::new();
    for (daemon, port) in [(Daemon::Authd, plan.listen_port), (Daemon::Admind, plan.api_port)] {
        for socket in daemon.sockets() {
            // An empty value forgets what the unit itself says.
            let body = format!("[Socket]\nListenStream=\nListenStream={port}\n");
            all.push(public(&appliance::port_file(socket), body, vec![daemon]));
        }
    }
    if let Database::Remote(server) = &plan.database {
        for (name, body) in server.relay() {
            all.push(public(&Path::new("/etc/systemd/system").join(name), body, Vec::new()));
        }
    }
    all
}

fn public(path: &Path, body: String, of: Vec<Daemon>) -> Text {
    let body = SecretString::from(body);
    Text {
        path: path.to_owned(),
        body,
        owner: "root",
        group: "root",
        mode: 0o644,
        of,
        signed: true,
    }
}

/// Readable by its daemon alone: addresses, and with a remote database a password, are in it.
fn private(daemon: Daemon, body: String) -> Text {
    Text {
        path: daemon.settings(),
        body: SecretString::from(body),
        owner: "root",
        group: daemon.user(),
        mode: 0o640,
        of: vec![daemon],
        signed: true,
    }
}

/// Lines `key = "value"`.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn text(mut self, key: &str, value: &str) -> Self {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key} = {}", quoted(value));
        self
    }

    fn path(self, key: &str, value: &Path) -> Self {
        self.text(key, &value.to_string_lossy())
    }

    fn maybe(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    fn number(mut self, key: &str, value: u64) -> Self {
        let _ = writeln!(self.0, "{key} = {value}");
        self
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn own(plan: &Plan, has_ca: bool) -> String {
    let lines = Lines::default()
        .text("issuer", plan.issuer.as_str())
        .text("api", plan.api.as_str())
        .maybe("console_origin", plan.console_origin.as_deref())
        .maybe("ca", has_ca.then_some(CA));
    match &plan.database {
        Database::Local => lines
            .text("pg_socket_dir", PG_SOCKETS)
            .text("pg_database", DATABASE)
            .text("pg_owner", OWNER),
        Database::Remote(server) => {
            lines.text("database_server", &server.to_string()).text("database_url_file", OWNER_URL)
        }
    }
    .0
}

fn keyd(plan: &Plan) -> String {
    let lines = Lines::default()
        .text("authd_user", Daemon::Authd.user())
        .text("admind_user", Daemon::Admind.user())
        .text("admin_audience", plan.api.as_str())
        .text("token_label", plan.token.label());
    let lines = match &plan.token {
        Token::SoftHsm { module, .. } => lines
            .path("pkcs11_module", module)
            .text("module_config", appliance::SOFTHSM_CONF)
            .text("token_dir", appliance::TOKENS),
        Token::Module { module, slot, .. } => {
            let lines = lines.path("pkcs11_module", module);
            match slot {
                Some(slot) => lines.number("token_slot", *slot),
                None => lines,
            }
        }
    };
    lines.text("sandbox", "required").text("memory_lock", "required").0
}

fn plane(plan: &Plan, daemon: Daemon, url: &SecretString) -> Lines {
    Lines::default()
        .text("issuer", plan.issuer.as_str())
        .path("tls_certificate", &daemon.certificate())
        .path("tls_key", &daemon.key())
        .text("database_url", url.expose_secret())
        .text("keyd_user", Daemon::Keyd.user())
        .maybe("console_origin", plan.console_origin.as_deref())
        .text("sandbox", "required")
        .text("memory_lock", "try")
}

fn authd(plan: &Plan, urls: &Urls) -> String {
    plane(plan, Daemon::Authd, &urls.authd)
        .text("keyd_socket", SIGN)
        .text("admin_audience", plan.api.as_str())
        .0
}

fn admind(plan: &Plan, urls: &Urls) -> String {
    plane(plan, Daemon::Admind, &urls.admind)
        .text("keyd_socket", MANAGE)
        .text("api", plan.api.as_str())
        .0
}

fn courier(urls: &Urls) -> String {
    Lines::default()
        .text("database_url", urls.courier.expose_secret())
        .text("sandbox", "required")
        .text("memory_lock", "try")
        .0
}

/// Folders that the files are in: path, mode, group.
pub(super) fn folders() -> Vec<(PathBuf, u32, &'static str)> {
    let etc = Path::new(ETC);
    let mut all = vec![
        (etc.to_owned(), 0o755, "root"),
        (etc.join("tls"), 0o755, "root"),
        (etc.join("token"), 0o700, "root"),
    ];
    all.extend([Daemon::Authd, Daemon::Admind].map(|one| (one.tls(), 0o750, one.user())));
    all
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
