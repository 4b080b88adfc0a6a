//! The programs under strace, for `packaging/dev/syscalls`, which says in `OPENTRUSTY_TRACES` where to write.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where traces go, if there are to be any.
pub(crate) fn folder() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "whether a test is traced is no setting of a daemon"
    )]
    std::env::var("OPENTRUSTY_TRACES").ok().map(PathBuf::from)
}

/// Put a script into the program's place. strace is a grandchild (`-D`): whoever starts the script keeps the
/// daemon's own process number, and its own way to end it.
pub(crate) fn wrap(program: &Path, folder: &Path) {
    let real = program.with_extension("real");
    fs::rename(program, &real).unwrap();
    let name = program.file_name().unwrap().display();
    let script = format!(
        "#!/bin/sh\nname={name}\ncase \" $* \" in *' --courier '*) name=courier ;; esac\n\
         exec strace -D -ff --seccomp-bpf -qq -o '{}'/$name '{}' \"$@\"\n",
        folder.display(),
        real.display()
    );
    fs::write(program, script).unwrap();
    fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
}
