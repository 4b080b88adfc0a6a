//! The settings of the command: from the environment, as `make up` writes them to `.state/env`, else from the
//! file that `opentrusty setup` writes. Flags of a subcommand win over both.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use host::config::{ConfigError, DATABASE_URL_MAX, Key, Settings, Source};
use host::secret;
use oauth::form::encode;
use secrecy::{ExposeSecret as _, SecretString};

use crate::appliance::SETTINGS;
use crate::credential;
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
    key("database_url_file"),
    key("database_url_credential"),
    // What setup and doctor remember here.
    key("database_server"),
    key("backup_stamp"),
    key("backup_max_age_h"),
    key("log_shipping"),
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
        let file = Some(Path::new(SETTINGS)).filter(|file| file.is_file());
        Settings::load(file, KEYS).map(Self)
    }

    /// The installation of this machine, whatever the caller's environment names.
    pub(crate) fn installed(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let problem = format!("{} cannot be read ({error})", file.display());
            ConfigError::new("--config", problem, "run opentrusty setup")
        })?;
        Settings::from_parts(&text, |_| None, KEYS).map(Self)
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

    /// What says where the database is.
    pub(crate) fn database_source(&self) -> Result<String, ConfigError> {
        Ok(match self.way()? {
            Way::Url => self.variable("database_url"),
            Way::File => self.variable("database_url_file"),
            Way::Sealed => self.variable("database_url_credential"),
            Way::Parts => PARTS.map(|part| self.variable(part)).join(", "),
        })
    }

    /// How the database is named. The environment wins over what the service was given, and that over the file;
    /// two ways at one place are an error, not a choice.
    fn way(&self) -> Result<Way, ConfigError> {
        let ways = [
            (Way::Url, "database_url"),
            (Way::File, "database_url_file"),
            (Way::Sealed, "database_url_credential"),
            (Way::Parts, "pg_socket_dir"),
            (Way::Parts, "pg_database"),
            (Way::Parts, "pg_owner"),
        ];
        let is_environment = |source: &Source| matches!(source, Source::Environment(_));
        let is_given = |source: &Source| *source == Source::Credential;
        let is_written = |source: &Source| *source == Source::File;
        let places: [&dyn Fn(&Source) -> bool; 3] = [&is_environment, &is_given, &is_written];
        for place in places {
            let mut found = ways.iter().filter(|(_, name)| place(&self.0.source(name)));
            let Some((way, name)) = found.next() else { continue };
            if let Some((_, other)) = found.find(|(other, _)| other != way) {
                let both = format!(
                    "{} and {} both name a database",
                    self.variable(name),
                    self.variable(other)
                );
                return Err(ConfigError::new("database_url", both, "unset one of them"));
            }
            return Ok(*way);
        }
        // Its absence is missed by name.
        Ok(Way::Parts)
    }

    /// The variable that a setting came from.
    pub(crate) fn variable(&self, name: &str) -> String {
        match self.0.source(name) {
            Source::Environment(variable) => variable,
            Source::Credential => format!("the credential {name}"),
            Source::File | Source::Default => format!("OPENTRUSTY_{}", name.to_ascii_uppercase()),
        }
    }

    /// The database, as the role that owns the schema.
    pub(crate) fn database_url(&self) -> Result<String, ConfigError> {
        match self.way()? {
            Way::Url => self.0.required("database_url"),
            Way::File => {
                let path: PathBuf = self.0.required("database_url_file")?;
                let url = secret::read_text("database_url_file", &path, DATABASE_URL_MAX)?;
                judged(&url)
            }
            Way::Sealed => {
                let path: PathBuf = self.0.required("database_url_credential")?;
                let url = credential::open("database_url", &path).map_err(|failure| {
                    let fix =
                        "run this as root, or opentrusty setup --database-passwords FILE again";
                    ConfigError::new("database_url_credential", failure.to_string(), fix)
                })?;
                judged(&url)
            }
            Way::Parts => {
                let [folder, database, owner] = PARTS;
                let folder: PathBuf = self.0.required(folder)?;
                if !folder.is_absolute() {
                    let fix = "name the folder of PostgreSQL's socket, from the root";
                    return Err(ConfigError::new("pg_socket_dir", "is not an absolute path", fix));
                }
                Ok(format!(
                    "postgres:///{}?host={}&user={}",
                    encode(&self.0.required::<String>(database)?),
                    encode(&folder.to_string_lossy()),
                    encode(&self.0.required::<String>(owner)?),
                ))
            }
        }
    }
}

fn judged(url: &SecretString) -> Result<String, ConfigError> {
    host::database::check(url.expose_secret())?;
    Ok(url.expose_secret().to_owned())
}

/// How the database is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Url,
    /// A file that holds the URL, because a password is in it.
    File,
    /// The same, sealed for this machine.
    Sealed,
    Parts,
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
    fn the_environment_names_another_database_than_the_file_and_wins() {
        let file = "pg_socket_dir = \"/run/postgresql\"\npg_database = \"opentrusty\"\n\
                    pg_owner = \"opentrusty_owner\"\n";
        let url = "postgres:///other?host=/run/postgresql&user=opentrusty_owner";
        let env = |name: &str| (name == "DATABASE_URL").then(|| url.to_owned());
        let place = Settings::from_parts(file, env, KEYS).map(Place).unwrap();
        assert_eq!(place.database_url().unwrap(), url);
        let alone = Settings::from_parts(file, |_| None, KEYS).map(Place).unwrap();
        assert!(alone.database_url().unwrap().starts_with("postgres:///opentrusty?"));
        let both = format!("{file}database_url_file = \"/etc/x\"\n");
        let both = Settings::from_parts(&both, |_| None, KEYS).map(Place).unwrap();
        assert!(both.database_url().is_err(), "two ways in one file");
    }

    #[test]
    fn w181_a_remote_database_without_verify_full_is_refused() {
        assert!(
            place(&[("DATABASE_URL", "postgres://u:p@db.example/db?sslmode=disable")]).is_err()
        );
    }
}
