//! The settings of the command. They come from the environment alone, as `make up` writes them to
//! `.state/env`; flags of a subcommand win over them.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use host::config::{ConfigError, Key, Settings, Source};
use oauth::form::encode;

use crate::issuer::Issuer;

const fn key(name: &'static str) -> Key {
    Key { name, aliases: &[] }
}

/// The names of other systems are those that authd accepts too (`docs` has the list).
const KEYS: &[Key] = &[
    Key { name: "issuer", aliases: &["OAUTH_ISSUER", "ISSUER", "BASE_URL", "OPENTRUSTY_BASE_URL"] },
    key("api"),
    key("ca"),
    Key { name: "database_url", aliases: &["DATABASE_URL"] },
    key("pg_socket_dir"),
    key("pg_database"),
    key("pg_owner"),
    Key { name: "bootstrap_admin_email", aliases: &["OT_BOOTSTRAP_ADMIN_EMAIL"] },
    key("console_origin"),
    key("mode"),
    key("state"),
    key("token"),
    key("log"),
    Key { name: "state_home", aliases: &["XDG_STATE_HOME"] },
    Key { name: "home", aliases: &["HOME"] },
    Key { name: "path", aliases: &["PATH"] },
    Key { name: "lang", aliases: &["LANG"] },
];

/// What says where a local database is.
const PARTS: [&str; 3] = ["pg_socket_dir", "pg_database", "pg_owner"];

/// Where this command works, as far as the environment says.
pub(crate) struct Place(Settings);

impl Place {
    pub(crate) fn load() -> Result<Self, ConfigError> {
        Settings::load(None, KEYS).map(Self)
    }

    /// The issuer of the installation.
    pub(crate) fn issuer(&self) -> Result<Issuer, ConfigError> {
        self.0.required("issuer")
    }

    /// The management API, which is also the audience of tokens for it.
    pub(crate) fn api(&self) -> Result<String, ConfigError> {
        self.0.required("api")
    }

    pub(crate) fn required<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, ConfigError> {
        self.0.required(name)
    }

    pub(crate) fn optional<T: FromStr<Err: Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, ConfigError> {
        self.0.optional(name)
    }

    /// The file of certificates to trust besides the public ones; a flag wins over the setting.
    pub(crate) fn ca(&self, flag: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
        match flag {
            Some(path) => Ok(Some(path.to_owned())),
            None => self.0.optional("ca"),
        }
    }

    /// Which variables say where the database is.
    pub(crate) fn database_source(&self) -> Result<String, ConfigError> {
        if self.0.optional::<String>("database_url")?.is_some() {
            return Ok(self.variable("database_url"));
        }
        Ok(PARTS.map(|part| self.variable(part)).join(", "))
    }

    /// The variable that a setting came from.
    pub(crate) fn variable(&self, name: &str) -> String {
        match self.0.source(name) {
            Source::Environment(variable) => variable,
            Source::File | Source::Default => format!("OPENTRUSTY_{}", name.to_ascii_uppercase()),
        }
    }

    /// The database, as the role that owns the schema. A complete URL and the three parts of a local one
    /// are two ways to say the same thing: both at once is an error, not a choice.
    pub(crate) fn database_url(&self) -> Result<String, ConfigError> {
        let Some(url) = self.0.optional::<String>("database_url")? else {
            let [folder, database, owner] = PARTS;
            let folder: PathBuf = self.0.required(folder)?;
            if !folder.is_absolute() {
                let fix = "name the folder of PostgreSQL's socket, from the root";
                return Err(ConfigError::new("pg_socket_dir", "is not an absolute path", fix));
            }
            return Ok(format!(
                "postgres:///{}?host={}&user={}",
                encode(&self.0.required::<String>(database)?),
                encode(&folder.to_string_lossy()),
                encode(&self.0.required::<String>(owner)?),
            ));
        };
        for part in PARTS {
            if self.0.optional::<String>(part)?.is_some() {
                let both = format!(
                    "{} and {} both name a database",
                    self.variable("database_url"),
                    self.variable(part)
                );
                return Err(ConfigError::new("database_url", both, "unset one of them"));
            }
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(env: &[(&str, &str)]) -> Result<Place, ConfigError> {
        let lookup = |name: &str| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::from_parts("", lookup, KEYS).map(Place)
    }

    #[test]
    fn the_parts_of_a_local_database_become_a_url_that_no_part_can_extend() {
        let parts = [
            ("OPENTRUSTY_PG_SOCKET_DIR", "/run/a b&user=postgres"),
            ("OPENTRUSTY_PG_DATABASE", "open?trusty"),
            ("OPENTRUSTY_PG_OWNER", "opentrusty_owner"),
        ];
        let url = place(&parts).unwrap().database_url().unwrap();
        assert_eq!(
            url,
            "postgres:///open%3Ftrusty?host=%2Frun%2Fa%20b%26user%3Dpostgres&user=opentrusty_owner"
        );
        assert_eq!(host::database::check(&url), Ok(()));
        for missing in 0..parts.len() {
            let mut rest = parts.to_vec();
            let (name, _) = rest.remove(missing);
            let error = place(&rest).unwrap().database_url().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_url_beside_the_parts_is_an_error_that_names_both() {
        let url = "postgres:///db?host=/run/postgresql&user=opentrusty_owner";
        let alone = place(&[("DATABASE_URL", url)]).unwrap();
        assert_eq!(alone.database_url().unwrap(), url);
        let both = place(&[("DATABASE_URL", url), ("OPENTRUSTY_PG_DATABASE", "other")]).unwrap();
        let error = both.database_url().unwrap_err().to_string();
        assert!(
            error.contains("DATABASE_URL") && error.contains("OPENTRUSTY_PG_DATABASE"),
            "{error}"
        );
    }

    #[test]
    fn w181_a_remote_database_without_verify_full_is_refused() {
        assert!(
            place(&[("DATABASE_URL", "postgres://u:p@db.example/db?sslmode=disable")]).is_err()
        );
    }
}
