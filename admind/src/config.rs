//! admind's settings: a flat TOML file, overridden by `OPENTRUSTY_*` variables and their aliases.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use host::config::{ConfigError, Key, Settings};
use host::origin::https_host;
use host::sandbox::{MemoryLock, Sandbox};
use secrecy::SecretString;

use crate::schedule::Policy;

/// Every setting, with the names that the original systems used as aliases (seeds/000, 001, 003, 004).
const KEYS: &[Key] = &[
    Key { name: "listen", aliases: &[] },
    Key { name: "port", aliases: &["OPENTRUSTY_ADMIN_PORT"] },
    Key { name: "domain", aliases: &["OPENTRUSTY_ADMIN_DOMAIN"] },
    Key { name: "api", aliases: &[] },
    Key { name: "issuer", aliases: &["OAUTH_ISSUER", "ISSUER", "BASE_URL", "OPENTRUSTY_BASE_URL"] },
    Key { name: "tls_certificate", aliases: &[] },
    Key { name: "tls_key", aliases: &[] },
    Key { name: "tls12", aliases: &[] },
    Key { name: "trusted_proxies", aliases: &[] },
    Key { name: "proxy_protocol", aliases: &[] },
    Key { name: "database_url", aliases: &["DATABASE_URL"] },
    Key { name: "database_connections", aliases: &[] },
    Key { name: "keyd_socket", aliases: &["OPENTRUSTY_KEYD_MANAGE"] },
    Key { name: "keyd_user", aliases: &[] },
    Key { name: "console_origin", aliases: &[] },
    Key { name: "jwks_max_age_s", aliases: &[] },
    Key { name: "key_rotation_days", aliases: &[] },
    Key { name: "sandbox", aliases: &[] },
    Key { name: "memory_lock", aliases: &[] },
];

pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    /// The API's URL: the audience of the tokens that it takes.
    pub(crate) api: String,
    /// Host and port of the API, the only names that are served.
    pub(crate) host: String,
    pub(crate) issuer: String,
    pub(crate) tls_certificate: PathBuf,
    pub(crate) tls_key: PathBuf,
    pub(crate) tls12: bool,
    pub(crate) proxies: web::Proxies,
    pub(crate) database_url: SecretString,
    pub(crate) database_connections: u32,
    pub(crate) keyd_socket: PathBuf,
    pub(crate) keyd_user: String,
    pub(crate) console_origin: Option<String>,
    pub(crate) rotation: Policy,
    pub(crate) sandbox: Sandbox,
    pub(crate) memory_lock: MemoryLock,
}

pub(crate) fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    host::config::refuse_obsolete()?;
    from(&Settings::load(file, KEYS)?)
}

fn from(settings: &Settings) -> Result<Config, ConfigError> {
    let api: String = settings.required("api")?;
    let host = https_host("api", &api)?;
    let issuer: String = settings.required("issuer")?;
    https_host("issuer", &issuer)?;
    let domain: Option<String> = settings.optional("domain")?;
    if domain.is_some_and(|domain| host.split(':').next() != Some(domain.as_str())) {
        return Err(ConfigError::new(
            "domain",
            "differs from the host of api",
            "set both to the same name, or leave domain out",
        ));
    }
    let mut listen: SocketAddr = settings.or("listen", SocketAddr::from(([127, 0, 0, 1], 8081)))?;
    if let Some(port) = settings.optional("port")? {
        listen.set_port(port);
    }
    let database_url: String = settings.required("database_url")?;
    host::database::check(&database_url)?;
    Ok(Config {
        listen,
        host,
        api,
        issuer,
        tls_certificate: settings.required("tls_certificate")?,
        tls_key: settings.required("tls_key")?,
        tls12: settings.or("tls12", false)?,
        proxies: web::Proxies::from_settings(settings)?,
        database_url: database_url.into(),
        database_connections: settings.within("database_connections", 8, 2..=200)?,
        keyd_socket: settings.required("keyd_socket")?,
        keyd_user: settings.required("keyd_user")?,
        console_origin: console_origin(settings)?,
        rotation: Policy {
            jwks_age_s: settings.within("jwks_max_age_s", 3600, 1..=86_400)?.into(),
            rotate_after_s: u64::from(settings.within("key_rotation_days", 90, 1..=3650)?) * 86_400,
        },
        sandbox: settings.or("sandbox", Sandbox::Required)?,
        memory_lock: settings.or("memory_lock", MemoryLock::Try)?,
    })
}

/// An exact https origin: `null` or `*` would let any page in.
fn console_origin(settings: &Settings) -> Result<Option<String>, ConfigError> {
    let origin: Option<String> = settings.optional("console_origin")?;
    if let Some(origin) = &origin {
        https_host("console_origin", origin)?;
    }
    Ok(origin)
}
