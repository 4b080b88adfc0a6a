//! The two flags a daemon takes. Everything else is a setting.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

/// `EX_USAGE` of sysexits.h.
const USAGE: i32 = 64;

/// What the command line said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// The settings file; without one, environment and defaults are all there is.
    pub config: Option<PathBuf>,
    /// Read the settings, say whether they are good, and stop.
    pub check: bool,
}

/// Reads the command line of this process. `--help` and `--version` answer on standard output
/// and end the process with 0; a usage error says so on standard error and ends it with 64.
pub fn parse(program: &str, version: &str) -> Args {
    match interpret(std::env::args_os().skip(1)) {
        Ok(Wanted::Run(args)) => args,
        Ok(Wanted::Help) => answer(&help(program)),
        Ok(Wanted::Version) => answer(&format!("{program} {version}\n")),
        Err(problem) => {
            // Nobody is left to hear it if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{program}: {problem}\n{}", help(program));
            std::process::exit(USAGE)
        }
    }
}

fn answer(text: &str) -> ! {
    let written = std::io::stdout().write_all(text.as_bytes());
    std::process::exit(i32::from(written.is_err()))
}

fn help(program: &str) -> String {
    format!(
        "Usage: {program} [--config PATH] [--check]\n\n  \
         --config PATH  read settings from this TOML file\n  \
         --check        check the settings and stop: 0 if good, 78 if not\n  \
         --version      print the version\n  \
         --help         print this\n\n\
         Every setting can also be given as an environment variable, OPENTRUSTY_<NAME>.\n"
    )
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Run(Args),
    Help,
    Version,
}

fn interpret(words: impl Iterator<Item = OsString>) -> Result<Wanted, String> {
    let mut args = Args::default();
    let mut words = words;
    while let Some(word) = words.next() {
        let Some(flag) = word.to_str() else {
            return Err(format!("unknown argument {}", word.display()));
        };
        match flag {
            "--help" | "-h" => return Ok(Wanted::Help),
            "--version" | "-V" => return Ok(Wanted::Version),
            "--check" => args.check = true,
            "--config" => {
                let path = words.next().ok_or("--config needs a path")?;
                set_config(&mut args, path)?;
            }
            _ => match flag.strip_prefix("--config=") {
                Some(path) => set_config(&mut args, path.into())?,
                None => return Err(format!("unknown argument {}", word.display())),
            },
        }
    }
    Ok(Wanted::Run(args))
}

fn set_config(args: &mut Args, path: OsString) -> Result<(), String> {
    if path.is_empty() {
        return Err("--config needs a path".into());
    }
    match args.config.replace(path.into()) {
        None => Ok(()),
        Some(_) => Err("--config is given twice".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> Result<Wanted, String> {
        interpret(words.iter().map(OsString::from))
    }

    #[test]
    fn both_forms_of_config_and_check_are_read() {
        let wanted = Ok(Wanted::Run(Args { config: Some("/a/b".into()), check: true }));
        assert_eq!(said(&["--config", "/a/b", "--check"]), wanted);
        assert_eq!(said(&["--check", "--config=/a/b"]), wanted);
        assert_eq!(said(&[]), Ok(Wanted::Run(Args::default())));
    }

    #[test]
    fn anything_else_is_refused() {
        for words in [
            &["--config"][..],
            &["--config="],
            &["--config", "/a", "--config", "/b"],
            &["serve"],
            &["--sandbox=off"],
        ] {
            assert!(said(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn help_and_version_win_over_what_follows() {
        assert_eq!(said(&["--help", "--nonsense"]), Ok(Wanted::Help));
        assert_eq!(said(&["--version"]), Ok(Wanted::Version));
    }
}
