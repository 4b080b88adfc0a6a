//! A PostgreSQL on another machine. The daemons have no network: a socket of systemd's carries their
//! connections there (`systemd-socket-proxyd`), and TLS goes through it from end to end, so the server still
//! proves its name to them.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use host::config::ConfigError;
use oauth::form::encode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::files::{self, Rights};
use super::render::DATABASE_CA;
use super::steps::{self, Steps};
use crate::appliance::{DAEMONS, DATABASE_URLS, Daemon, OWNER, OWNER_URL};
use crate::credential::{self, Credential};
use crate::failure::Failure;

/// The folder of the socket that leads there.
pub(super) const RELAY_FOLDER: &str = "/run/opentrusty-database";
/// The relay: its socket, its service.
pub(super) const RELAY_UNITS: [&str; 2] =
    ["opentrusty-database.socket", "opentrusty-database.service"];
/// Longest file of passwords, bytes.
const PASSWORDS_MAX: usize = 16 * 1024;

/// Where the server is, as it is written down for the next run: no user, no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    url: String,
    pub(super) host: String,
    pub(super) port: u16,
    database: String,
    root: Option<String>,
}

impl FromStr for Server {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let fix =
            "write local, or postgres://HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE";
        let wrong = |problem: &'static str| ConfigError::new("--database", problem, fix);
        // Never the text itself: it may hold a password after all.
        let url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong("is not a postgres:// URL"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "names a user; setup knows the roles, and passwords come from a file",
            ));
        }
        let mut root = None;
        let mut verified = false;
        for (name, value) in url.query_pairs() {
            match &*name {
                "sslmode" if value == "verify-full" => verified = true,
                "sslrootcert" => root = Some(value.into_owned()),
                _ => {
                    return Err(wrong(
                        "has a parameter besides sslmode=verify-full and sslrootcert",
                    ));
                }
            }
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("names no host"))?.to_owned();
        let database = url.path().trim_start_matches('/').to_owned();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if !verified {
            return Err(wrong("does not say sslmode=verify-full"));
        }
        if database.is_empty() || !database.chars().all(legal) {
            return Err(wrong("names no database"));
        }
        let port = url.port().unwrap_or(5432);
        Ok(Self { url: text.to_owned(), host, port, database, root })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Server {
    /// The authority that signed the server's certificate, as text. `known`: our copy of it will do, where the
    /// file itself is gone.
    pub(super) fn root(&self, known: bool) -> Result<Option<String>, Failure> {
        let Some(path) = &self.root else { return Ok(None) };
        match fs::read_to_string(path) {
            Err(error) if known && error.kind() == io::ErrorKind::NotFound => {
                fs::read_to_string(DATABASE_CA).map(Some).map_err(Failure::io(DATABASE_CA))
            }
            read => read.map(Some).map_err(Failure::io(path)),
        }
    }

    /// What a role connects by: the name in the certificate, and the way through the relay.
    pub(super) fn connection(
        &self,
        role: &str,
        password: &SecretString,
        root: Option<&str>,
    ) -> SecretString {
        let Self { host, port, database, .. } = self;
        let root = root.map(|path| format!("&sslrootcert={}", encode(path))).unwrap_or_default();
        SecretString::from(format!(
            "postgres://{role}:{}@{host}:{port}/{database}?sslmode=verify-full{root}&host={}",
            encode(password.expose_secret()),
            encode(RELAY_FOLDER),
        ))
    }

    /// The relay's two units: names and texts.
    pub(super) fn relay(&self) -> [(&'static str, String); 2] {
        let socket = format!(
            "[Unit]\nDescription=The way to OpenTrusty's database\n\n[Socket]\n\
             ListenStream={RELAY_FOLDER}/.s.PGSQL.{}\nSocketGroup=opentrusty-relay\nSocketMode=0660\nRemoveOnStop=yes\n\n[Install]\nWantedBy=sockets.target\n",
            self.port
        );
        let service = format!(
            "[Unit]\nDescription=Carries connections to OpenTrusty's database\n\n[Service]\n\
             ExecStart=/usr/lib/systemd/systemd-socket-proxyd {}:{}\nDynamicUser=yes\n\
             # Its name gives it what the daemons give up (opentrusty-.service.d). systemd's own library is\n\
             # beside the program.\n\
             ExecPaths=/usr/lib/systemd\nBindReadOnlyPaths=-/run/systemd/resolve\n\
             RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n\
             MemoryMax=128M\nTasksMax=16\n",
            self.host, self.port
        );
        let [socket_unit, service_unit] = RELAY_UNITS;
        [(socket_unit, socket), (service_unit, service)]
    }
}

/// What each role connects by: whose it is, where it is, the role, its password.
type Way<'a> = (Option<Daemon>, Credential, &'static str, &'a SecretString);

impl Passwords {
    fn ways(&self) -> Vec<Way<'_>> {
        let of = |daemon: Daemon| match daemon {
            Daemon::Keyd => None,
            Daemon::Authd => Some(&self.authd),
            Daemon::Admind => Some(&self.admind),
            Daemon::Courier => Some(&self.courier),
        };
        let daemons = DAEMONS.into_iter().filter_map(|daemon| {
            Some((Some(daemon), daemon.database_url()?, daemon.role()?, of(daemon)?))
        });
        daemons.chain([(None, OWNER_URL, OWNER, &self.owner)]).collect()
    }
}

fn sealed() -> impl Iterator<Item = Credential> {
    DAEMONS.into_iter().filter_map(Daemon::database_url).chain([OWNER_URL])
}

/// Whether every role has what it connects by; a restored folder may have been sealed on another machine, or not
/// be there.
pub(super) fn is_sealed() -> bool {
    sealed().all(|credential| credential.open().is_ok())
}

/// Gives what is there its owner and mode.
pub(super) fn mend(steps: &mut Steps) -> Result<(), Failure> {
    let written = files::folder(Path::new(DATABASE_URLS), Rights::of("root", "root", 0o700)?)?;
    steps.wrote(DATABASE_URLS, written, &[])?;
    for credential in sealed().filter(|one| one.is_there()) {
        let path = Path::new(credential.path);
        steps.mended(credential.path, files::correct(path, Rights::of("root", "root", 0o600)?)?)?;
    }
    Ok(())
}

/// Seals what each role connects by, for the unit that loads it.
pub(super) fn seal(
    server: &Server,
    passwords: &Passwords,
    has_root: bool,
    steps: &mut Steps,
) -> Result<(), Failure> {
    mend(steps)?;
    let root = has_root.then_some(DATABASE_CA);
    for (daemon, credential, role, password) in passwords.ways() {
        let url = server.connection(role, password, root);
        // Each sealing is another text, so it is the secret that is compared.
        if credential.is_there()
            && credential.open().is_ok_and(|old| old.expose_secret() == url.expose_secret())
        {
            steps::same(credential.path)?;
            continue;
        }
        let sealed = credential::seal(credential.name, &url)?;
        let written =
            files::put(Path::new(credential.path), &sealed, Rights::of("root", "root", 0o600)?)?;
        steps.wrote(credential.path, written, daemon.as_slice())?;
    }
    Ok(())
}

/// The passwords of the roles.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Passwords {
    pub(super) owner: SecretString,
    pub(super) authd: SecretString,
    pub(super) admind: SecretString,
    pub(super) courier: SecretString,
}

impl Passwords {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = host::secret::read(path, PASSWORDS_MAX)
            .map_err(Failure::io(path.display().to_string()))?;
        let refuse = |problem: &str| Failure::value(path.display().to_string(), problem);
        let text = std::str::from_utf8(bytes.expose_secret()).map_err(|_| refuse("not UTF-8"))?;
        // The parser's own words would quote the line.
        toml::from_str(text)
            .map_err(|_| refuse("needs owner, authd, admind and courier, and nothing else"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "postgres://db.example.com:5433/opentrusty?sslmode=verify-full";

    #[test]
    fn a_server_is_named_without_secrets_and_proves_its_name() {
        let server: Server = URL.parse().unwrap();
        assert_eq!((server.host.as_str(), server.port), ("db.example.com", 5433));
        for bad in [
            "postgres://u:hunter2@db.example.com/opentrusty?sslmode=verify-full",
            "postgres://db.example.com/opentrusty",
            "postgres://db.example.com/opentrusty?sslmode=require",
            "postgres://db.example.com/?sslmode=verify-full",
            "postgres:///opentrusty?sslmode=verify-full",
            "postgres://db.example.com/opentrusty?sslmode=verify-full&host=/run/x",
            "mysql://db.example.com/opentrusty?sslmode=verify-full",
            "remote",
        ] {
            let error = bad.parse::<Server>().unwrap_err().to_string();
            assert!(error.contains("--database") && !error.contains("hunter2"), "{bad}: {error}");
        }
    }

    #[test]
    fn w181_what_a_daemon_connects_by_is_what_it_accepts() {
        let server: Server = URL.parse().unwrap();
        let password = SecretString::from("p@ss/w?rd&host=evil");
        let url = server.connection("opentrusty_authd", &password, Some("/etc/ca.pem"));
        let url = url.expose_secret();
        assert_eq!(host::database::check(url), Ok(()));
        assert!(url.contains("@db.example.com:5433/") && !url.contains("host=evil"), "{url}");
        let [(_, socket), (_, service)] = server.relay();
        assert!(socket.contains("/run/opentrusty-database/.s.PGSQL.5433"));
        assert!(socket.contains("SocketMode=0660"), "nobody else's way out of the machine");
        assert!(service.contains("systemd-socket-proxyd db.example.com:5433"));
    }
}
