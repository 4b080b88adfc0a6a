//! A setting as it was written.

use super::error::{ConfigError, is_secret};

/// No Debug that shows it: it may be a secret.
pub(super) enum Value {
    One(String),
    Many(Vec<String>),
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::One(_) => "One(..)",
            Self::Many(_) => "Many(..)",
        })
    }
}

impl Value {
    /// `None` for an empty string that is no secret: see the module.
    pub(super) fn from_file(name: &str, value: toml::Value) -> Result<Option<Self>, ConfigError> {
        use toml::Value as Toml;
        match value {
            Toml::String(text) if text.is_empty() && is_secret(name) => {
                let fix = "give it a value or remove the line";
                Err(ConfigError::new(name, "is empty", fix))
            }
            Toml::String(text) if text.is_empty() => Ok(None),
            Toml::String(text) => Ok(Some(Self::One(text))),
            Toml::Integer(number) => Ok(Some(Self::One(number.to_string()))),
            Toml::Boolean(truth) => Ok(Some(Self::One(truth.to_string()))),
            Toml::Array(items) => texts(name, items).map(|texts| Some(Self::Many(texts))),
            Toml::Table(_) => {
                let fix = "write it as one line, `name = value`";
                Err(ConfigError::new(name, "is a table; settings are flat", fix))
            }
            Toml::Float(_) | Toml::Datetime(_) => {
                let fix = "write a string, a whole number, true or false, or an array of strings";
                Err(ConfigError::new(name, "has a type that no setting has", fix))
            }
        }
    }

    pub(super) fn one(&self, name: &str) -> Result<&str, ConfigError> {
        match self {
            Self::One(text) => Ok(text),
            Self::Many(_) => Err(ConfigError::new(
                name,
                "is an array where one value belongs",
                "write one value",
            )),
        }
    }

    pub(super) fn many(&self) -> Vec<String> {
        match self {
            Self::Many(texts) => texts.clone(),
            Self::One(text) => {
                let parts = text.split(',').map(str::trim);
                parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }
        }
    }

    /// Whether this value itself gives access to something; a path to a key does not.
    pub(super) fn holds_secret(&self, name: &str) -> bool {
        let Self::One(text) = self else { return false };
        match name {
            "database_url" => crate::database::has_password(text),
            _ => is_secret(name) && !text.starts_with('/'),
        }
    }
}

fn texts(name: &str, items: Vec<toml::Value>) -> Result<Vec<String>, ConfigError> {
    items
        .into_iter()
        .map(|item| match item {
            toml::Value::String(text) => Ok(text),
            toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_) => {
                let fix = "write an array of strings";
                Err(ConfigError::new(name, "is an array of something other than strings", fix))
            }
        })
        .collect()
}
