//! Who may read and write what is on disk.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

use super::finding::{Finding, fail, ok};
use crate::appliance::{
    CA_KEY, DAEMONS, DATABASE_URLS, Daemon, ETC, KEYD_USER, OWNER_URL, PIN, SETTINGS, SO_PIN,
    TOKENS,
};

/// How a file should be. Stricter modes are in order too.
struct Expected {
    path: PathBuf,
    owner: &'static str,
    group: &'static str,
    mode: u32,
    /// It need not be there.
    optional: bool,
}

/// How a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    owner: String,
    group: String,
    mode: u32,
    is_link: bool,
}

pub(super) fn check() -> Vec<Finding> {
    let all = expected();
    let problems: Vec<String> =
        all.iter().filter_map(|one| problem(one, look(&one.path).as_ref())).collect();
    let all = all.len();
    if problems.is_empty() {
        return vec![ok("files", format!("{all} files and folders belong to whom they should"))];
    }
    let finding = |problem: String| {
        fail("files", problem, "run opentrusty setup, which gives them their owners and modes")
    };
    problems.into_iter().map(finding).collect()
}

fn expected() -> Vec<Expected> {
    let required = |path: &Path, owner, group, mode| Expected {
        path: path.to_owned(),
        owner,
        group,
        mode,
        optional: false,
    };
    let optional = |path: &str, owner, mode| Expected {
        path: path.into(),
        owner,
        group: owner,
        mode,
        optional: true,
    };
    let etc = Path::new(ETC);
    let mut all = vec![
        required(etc, "root", "root", 0o755),
        required(&etc.join("tls"), "root", "root", 0o755),
        required(&etc.join("token"), "root", "root", 0o700),
        required(Path::new(SETTINGS), "root", "root", 0o644),
        optional(PIN.path, "root", 0o600),
        optional(SO_PIN.path, "root", 0o600),
        optional(CA_KEY, "root", 0o600),
        optional(TOKENS, KEYD_USER, 0o700),
        optional("/etc/opentrusty/softhsm2.conf", "root", 0o644),
        optional("/etc/opentrusty/keyd.env", "root", 0o644),
        optional(DATABASE_URLS, "root", 0o700),
        optional(OWNER_URL.path, "root", 0o600),
        optional("/etc/opentrusty/database-ca.pem", "root", 0o644),
        optional("/usr/libexec/opentrusty", "root", 0o755),
        optional("/usr/libexec/opentrusty/keyd", "root", 0o755),
        optional("/usr/libexec/opentrusty/authd", "root", 0o755),
        optional("/usr/libexec/opentrusty/admind", "root", 0o755),
        optional("/usr/bin/opentrusty", "root", 0o755),
    ];
    let urls = DAEMONS.into_iter().filter_map(Daemon::database_url);
    all.extend(urls.map(|one| optional(one.path, "root", 0o600)));
    all.extend(DAEMONS.map(|one| required(&one.settings(), "root", one.user(), 0o640)));
    for daemon in [Daemon::Authd, Daemon::Admind] {
        all.push(required(&daemon.tls(), "root", daemon.user(), 0o750));
        all.push(required(&daemon.key(), "root", daemon.user(), 0o640));
        all.push(required(&daemon.certificate(), "root", daemon.user(), 0o644));
    }
    all
}

fn look(path: &Path) -> Option<Seen> {
    let about = fs::symlink_metadata(path).ok()?;
    let owner = User::from_uid(Uid::from_raw(about.uid())).ok().flatten();
    let group = Group::from_gid(Gid::from_raw(about.gid())).ok().flatten();
    Some(Seen {
        owner: owner.map_or_else(|| about.uid().to_string(), |user| user.name),
        group: group.map_or_else(|| about.gid().to_string(), |group| group.name),
        mode: about.permissions().mode() & 0o7777,
        is_link: about.is_symlink(),
    })
}

fn problem(expected: &Expected, seen: Option<&Seen>) -> Option<String> {
    let path = expected.path.display();
    let Some(seen) = seen else {
        return (!expected.optional).then(|| format!("{path} is not there"));
    };
    if seen.is_link {
        return Some(format!("{path} is a symbolic link"));
    }
    if seen.owner != expected.owner {
        return Some(format!("{path} belongs to {} and not to {}", seen.owner, expected.owner));
    }
    if seen.mode & !expected.mode != 0 {
        return Some(format!("{path} has mode {:04o}, more than {:04o}", seen.mode, expected.mode));
    }
    // A group without rights does not matter, nor one with the rights of everybody.
    let (group_may, all_may) = (seen.mode & 0o070, expected.mode & 0o007);
    if seen.group != expected.group && group_may != 0 && all_may == 0 {
        return Some(format!("{path} is open to the group {}", seen.group));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (Expected, Seen) {
        let expected = Expected {
            path: "/k".into(),
            owner: "root",
            group: "opentrusty-authd",
            mode: 0o640,
            optional: false,
        };
        let seen = Seen {
            owner: "root".into(),
            group: "opentrusty-authd".into(),
            mode: 0o640,
            is_link: false,
        };
        (expected, seen)
    }

    #[test]
    fn a_key_is_its_daemons_alone() {
        let (expected, good) = key();
        assert_eq!(problem(&expected, Some(&good)), None);
        assert_eq!(problem(&expected, Some(&Seen { mode: 0o400, ..good.clone() })), None);
        let closed = Seen { group: "root".into(), mode: 0o600, ..good.clone() };
        assert_eq!(problem(&expected, Some(&closed)), None, "a group without rights");
        for bad in [
            Seen { mode: 0o644, ..good.clone() },
            Seen { mode: 0o660, ..good.clone() },
            Seen { mode: 0o4640, ..good.clone() },
            Seen { owner: "opentrusty-authd".into(), ..good.clone() },
            Seen { group: "users".into(), ..good.clone() },
            Seen { is_link: true, ..good.clone() },
        ] {
            assert!(problem(&expected, Some(&bad)).is_some(), "{bad:?}");
        }
        assert!(problem(&expected, None).is_some());
        assert_eq!(problem(&Expected { optional: true, ..key().0 }, None), None);
    }
}
