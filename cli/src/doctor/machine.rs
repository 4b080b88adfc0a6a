//! The machine: its clock, what its kernel can confine, its log, and the last copy of everything.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use host::{clock, sandbox};

use super::finding::{Finding, fail, ok, warn};
use crate::appliance::{TARGET, TOKENS};
use crate::program::Program;
use crate::settings::Place;

/// Services that send the journal, or what they read from it, to another machine. rsyslog is none of them: by itself
/// it writes files.
const SHIPPERS: [&str; 5] = [
    "systemd-journal-upload.service",
    "vector.service",
    "fluent-bit.service",
    "filebeat.service",
    "promtail.service",
];
/// What a backup touches when it is complete, unless `backup_stamp` names another file.
const STAMP: &str = "/var/backups/opentrusty/last";
/// A day, and two hours for one that takes long.
const AGE_H: u64 = 26;
const HOUR_S: u64 = 3600;

pub(super) fn check(place: &Place) -> Vec<Finding> {
    let synchronised =
        Program::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]);
    let enabled = Program::new("systemctl").args(["is-enabled", TARGET]);
    let said = |program: Program| program.answer().unwrap_or_default();
    vec![
        synchronised_clock(&said(synchronised)),
        landlock(sandbox::landlock_abi()),
        boot(&said(enabled)),
        journal(Path::new("/var/log/journal").is_dir()),
        shipping(place),
        backup(place),
    ]
}

fn synchronised_clock(said: &str) -> Finding {
    if said == "yes" {
        return ok("clock", "synchronised");
    }
    let fix = "run a time service: apt install chrony, or systemctl enable --now systemd-timesyncd";
    warn("clock", "nobody synchronises it", fix)
}

/// `required` needs 2; 4 adds TCP, 6 signals and abstract sockets.
fn landlock(abi: u8) -> Finding {
    let name = "landlock";
    match abi {
        0 | 1 => {
            let fix = "boot a kernel of 5.19 or later with landlock in lsm=";
            fail(name, format!("ABI {abi}; the daemons need 2"), fix)
        }
        2 | 3 => ok(name, format!("ABI {abi}: files; the units close the network")),
        4 | 5 => ok(name, format!("ABI {abi}: files and TCP")),
        _ => ok(name, format!("ABI {abi} or later: files, TCP, signals and abstract sockets")),
    }
}

fn boot(said: &str) -> Finding {
    if matches!(said, "enabled" | "static" | "indirect") {
        return ok("boot", format!("{TARGET} starts with the machine"));
    }
    warn("boot", format!("{TARGET} is {said}"), format!("systemctl enable {TARGET}"))
}

fn journal(persistent: bool) -> Finding {
    if persistent {
        return ok("journal", "kept over a reboot");
    }
    let fix = "mkdir /var/log/journal and restart systemd-journald, or ship it elsewhere; the audit log is in PostgreSQL";
    warn("journal", "kept in memory alone", fix)
}

/// Whoever breaks into this machine can rewrite what it says of itself, so it has to be said elsewhere too.
fn shipping(place: &Place) -> Finding {
    let active = |unit: &&str| {
        let state = Program::new("systemctl").args(["is-active", unit]).answer();
        state.is_ok_and(|state| state == "active")
    };
    match place.optional::<String>("log_shipping") {
        Ok(named) => judge_shipping(SHIPPERS.into_iter().find(active), named.as_deref()),
        Err(error) => fail("logs", error.to_string(), "correct it in opentrusty.toml"),
    }
}

fn judge_shipping(unit: Option<&str>, named: Option<&str>) -> Finding {
    let fix = "let a service send the journal elsewhere (systemd-journal-upload, or name yours as log_shipping in \
               opentrusty.toml), and read audit events from there as the role opentrusty_auditor";
    match (unit, named) {
        (Some(unit), _) => ok("logs", format!("shipped by {unit}")),
        (None, Some(named)) => ok("logs", format!("shipped by {named}, as opentrusty.toml says")),
        (None, None) => warn("logs", "nothing is known to ship them elsewhere", fix),
    }
}

fn backup(place: &Place) -> Finding {
    let stamp: Result<Option<PathBuf>, _> = place.optional("backup_stamp");
    let limit: Result<Option<u64>, _> = place.optional("backup_max_age_h");
    let (stamp, limit) = match (stamp, limit) {
        (Ok(stamp), Ok(limit)) => (stamp.unwrap_or_else(|| STAMP.into()), limit.unwrap_or(AGE_H)),
        (Err(error), _) | (_, Err(error)) => {
            return fail("backup", error.to_string(), "correct it in opentrusty.toml");
        }
    };
    let touched = fs::metadata(&stamp).and_then(|about| about.modified()).ok();
    let touched = touched.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let age = touched.map(|at| clock::now_s().saturating_sub(at.as_secs()) / HOUR_S);
    judge_backup(age, limit, &stamp)
}

fn judge_backup(age_h: Option<u64>, limit_h: u64, stamp: &Path) -> Finding {
    let stamp = stamp.display();
    let fix = format!(
        "back up the database together with {TOKENS} and /etc/opentrusty, and touch {stamp} when it is complete"
    );
    match age_h {
        Some(age) if age <= limit_h => ok("backup", format!("{age} h ago")),
        Some(age) => warn("backup", format!("{age} h ago, more than {limit_h}"), fix),
        None => warn("backup", format!("none known: {stamp} is not there"), fix),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_machine_is_judged_by_what_it_says() {
        assert_eq!(synchronised_clock("yes").verdict, Verdict::Ok);
        for said in ["no", "", "maybe"] {
            assert_eq!(synchronised_clock(said).verdict, Verdict::Warn, "{said}");
        }
        for (abi, expected) in [
            (0, Verdict::Fail),
            (1, Verdict::Fail),
            (2, Verdict::Ok),
            (4, Verdict::Ok),
            (7, Verdict::Ok),
        ] {
            assert_eq!(landlock(abi).verdict, expected, "{abi}");
        }
        assert_eq!(boot("enabled").verdict, Verdict::Ok);
        assert_eq!(boot("disabled").verdict, Verdict::Warn);
        assert_eq!(journal(false).verdict, Verdict::Warn);
        assert_eq!(judge_shipping(None, None).verdict, Verdict::Warn);
        assert_eq!(judge_shipping(Some(SHIPPERS[0]), None).verdict, Verdict::Ok);
        assert_eq!(judge_shipping(None, Some("our agent")).verdict, Verdict::Ok);
    }

    #[test]
    fn a_backup_is_as_old_as_its_stamp() {
        let stamp = Path::new(STAMP);
        assert_eq!(judge_backup(Some(26), 26, stamp).verdict, Verdict::Ok);
        assert_eq!(judge_backup(Some(27), 26, stamp).verdict, Verdict::Warn);
        assert_eq!(judge_backup(None, 26, stamp).verdict, Verdict::Warn);
    }
}
