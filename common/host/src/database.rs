//! What a database URL must say before anything connects to it.
//!
//! PostgreSQL's default, `sslmode=prefer`, speaks in clear to whoever asks it to: only
//! `verify-full` proves the server's name. So either the server is on this machine, or the URL
//! says `verify-full`.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::resolver::{DNS, Resolver};
use crate::sandbox::Policy;

/// The port that a URL means when it names none.
const POSTGRESQL: u16 = 5432;

const LOCAL_FORM: &str =
    "for a local server write postgres:///DATABASE?host=/SOCKET/FOLDER&user=ROLE";

/// Accepts a URL whose server is a Unix socket, loopback, or verified in full. Never repeats
/// any part of the URL but its `sslmode`.
///
/// # Errors
/// A [`ConfigError`] that names `database_url`.
pub fn check(url: &str) -> Result<(), ConfigError> {
    check_named("database_url", url)
}

pub(crate) fn check_named(name: &str, url: &str) -> Result<(), ConfigError> {
    let refuse = |problem: &'static str| Err(ConfigError::new(name, problem, LOCAL_FORM));
    let Some(parts) = Parts::of(url) else { return refuse("is not a postgres:// URL") };
    let mode = match parts.parameter(&["sslmode", "ssl-mode"]) {
        Many::None => None,
        Many::One(mode) => Some(mode),
        Many::Several => return refuse("has sslmode more than once"),
    };
    match mode.as_deref() {
        Some("verify-full") => return Ok(()),
        None | Some("disable" | "allow" | "prefer" | "require" | "verify-ca") => {}
        Some(_) => return refuse("has an sslmode that PostgreSQL does not know"),
    }
    let hosts = parts.hosts();
    if hosts.is_empty() {
        // PGHOST would decide.
        return refuse("does not name its server");
    }
    if hosts.iter().all(|host| is_local(host)) {
        return Ok(());
    }
    let problem = match mode {
        None => "names a server on another machine without sslmode".to_owned(),
        Some(mode) => format!("has sslmode={mode} for a server on another machine"),
    };
    Err(ConfigError::new(name, problem, "use sslmode=verify-full and sslrootcert=PATH"))
}

/// What a daemon's sandbox must leave open for this URL: the files that it names, and for a server that is
/// reached by TCP its port and the resolver. A Unix socket needs nothing.
pub fn reach(url: &str) -> Policy {
    let Some(parts) = Parts::of(url) else { return Policy::default() };
    let mut policy = Policy { read: parts.files(), ..Policy::default() };
    // A socket wins over a name, which is then only what the certificate must say.
    if !parts.hosts().iter().any(|host| host.starts_with('/')) {
        policy.read.extend(Resolver::paths());
        policy.connect_tcp = vec![parts.port(), DNS];
    }
    policy
}

/// Whether the URL holds a password.
pub(crate) fn has_password(url: &str) -> bool {
    Parts::of(url).is_none_or(|parts| {
        let in_front = parts.user_info.is_some_and(|user| user.contains(':'));
        in_front || !matches!(parts.parameter(&["password"]), Many::None)
    })
}

struct Parts<'a> {
    user_info: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    query: &'a str,
}

enum Many {
    None,
    One(String),
    Several,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))?;
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (front, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = front.split_once('/').map_or(front, |(authority, _)| authority);
        let (user_info, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        let (host, after) = match server.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((address, after)) => (address, after.strip_prefix(':')),
            None => match server.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (server, None),
            },
        };
        Some(Self { user_info, host, port: after.and_then(|port| port.parse().ok()), query })
    }

    fn port(&self) -> u16 {
        let asked = match self.parameter(&["port"]) {
            Many::One(port) => port.parse().ok(),
            Many::None | Many::Several => None,
        };
        asked.or(self.port).unwrap_or(POSTGRESQL)
    }

    /// Certificates and a key, for TLS; one that stands in the URL itself is no file.
    fn files(&self) -> Vec<PathBuf> {
        let names =
            ["sslrootcert", "ssl-root-cert", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key"];
        let files = self.parameters().filter(|(name, _)| names.contains(&name.as_str()));
        files.map(|(_, path)| PathBuf::from(path)).filter(|path| path.is_absolute()).collect()
    }

    fn parameters(&self) -> impl Iterator<Item = (String, String)> {
        self.query.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
    }

    fn parameter(&self, names: &[&str]) -> Many {
        let mut found = self.parameters().filter(|(name, _)| names.contains(&name.as_str()));
        match (found.next(), found.next()) {
            (None, _) => Many::None,
            (Some((_, value)), None) => Many::One(value),
            (Some(_), Some(_)) => Many::Several,
        }
    }

    /// Every server the URL names: a driver connects to one of them, whichever it prefers.
    fn hosts(&self) -> Vec<String> {
        let front = Some(decode(self.host)).filter(|host| !host.is_empty());
        let asked = self.parameters().filter(|(name, _)| name == "host" || name == "hostaddr");
        front.into_iter().chain(asked.map(|(_, value)| value)).collect()
    }
}

fn is_local(host: &str) -> bool {
    host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Percent-decoding; what is not an escape stays as it is, and what is not UTF-8 becomes a
/// replacement character, which no host or mode has.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_server_needs_no_tls() {
        for url in [
            "postgres:///opentrusty?host=/run/postgresql&user=opentrusty_authd",
            "postgresql://opentrusty_authd@%2Frun%2Fpostgresql/opentrusty",
            "postgres://u:p@localhost:5432/db",
            "postgres://u@127.0.0.1/db?sslmode=disable",
            "postgres://u@[::1]:5432/db?sslmode=prefer",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn another_machine_needs_verify_full() {
        assert_eq!(check("postgres://u:p@db.example:5432/db?sslmode=verify-full"), Ok(()));
        for tail in [
            "",
            "?sslmode=disable",
            "?sslmode=allow",
            "?sslmode=prefer",
            "?sslmode=require",
            "?sslmode=verify-ca",
            "?ssl-mode=require",
            "?sslmode=verify-full&sslmode=disable",
            "?sslmode=verify-full&ssl-mode=disable",
            "?sslmode=VERIFY-FULL",
            "?sslmode=",
            "?host=/run/postgresql",
        ] {
            let error = check(&format!("postgres://u:hunter2@db.example/db{tail}")).unwrap_err();
            assert_eq!(error.key(), "database_url", "{tail}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        for url in [
            "postgres://u@localhost/db?host=db.example",
            "postgres://u@localhost/db?hostaddr=192.0.2.1",
            "postgres://u@localhost/db?%68ost=db.example",
            "postgres://u@127.0.0.1.evil.example/db",
            "postgres://localhost@db.example/db",
            "postgres:///db",
            "mysql://localhost/db",
            "",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_mode_that_was_given_is_named_with_what_replaces_it() {
        let error = check("postgresql://user:pass@host:5432/oryxid?sslmode=require").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sslmode=require") && text.contains("verify-full"), "{text}");
    }

    #[test]
    fn a_sandbox_leaves_open_what_the_url_needs_and_no_more() {
        let socket = reach("postgres:///opentrusty?host=/run/postgresql&user=u");
        assert!(socket.read.is_empty() && socket.connect_tcp.is_empty(), "{socket:?}");
        let relayed =
            "postgres://u@db.example/db?sslmode=verify-full&sslrootcert=-----BEGIN&host=/run/relay";
        assert!(reach(relayed).read.is_empty() && reach(relayed).connect_tcp.is_empty());
        for (url, port) in [
            ("postgres://u@db.example/db?sslmode=verify-full&sslrootcert=/etc/db%20ca.pem", 5432),
            ("postgres://u@db.example:6432/db?sslrootcert=/etc/db%20ca.pem", 6432),
            ("postgres://u@[2001:db8::1]:6432/db?sslrootcert=/etc/db%20ca.pem", 6432),
            ("postgres://u@db.example:1/db?port=6432&sslrootcert=/etc/db%20ca.pem", 6432),
        ] {
            let remote = reach(url);
            assert_eq!(remote.connect_tcp, [port, DNS], "{url}");
            assert!(remote.read.contains(&"/etc/db ca.pem".into()), "{url}");
            assert!(remote.write.is_empty() && remote.bind_tcp.is_empty(), "{url}");
        }
    }

    #[test]
    fn a_password_is_found_wherever_it_is() {
        assert!(has_password("postgres://u:p@h/db"));
        assert!(has_password("postgres://u@h/db?password=p"));
        assert!(has_password("nonsense"));
        assert!(!has_password("postgres:///db?host=/run/postgresql&user=u"));
    }
}
