//! Secrets that only this machine can decrypt (`systemd-creds`). A unit is given one by
//! `LoadCredentialEncrypted=NAME:PATH`.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::program::Program;

/// Where one is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credential {
    /// What its service knows it by; it is sealed with it.
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
}

impl Credential {
    pub(crate) fn is_there(self) -> bool {
        Path::new(self.path).is_file()
    }

    /// Only root can.
    pub(crate) fn open(self) -> Result<SecretString, Failure> {
        open(self.name, Path::new(self.path))
    }
}

/// Decrypts what was sealed under this name.
pub(crate) fn open(name: &str, path: &Path) -> Result<SecretString, Failure> {
    let path = path.display().to_string();
    let output = Program::new("systemd-creds")
        .args(["decrypt", &format!("--name={name}"), &path, "-"])
        .run()?;
    let output = Zeroizing::new(output);
    let text = std::str::from_utf8(&output).map_err(|_| Failure::value(path, "is not UTF-8"))?;
    Ok(SecretString::from(text))
}

/// Encrypts for this machine.
pub(crate) fn seal(name: &str, secret: &SecretString) -> Result<Vec<u8>, Failure> {
    Program::new("systemd-creds")
        .args(["encrypt", "--with-key=host", &format!("--name={name}"), "-", "-"])
        .input(secret.expose_secret().as_bytes().to_vec())
        .run()
}
