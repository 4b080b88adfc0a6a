//! Settings of a daemon: one flat TOML file, single keys of which the environment overrides.
//!
//! Precedence, from strongest: **environment, file, default.** A key `workers` is
//! `OPENTRUSTY_WORKERS` in the environment, or one of its aliases; two names of one key with
//! different values are an error, not a choice. An empty variable counts as absent, and so does
//! an empty string in the file, unless the key holds a secret: an empty secret is an error.
//!
//! `database_url` may be a systemd credential of that name instead; one that is given there and here is an error.
//!
//! Unknown keys, nested tables and obsolete variables are refused by name: a setting that has
//! no effect is a setting that somebody believes in.

mod error;
mod obsolete;
mod value;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::str::FromStr;

pub use error::ConfigError;
pub use obsolete::{refuse_obsolete, refuse_obsolete_in};

use secrecy::{ExposeSecret as _, SecretString};

use crate::{database, environment, secret};
use value::Value;

/// The one setting that is a secret itself, where a password is in it.
const DATABASE_URL: &str = "database_url";
/// Longest connection URL in a file of its own, bytes: a certificate may be in it.
pub const DATABASE_URL_MAX: usize = 64 * 1024;
/// A settings file longer than this is not a settings file.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// One setting that a program knows.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file, in lower case with underscores.
    pub name: &'static str,
    /// Names it has in the environment besides `OPENTRUSTY_<NAME>`.
    pub aliases: &'static [&'static str],
}

impl Key {
    fn own_variable(&self) -> String {
        format!("OPENTRUSTY_{}", self.name.to_ascii_uppercase())
    }

    fn variables(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.own_variable()).chain(self.aliases.iter().map(ToString::to_string))
    }
}

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The environment variable of this name.
    Environment(String),
    /// A systemd credential.
    Credential,
    /// The settings file.
    File,
    /// Neither: what the program assumes.
    Default,
}

/// The settings as given, not yet as meant: each is parsed where it is asked for.
#[derive(Debug)]
pub struct Settings {
    keys: &'static [Key],
    values: BTreeMap<&'static str, (Value, Source)>,
}

impl Settings {
    /// Reads the file, if one is named, and the environment of this process.
    pub fn load(file: Option<&Path>, keys: &'static [Key]) -> Result<Self, ConfigError> {
        for variable in keys.iter().flat_map(Key::variables) {
            environment::read(&variable)?;
        }
        let (text, exposed) = match file {
            None => (String::new(), false),
            Some(path) => text_of(path)?,
        };
        let mut settings = Self::from_parts(&text, environment::lenient, keys)?;
        if exposed {
            settings.refuse_exposed_secrets()?;
        }
        if let Some(path) = secret::credential(DATABASE_URL) {
            let url = secret::read_text(DATABASE_URL, &path, DATABASE_URL_MAX)?;
            settings.take_database_url(&url)?;
        }
        Ok(settings)
    }

    /// The URL that came as a credential, unless this program has no database.
    fn take_database_url(&mut self, url: &SecretString) -> Result<(), ConfigError> {
        let Some(key) = self.keys.iter().find(|key| key.name == DATABASE_URL) else {
            return Ok(());
        };
        let other = match self.source(key.name) {
            Source::Environment(variable) => variable,
            Source::File => "the settings file".to_owned(),
            Source::Credential | Source::Default => {
                database::check(url.expose_secret())?;
                let value = Value::One(url.expose_secret().to_owned());
                self.values.insert(key.name, (value, Source::Credential));
                return Ok(());
            }
        };
        let problem = format!("is a credential of this service and in {other} as well");
        Err(ConfigError::new(key.name, problem, "leave one of them out"))
    }

    /// As [`Settings::load`], from a text and any environment.
    pub fn from_parts(
        file_text: &str,
        env: impl Fn(&str) -> Option<String>,
        keys: &'static [Key],
    ) -> Result<Self, ConfigError> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        refuse_obsolete_in(env)?;
        let mut table = table_of(file_text)?;
        let mut values = BTreeMap::new();
        for key in keys {
            let from_file = match table.remove(key.name) {
                Some(value) => Value::from_file(key.name, value)?,
                None => None,
            };
            if let Some((variable, value)) = from_environment(key, env)? {
                let source = Source::Environment(variable);
                values.insert(key.name, (Value::One(value), source));
            } else if let Some(value) = from_file {
                values.insert(key.name, (value, Source::File));
            }
        }
        if let Some(unknown) = table.keys().next() {
            let fix = format!("remove it; the keys are {}", names(keys));
            return Err(ConfigError::new(unknown.as_str(), "is not a known key", fix));
        }
        let settings = Self { keys, values };
        if let Some(url) = settings.find(DATABASE_URL) {
            database::check(url.one(DATABASE_URL)?)?;
        }
        Ok(settings)
    }

    /// A setting that must be given.
    pub fn required<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, ConfigError> {
        match self.optional(name)? {
            Some(value) => Ok(value),
            None => Err(ConfigError::new(name, "is missing", self.how_to_set(name))),
        }
    }

    /// A setting that may be absent.
    pub fn optional<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, ConfigError> {
        self.known(name)?;
        let Some(value) = self.find(name) else { return Ok(None) };
        let text = value.one(name)?;
        text.parse().map(Some).map_err(|problem: T::Err| {
            let problem = if error::is_secret(name) {
                "its value is not valid".to_owned()
            } else {
                format!("{text:?} is not valid ({problem})")
            };
            ConfigError::new(name, problem, self.how_to_change(name))
        })
    }

    /// A setting with a default.
    pub fn or<T: FromStr<Err: Display>>(&self, name: &str, default: T) -> Result<T, ConfigError> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// A number between `min` and `max`, or the default.
    ///
    /// # Errors
    /// If it is no number, or lies outside; names the key.
    pub fn within(
        &self,
        key: &'static str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Result<u32, ConfigError> {
        let value = self.or(key, default)?;
        if range.contains(&value) {
            return Ok(value);
        }
        let problem = format!("{value} lies outside {} to {}", range.start(), range.end());
        Err(ConfigError::new(key, problem, "choose a value between them"))
    }

    /// A setting that is a list; absent is empty. Anything but an array is split at commas.
    pub fn list(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        self.known(name)?;
        Ok(self.find(name).map(Value::many).unwrap_or_default())
    }

    /// Where a setting came from.
    pub fn source(&self, name: &str) -> Source {
        self.values.get(name).map_or(Source::Default, |(_, source)| source.clone())
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.values.get(name).map(|(value, _)| value)
    }

    fn known(&self, name: &str) -> Result<(), ConfigError> {
        if self.keys.iter().any(|key| key.name == name) {
            return Ok(());
        }
        Err(ConfigError::new(name, "is asked for but not declared", "report this defect"))
    }

    fn how_to_set(&self, name: &str) -> String {
        let variable = self.keys.iter().find(|key| key.name == name).map(Key::own_variable);
        match variable {
            Some(variable) => format!("set it in the settings file or as {variable}"),
            None => "set it in the settings file".to_owned(),
        }
    }

    fn how_to_change(&self, name: &str) -> String {
        match self.source(name) {
            Source::Environment(variable) => format!("correct {variable} in the environment"),
            Source::Credential => "correct the credential".to_owned(),
            Source::File | Source::Default => "correct it in the settings file".to_owned(),
        }
    }

    fn refuse_exposed_secrets(&self) -> Result<(), ConfigError> {
        let exposed = self
            .values
            .iter()
            .find(|(name, (value, source))| *source == Source::File && value.holds_secret(name));
        match exposed {
            None => Ok(()),
            Some((name, _)) => Err(ConfigError::new(
                *name,
                "is a secret in a file that everybody can read",
                "chmod o-rwx the settings file, or give the secret as a credential",
            )),
        }
    }
}

fn names(keys: &[Key]) -> String {
    keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

/// The text of a settings file, and whether everybody on the machine can read it.
fn text_of(path: &Path) -> Result<(String, bool), ConfigError> {
    let refuse = |problem: String| {
        ConfigError::new("--config", problem, format!("check {}", path.display()))
    };
    let file = File::open(path).map_err(|error| refuse(format!("cannot be opened ({error})")))?;
    let about = file.metadata().map_err(|error| refuse(format!("cannot be read ({error})")))?;
    if !about.is_file() {
        return Err(refuse("is not a regular file".into()));
    }
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| refuse(format!("cannot be read ({error})")))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse(format!("is longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok((text, about.permissions().mode() & 0o007 != 0))
}

fn table_of(text: &str) -> Result<toml::Table, ConfigError> {
    toml::from_str(text).map_err(|error| {
        // Only the line and the parser's own words: its Display quotes the line, which may
        // hold a secret.
        let at = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let problem = format!("line {line} is not valid TOML ({})", error.message());
        ConfigError::new("--config", problem, "correct the settings file")
    })
}

fn from_environment(
    key: &Key,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<(String, String)>, ConfigError> {
    let mut found: Option<(String, String)> = None;
    for variable in key.variables() {
        let Some(value) = env(&variable) else { continue };
        match &found {
            None => found = Some((variable, value)),
            Some((_, first)) if *first == value => {}
            Some((other, _)) => {
                let problem = format!("{other} and {variable} have different values");
                return Err(ConfigError::new(key.name, problem, "unset one of them"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
