//! The files that the system's resolver reads, as far as the sandbox is concerned.
//!
//! They are named one by one, because their folder holds everything else too. A rule on a file stays with
//! that file, so when one is replaced by renaming, as network managers do, nothing can be resolved any more:
//! the courier looks for that and ends, to be started again with rules on the new one.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// glibc loads no module here: what is not `files` or `dns` counts as unavailable, and it goes on.
const FILES: [&str; 6] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
];

/// Where names are asked for when an answer does not fit into a datagram.
pub const DNS: u16 = 53;

/// What the resolver's files were when the sandbox closed.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolver(Vec<Option<(u64, u64)>>);

impl Resolver {
    /// Looks.
    pub fn now() -> Self {
        // Looking at a file is not reading it: no sandbox is in the way.
        let which =
            |path: &&str| fs::symlink_metadata(path).ok().map(|about| (about.dev(), about.ino()));
        Self(FILES.iter().map(which).collect())
    }

    /// What must be readable: each file that is there, and for one that is a link out of its folder (as
    /// systemd-resolved's) the folder of what it leads to, where it is replaced.
    pub fn paths() -> Vec<PathBuf> {
        let real = FILES.iter().filter_map(|file| {
            let real = fs::canonicalize(file).ok()?;
            let elsewhere = real.parent() != Path::new(file).parent();
            if elsewhere { real.parent().map(Path::to_owned) } else { Some(real) }
        });
        real.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_files_are_read_and_never_the_folder_that_holds_everything() {
        let paths = Resolver::paths();
        assert!(paths.contains(&"/etc/hosts".into()), "{paths:?}");
        for path in &paths {
            assert!(path.is_file() || !Path::new("/etc/hosts").starts_with(path), "{path:?}");
        }
        assert_eq!(Resolver::now(), Resolver::now());
    }
}
