//! What an earlier run decided, read back from what it wrote: the defaults of this one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::appliance::{self, CA_KEY, Daemon, PIN, SETTINGS};

/// Answers that were given before.
#[derive(Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "what was found, each by itself")]
pub(super) struct Earlier {
    pub(super) issuer: Option<String>,
    pub(super) api: Option<String>,
    pub(super) console_origin: Option<String>,
    pub(super) listen_port: Option<u16>,
    pub(super) api_port: Option<u16>,
    pub(super) module: Option<PathBuf>,
    pub(super) softhsm: bool,
    /// A token's PIN is sealed here.
    pub(super) pin: bool,
    pub(super) token_label: Option<String>,
    pub(super) slot: Option<u64>,
    /// `local` or a URL.
    pub(super) database: Option<String>,
    /// Certificates are there already.
    pub(super) certificates: bool,
    /// They come from a local authority.
    pub(super) local_ca: bool,
}

impl Earlier {
    pub(super) fn load() -> Self {
        Self {
            listen_port: port(Daemon::Authd),
            api_port: port(Daemon::Admind),
            certificates: Daemon::Authd.certificate().is_file(),
            local_ca: Path::new(CA_KEY).is_file(),
            pin: PIN.is_there(),
            ..Self::from_tables(&table(Path::new(SETTINGS)), &table(&Daemon::Keyd.settings()))
        }
    }

    fn from_tables(own: &toml::Table, keyd: &toml::Table) -> Self {
        let text = |table: &toml::Table, key: &str| {
            table.get(key).and_then(toml::Value::as_str).map(str::to_owned)
        };
        let local = text(own, "pg_database").map(|_| "local".to_owned());
        Self {
            issuer: text(own, "issuer"),
            api: text(own, "api"),
            console_origin: text(own, "console_origin"),
            module: text(keyd, "pkcs11_module").map(PathBuf::from),
            softhsm: text(keyd, "module_config").as_deref() == Some(appliance::SOFTHSM_CONF),
            token_label: text(keyd, "token_label"),
            slot: keyd
                .get("token_slot")
                .and_then(toml::Value::as_integer)
                .and_then(|n| n.try_into().ok()),
            database: local.or_else(|| text(own, "database_server")),
            ..Self::default()
        }
    }
}

/// The port in a daemon's drop-in.
pub(super) fn port(daemon: Daemon) -> Option<u16> {
    let file = appliance::port_file(daemon.sockets().first()?);
    port_of(&fs::read_to_string(file).unwrap_or_default())
}

/// What cannot be read or understood is as if it were not there; the daemon's own check will say so.
pub(super) fn table(path: &Path) -> toml::Table {
    fs::read_to_string(path).ok().and_then(|text| toml::from_str(&text).ok()).unwrap_or_default()
}

/// The last `ListenStream=` that is a port.
fn port_of(drop_in: &str) -> Option<u16> {
    let values = drop_in.lines().filter_map(|line| line.strip_prefix("ListenStream="));
    values.filter_map(|value| value.parse().ok()).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_the_default_of_the_next_run() {
        let own = toml::from_str(
            "issuer = \"https://a\"\napi = \"https://b\"\npg_database = \"opentrusty\"",
        );
        let keyd = toml::from_str(
            "pkcs11_module = \"/m.so\"\nmodule_config = \"/etc/opentrusty/softhsm2.conf\"\ntoken_label = \"t\"",
        );
        let earlier = Earlier::from_tables(&own.unwrap(), &keyd.unwrap());
        assert_eq!(earlier.issuer.as_deref(), Some("https://a"));
        assert_eq!((earlier.softhsm, earlier.database.as_deref()), (true, Some("local")));
        assert_eq!(
            Earlier::from_tables(&toml::Table::new(), &toml::Table::new()),
            Earlier::default()
        );
    }

    #[test]
    fn a_port_is_read_from_the_drop_in_that_sets_it() {
        assert_eq!(port_of("[Socket]\nListenStream=\nListenStream=8443\n"), Some(8443));
        for none in ["", "[Socket]\nListenStream=\n", "ListenStream=/run/x"] {
            assert_eq!(port_of(none), None, "{none}");
        }
    }
}
