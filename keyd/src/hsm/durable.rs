//! A token that is files in a folder. `SoftHSM` writes them and leaves the rest to the system: after a power cut a
//! key that the database knows might be an empty file, or none. So what it wrote is brought to the disk before
//! anybody hears of it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Folders within folders: the tokens, and the objects of each.
const DEPTH: usize = 2;

/// Returns once everything in `folder` would survive a power cut.
///
/// # Errors
/// What the file system says. A file that goes away meanwhile is none, nor is one that keyd may not read: then the
/// module has not written it either, which is in this process.
pub(crate) fn write_through(folder: &Path) -> io::Result<()> {
    within(folder, DEPTH)
}

fn within(folder: &Path, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let synced = if kind.is_dir() && depth > 1 {
            within(&entry.path(), depth - 1)
        } else if kind.is_file() {
            File::open(entry.path()).and_then(|file| file.sync_all())
        } else {
            Ok(())
        };
        match synced {
            Err(error)
                if !matches!(
                    error.kind(),
                    // Another thread, or another node, has deleted an object.
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) =>
            {
                return Err(error);
            }
            Ok(()) | Err(_) => {}
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_what_goes_away_are_no_trouble_and_a_missing_token_is() {
        let folder = std::env::temp_dir().join(format!("keyd-durable-{}", std::process::id()));
        fs::create_dir_all(folder.join("token")).unwrap();
        fs::write(folder.join("token/key.object"), "key").unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.join("token/link")).unwrap();
        write_through(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(write_through(&folder).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
