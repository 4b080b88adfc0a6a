//! Secrets come from files: a systemd credential, or a file that only its owner can read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use zeroize::Zeroizing;

use crate::config::ConfigError;
use crate::environment;

/// Reads a secret of at most `limit` bytes, without the newline that editors end a file with.
///
/// # Errors
/// `PermissionDenied` if group or others can read the file, unless systemd made it
/// (`CREDENTIALS_DIRECTORY` is closed by its own folder); `InvalidData` if it is empty, not a
/// regular file, or longer than `limit`; what `open` says otherwise.
pub fn read(path: &Path, limit: usize) -> io::Result<SecretSlice<u8>> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    if about.permissions().mode() & 0o077 != 0 && !is_credential(path) {
        let problem = "group or others can reach this secret: chmod 0400 it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    // Room for the limit, the newline, and one byte that proves that the file is longer: the
    // buffer never moves, so no copy of the secret stays behind.
    let room = limit.saturating_add(2);
    let mut buffer = Zeroizing::new(Vec::with_capacity(room));
    file.take(room as u64).read_to_end(&mut buffer)?;
    let bytes = buffer.strip_suffix(b"\n").unwrap_or(&buffer);
    if bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the secret is empty"));
    }
    if bytes.len() > limit {
        let problem = format!("the secret is longer than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(SecretSlice::from(bytes.to_vec()))
}

/// The same as text, which the setting `key` is or names.
///
/// # Errors
/// What [`read`] says, and if it is not UTF-8; names the key and the file.
pub fn read_text(key: &str, file: &Path, limit: usize) -> Result<SecretString, ConfigError> {
    let refuse =
        |problem: String| Err(ConfigError::new(key, problem, format!("check {}", file.display())));
    let bytes = match read(file, limit) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(format!("cannot be read ({error})")),
    };
    match std::str::from_utf8(bytes.expose_secret()) {
        Ok(text) => Ok(SecretString::from(text)),
        Err(_) => refuse("is not valid UTF-8".to_owned()),
    }
}

/// The path of a systemd credential (`LoadCredential=`), if this process was given it.
pub fn credential(name: &str) -> Option<PathBuf> {
    let folder = environment::lenient("CREDENTIALS_DIRECTORY")?;
    if name.is_empty() || name.contains('/') || name == ".." {
        return None;
    }
    Some(Path::new(&folder).join(name)).filter(|path| path.is_file())
}

fn is_credential(path: &Path) -> bool {
    let Some(folder) = environment::lenient("CREDENTIALS_DIRECTORY") else { return false };
    match (path.canonicalize(), Path::new(&folder).canonicalize()) {
        (Ok(path), Ok(folder)) => path.parent() == Some(folder.as_path()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn file(name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = std::env::temp_dir().join(format!("host-secret-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn outcome(name: &str, content: &[u8], mode: u32) -> Result<Vec<u8>, io::ErrorKind> {
        let path = file(name, content, mode);
        let read = read(&path, 8);
        std::fs::remove_file(path).unwrap();
        read.map(|secret| secret.expose_secret().to_vec()).map_err(|error| error.kind())
    }

    #[test]
    fn one_newline_is_not_part_of_the_secret() {
        assert_eq!(outcome("line", b"1234\n", 0o400), Ok(b"1234".to_vec()));
        assert_eq!(outcome("two", b"1234\n\n", 0o600), Ok(b"1234\n".to_vec()));
        assert_eq!(outcome("full", b"12345678\n", 0o400), Ok(b"12345678".to_vec()));
    }

    #[test]
    fn w181_a_secret_that_others_can_read_is_refused() {
        for mode in [0o440, 0o404, 0o444, 0o620] {
            let kind = outcome("open", b"1234", mode);
            assert_eq!(kind, Err(io::ErrorKind::PermissionDenied), "{mode:o}");
        }
    }

    #[test]
    fn w181_an_empty_or_endless_secret_is_refused() {
        for content in [&b""[..], b"\n", b"123456789", b"123456789\n", &[7; 4096]] {
            assert_eq!(outcome("size", content, 0o400), Err(io::ErrorKind::InvalidData));
        }
        assert_eq!(read(Path::new("/"), 8).err().unwrap().kind(), io::ErrorKind::InvalidData);
    }
}
