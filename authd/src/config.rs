//! authd's settings: a flat TOML file, overridden by `OPENTRUSTY_*` variables and their aliases.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use host::config::{ConfigError, Key, Settings};
use host::origin::https_host;
use host::sandbox::{MemoryLock, Sandbox};
use oauth::deferred::INTERVAL_S;
use secrecy::SecretString;

/// Every setting, with the names that the original systems used as aliases (seeds/000, 001, 003, 004).
const KEYS: &[Key] = &[
    Key { name: "listen", aliases: &[] },
    Key { name: "port", aliases: &["OPENTRUSTY_AUTH_PORT"] },
    Key { name: "domain", aliases: &["OPENTRUSTY_AUTH_DOMAIN"] },
    Key { name: "issuer", aliases: &["OAUTH_ISSUER", "ISSUER", "BASE_URL", "OPENTRUSTY_BASE_URL"] },
    Key { name: "tls_certificate", aliases: &[] },
    Key { name: "tls_key", aliases: &[] },
    Key { name: "tls12", aliases: &[] },
    Key { name: "trusted_proxies", aliases: &[] },
    Key { name: "proxy_protocol", aliases: &[] },
    Key { name: "database_url", aliases: &["DATABASE_URL"] },
    Key { name: "database_connections", aliases: &[] },
    Key { name: "keyd_socket", aliases: &["OPENTRUSTY_KEYD_SIGN"] },
    Key { name: "keyd_user", aliases: &[] },
    Key { name: "admin_audience", aliases: &["OPENTRUSTY_API"] },
    Key { name: "console_origin", aliases: &[] },
    Key { name: "access_token_lifetime", aliases: &["ACCESS_TOKEN_LIFETIME"] },
    Key { name: "refresh_token_lifetime", aliases: &["REFRESH_TOKEN_LIFETIME"] },
    Key { name: "auth_code_lifetime", aliases: &["AUTH_CODE_LIFETIME"] },
    Key { name: "id_token_lifetime", aliases: &[] },
    Key { name: "device_code_lifetime", aliases: &["DEVICE_CODE_LIFETIME"] },
    Key { name: "ciba_request_lifetime", aliases: &[] },
    Key { name: "ciba_poll_interval", aliases: &["CIBA_POLL_INTERVAL"] },
    Key { name: "session_lifetime", aliases: &[] },
    Key { name: "session_idle", aliases: &[] },
    Key { name: "jwks_max_age_s", aliases: &[] },
    Key { name: "sign_in_attempts", aliases: &[] },
    Key { name: "sign_in_attempts_network", aliases: &[] },
    Key { name: "client_attempts", aliases: &[] },
    Key { name: "password_reset", aliases: &[] },
    Key { name: "password_memory_kib", aliases: &[] },
    Key { name: "password_passes", aliases: &[] },
    Key { name: "password_concurrency", aliases: &[] },
    Key { name: "anonymous_burst", aliases: &[] },
    Key { name: "anonymous_per_s", aliases: &[] },
    Key { name: "sandbox", aliases: &[] },
    Key { name: "memory_lock", aliases: &[] },
];

/// Lifetimes in seconds.
pub(crate) struct Lifetimes {
    pub(crate) tokens: oauth::grant::Lifetimes,
    pub(crate) code_s: u32,
    pub(crate) device_s: u32,
    pub(crate) ciba_s: u32,
    /// Between polls of a CIBA client.
    pub(crate) ciba_interval_s: u32,
    pub(crate) session_s: u32,
    pub(crate) idle_s: u32,
    pub(crate) jwks_s: u32,
}

/// Attempts without delay, where an operator may set another number.
#[derive(Clone, Copy)]
pub(crate) struct Attempts {
    /// Passwords, by account and network or known browser.
    pub(crate) sign_in: u32,
    /// Passwords of whatever account, by network.
    pub(crate) network: u32,
    /// Failed authentications, by client and network.
    pub(crate) client: u32,
}

/// argon2id.
#[derive(Clone, Copy)]
pub(crate) struct Hashing {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(crate) concurrency: u32,
}

/// Requests that leave a row behind, of one network that has proved nothing.
#[derive(Clone, Copy)]
pub(crate) struct Anonymous {
    pub(crate) burst: u32,
    pub(crate) per_s: u32,
}

pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) issuer: String,
    /// Host and port of the issuer, the only names that are served.
    pub(crate) host: String,
    pub(crate) tls_certificate: PathBuf,
    pub(crate) tls_key: PathBuf,
    pub(crate) tls12: bool,
    pub(crate) proxies: web::Proxies,
    pub(crate) database_url: SecretString,
    pub(crate) database_connections: u32,
    pub(crate) keyd_socket: PathBuf,
    pub(crate) keyd_user: String,
    pub(crate) admin_audience: String,
    pub(crate) console_origin: Option<String>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) attempts: Attempts,
    /// Whether a forgotten password can be replaced by a link in a mail, which the courier's webhook sends.
    pub(crate) password_reset: bool,
    pub(crate) hashing: Hashing,
    pub(crate) anonymous: Anonymous,
    pub(crate) sandbox: Sandbox,
    pub(crate) memory_lock: MemoryLock,
}

pub(crate) fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    host::config::refuse_obsolete()?;
    from(&Settings::load(file, KEYS)?)
}

fn from(settings: &Settings) -> Result<Config, ConfigError> {
    let issuer: String = settings.required("issuer")?;
    // "with no query or fragment components" (RFC 8414 §2), and here without a path: those are for tenants.
    let host = https_host("issuer", &issuer)?;
    let domain: Option<String> = settings.optional("domain")?;
    if domain.is_some_and(|domain| host.split(':').next() != Some(domain.as_str())) {
        return Err(ConfigError::new(
            "domain",
            "differs from the host of issuer",
            "set both to the same name, or leave domain out",
        ));
    }
    let mut listen: SocketAddr = settings.or("listen", SocketAddr::from(([127, 0, 0, 1], 8080)))?;
    if let Some(port) = settings.optional("port")? {
        listen.set_port(port);
    }
    let database_url: String = settings.required("database_url")?;
    host::database::check(&database_url)?;
    Ok(Config {
        listen,
        host,
        issuer,
        tls_certificate: settings.required("tls_certificate")?,
        tls_key: settings.required("tls_key")?,
        tls12: settings.or("tls12", false)?,
        proxies: web::Proxies::from_settings(settings)?,
        database_url: database_url.into(),
        database_connections: settings.within("database_connections", 16, 1..=200)?,
        keyd_socket: settings.required("keyd_socket")?,
        keyd_user: settings.required("keyd_user")?,
        admin_audience: settings.required("admin_audience")?,
        console_origin: console_origin(settings)?,
        lifetimes: Lifetimes {
            tokens: oauth::grant::Lifetimes {
                access_s: settings.within("access_token_lifetime", 3600, 30..=86_400)?,
                refresh_s: settings.within("refresh_token_lifetime", 2_592_000, 60..=31_536_000)?,
                id_s: settings.within("id_token_lifetime", 300, 30..=3600)?,
            },
            code_s: settings.within("auth_code_lifetime", 60, 5..=600)?,
            device_s: settings.within("device_code_lifetime", 1800, 60..=3600)?,
            ciba_s: settings.within("ciba_request_lifetime", 120, 10..=600)?,
            ciba_interval_s: settings.within("ciba_poll_interval", INTERVAL_S, 1..=60)?,
            session_s: settings.within("session_lifetime", 86_400, 60..=2_592_000)?,
            idle_s: settings.within("session_idle", 1800, 60..=2_592_000)?,
            jwks_s: settings.within("jwks_max_age_s", 3600, 1..=86_400)?,
        },
        attempts: Attempts {
            sign_in: settings.within("sign_in_attempts", 5, 1..=100)?,
            network: settings.within("sign_in_attempts_network", 100, 1..=100_000)?,
            client: settings.within("client_attempts", 20, 1..=100_000)?,
        },
        password_reset: settings.or("password_reset", false)?,
        hashing: Hashing {
            memory_kib: settings.within("password_memory_kib", 19_456, 19_456..=1_048_576)?,
            passes: settings.within("password_passes", 2, 2..=10)?,
            concurrency: settings.within("password_concurrency", default_concurrency(), 1..=64)?,
        },
        anonymous: Anonymous {
            burst: settings.within("anonymous_burst", 3000, 1..=1_000_000)?,
            per_s: settings.within("anonymous_per_s", 50, 1..=100_000)?,
        },
        sandbox: settings.or("sandbox", Sandbox::Required)?,
        memory_lock: settings.or("memory_lock", MemoryLock::Try)?,
    })
}

/// As many hashes at once as there are cores: more would only take turns.
fn default_concurrency() -> u32 {
    std::thread::available_parallelism().map_or(2, |n| u32::try_from(n.get()).unwrap_or(64).min(64))
}

/// An exact https origin: `null` or `*` would let any page in.
fn console_origin(settings: &Settings) -> Result<Option<String>, ConfigError> {
    let origin: Option<String> = settings.optional("console_origin")?;
    if let Some(origin) = &origin {
        https_host("console_origin", origin)?;
    }
    Ok(origin)
}
