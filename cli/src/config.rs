//! `opentrusty config check`: would a daemon start with these settings? The daemon itself says so, because
//! nobody else knows its settings.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use host::config::ConfigError;
use secrecy::ExposeSecret as _;

use crate::args::{ConfigCheck, Plane};
use crate::credential::Credential;
use crate::failure::Failure;
use crate::output::{say, warn};
use crate::serve;
use crate::settings::Place;

/// `EX_CONFIG`: the daemon refuses its settings.
const CONFIG: i32 = 78;

pub(crate) fn check(place: &Place, args: &ConfigCheck) -> Result<(), Failure> {
    let Some(daemon) = args.daemon else { return own(place) };
    let (name, _) = daemon.role();
    ask(daemon, args.config.as_deref(), &[])?;
    say(format!("{name}: its settings are good"))
}

/// The daemon's own answer, with these variables in its environment.
pub(crate) fn ask(
    daemon: Plane,
    config: Option<&Path>,
    environment: &[(String, String)],
) -> Result<(), Failure> {
    let program = serve::program(daemon.program())?;
    let (name, role) = daemon.role();
    let mut command = Command::new(&program);
    command.args(role).envs(environment.iter().map(|(variable, value)| (variable, value)));
    let mut given = None;
    if let Some(config) = config {
        command.arg("--config").arg(config);
        // As its unit would give it; a trial of other settings is not given ours.
        let installed = daemon.daemon();
        let credential = installed.database_url().filter(|one| one.is_there());
        let credential = credential.filter(|_| config == installed.settings());
        given = credential.map(Given::to).transpose()?;
    }
    if let Some(given) = &given {
        command.env("CREDENTIALS_DIRECTORY", &given.folder);
    }
    // Its one line on standard error goes where ours would.
    let status = command.arg("--check").stdin(Stdio::null()).status();
    let status = status.map_err(Failure::io(format!("{} cannot be started", program.display())))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(CONFIG) => {
            let fix = "see the line above";
            Err(ConfigError::new(name, "refuses its settings", fix).into())
        }
        Some(_) | None => {
            Err(Failure::refused(format!("{name} ended with {status} instead of an answer")))
        }
    }
}

/// A credential as systemd hands one to a service, for as long as this lives.
struct Given {
    folder: PathBuf,
}

impl Given {
    fn to(credential: Credential) -> Result<Self, Failure> {
        let secret = credential.open()?;
        let failed = || Failure::io("a folder for credentials in /run");
        // Not on a disk.
        let folder = PathBuf::from(format!("/run/opentrusty-check.{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(failed())?;
        let given = Self { folder };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(given.folder.join(credential.name))
            .map_err(failed())?;
        file.write_all(secret.expose_secret().as_bytes()).map_err(failed())?;
        Ok(given)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            warn(&format!("{} holds a secret and stays: {error}", self.folder.display()));
        }
    }
}

/// What this command itself needs for all of its subcommands.
fn own(place: &Place) -> Result<(), Failure> {
    let issuer = place.issuer()?;
    let api = place.api()?;
    place.database_url()?;
    let ca = place.ca(None)?;
    crate::http::Client::new(ca.as_deref())?;
    say(format!("issuer    {issuer}"))?;
    say(format!("api       {api}"))?;
    say(format!("database  from {}", place.database_source()?))?;
    if let Some(ca) = ca {
        say(format!("ca        {}", ca.display()))?;
    }
    say("opentrusty: its settings are good")
}
