//! What is wrong with a setting, and what to do about it.

use std::borrow::Cow;
use std::fmt;

/// A setting that cannot be used. Never holds the value of a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    key: Cow<'static, str>,
    problem: Cow<'static, str>,
    fix: Cow<'static, str>,
}

impl ConfigError {
    /// `key` is the setting's name, `problem` continues a sentence that begins with it, `fix`
    /// says what to do. For a secret key (see the module) `problem` must not repeat the value.
    pub fn new(
        key: impl Into<String>,
        problem: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { key: Cow::Owned(key.into()), problem: problem.into(), fix: fix.into() }
    }

    /// The name of the setting or variable.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}; {}", self.key, self.problem, self.fix)
    }
}

impl std::error::Error for ConfigError {}

/// Whether the value under this name must not be shown.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["_key", "pin", "password", "secret", "database_url"].iter().any(|end| name.ends_with(end))
}
