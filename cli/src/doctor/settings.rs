//! The settings files: do they agree with each other, and do they leave anything open?

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use toml::{Table, Value};

use super::finding::{Finding, fail, ok, warn};
use crate::appliance::{self, DAEMONS, Daemon, SETTINGS};
use crate::args::Plane;
use crate::config;

/// What the files say; a file that is missing or no TOML is an empty one here, and `accepted` says so.
#[derive(Debug, Default)]
pub(super) struct Files {
    own: Table,
    keyd: Table,
    authd: Table,
    admind: Table,
    courier: Table,
}

impl Files {
    pub(super) fn read() -> Self {
        let table = |path: &Path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            toml::from_str(&text).unwrap_or_default()
        };
        Self {
            own: table(Path::new(SETTINGS)),
            keyd: table(&Daemon::Keyd.settings()),
            authd: table(&Daemon::Authd.settings()),
            admind: table(&Daemon::Admind.settings()),
            courier: table(&Daemon::Courier.settings()),
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

    /// How old a key may become before admind rotates it, in days.
    pub(super) fn rotation_days(&self) -> i64 {
        self.admind.get("key_rotation_days").and_then(Value::as_integer).unwrap_or(90)
    }
}

fn text<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Value::as_str)
}

/// Whether each daemon would start.
pub(super) fn accepted() -> Vec<Finding> {
    let planes = [Plane::Keyd, Plane::Auth, Plane::Admin, Plane::Courier];
    let judge = |plane: Plane| {
        let (name, _) = plane.role();
        let check = format!("settings.{name}");
        match config::ask(plane, Some(&plane.settings())) {
            Ok(()) => ok(check, "accepted by the daemon"),
            Err(failure) => {
                let fix = format!(
                    "correct {}, or remove it and run opentrusty setup",
                    plane.settings().display()
                );
                fail(check, failure.to_string(), fix)
            }
        }
    };
    planes.map(judge).into()
}

pub(super) fn check(files: &Files) -> Vec<Finding> {
    let mut all =
        vec![issuer(files), audience(files), jwks_age(files), secrets(files), cors(files)];
    all.extend(DAEMONS.into_iter().filter_map(|daemon| transport(daemon, files.of(daemon))));
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
    ok("secrets", "the PIN is a credential, encrypted for this machine")
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
fn transport(daemon: Daemon, table: &Table) -> Option<Finding> {
    daemon.role()?;
    let name = format!("database.{}", daemon.name());
    let fix = "a socket on this machine, or sslmode=verify-full; run opentrusty setup --database";
    let Some(url) = text(table, "database_url") else {
        return Some(fail(name, "no database_url", fix));
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
