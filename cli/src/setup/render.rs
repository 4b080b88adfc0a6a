//! The files of an installation as text. Pure: what a plan says is all that they depend on.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use oauth::form::encode;
use secrecy::SecretString;

use super::plan::{Database, Plan, Token};
use super::remote::RELAY_UNITS;
use crate::appliance::{
    self, CA, DAEMONS, DATABASE, Daemon, ETC, MIGRATE, OWNER, OWNER_URL, PG_SOCKETS, SETTINGS,
};
use crate::credential::Credential;

/// Which unit is given what its role connects by.
const DATABASE_DROP_IN: &str = "10-database.conf";
/// Where an administrator's units are, and those that setup makes.
const UNITS: &str = "/etc/systemd/system";
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

/// The settings files, in the order that they are written. `root`: the authority that signed a remote
/// database's certificate, unless what is there is to stay.
pub(super) fn settings(plan: &Plan, root: Option<String>, has_ca: bool) -> Vec<Text> {
    let mut all = vec![
        public(Path::new(SETTINGS), own(plan, has_ca), Vec::new()),
        private(Daemon::Keyd, keyd(plan)),
        private(Daemon::Authd, authd(plan)),
        private(Daemon::Admind, admind(plan)),
        private(Daemon::Courier, courier(plan)),
    ];
    if let Some(root) = root {
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
            all.push(public(&Path::new(UNITS).join(name), body, Vec::new()));
        }
        for (unit, credential, of) in database_urls() {
            let Credential { name, path } = credential;
            let body = format!("[Service]\nLoadCredentialEncrypted={name}:{path}\n");
            all.push(public(&appliance::drop_in(unit, DATABASE_DROP_IN), body, of));
        }
    }
    all
}

/// Who connects to the database, and by which credential if it is elsewhere.
fn database_urls() -> Vec<(&'static str, Credential, Vec<Daemon>)> {
    let daemons = DAEMONS
        .into_iter()
        .filter_map(|daemon| Some((daemon.service(), daemon.database_url()?, vec![daemon])));
    daemons.chain([(MIGRATE, OWNER_URL, Vec::new())]).collect()
}

/// Drop-ins that another plan needed and this one must not have, and whom they are for.
pub(super) fn obsolete_drop_ins(plan: &Plan) -> Vec<(PathBuf, Vec<Daemon>)> {
    let Database::Local = plan.database else { return Vec::new() };
    let all = database_urls().into_iter();
    all.map(|(unit, _, of)| (appliance::drop_in(unit, DATABASE_DROP_IN), of)).collect()
}

/// The relay's units.
pub(super) fn obsolete_relay() -> Vec<PathBuf> {
    RELAY_UNITS.map(|name| Path::new(UNITS).join(name)).into()
}

/// What connected to a database elsewhere, and the authority that it was believed by.
pub(super) fn obsolete_secrets() -> Vec<PathBuf> {
    let sealed = database_urls().into_iter().map(|(_, credential, _)| credential.path.into());
    sealed.chain([DATABASE_CA.into()]).collect()
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

/// Readable by its daemon alone: it says how this installation is defended.
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
            let lines = lines.text("database_server", &server.to_string());
            lines.text("database_url_credential", OWNER_URL.path)
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

/// What a role connects by on this machine: the server asks the kernel who it is. Elsewhere there is a password
/// in it, so it is a credential of the service.
fn database(plan: &Plan, daemon: Daemon) -> Option<String> {
    let Database::Local = plan.database else { return None };
    let role = daemon.role()?;
    Some(format!("postgres:///{DATABASE}?host={}&user={role}", encode(PG_SOCKETS)))
}

fn plane(plan: &Plan, daemon: Daemon) -> Lines {
    Lines::default()
        .text("issuer", plan.issuer.as_str())
        .path("tls_certificate", &daemon.certificate())
        .path("tls_key", &daemon.key())
        .maybe("database_url", database(plan, daemon).as_deref())
        .text("keyd_user", Daemon::Keyd.user())
        .maybe("console_origin", plan.console_origin.as_deref())
        .text("sandbox", "required")
        .text("memory_lock", "try")
}

fn authd(plan: &Plan) -> String {
    plane(plan, Daemon::Authd).text("keyd_socket", SIGN).text("admin_audience", plan.api.as_str()).0
}

fn admind(plan: &Plan) -> String {
    plane(plan, Daemon::Admind).text("keyd_socket", MANAGE).text("api", plan.api.as_str()).0
}

fn courier(plan: &Plan) -> String {
    Lines::default()
        .maybe("database_url", database(plan, Daemon::Courier).as_deref())
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
