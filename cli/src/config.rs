//! `opentrusty config check`: would a daemon start with these settings? The daemon itself says so, because
//! nobody else knows its settings.

use std::path::Path;
use std::process::{Command, Stdio};

use host::config::ConfigError;
use secrecy::ExposeSecret as _;

use crate::args::{ConfigCheck, Plane};
use crate::credential::Credential;
use crate::failure::Failure;
use crate::output::say;
use crate::serve;
use crate::settings::Place;

/// `EX_CONFIG`: the daemon refuses its settings.
const CONFIG: i32 = 78;

pub(crate) fn check(place: &Place, args: &ConfigCheck) -> Result<(), Failure> {
    let Some(daemon) = args.daemon else { return own(place) };
    let (name, _) = daemon.role();
    let installed = daemon.daemon();
    let given = args.config.as_deref().filter(|config| *config == installed.settings());
    let given = given.and_then(|_| installed.database_url()).filter(|one| one.is_there());
    ask(daemon, args.config.as_deref(), &[], given)?;
    say(format!("{name}: its settings are good"))
}

/// The daemon's own answer, with these variables in its environment, and with what its unit gives it.
pub(crate) fn ask(
    daemon: Plane,
    config: Option<&Path>,
    environment: &[(String, String)],
    given: Option<Credential>,
) -> Result<(), Failure> {
    let program = serve::program(daemon.program())?;
    let (name, role) = daemon.role();
    let mut command = Command::new(&program);
    command.args(role).envs(environment.iter().map(|(variable, value)| (variable, value)));
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    if let Some(credential) = given {
        // Its unit would give it a file. The environment of root's own child is nobody else's to read either.
        command.env("OPENTRUSTY_DATABASE_URL", credential.open()?.expose_secret());
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
