//! The access token that `login` got, in a file that only its owner can read.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use host::config::ConfigError;
use host::{clock, secret};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use crate::failure::Failure;
use crate::settings::Place;

/// Longest file, bytes.
const FILE_BYTES_MAX: usize = 32 * 1024;
const REMEDY: &str = "run opentrusty login";

/// A token and where it may be shown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    /// The management API that it is for: it is sent nowhere else.
    pub(crate) api: String,
    #[serde(rename = "access_token")]
    pub(crate) bearer: SecretString,
    /// Seconds since the epoch.
    pub(crate) expires_at: u64,
}

/// `$XDG_STATE_HOME/opentrusty/token`, by default beneath `~/.local/state`.
pub(crate) fn path(place: &Place) -> Result<PathBuf, ConfigError> {
    let state = place.optional::<PathBuf>("state_home")?.filter(|path| path.is_absolute());
    let state = match state {
        Some(state) => state,
        None => place.required::<PathBuf>("home")?.join(".local/state"),
    };
    Ok(state.join("opentrusty/token"))
}

impl Token {
    /// From the environment, or from the file.
    pub(crate) fn load(place: &Place) -> Result<Self, Failure> {
        if let Some(token) = place.optional::<String>("token")? {
            let (api, bearer) = (place.api()?, token.into());
            return Ok(Self { api, bearer, expires_at: u64::MAX });
        }
        let token = Self::read(&path(place)?)?;
        if token.expires_at <= clock::now_s() {
            return Err(Failure::refused(format!("the token that was kept has expired; {REMEDY}")));
        }
        match place.optional::<String>("api")? {
            Some(api) if api != token.api => Err(Failure::refused(format!(
                "the token that was kept is for {} and not for {api}; {REMEDY}",
                token.api
            ))),
            _ => Ok(token),
        }
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = secret::read(path, FILE_BYTES_MAX).map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                return Failure::refused(format!("nobody is signed in; {REMEDY}"));
            }
            Failure::Io(path.display().to_string(), error)
        })?;
        serde_json::from_slice(bytes.expose_secret()).map_err(|_| {
            Failure::value(path.display().to_string(), format!("is damaged; {REMEDY}"))
        })
    }

    /// Writes the file anew: nobody else can read it, not even for a moment.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let name = || path.display().to_string();
        if let Some(folder) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(Failure::io(folder.display().to_string()))?;
        }
        let document = json!({
            "api": self.api,
            "access_token": self.bearer.expose_secret(),
            "expires_at": self.expires_at,
        });
        let new = path.with_extension("new");
        // What a run that was cut short left behind may be open to others.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure::Io(new.display().to_string(), error));
            }
            Ok(()) | Err(_) => {}
        }
        OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| file.write_all(document.to_string().as_bytes()))
            .and_then(|()| fs::rename(&new, path))
            .map_err(Failure::io(name()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn token() -> Token {
        Token {
            api: "https://localhost:8081".into(),
            bearer: "a.b.c".into(),
            expires_at: 4_000_000_000,
        }
    }

    #[test]
    fn what_is_kept_is_read_back_and_is_its_owners_alone() {
        let folder = std::env::temp_dir().join(format!("opentrusty-token-{}", std::process::id()));
        // Of a run that was cut off, by a process of the same number.
        let _ = fs::remove_dir_all(&folder);
        let path = folder.join("state/opentrusty/token");
        let problem = Token::read(&path).err().unwrap().to_string();
        assert!(problem.contains("opentrusty login"), "{problem}");

        token().save(&path).unwrap();
        token().save(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let read = Token::read(&path).unwrap();
        assert_eq!((read.api, read.expires_at), (token().api, token().expires_at));
        assert_eq!(read.bearer.expose_secret(), "a.b.c");

        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(Token::read(&path).is_err(), "others could read it");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{}").unwrap();
        assert!(Token::read(&path).err().unwrap().to_string().contains("damaged"));
        fs::remove_dir_all(folder).unwrap();
    }
}
