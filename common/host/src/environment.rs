//! The one place that reads an environment variable.

use std::env::VarError;

use crate::config::ConfigError;

/// The value of a variable; absent and empty are the same thing, because a unit file can only
/// empty a variable that an outer one set, never unset it.
pub(crate) fn read(name: &str) -> Result<Option<String>, ConfigError> {
    #[expect(clippy::disallowed_methods, reason = "every other reader comes through here")]
    match std::env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(ConfigError::new(name, "is not valid UTF-8", "set it to text"))
        }
    }
}

/// As [`read`], for callers to whom an unreadable value is no value.
pub(crate) fn lenient(name: &str) -> Option<String> {
    read(name).ok().flatten()
}
