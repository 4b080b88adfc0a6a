//! Why a command could not do what it was asked, in one line for whoever typed it.

use std::error::Error;
use std::fmt;
use std::io;

use host::config::ConfigError;
use host::exit::Fatal;

/// A failed command. The person who reads it operates this installation: it says what it knows, except
/// secrets.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A setting is wrong: exit 78.
    Config(ConfigError),
    /// A value in a file that we were given, by its path in the file.
    Value {
        /// As in `clients[2].redirect_uris`.
        path: String,
        problem: String,
    },
    /// What was asked for is not to be done.
    Refused(String),
    /// PostgreSQL said no, or nothing.
    Database(sqlx::Error),
    /// A migration could not be applied.
    Migration(sqlx::migrate::MigrateError),
    /// A file or process of this machine.
    Io(String, io::Error),
}

impl Failure {
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }

    pub(crate) fn value(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value { path: path.into(), problem: problem.into() }
    }

    /// The same, where the path so far is relative to `parent`.
    pub(crate) fn under(self, parent: &str) -> Self {
        match self {
            Self::Value { path, problem } => {
                Self::Value { path: format!("{parent}.{path}"), problem }
            }
            other @ (Self::Config(_)
            | Self::Refused(_)
            | Self::Database(_)
            | Self::Migration(_)
            | Self::Io(..)) => other,
        }
    }

    /// For `map_err`: `what` names the file or the act.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io(what.into(), error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Value { path, problem } => write!(f, "{path}: {problem}"),
            Self::Refused(reason) => f.write_str(reason),
            // Both libraries repeat their source in their own text, so it is not offered as a source again.
            Self::Database(error) => write!(f, "the database: {error}"),
            Self::Migration(error) => write!(f, "the schema: {error}"),
            Self::Io(what, _) => f.write_str(what),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Config(_)
            | Self::Value { .. }
            | Self::Refused(_)
            | Self::Database(_)
            | Self::Migration(_) => None,
        }
    }
}

impl From<Failure> for Fatal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Config(error) => Self::Config(error),
            other @ (Failure::Value { .. }
            | Failure::Refused(_)
            | Failure::Database(_)
            | Failure::Migration(_)
            | Failure::Io(..)) => Self::start(other),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<sqlx::migrate::MigrateError> for Failure {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(error)
    }
}
