//! What one daemon's user may not touch of another's, by ownership alone: no sandbox is in the way here.

use std::fs;
use std::process::Command;

use e2e::bench::bench;

use crate::{DAEMONS, allowed, as_user, denied, id, node, pid, probe, stand, user};

/// Every file under the bench's folder, as root sees them: most folders there cannot be listed by others.
fn files() -> Vec<String> {
    let output = Command::new("find").arg(bench().dir()).args(["-type", "f"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let files: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(files.iter().any(|file| file.contains("/pg/data/")), "{} files", files.len());
    files
}

/// Those of them that a daemon's user can open, to read or to write, found by trying.
fn reachable(daemon: &str, verb: &str) -> Vec<String> {
    let acts: Vec<String> = files().iter().map(|file| format!("{verb}:{file}")).collect();
    let tried = acts.chunks(1000).flat_map(|acts| probe(daemon, false, acts));
    let opened = tried.filter(|(_, outcome)| outcome == "ok");
    opened.map(|(act, _)| act.split_once(':').unwrap().1.to_owned()).collect()
}

#[test]
fn no_daemon_reads_anothers_secrets_the_database_or_the_token() {
    stand();
    for daemon in DAEMONS {
        let files = reachable(daemon, "read");
        let secrets: Vec<&String> = files
            .iter()
            .filter(|file| {
                file.ends_with("key.pem")
                    || file.ends_with("ca.key")
                    || file.contains("/pg/")
                    || file.contains("/token/")
            })
            .collect();
        let own = |file: &String| match daemon {
            "keyd" => file.contains("/token/") && !file.ends_with("so-pin"),
            _ => file.ends_with(&format!("/{daemon}/key.pem")),
        };
        let foreign: Vec<_> = secrets.iter().filter(|file| !own(file)).collect();
        assert!(foreign.is_empty(), "{daemon}'s user reads {foreign:?}");
        // The search finds what is there to find.
        assert!(secrets.iter().any(|file| own(file)), "{daemon} reads its own: {files:?}");
    }
}

#[test]
fn no_daemon_writes_a_program_a_setting_or_anothers_file() {
    stand();
    for daemon in DAEMONS {
        // keyd writes what the module keeps; the planes own their certificates, which packages give to root.
        let own = |file: &&String| {
            let pem = |name: &str| file.ends_with(&format!("/{daemon}/{name}"));
            if daemon == "keyd" {
                file.contains("/token/")
            } else {
                pem("key.pem") || pem("certificate.pem")
            }
        };
        let files = reachable(daemon, "write");
        // Other tests of this binary make a folder that everybody may write.
        let foreign: Vec<&String> =
            files.iter().filter(|file| !own(file) && !file.contains("/open/")).collect();
        assert!(foreign.is_empty(), "{daemon}'s user writes {foreign:?}");
    }
}

#[test]
fn w170_each_socket_opens_for_one_user_alone() {
    let sign = format!("unix:{}", stand().keyd_sign_socket(0).display());
    let manage = format!("unix:{}", stand().keyd_manage_socket(0).display());
    allowed("authd", false, std::slice::from_ref(&sign));
    allowed("admind", false, std::slice::from_ref(&manage));
    denied("authd", false, std::slice::from_ref(&manage));
    denied("admind", false, std::slice::from_ref(&sign));
    let run = node().join("run");
    for (folder, group) in [("sign", "authd"), ("manage", "admind")] {
        use std::os::unix::fs::MetadataExt;
        let about = fs::metadata(run.join(folder)).unwrap();
        assert_eq!(about.uid(), id(&user("keyd"), "-u"));
        assert_eq!(about.gid(), id(&user(group), "-g"));
        assert_eq!(about.mode() & 0o007, 0, "{folder} is closed to others");
    }
    for other in ["opentrusty-pg", "nobody"] {
        for path in [stand().keyd_sign_socket(0), stand().keyd_manage_socket(0)] {
            let seen = as_user(other, "stat").arg(&path).output().unwrap();
            assert!(!seen.status.success(), "{other} finds {}", path.display());
        }
    }
}

#[test]
fn w186_a_daemons_user_logs_in_to_the_database_as_itself_only() {
    let roles = [
        "postgres",
        "opentrusty_owner",
        "opentrusty_authd",
        "opentrusty_admind",
        "opentrusty_courier",
        "opentrusty_auditor",
    ];
    for daemon in DAEMONS.iter().copied().chain(["pg"]) {
        for role in roles {
            let output = as_user(&user(daemon), "psql")
                .args(["-X", "-A", "-t", "-d", stand().database(), "-U", role, "-h"])
                .arg(bench().sockets())
                .args(["-c", "SELECT 'in'"])
                .output()
                .unwrap();
            let in_ = String::from_utf8_lossy(&output.stdout).contains("in");
            let may = role == format!("opentrusty_{daemon}");
            assert_eq!(in_, may, "{daemon} as {role}: {}", String::from_utf8_lossy(&output.stderr));
            if !may {
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(
                    error.contains("Peer authentication failed"),
                    "{daemon} as {role}: {error}"
                );
            }
        }
        // A password opens nothing, and there is no network listener.
        let output = as_user(&user(daemon), "psql")
            .args([
                "-X",
                "-h",
                "127.0.0.1",
                "-d",
                stand().database(),
                "-U",
                "opentrusty_owner",
                "-w",
            ])
            .args(["-p", "5432", "-c", "SELECT 'in'"])
            .output()
            .unwrap();
        assert!(!output.status.success());
    }
    let listens = stand().psql("postgres", "SHOW listen_addresses").unwrap();
    assert_eq!(listens, "");
}

#[test]
fn no_daemons_user_signals_or_traces_another() {
    for daemon in DAEMONS {
        let others: Vec<String> = DAEMONS
            .iter()
            .filter(|other| **other != daemon)
            .map(|other| format!("signal:{}", pid(other)))
            .collect();
        denied(daemon, false, &others);
    }
}

#[test]
fn w180_two_installations_share_no_secret() {
    let other = e2e::Stand::prepare(&e2e::Options::default());
    for name in ["pin", "so-pin"] {
        let ours = fs::read(stand().token().join(name)).unwrap();
        let theirs = fs::read(other.token().join(name)).unwrap();
        assert!(ours.len() >= 32 && ours != theirs, "{name}");
    }
    // What is checked in holds no private key.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = Command::new("git")
        .args(["grep", "-lE", "BEGIN ((RSA|EC|ENCRYPTED) )?PRIVATE KEY"])
        .current_dir(root)
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let keys: Vec<&str> = found.lines().filter(|file| !file.ends_with("apart.rs")).collect();
    assert!(keys.is_empty(), "{keys:?}");
}
