//! The settings of keyd, parsed into what they mean. A wrong one is named together with its remedy.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use host::config::{ConfigError, Key, Settings};
use host::sandbox::syscalls::{Extra, NotExtra};
use host::sandbox::{self, MemoryLock, Sandbox};
use host::{peer, secret};
use secrecy::{ExposeSecret as _, SecretString};

use crate::hsm::Wanted;
use crate::policy::Policy;

/// Longest PIN, bytes; `CloudHSM` wants "user:password".
const PIN_MAX: usize = 512;
/// Longest root of subkeys, bytes.
const ROOT_MAX: usize = 4096;
/// Shortest root of subkeys, bytes.
const ROOT_MIN: usize = 32;
/// A network HSM wants some dozens of calls at once; more never helped.
const WORKERS_MAX: u64 = 64;

const fn key(name: &'static str) -> Key {
    Key { name, aliases: &[] }
}

const KEYS: &[Key] = &[
    key("sign_socket"),
    key("manage_socket"),
    key("authd_user"),
    key("admind_user"),
    key("pkcs11_module"),
    Key { name: "module_config", aliases: &["SOFTHSM2_CONF"] },
    key("module_tcp_ports"),
    key("module_syscalls"),
    key("token_label"),
    key("token_slot"),
    key("token_dir"),
    key("pin_file"),
    key("secret_key"),
    key("admin_audience"),
    key("workers"),
    key("access_lifetime_max_s"),
    key("admin_lifetime_max_s"),
    key("id_lifetime_max_s"),
    key("jwks_max_age_s"),
    key("clock_skew_s"),
    key("sandbox"),
    key("memory_lock"),
];

/// The settings.
pub struct Config {
    /// Where authd asks, unless systemd passed a socket named `sign`.
    pub sign_socket: Option<PathBuf>,
    /// Where admind asks, unless systemd passed a socket named `manage`.
    pub manage_socket: Option<PathBuf>,
    authd_user: String,
    admind_user: String,
    /// The PKCS#11 module.
    pub module: PathBuf,
    /// A file that the module reads whenever it is initialized.
    settings_of_module: Option<PathBuf>,
    module_tcp_ports: Vec<u16>,
    module_syscalls: Vec<Extra>,
    /// The label of the token.
    pub token_label: String,
    /// The slot that it must be in: for a module that shows two tokens of one label.
    pub token_slot: Option<u64>,
    token_dir: Option<PathBuf>,
    pin_file: Option<PathBuf>,
    secret_key: Option<SecretString>,
    /// Lifetimes and audiences.
    pub policy: Policy,
    /// Threads that sign.
    pub workers: usize,
    /// Whether Landlock is entered.
    pub sandbox: Sandbox,
    /// Whether memory is locked.
    pub memory_lock: MemoryLock,
}

/// The uids that may speak on each socket.
#[derive(Debug, Clone, Copy)]
pub struct Uids {
    /// On `sign`.
    pub authd: u32,
    /// On `manage`.
    pub admind: u32,
}

impl Config {
    /// Reads the file and the environment. Touches nothing else, so that `--check` can run anywhere.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::from_settings(&Settings::load(file, KEYS)?)
    }

    fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get) as u64;
        let secret_key = settings.optional::<String>("secret_key")?.map(SecretString::from);
        long_enough(secret_key.as_ref())?;
        let workers = number(settings, "workers", cores.min(WORKERS_MAX), 1..=WORKERS_MAX)?;
        Ok(Self {
            sign_socket: path(settings, "sign_socket")?,
            manage_socket: path(settings, "manage_socket")?,
            authd_user: settings.required("authd_user")?,
            admind_user: settings.required("admind_user")?,
            module: path(settings, "pkcs11_module")?.ok_or_else(|| {
                ConfigError::new("pkcs11_module", "is missing", "name the PKCS#11 module's file")
            })?,
            settings_of_module: path(settings, "module_config")?,
            module_tcp_ports: ports(settings, "module_tcp_ports")?,
            module_syscalls: extra_calls(settings, "module_syscalls")?,
            token_label: settings.required("token_label")?,
            token_slot: settings.optional("token_slot")?,
            token_dir: path(settings, "token_dir")?,
            pin_file: path(settings, "pin_file")?,
            secret_key,
            policy: Policy {
                admin_audience: settings.required("admin_audience")?,
                access_lifetime_max_s: lifetime(settings, "access_lifetime_max_s", 86_400)?,
                admin_lifetime_max_s: lifetime(settings, "admin_lifetime_max_s", 300)?,
                id_lifetime_max_s: lifetime(settings, "id_lifetime_max_s", 3600)?,
                jwks_max_age_s: number(settings, "jwks_max_age_s", 3600, 0..=86_400)?,
                clock_skew_s: number(settings, "clock_skew_s", 60, 0..=300)?,
            },
            workers: usize::try_from(workers).unwrap_or(1),
            sandbox: settings.or("sandbox", Sandbox::Required)?,
            memory_lock: settings.or("memory_lock", MemoryLock::Try)?,
        })
    }

    /// Asks the system who the peers are.
    pub fn uids(&self) -> Result<Uids, ConfigError> {
        let uid = |key: &'static str, user: &str| {
            peer::uid_of(user).map_err(|_| {
                let problem = format!("there is no user {user:?}");
                ConfigError::new(key, problem, "name the user that the daemon runs as")
            })
        };
        Ok(Uids {
            authd: uid("authd_user", &self.authd_user)?,
            admind: uid("admind_user", &self.admind_user)?,
        })
    }

    /// Reads the PIN of the token.
    pub fn pin(&self) -> Result<SecretString, ConfigError> {
        let file =
            self.pin_file.clone().or_else(|| secret::credential("pin")).ok_or_else(|| {
                let fix = "name a file that only keyd's user can read, or pass a credential `pin`";
                ConfigError::new("pin_file", "is missing", fix)
            })?;
        secret::read_text("pin_file", &file, PIN_MAX)
    }

    /// The root of subkeys, if it is not to be in the token: a credential, or the setting.
    pub fn derive_root(&self) -> Result<Option<SecretString>, ConfigError> {
        let root = match secret::credential("secret_key") {
            Some(file) => Some(secret::read_text("secret_key", &file, ROOT_MAX)?),
            None => self.secret_key.clone(),
        };
        long_enough(root.as_ref())?;
        Ok(root)
    }

    /// Which of the module's tokens is ours.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            label: self.token_label.clone(),
            slot: self.token_slot,
            folder: self.token_dir.clone(),
        }
    }

    /// What keyd may still reach once it is in the sandbox. The module is loaded by then; when the token
    /// comes back it reads its own settings again. Only the module of a network HSM needs a port.
    pub fn reach(&self) -> sandbox::Policy {
        sandbox::Policy {
            read: self.settings_of_module.iter().cloned().collect(),
            write: self.token_dir.iter().cloned().collect(),
            connect_tcp: self.module_tcp_ports.clone(),
            calls: self.module_syscalls.clone(),
            ..sandbox::Policy::default()
        }
    }
}

fn path(settings: &Settings, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
    let path: Option<PathBuf> = settings.optional(key)?;
    if path.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err(ConfigError::new(key, "is not an absolute path", "begin it with a slash"));
    }
    Ok(path)
}

fn extra_calls(settings: &Settings, key: &'static str) -> Result<Vec<Extra>, ConfigError> {
    let words = settings.list(key)?;
    let calls = words.iter().map(|word| {
        word.parse().map_err(|fix: NotExtra| {
            ConfigError::new(
                key,
                format!("{word:?} is no call that a module is given"),
                fix.to_string(),
            )
        })
    });
    calls.collect()
}

fn ports(settings: &Settings, key: &'static str) -> Result<Vec<u16>, ConfigError> {
    let words = settings.list(key)?;
    let ports = words.iter().map(|word| word.parse().ok().filter(|port| *port != 0));
    ports.collect::<Option<_>>().ok_or_else(|| {
        ConfigError::new(key, "is not a list of ports", "list numbers from 1 to 65535")
    })
}

/// A lifetime in seconds, at most (and by default) `ceiling`.
fn lifetime(settings: &Settings, key: &'static str, ceiling: u64) -> Result<u64, ConfigError> {
    number(settings, key, ceiling, 1..=ceiling)
}

fn number(
    settings: &Settings,
    key: &'static str,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, ConfigError> {
    let value = settings.or(key, default)?;
    if !range.contains(&value) {
        let fix = format!("choose {} to {}", range.start(), range.end());
        return Err(ConfigError::new(key, format!("{value} is out of range"), fix));
    }
    Ok(value)
}

fn long_enough(root: Option<&SecretString>) -> Result<(), ConfigError> {
    if root.is_some_and(|root| root.expose_secret().len() < ROOT_MIN) {
        let fix = "make it of at least 32 random bytes, in any encoding";
        return Err(ConfigError::new("secret_key", "is shorter than 32 bytes", fix));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"
        authd_user = "opentrusty-authd"
        admind_user = "opentrusty-admind"
        pkcs11_module = "/usr/lib/softhsm/libsofthsm2.so"
        token_label = "opentrusty"
        admin_audience = "https://api.example.com"
    "#;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::from_settings(&Settings::from_parts(text, |_| None, KEYS)?)
    }

    #[test]
    fn five_keys_are_enough_and_the_rest_has_safe_defaults() {
        let config = parse(LEAST).unwrap();
        let policy = &config.policy;
        assert_eq!(
            (policy.access_lifetime_max_s, policy.admin_lifetime_max_s, policy.id_lifetime_max_s),
            (86_400, 300, 3600)
        );
        assert_eq!((policy.jwks_max_age_s, policy.clock_skew_s), (3600, 60));
        assert_eq!(config.sandbox, Sandbox::Required);
        assert_eq!(config.memory_lock, MemoryLock::Try);
        assert!(config.reach().connect_tcp.is_empty());
        assert!(config.workers >= 1);
    }

    #[test]
    fn w174_no_setting_lifts_a_ceiling() {
        for bad in [
            "access_lifetime_max_s = 86401",
            "admin_lifetime_max_s = 301",
            "id_lifetime_max_s = 3601",
            "jwks_max_age_s = 86401",
            "clock_skew_s = 301",
            "admin_lifetime_max_s = 0",
            "workers = 0",
            "workers = 65",
            "workers = -1",
            "token_slot = -1",
            "sandbox = \"maybe\"",
            "sign_socket = \"relative\"",
            "module_tcp_ports = [9999, 0]",
            "module_tcp_ports = [\"https\"]",
            "module_syscalls = [\"semop\", \"execve\"]",
            "no_such_key = 1",
        ] {
            let error = parse(&format!("{LEAST}\n{bad}")).err().unwrap().to_string();
            let key = bad.split(' ').next().unwrap();
            assert!(error.contains(key), "{bad}: {error}");
        }
    }

    #[test]
    fn each_of_the_five_is_missed_by_name() {
        for key in ["authd_user", "admind_user", "pkcs11_module", "token_label", "admin_audience"] {
            let rest: Vec<_> = LEAST.lines().filter(|line| !line.contains(key)).collect();
            let error = parse(&rest.join("\n")).err().unwrap().to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
    }

    #[test]
    fn a_short_root_is_refused_without_being_shown() {
        let error = parse(&format!("{LEAST}\nsecret_key = \"hunter2\"")).err().unwrap().to_string();
        assert!(error.contains("secret_key") && !error.contains("hunter2"), "{error}");
        let long = format!("{LEAST}\nsecret_key = \"{}\"", "k".repeat(32));
        assert!(parse(&long).unwrap().derive_root().unwrap().is_some());
    }
}
