//! Files are replaced whole, with their owner and mode, and only if nobody else has edited them: the first
//! line of a file that setup wrote holds the digest of the rest.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::Path;

use nix::unistd::Group;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::render::Text;
use crate::failure::Failure;
use crate::program;

const MARK: &str =
    "# Written by `opentrusty setup`; once it is edited, setup leaves it alone. sha256:";

/// Who a file belongs to and who may do what with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

impl Rights {
    pub(super) fn of(owner: &str, group: &str, mode: u32) -> Result<Self, Failure> {
        let group_id = Group::from_name(group)
            .map_err(|errno| Failure::Io(format!("the group {group}"), errno.into()))?
            .ok_or_else(|| {
                Failure::refused(format!("there is no group {group}; install the packages"))
            })?;
        Ok(Self { uid: program::user(owner)?.uid.as_raw(), gid: group_id.gid.as_raw(), mode })
    }

    /// Of whoever runs this, for a try.
    fn own(mode: u32) -> Self {
        Self { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw(), mode }
    }
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Made,
    Replaced,
    /// Only its owner or mode.
    Corrected,
    Unchanged,
    /// Edited by somebody, and not what it would be.
    Kept,
}

/// Writes one rendered file beneath `root`.
pub(super) fn put_text(root: Option<&Path>, text: &Text) -> Result<Written, Failure> {
    let (path, rights) = match root {
        None => (text.path.clone(), Rights::of(text.owner, text.group, text.mode)?),
        Some(root) => {
            let inner = text.path.strip_prefix("/").unwrap_or(&text.path);
            (root.join(inner), Rights::own(text.mode))
        }
    };
    let body = text.body.expose_secret();
    if let Some(folder) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(folder);
        made.map_err(Failure::io(folder.display().to_string()))?;
    }
    if !text.signed {
        return put(&path, body.as_bytes(), rights);
    }
    if there(&path)?.as_deref().is_some_and(|there| is_edited(there, body)) {
        return Ok(Written::Kept);
    }
    put(&path, signed(body).as_bytes(), rights)
}

/// Whether what is there was edited by somebody, so that it would stay.
pub(super) fn is_kept(text: &Text) -> Result<bool, Failure> {
    let there = there(&text.path)?;
    Ok(text.signed && there.is_some_and(|there| is_edited(&there, text.body.expose_secret())))
}

/// Removes a file, unless somebody has edited what setup wrote. Nothing if there is none.
pub(super) fn remove(path: &Path) -> Result<Option<Written>, Failure> {
    let failed = || Failure::io(path.display().to_string());
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed()(error)),
        Ok(there) => {
            let text = String::from_utf8_lossy(&there);
            // What has no such line is one value, and setup's alone.
            if text.starts_with(MARK) && is_edited(&text, "") {
                return Ok(Some(Written::Kept));
            }
        }
    }
    fs::remove_file(path).map_err(failed())?;
    Ok(Some(Written::Replaced))
}

fn there(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Io(path.display().to_string(), error)),
    }
}

/// Replaces a file whose bytes or rights are others. Who reads it sees the old one or the new one.
pub(super) fn put(path: &Path, bytes: &[u8], rights: Rights) -> Result<Written, Failure> {
    let failed = || Failure::io(path.display().to_string());
    let there = match fs::read(path) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed()(error)),
    };
    if there.as_deref() == Some(bytes) {
        return correct(path, rights);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    // What a run that was cut short left behind.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
        Ok(()) | Err(_) => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(new).map_err(failed())?;
    fchown(&file, Some(rights.uid), Some(rights.gid)).map_err(failed())?;
    file.set_permissions(Permissions::from_mode(rights.mode)).map_err(failed())?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed())?;
    fs::rename(new, path).map_err(failed())?;
    if let Some(folder) = path.parent() {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed())?;
    }
    Ok(if there.is_some() { Written::Replaced } else { Written::Made })
}

/// Makes a folder, or gives one that is there its owner and mode.
pub(super) fn folder(path: &Path, rights: Rights) -> Result<Written, Failure> {
    let failed = || Failure::io(path.display().to_string());
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            correct(path, rights)?;
            Ok(Written::Made)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => correct(path, rights),
        Err(error) => Err(failed()(error)),
    }
}

/// Gives a file or folder that is there its owner and mode.
pub(super) fn correct(path: &Path, rights: Rights) -> Result<Written, Failure> {
    let failed = || Failure::io(path.display().to_string());
    // Not through a link: whoever could plant one would be given what it points to.
    let options = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path);
    let file = options.map_err(failed())?;
    let about = file.metadata().map_err(failed())?;
    let there =
        Rights { uid: about.uid(), gid: about.gid(), mode: about.permissions().mode() & 0o7777 };
    if there == rights {
        return Ok(Written::Unchanged);
    }
    fchown(&file, Some(rights.uid), Some(rights.gid)).map_err(failed())?;
    file.set_permissions(Permissions::from_mode(rights.mode)).map_err(failed())?;
    Ok(Written::Corrected)
}

fn signed(body: &str) -> String {
    format!("{MARK}{}\n{body}", digest(body))
}

/// Whether somebody has changed what setup wrote, to something else than it would write now.
fn is_edited(there: &str, body: &str) -> bool {
    let (first, rest) = there.split_once('\n').unwrap_or((there, ""));
    let ours = first.strip_prefix(MARK).is_some_and(|stated| stated == digest(rest));
    !ours && rest != body && there != body
}

fn digest(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_file_is_known_and_an_own_one_is_replaced() {
        let written = signed("a = 1\n");
        assert!(!is_edited(&written, "a = 2\n"), "ours, to be replaced");
        assert!(is_edited(&written.replace("a = 1", "a = 3"), "a = 2\n"));
        assert!(is_edited("a = 3\n", "a = 2\n"), "somebody's own");
        assert!(!is_edited("a = 2\n", "a = 2\n"), "the same without the mark");
        assert!(is_edited(&format!("{MARK}\na = 3\n"), "a = 2\n"), "a mark without its digest");
    }

    #[test]
    fn a_file_is_made_left_corrected_and_replaced() {
        let folder = std::env::temp_dir().join(format!("opentrusty-files-{}", std::process::id()));
        // Of a run that was cut off, by a process of the same number.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let path = folder.join("file");
        let rights = Rights::own(0o640);
        assert_eq!(put(&path, b"one", rights).unwrap(), Written::Made);
        assert_eq!(put(&path, b"one", rights).unwrap(), Written::Unchanged);
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert_eq!(put(&path, b"one", rights).unwrap(), Written::Corrected);
        fs::write(folder.join("file.new"), "left behind").unwrap();
        assert_eq!(put(&path, b"two", rights).unwrap(), Written::Replaced);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        std::os::unix::fs::symlink("/etc/hostname", folder.join("link")).unwrap();
        assert!(correct(&folder.join("link"), rights).is_err(), "a link is not followed");
        fs::remove_dir_all(&folder).unwrap();
    }
}
