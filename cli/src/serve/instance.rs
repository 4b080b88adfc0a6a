//! A development instance: its folder, and the `dev.toml` that packaging/dev/configure writes there.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::Failure;
use crate::issuer::Issuer;

/// Longest file that is read here, bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// The daemons of one instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) state: PathBuf,
    /// keyd first: the others need it, so it is started first and stopped last.
    pub(super) daemons: Vec<Daemon>,
}

/// One daemon and what it is started with.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    /// The flag that makes the program this daemon, where it is another one's.
    pub(super) role: Option<&'static str>,
    pub(super) user: String,
    pub(super) config: PathBuf,
    pub(super) env: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DevFile {
    run_dir: PathBuf,
    bin_dir: PathBuf,
    keyd: Entry,
    authd: Entry,
    admind: Entry,
    courier: Entry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    user: String,
    config: PathBuf,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

impl Instance {
    /// Reads `DIR/dev.toml` and refuses what is not for this machine alone.
    pub(super) fn load(state: &Path) -> Result<Self, Failure> {
        let path = state.join("dev.toml");
        let file = parse(&path.display().to_string(), &text_of(&path)?)?;
        if !file.run_dir.is_dir() {
            let problem = format!("{} is not there; run make up", file.run_dir.display());
            return Err(Failure::value(format!("{}: run_dir", path.display()), problem));
        }
        let bin = file.bin_dir;
        let daemons = [
            ("keyd", "keyd", None, file.keyd),
            ("authd", "authd", None, file.authd),
            ("admind", "admind", None, file.admind),
            ("courier", "admind", Some("--courier"), file.courier),
        ];
        let daemons = daemons
            .into_iter()
            .map(|(name, program, role, entry)| Daemon {
                name,
                program: bin.join(program),
                role,
                user: entry.user,
                config: entry.config,
                env: entry.env,
            })
            .collect();
        let instance = Self { state: state.to_owned(), daemons };
        instance.check()?;
        Ok(instance)
    }

    /// Everything is separate processes on one machine, started from a folder that a developer owns: that
    /// must not face a network.
    fn check(&self) -> Result<(), Failure> {
        for daemon in &self.daemons {
            // Such a variable would override the file that is looked at here.
            if let Some(name) = daemon.env.keys().find(|name| name.starts_with("OPENTRUSTY_")) {
                let problem = format!("write it in {} instead", daemon.config.display());
                return Err(Failure::value(format!("{}.env.{name}", daemon.name), problem));
            }
            // These two have no listener on any network.
            if matches!(daemon.name, "keyd" | "courier") {
                continue;
            }
            local_only(&daemon.config.display().to_string(), &text_of(&daemon.config)?)?;
        }
        Ok(())
    }
}

fn parse(path: &str, text: &str) -> Result<DevFile, Failure> {
    toml::from_str(text).map_err(|error| Failure::value(path, error.message().to_owned()))
}

/// Refuses a plane's settings unless its issuer and its listener are on loopback.
fn local_only(path: &str, text: &str) -> Result<(), Failure> {
    let table: toml::Table = toml::from_str(text)
        // Not its Display, which quotes the line.
        .map_err(|error| Failure::value(path, error.message().to_owned()))?;
    let string = |key: &str| table.get(key).and_then(toml::Value::as_str);
    let issuer = string("issuer")
        .unwrap_or_default()
        .parse::<Issuer>()
        .map_err(|error| Failure::value(format!("{path}: issuer"), error.to_string()))?;
    issuer.require_loopback("serve all")?;
    let Some(listen) = table.get("listen") else { return Ok(()) };
    let address = listen.as_str().and_then(|text| text.parse::<SocketAddr>().ok());
    if address.is_some_and(|address| address.ip().is_loopback()) {
        return Ok(());
    }
    Err(Failure::value(format!("{path}: listen"), "serve all listens on loopback only"))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let unreadable = || format!("{} cannot be read", path.display());
    let about = fs::metadata(path).map_err(Failure::io(unreadable()))?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(Failure::refused(format!("{} is no settings file", path.display())));
    }
    fs::read_to_string(path).map_err(Failure::io(unreadable()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dev_toml_is_read_as_configure_writes_it_and_nothing_else() {
        let text = r#"
            run_dir = "/run/x"
            bin_dir = "/bin/x"
            [keyd]
            user = "opentrusty-keyd"
            config = "/c/keyd.toml"
            env = { SOFTHSM2_CONF = "/t/softhsm2.conf" }
            [authd]
            user = "opentrusty-authd"
            config = "/c/authd.toml"
            [admind]
            user = "opentrusty-admind"
            config = "/c/admind.toml"
            [courier]
            user = "opentrusty-courier"
            config = "/c/courier.toml"
        "#;
        let file = parse("dev.toml", text).unwrap();
        assert_eq!(
            file.keyd.env.get("SOFTHSM2_CONF").map(String::as_str),
            Some("/t/softhsm2.conf")
        );
        for bad in [
            format!("{text}\nshell = \"/bin/sh\""),
            text.replace("[admind]", "[other]"),
            text.replace("run_dir = \"/run/x\"", ""),
            "}".to_owned(),
        ] {
            assert!(parse("dev.toml", &bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_faces_a_network_is_refused() {
        let settings = |issuer: &str, listen: &str| {
            local_only("authd.toml", &format!("issuer = \"{issuer}\"\n{listen}"))
        };
        let local = "https://localhost:8080";
        for listen in ["", "listen = \"127.0.0.1:8080\"", "listen = \"[::1]:8080\""] {
            assert!(settings(local, listen).is_ok(), "{listen}");
        }
        for listen in [
            "listen = \"0.0.0.0:8080\"",
            "listen = \"[::]:1\"",
            "listen = \"192.0.2.1:1\"",
            "listen = 8080",
        ] {
            let problem = settings(local, listen).unwrap_err().to_string();
            assert!(problem.starts_with("authd.toml: listen"), "{problem}");
        }
        for issuer in ["https://auth.example.com", "http://localhost:8080", ""] {
            assert!(settings(issuer, "").is_err(), "{issuer}");
        }
        assert!(local_only("authd.toml", "").is_err());
    }
}
