//! `opentrusty token destroy`: the one command that ends keys. Nothing else does: neither removing nor purging
//! the packages.

use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, IsTerminal as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::appliance::{self, Daemon, KEYD_USER, PIN, SO_PIN};
use crate::failure::Failure;
use crate::output::{say, warn};
use crate::program::Program;

pub(crate) fn run(label: &str, confirmed: Option<&str>) -> Result<(), Failure> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::refused("only root can destroy the token"));
    }
    let purged = is_purged();
    if !purged {
        named(label, &fs::read_to_string(Daemon::Keyd.settings()).unwrap_or_default())?;
    }
    let service = Daemon::Keyd.service();
    let state = Program::new("systemctl").args(["is-active", service]).answer()?;
    if !is_stopped(&state) {
        let remedy = format!("systemctl stop {} {service}", appliance::TARGET);
        return Err(Failure::refused(format!("{service} is {state}; first: {remedy}")));
    }
    confirm(label, confirmed)?;
    if purged {
        put_back_settings()?;
    }
    Program::new("softhsm2-util")
        .args(["--delete-token", "--token", label])
        .env("SOFTHSM2_CONF", appliance::SOFTHSM_CONF)
        .user(KEYD_USER)?
        .run()?;
    for credential in [PIN, SO_PIN] {
        match fs::remove_file(Path::new(credential.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::Io(credential.path.to_owned(), error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    if purged {
        tidy_up();
    }
    say(format!("the token {label}, its keys and its PINs are destroyed"))
}

/// Whether a purge has taken the settings and left the token, which is then the only thing that can be meant.
fn is_purged() -> bool {
    !Daemon::Keyd.settings().exists() && Path::new(appliance::TOKENS).exists()
}

/// `SoftHSM` finds its tokens by a file that went with the others.
fn put_back_settings() -> Result<(), Failure> {
    let path = appliance::SOFTHSM_CONF;
    fs::write(path, appliance::softhsm_conf()).map_err(Failure::io(path))?;
    fs::set_permissions(path, Permissions::from_mode(0o644)).map_err(Failure::io(path))
}

/// Folders that were only kept for the token. One that holds anything else stays.
fn tidy_up() {
    let _ = fs::remove_file(appliance::SOFTHSM_CONF);
    for folder in [Some(Path::new(appliance::TOKENS)), Path::new(PIN.path).parent()] {
        for folder in folder.into_iter().flat_map(|folder| folder.ancestors().take(2)) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Whether this is the token of this installation, and one that files can be destroyed of.
fn named(label: &str, settings: &str) -> Result<(), Failure> {
    let table: toml::Table = toml::from_str(settings).unwrap_or_default();
    let text = |key: &str| table.get(key).and_then(toml::Value::as_str);
    let problem = match text("token_label") {
        None => format!("{} names no token", Daemon::Keyd.settings().display()),
        Some(ours) if ours != label => format!("the token of this installation is {ours}, not {label}"),
        Some(_) if text("module_config") != Some(appliance::SOFTHSM_CONF) => {
            "this token is in a hardware module: destroy it with its vendor's tool, by the security officer"
                .to_owned()
        }
        Some(_) => return Ok(()),
    };
    Err(Failure::refused(problem))
}

/// Anything else is, or may be, a process with the keys open.
fn is_stopped(state: &str) -> bool {
    matches!(state, "inactive" | "failed")
}

fn confirm(label: &str, confirmed: Option<&str>) -> Result<(), Failure> {
    let typed = match confirmed {
        Some(typed) => typed.to_owned(),
        None if io::stdin().is_terminal() => {
            warn("this destroys every key of the installation, for good; type the token's label:");
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map_err(Failure::io("the terminal"))?;
            line.trim().to_owned()
        }
        None => return Err(Failure::refused("without a terminal this needs --yes-destroy LABEL")),
    };
    if typed == label {
        return Ok(());
    }
    Err(Failure::refused("that is not the label; nothing was destroyed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str =
        "token_label = \"opentrusty\"\nmodule_config = \"/etc/opentrusty/softhsm2.conf\"\n";

    #[test]
    fn only_the_softhsm_token_of_this_installation_is_destroyed() {
        assert!(named("opentrusty", OURS).is_ok());
        for (label, settings) in [
            ("other", OURS),
            ("opentrusty", ""),
            ("opentrusty", "token_label = \"opentrusty\"\n"),
            ("opentrusty", "not toml"),
        ] {
            assert!(named(label, settings).is_err(), "{label} {settings}");
        }
    }

    #[test]
    fn a_daemon_that_may_have_the_keys_open_is_in_the_way() {
        for state in ["active", "activating", "deactivating", "reloading", "", "unknown"] {
            assert!(!is_stopped(state), "{state}");
        }
        assert!(is_stopped("inactive") && is_stopped("failed"));
    }

    #[test]
    fn the_label_has_to_be_repeated() {
        assert!(confirm("opentrusty", Some("opentrusty")).is_ok());
        assert!(confirm("opentrusty", Some("yes")).is_err());
    }
}
