//! The courier's settings: a file of its own, because it is a process of its own.

use std::path::{Path, PathBuf};

use host::config::{ConfigError, Key, Settings};
use host::sandbox::{MemoryLock, Sandbox};
use secrecy::{ExposeSecret as _, SecretString};

use super::address::Block;
use super::target::Target;

const KEYS: &[Key] = &[
    Key { name: "database_url", aliases: &["DATABASE_URL"] },
    Key { name: "database_connections", aliases: &[] },
    Key { name: "mail_webhook", aliases: &[] },
    Key { name: "courier_ports", aliases: &[] },
    Key { name: "courier_allow", aliases: &[] },
    Key { name: "courier_ca", aliases: &[] },
    Key { name: "client_jwks_max_age_s", aliases: &[] },
    Key { name: "sandbox", aliases: &[] },
    Key { name: "memory_lock", aliases: &[] },
];

/// Most blocks of addresses, and most ports, that a file may list.
const LIST_MAX: usize = 32;

pub(super) struct Config {
    pub(super) database_url: SecretString,
    pub(super) database_connections: u32,
    /// Where mails to people go. Its path may be what authorises us, so it is never shown.
    pub(super) mail_webhook: Option<SecretString>,
    /// Ports that requests may go to besides 443.
    pub(super) ports: Vec<u16>,
    /// Blocks that are reached although they are special.
    pub(super) allow: Vec<Block>,
    /// Authorities to trust instead of the web's.
    pub(super) ca: Option<PathBuf>,
    /// After how many seconds a client's keys are fetched again.
    pub(super) jwks_max_age_s: u32,
    pub(super) sandbox: Sandbox,
    pub(super) memory_lock: MemoryLock,
}

pub(super) fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    host::config::refuse_obsolete()?;
    from(&Settings::load(file, KEYS)?)
}

fn from(settings: &Settings) -> Result<Config, ConfigError> {
    let database_url: String = settings.required("database_url")?;
    host::database::check(&database_url)?;
    let ports = list(settings, "courier_ports", "ports between 1 and 65535", |text| {
        text.parse().ok().filter(|port| *port != 0)
    })?;
    let allow =
        list(settings, "courier_allow", "blocks such as \"10.0.0.0/8\"", |text| text.parse().ok())?;
    let config = Config {
        database_url: database_url.into(),
        database_connections: settings.within("database_connections", 2, 1..=20)?,
        mail_webhook: settings.optional::<String>("mail_webhook")?.map(SecretString::from),
        ports,
        allow,
        ca: settings.optional("courier_ca")?,
        // authd stops believing a copy after a day.
        jwks_max_age_s: settings.within("client_jwks_max_age_s", 900, 60..=43_200)?,
        sandbox: settings.or("sandbox", Sandbox::Required)?,
        memory_lock: settings.or("memory_lock", MemoryLock::Try)?,
    };
    if let Some(url) = &config.mail_webhook
        && Target::parse(url.expose_secret(), &config.ports).is_err()
    {
        return Err(ConfigError::new(
            "mail_webhook",
            "is not an https URL on a port that is allowed",
            "use https, and port 443 or one of courier_ports",
        ));
    }
    Ok(config)
}

fn list<T>(
    settings: &Settings,
    key: &'static str,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ConfigError> {
    let texts = settings.list(key)?;
    if texts.len() > LIST_MAX {
        let problem = format!("has more than {LIST_MAX} entries");
        return Err(ConfigError::new(key, problem, "list fewer"));
    }
    texts
        .iter()
        .map(|text| {
            let problem = || format!("{text:?} is not valid");
            read(text).ok_or_else(|| ConfigError::new(key, problem(), format!("list {what}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: &str =
        "database_url = \"postgres:///db?host=/run/x&user=opentrusty_courier\"\n";

    fn said(lines: &str) -> Result<Config, ConfigError> {
        from(&Settings::from_parts(&format!("{DATABASE}{lines}"), |_| None, KEYS)?)
    }

    #[test]
    fn only_the_database_must_be_named() {
        let config = said("").unwrap();
        assert!(config.ports.is_empty() && config.allow.is_empty());
        assert!(config.mail_webhook.is_none() && config.ca.is_none());
        assert_eq!((config.jwks_max_age_s, config.database_connections), (900, 2));
        assert_eq!(Settings::from_parts("", |_| None, KEYS).map(|s| from(&s).is_err()), Ok(true));
    }

    #[test]
    fn lists_are_read_as_arrays_or_from_one_variable() {
        let config =
            said("courier_ports = [\"8443\", \"9443\"]\ncourier_allow = \"10.0.0.0/8, fd00::/8\"")
                .unwrap();
        assert_eq!(config.ports, [8443, 9443]);
        assert_eq!(config.allow.len(), 2);
    }

    #[test]
    fn w181_a_setting_that_cannot_hold_is_named() {
        let many = (1..=33).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
        for (lines, key) in [
            ("courier_ports = [\"0\"]", "courier_ports"),
            ("courier_ports = [\"65536\"]", "courier_ports"),
            (&format!("courier_ports = \"{many}\""), "courier_ports"),
            ("courier_allow = [\"10.0.0.1/8\"]", "courier_allow"),
            ("courier_allow = [\"everything\"]", "courier_allow"),
            ("mail_webhook = \"http://mail.example/\"", "mail_webhook"),
            ("mail_webhook = \"https://mail.example:8443/\"", "mail_webhook"),
            ("client_jwks_max_age_s = 59", "client_jwks_max_age_s"),
            ("client_jwks_max_age_s = 43201", "client_jwks_max_age_s"),
            ("database_connections = 0", "database_connections"),
            ("keyd_socket = \"/run/x\"", "keyd_socket"),
        ] {
            assert_eq!(
                said(lines).err().map(|error| error.key().to_owned()).as_deref(),
                Some(key),
                "{lines}"
            );
        }
        let url = "mail_webhook = \"https://mail.example:8443/hunter2\"";
        assert!(!said(url).err().unwrap().to_string().contains("hunter2"));
    }
}
