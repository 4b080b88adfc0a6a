//! What the daemons were told: do their settings agree with each other, and do they leave anything open?

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use toml::{Table, Value};
use url::Url;

use super::finding::{Finding, fail, ok, warn};
use super::processes;
use crate::appliance::{self, DAEMONS, Daemon, SETTINGS};
use crate::args::Plane;
use crate::config;
use crate::program::Program;

/// What the files say, and the environments of the running daemons, which win; a file that is missing or no TOML is
/// an empty one here, and `accepted` says so.
#[derive(Debug, Default)]
pub(super) struct Files {
    own: Table,
    keyd: Table,
    authd: Table,
    admind: Table,
    courier: Table,
    environments: BTreeMap<Daemon, Vec<(String, String)>>,
    /// How its unit gives a daemon what it connects by, if the database is elsewhere.
    given: BTreeMap<Daemon, Given>,
}

/// A credential of a unit's.
#[derive(Debug)]
enum Given {
    Sealed(SecretString),
    /// Sealed for another machine, or not there.
    Unreadable,
    InClear,
}

/// Other names in the environment of what is looked at here.
const ALIASES: [(&str, &str); 5] = [
    ("OAUTH_ISSUER", "issuer"),
    ("ISSUER", "issuer"),
    ("BASE_URL", "issuer"),
    ("OPENTRUSTY_BASE_URL", "issuer"),
    ("DATABASE_URL", "database_url"),
];

/// The key that a variable sets, if it is a setting. `OPENTRUSTY_API` is the API's own URL in admind, and in authd
/// another name of the audience of its tokens.
fn key_of(daemon: Daemon, variable: &str) -> Option<String> {
    if daemon == Daemon::Authd && variable == "OPENTRUSTY_API" {
        return Some("admin_audience".to_owned());
    }
    let alias = ALIASES.iter().find(|(name, _)| *name == variable);
    let key = alias.map(|(_, key)| (*key).to_owned());
    key.or_else(|| variable.strip_prefix("OPENTRUSTY_").map(str::to_ascii_lowercase))
}

/// Lays an environment over a file. An empty variable counts as absent.
fn overlay(table: &mut Table, daemon: Daemon, environment: &[(String, String)]) {
    for (variable, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
        if let Some(key) = key_of(daemon, variable) {
            let number = value.parse().map(Value::Integer);
            table.insert(key, number.unwrap_or_else(|_| Value::String(value.clone())));
        }
    }
}

/// The settings in the environment that a process was started with.
fn environment(daemon: Daemon) -> Vec<(String, String)> {
    let Some(pid) = processes::pid(daemon) else { return Vec::new() };
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|one| std::str::from_utf8(one).ok());
    let pairs = pairs.filter_map(|one| one.split_once('='));
    let settings = pairs.filter(|(variable, _)| key_of(daemon, variable).is_some());
    settings.map(|(variable, value)| (variable.to_owned(), value.to_owned())).collect()
}

fn given(daemon: Daemon) -> Option<Given> {
    let credential = daemon.database_url()?;
    match loads(&unit_of(daemon.service()), credential.name)? {
        Loads::InClear => Some(Given::InClear),
        Loads::Sealed => Some(credential.open().map_or(Given::Unreadable, Given::Sealed)),
    }
}

/// A unit and its drop-ins in their order; `show` prints no credentials.
fn unit_of(service: &str) -> String {
    Program::new("systemctl").args(["cat", service]).answer().unwrap_or_default()
}

impl Files {
    pub(super) fn read() -> Self {
        let table = |path: &Path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            toml::from_str(&text).unwrap_or_default()
        };
        let environments: BTreeMap<_, _> =
            DAEMONS.into_iter().map(|daemon| (daemon, environment(daemon))).collect();
        let told = |daemon: Daemon| {
            let mut table = table(&daemon.settings());
            overlay(&mut table, daemon, environments.get(&daemon).map_or(&[], Vec::as_slice));
            table
        };
        Self {
            own: table(Path::new(SETTINGS)),
            keyd: told(Daemon::Keyd),
            authd: told(Daemon::Authd),
            admind: told(Daemon::Admind),
            courier: told(Daemon::Courier),
            environments,
            given: DAEMONS.into_iter().filter_map(|one| Some((one, given(one)?))).collect(),
        }
    }

    const fn of(&self, daemon: Daemon) -> &Table {
        match daemon {
            Daemon::Keyd => &self.keyd,
            Daemon::Authd => &self.authd,
            Daemon::Admind => &self.admind,
            Daemon::Courier => &self.courier,
        }
    }

    pub(super) fn issuer(&self) -> Option<&str> {
        text(&self.own, "issuer")
    }

    pub(super) fn api(&self) -> Option<&str> {
        text(&self.own, "api")
    }

    /// The authorities that our certificates come from, unless they are the web's.
    pub(super) fn ca(&self) -> Option<&Path> {
        text(&self.own, "ca").map(Path::new)
    }

    /// The settings files that a database's password is in.
    fn in_clear(&self) -> Vec<String> {
        let holds = |daemon: &Daemon| {
            let url = text(self.of(*daemon), "database_url").and_then(|url| Url::parse(url).ok());
            url.is_some_and(|url| url.password().is_some())
        };
        let files = DAEMONS.into_iter().filter(holds);
        let files = files.map(|daemon| format!("{}.toml", daemon.name()));
        files.chain(text(&self.own, "database_url_file").map(str::to_owned)).collect()
    }

    /// How old a key may become before admind rotates it, in days.
    pub(super) fn rotation_days(&self) -> i64 {
        self.admind.get("key_rotation_days").and_then(Value::as_integer).unwrap_or(90)
    }
}

fn text<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Value::as_str)
}

/// Whether each daemon would start.
pub(super) fn accepted(files: &Files) -> Vec<Finding> {
    let judge = |plane: Plane| {
        let daemon = plane.daemon();
        let (name, _) = plane.role();
        let check = format!("settings.{name}");
        let environment = files.environments.get(&daemon).map_or(&[][..], Vec::as_slice);
        let given = daemon.database_url().filter(|_| files.given.contains_key(&daemon));
        match config::ask(plane, Some(&daemon.settings()), environment, given) {
            Ok(()) => ok(check, "accepted by the daemon"),
            Err(failure) => {
                let fix = format!(
                    "correct {}, or remove it and run opentrusty setup",
                    daemon.settings().display()
                );
                fail(check, failure.to_string(), fix)
            }
        }
    };
    [Plane::Keyd, Plane::Auth, Plane::Admin, Plane::Courier].map(judge).into()
}

pub(super) fn check(files: &Files) -> Vec<Finding> {
    let mut all =
        vec![issuer(files), audience(files), jwks_age(files), secrets(files), cors(files)];
    all.extend(DAEMONS.into_iter().filter_map(|daemon| transport(daemon, files)));
    all.extend(DAEMONS.into_iter().map(|daemon| sandbox(daemon, files.of(daemon))));
    all
}

fn issuer(files: &Files) -> Finding {
    let name = "issuer";
    let fix = "set the same https URL in opentrusty.toml, authd.toml and admind.toml";
    let all = [&files.own, &files.authd, &files.admind].map(|table| text(table, "issuer"));
    let [Some(own), Some(authd), Some(admind)] = all else {
        return fail(name, "one of the files names none", fix);
    };
    if own != authd || own != admind {
        return fail(name, format!("{own}, {authd} and {admind} are not the same"), fix);
    }
    if let Err(error) = host::origin::https_host("issuer", own) {
        return fail(name, error.to_string(), fix);
    }
    let (host, _) = appliance::authority(own);
    if host == "localhost" || host.parse::<IpAddr>().is_ok() || !host.contains('.') {
        let fix = "for production choose a public DNS name before the first token; it cannot change later";
        return warn(name, format!("{own} is no public name"), fix);
    }
    ok(name, own)
}

/// keyd refuses to sign an admin token for another audience, and admind to take one.
fn audience(files: &Files) -> Finding {
    let all = [
        text(&files.own, "api"),
        text(&files.keyd, "admin_audience"),
        text(&files.authd, "admin_audience"),
        text(&files.admind, "api"),
    ];
    let name = "api";
    match all {
        [Some(first), ..] if all.iter().all(|one| *one == Some(first)) => ok(name, first),
        _ => fail(
            name,
            "opentrusty.toml, keyd.toml, authd.toml and admind.toml do not name one URL",
            "set `api` and `admin_audience` to the same URL in all four",
        ),
    }
}

fn jwks_age(files: &Files) -> Finding {
    let age =
        |daemon| files.of(daemon).get("jwks_max_age_s").and_then(Value::as_integer).unwrap_or(3600);
    let [keyd, authd, admind] = [Daemon::Keyd, Daemon::Authd, Daemon::Admind].map(age);
    if keyd == authd && keyd == admind {
        return ok("jwks age", format!("{keyd} s everywhere"));
    }
    fail(
        "jwks age",
        format!("keyd {keyd} s, authd {authd} s, admind {admind} s"),
        "set jwks_max_age_s to one number in all three: keys would sign before everybody knows them",
    )
}

/// Secrets belong into credentials; what is in a file is in its backups too.
fn secrets(files: &Files) -> Finding {
    if files.keyd.contains_key("secret_key") {
        let fix =
            "give it as an encrypted credential `secret_key` (systemd-creds), and remove the line";
        return fail("secrets", "keyd.toml holds secret_key", fix);
    }
    if files.keyd.contains_key("pin_file") {
        let fix = "give the PIN as the encrypted credential `pin`: opentrusty setup --pin-file FILE, once";
        return warn("secrets", "keyd.toml names a file with the PIN in clear", fix);
    }
    let clear = files.in_clear();
    if !clear.is_empty() {
        let fix =
            "opentrusty setup --database URL --database-passwords FILE seals it for this machine";
        return warn("secrets", format!("the database's password is in {}", clear.join(", ")), fix);
    }
    ok("secrets", "none is in a settings file; what there is are credentials")
}

/// A drop-in may give keyd its PIN as a file in clear.
pub(super) fn pin() -> Finding {
    judge_pin(&unit_of(Daemon::Keyd.service()))
}

/// How a unit gets a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loads {
    Sealed,
    InClear,
}

/// An assignment is `NAME:PATH`, or the name alone; an empty one forgets those before it.
fn loads(unit: &str, name: &str) -> Option<Loads> {
    let gives = |property: &str| {
        let values = unit.lines().filter_map(|line| line.strip_prefix(property)?.strip_prefix('='));
        values.fold(false, |given, value| {
            !value.is_empty() && (given || value.split(':').next() == Some(name))
        })
    };
    if gives("LoadCredential") || gives("SetCredential") {
        return Some(Loads::InClear);
    }
    gives("LoadCredentialEncrypted").then_some(Loads::Sealed)
}

fn judge_pin(unit: &str) -> Finding {
    let fix =
        "remove the drop-in, and give the PIN to setup: opentrusty setup --pin-file FILE, once";
    match loads(unit, "pin") {
        Some(Loads::InClear) => warn("pin", "keyd's unit loads it in clear (LoadCredential=)", fix),
        Some(Loads::Sealed) => ok("pin", "an encrypted credential, for this machine alone"),
        None => warn("pin", "keyd's unit loads no encrypted credential `pin`", fix),
    }
}

fn cors(files: &Files) -> Finding {
    match text(&files.authd, "console_origin") {
        None => ok("cors", "no console; otherwise the origins of public clients' https URIs alone"),
        Some(origin) if host::origin::https_host("console_origin", origin).is_ok() => {
            ok("cors", format!("{origin}, and the origins of public clients' https URIs"))
        }
        Some(origin) => fail(
            "cors",
            format!("{origin} is no https origin"),
            "correct console_origin in authd.toml",
        ),
    }
}

/// What goes over a network to the database is encrypted, and the server has proved its name.
fn transport(daemon: Daemon, files: &Files) -> Option<Finding> {
    daemon.role()?;
    let name = format!("database.{}", daemon.name());
    let fix = "a socket on this machine, or sslmode=verify-full; run opentrusty setup --database";
    let given = match files.given.get(&daemon) {
        None => None,
        Some(Given::Sealed(url)) => Some(url.expose_secret()),
        Some(Given::Unreadable) => {
            let fix = "seal it for this machine: opentrusty setup --database-passwords FILE";
            return Some(fail(name, "its unit is given a URL that cannot be opened here", fix));
        }
        Some(Given::InClear) => {
            let fix = "remove the drop-in, and run opentrusty setup --database-passwords FILE";
            return Some(warn(name, "its unit loads the URL in clear (LoadCredential=)", fix));
        }
    };
    let Some(url) = text(files.of(daemon), "database_url").or(given) else {
        return Some(fail(name, "no database_url, and its unit is given none", fix));
    };
    Some(match host::database::check(url) {
        // The URL may hold a password.
        Ok(()) if url.contains("sslmode=verify-full") => ok(name, "TLS with sslmode=verify-full"),
        Ok(()) => ok(name, "on this machine"),
        Err(error) => fail(name, error.to_string(), fix),
    })
}

fn sandbox(daemon: Daemon, table: &Table) -> Finding {
    let name = format!("sandbox.setting.{}", daemon.name());
    let said = |key: &str, default: &str| text(table, key).unwrap_or(default).to_owned();
    let (sandbox, lock) = (said("sandbox", "required"), said("memory_lock", "try"));
    let file = daemon.settings();
    if sandbox == "off" {
        let fix = format!("set sandbox = \"required\" in {}", file.display());
        return fail(name, "the in-process sandbox is off", fix);
    }
    if sandbox != "required" {
        let fix = format!("set sandbox = \"required\" in {}", file.display());
        return warn(
            name,
            format!("{sandbox}: it starts without a sandbox where there is none"),
            fix,
        );
    }
    if daemon == Daemon::Keyd && lock != "required" {
        let fix = format!("set memory_lock = \"required\" in {}", file.display());
        return warn(name, format!("required; memory_lock is {lock}"), fix);
    }
    ok(name, format!("required; memory_lock is {lock}"))
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
