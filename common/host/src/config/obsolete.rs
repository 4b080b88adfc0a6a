//! Variables that other versions of this system had and that cannot apply to this one.
//!
//! Ignoring them would be kinder and worse: whoever set `JWT_PRIVATE_KEY_PATH` believes that
//! this key signs.

use super::ConfigError;
use crate::{database, environment};

const IN_TOKEN: &str = "unset it; keys live in the PKCS#11 token (settings pkcs11_module and \
                        token_label of keyd) and `opentrusty keys` manages them";

const TABLE: &[(&str, &str)] = &[
    ("REDIS_URL", "unset it; there is no Redis, PostgreSQL holds sessions and counters"),
    ("JWT_PRIVATE_KEY_PATH", IN_TOKEN),
    ("JWT_PUBLIC_KEY_PATH", IN_TOKEN),
    ("OPENTRUSTY_OPENID_KEY_ENCRYPTION_KEY", IN_TOKEN),
];

/// Refuses this process's environment if it sets a variable that has no meaning any more.
/// [`Settings::load`](super::Settings::load) does this already.
pub fn refuse_obsolete() -> Result<(), ConfigError> {
    refuse_obsolete_in(environment::lenient)
}

/// As [`refuse_obsolete`], for any environment.
pub fn refuse_obsolete_in(env: impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    for (name, replacement) in TABLE {
        if set(name).is_some() {
            return Err(ConfigError::new(*name, "does not apply to this system", *replacement));
        }
    }
    for name in ["OPENTRUSTY_DATABASE_URL", "DATABASE_URL"] {
        if let Some(url) = set(name) {
            database::check_named(name, &url)?;
        }
    }
    Ok(())
}
