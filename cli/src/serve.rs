//! `opentrusty serve`: becomes one daemon, or keeps all of them running for development.

mod instance;
mod supervise;

use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use host::config::ConfigError;

use crate::args::{Mode, Serve, Server};
use crate::failure::Failure;
use crate::output::warn;
use crate::settings::Place;
use instance::Instance;

/// Where packages put the daemons.
const PACKAGED: &str = "/usr/libexec/opentrusty";

pub(crate) fn run(place: &Place, args: &Serve) -> Result<(), Failure> {
    let mode = chosen(args.mode, place.optional("mode")?, &place.variable("mode"))?;
    match mode {
        Mode::All => all(place, args.state.as_deref()),
        Mode::Auth | Mode::Admin if args.state.is_some() => Err(Failure::refused(
            "--state belongs to serve all; name the settings file with --config",
        )),
        Mode::Auth => become_daemon("authd", args.config.as_deref()),
        Mode::Admin => become_daemon("admind", args.config.as_deref()),
    }
}

pub(crate) fn server(place: &Place, args: &Server) -> Result<(), Failure> {
    warn("`server` is the former name of `serve all`; please use that");
    chosen(Some(Mode::All), place.optional("mode")?, &place.variable("mode"))?;
    all(place, args.state.as_deref())
}

fn all(place: &Place, state: Option<&Path>) -> Result<(), Failure> {
    let state = match state {
        Some(state) => state.to_owned(),
        None => place.optional("state")?.ok_or_else(|| {
            Failure::refused("serve all needs --state DIR, the folder that make up made")
        })?,
    };
    supervise::run(place, &Instance::load(&state)?)
}

/// What to serve. An argument and a variable that disagree are an error, not a choice.
fn chosen(
    argument: Option<Mode>,
    setting: Option<Mode>,
    variable: &str,
) -> Result<Mode, ConfigError> {
    match (argument, setting) {
        (Some(argument), Some(setting)) if argument != setting => {
            let problem = format!("{variable} says {setting} and the argument says {argument}");
            Err(ConfigError::new(
                "mode",
                problem,
                format!("unset {variable} or leave the argument out"),
            ))
        }
        (Some(mode), _) | (None, Some(mode)) => Ok(mode),
        (None, None) => {
            let fix = format!("say serve auth, serve admin or serve all, or set {variable}");
            Err(ConfigError::new("mode", "is missing", fix))
        }
    }
}

/// Replaces this process, so that whoever supervises it supervises the daemon. Returns only if it cannot.
fn become_daemon(name: &str, config: Option<&Path>) -> Result<(), Failure> {
    let program = program(name)?;
    let mut command = Command::new(&program);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    Err(Failure::io(format!("{} cannot be started", program.display()))(command.exec()))
}

/// A daemon's program: beside this one, or where packages put it.
pub(crate) fn program(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(Failure::io("this program cannot find itself"))?;
    let beside = own.with_file_name(name);
    let packaged = Path::new(PACKAGED).join(name);
    let found = [&beside, &packaged].into_iter().find(|path| path.is_file()).cloned();
    found.ok_or_else(|| {
        Failure::refused(format!(
            "{name} is neither {} nor {}",
            beside.display(),
            packaged.display()
        ))
    })
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auth => "auth",
            Self::Admin => "admin",
            Self::All => "all",
        })
    }
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        <Self as clap::ValueEnum>::from_str(text, false).map_err(|_| "auth, admin or all")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_and_a_variable_that_disagree_are_both_named() {
        let error = chosen(Some(Mode::Auth), Some(Mode::Admin), "OPENTRUSTY_MODE").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("OPENTRUSTY_MODE says admin") && text.contains("argument says auth"),
            "{text}"
        );
        for (argument, setting) in
            [(Some(Mode::All), None), (None, Some(Mode::All)), (Some(Mode::All), Some(Mode::All))]
        {
            assert_eq!(chosen(argument, setting, "OPENTRUSTY_MODE"), Ok(Mode::All));
        }
        assert!(
            chosen(None, None, "OPENTRUSTY_MODE")
                .unwrap_err()
                .to_string()
                .contains("OPENTRUSTY_MODE")
        );
    }

    #[test]
    fn a_mode_is_spelt_as_it_is_shown() {
        for mode in [Mode::Auth, Mode::Admin, Mode::All] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for bad in ["", "both", "AUTH", "auth "] {
            assert!(bad.parse::<Mode>().is_err(), "{bad:?}");
        }
    }
}
