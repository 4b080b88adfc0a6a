//! The names and places of an installation made from packages: what `setup` writes and `doctor` looks at.

use std::path::{Path, PathBuf};

use crate::credential::Credential;

/// Where settings are.
pub(crate) const ETC: &str = "/etc/opentrusty";
/// This command's own settings file; also what marks a machine that `setup` has been run on.
pub(crate) const SETTINGS: &str = "/etc/opentrusty/opentrusty.toml";
/// The database on this machine.
pub(crate) const DATABASE: &str = "opentrusty";
/// Where Debian's PostgreSQL and the RPM family's listen.
pub(crate) const PG_SOCKETS: &str = "/run/postgresql";
/// The role that owns the schema.
pub(crate) const OWNER: &str = "opentrusty_owner";
/// Who migrates.
pub(crate) const MIGRATE_USER: &str = "opentrusty-migrate";
/// The system user of keyd.
pub(crate) const KEYD_USER: &str = "opentrusty-keyd";
/// Where the files of a `SoftHSM` token are.
pub(crate) const TOKENS: &str = "/var/lib/opentrusty-keyd/tokens";
/// What `SoftHSM` reads.
pub(crate) const SOFTHSM_CONF: &str = "/etc/opentrusty/softhsm2.conf";
/// What keyd's unit puts into its environment.
pub(crate) const KEYD_ENV: &str = "/etc/opentrusty/keyd.env";
/// The encrypted PIN of keyd, and the one that only an administrator of the token needs.
pub(crate) const PIN: Credential =
    Credential { name: "pin", path: "/etc/opentrusty/token/pin.cred" };
pub(crate) const SO_PIN: Credential =
    Credential { name: "so-pin", path: "/etc/opentrusty/token/so-pin.cred" };
/// What roles connect by to a database on another machine, a password in each.
pub(crate) const DATABASE_URLS: &str = "/etc/opentrusty/database";
pub(crate) const OWNER_URL: Credential = database_url("/etc/opentrusty/database/owner.cred");
/// The authorities that this installation's certificates come from, if they are not the web's.
pub(crate) const CA: &str = "/etc/opentrusty/tls/ca.pem";
pub(crate) const CA_KEY: &str = "/etc/opentrusty/tls/ca.key";
/// Who migrates the database, by whatever URL.
pub(crate) const MIGRATE: &str = "opentrusty-migrate.service";
/// The unit that stands for all of them.
pub(crate) const TARGET: &str = "opentrusty.target";
/// Where keyd's library may be, on the distributions that packages are made for.
const SOFTHSM: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
];

/// What [`SOFTHSM_CONF`] says.
pub(crate) fn softhsm_conf() -> String {
    format!(
        "directories.tokendir = {TOKENS}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
    )
}

const fn database_url(path: &'static str) -> Credential {
    Credential { name: "database_url", path }
}

/// One of the daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Daemon {
    Keyd,
    Authd,
    Admind,
    Courier,
}

pub(crate) const DAEMONS: [Daemon; 4] =
    [Daemon::Keyd, Daemon::Authd, Daemon::Admind, Daemon::Courier];

impl Daemon {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Keyd => "keyd",
            Self::Authd => "authd",
            Self::Admind => "admind",
            Self::Courier => "courier",
        }
    }

    /// The system user, and its group.
    pub(crate) const fn user(self) -> &'static str {
        match self {
            Self::Keyd => KEYD_USER,
            Self::Authd => "opentrusty-authd",
            Self::Admind => "opentrusty-admind",
            Self::Courier => "opentrusty-courier",
        }
    }

    /// The database role; keyd has none.
    pub(crate) const fn role(self) -> Option<&'static str> {
        match self {
            Self::Keyd => None,
            Self::Authd => Some("opentrusty_authd"),
            Self::Admind => Some("opentrusty_admind"),
            Self::Courier => Some("opentrusty_courier"),
        }
    }

    /// What it connects by to a database on another machine; on this one there is nothing to hide.
    pub(crate) const fn database_url(self) -> Option<Credential> {
        match self {
            Self::Keyd => None,
            Self::Authd => Some(database_url("/etc/opentrusty/database/authd.cred")),
            Self::Admind => Some(database_url("/etc/opentrusty/database/admind.cred")),
            Self::Courier => Some(database_url("/etc/opentrusty/database/courier.cred")),
        }
    }

    pub(crate) const fn service(self) -> &'static str {
        match self {
            Self::Keyd => "opentrusty-keyd.service",
            Self::Authd => "opentrusty-authd.service",
            Self::Admind => "opentrusty-admind.service",
            Self::Courier => "opentrusty-courier.service",
        }
    }

    pub(crate) const fn sockets(self) -> &'static [&'static str] {
        match self {
            Self::Keyd => &["opentrusty-keyd-sign.socket", "opentrusty-keyd-manage.socket"],
            Self::Authd => &["opentrusty-authd.socket"],
            Self::Admind => &["opentrusty-admind.socket"],
            Self::Courier => &[],
        }
    }

    /// Its settings file.
    pub(crate) fn settings(self) -> PathBuf {
        Path::new(ETC).join(format!("{}.toml", self.name()))
    }

    /// The folder of its certificate.
    pub(crate) fn tls(self) -> PathBuf {
        Path::new(ETC).join("tls").join(self.name())
    }

    pub(crate) fn certificate(self) -> PathBuf {
        self.tls().join("certificate.pem")
    }

    pub(crate) fn key(self) -> PathBuf {
        self.tls().join("key.pem")
    }
}

/// What an administrator may change about a unit, in a folder of its own beside it.
pub(crate) fn drop_in(unit: &str, name: &str) -> PathBuf {
    Path::new("/etc/systemd/system").join(format!("{unit}.d")).join(name)
}

/// The port of a socket unit, in its own drop-in: the first, so that an administrator's, by whatever name, has the
/// last word on where it listens.
pub(crate) fn port_file(socket: &str) -> PathBuf {
    drop_in(socket, "00-port.conf")
}

/// `SoftHSM`'s library on this machine.
pub(crate) fn softhsm() -> Option<PathBuf> {
    SOFTHSM.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Host and port of an https origin that was judged before; a bracketed address loses its brackets.
pub(crate) fn authority(origin: &str) -> (String, u16) {
    let rest = origin.strip_prefix("https://").unwrap_or(origin);
    let (host, port) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']').unwrap_or((inner, "")),
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    let port = port.strip_prefix(':').and_then(|port| port.parse().ok());
    (host.to_owned(), port.unwrap_or(443))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_host_and_a_port() {
        for (origin, host, port) in [
            ("https://auth.example.com", "auth.example.com", 443),
            ("https://localhost:8080", "localhost", 8080),
            ("https://[::1]:8443", "::1", 8443),
            ("https://[2001:db8::1]", "2001:db8::1", 443),
        ] {
            assert_eq!(authority(origin), (host.to_owned(), port));
        }
    }
}
