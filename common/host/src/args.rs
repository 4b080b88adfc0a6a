//! The two flags a daemon takes, and the one that makes one program another daemon. Everything else is a
//! setting.

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

/// A flag by which a program becomes another daemon: another user, other settings, other rights.
#[derive(Debug)]
pub struct Role {
    /// As it is written, with its dashes.
    pub flag: &'static str,
    /// What that daemon does, for `--help`.
    pub about: &'static str,
}

/// Reads the command line of this process. `--help` and `--version` answer on standard output
/// and end the process with 0; a usage error says so on standard error and ends it with 64.
pub fn parse(program: &str, version: &str) -> Args {
    of_this_process(program, version, None).0
}

/// As [`parse`], for a program that can be another daemon; whether it is to be that one.
pub fn parse_with_role(program: &str, version: &str, role: &Role) -> (Args, bool) {
    of_this_process(program, version, Some(role))
}

fn of_this_process(program: &str, version: &str, role: Option<&Role>) -> (Args, bool) {
    match interpret(std::env::args_os().skip(1), role) {
        Ok(Wanted::Run(args, other)) => (args, other),
        Ok(Wanted::Help) => answer(&help(program, role)),
        Ok(Wanted::Version) => answer(&format!("{program} {version}\n")),
        Err(problem) => {
            // Nobody is left to hear it if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{program}: {problem}\n{}", help(program, role));
            std::process::exit(USAGE)
        }
    }
}

fn answer(text: &str) -> ! {
    let written = std::io::stdout().write_all(text.as_bytes());
    std::process::exit(i32::from(written.is_err()))
}

fn help(program: &str, role: Option<&Role>) -> String {
    let usage = role.map(|role| format!(" [{}]", role.flag)).unwrap_or_default();
    let line = role.map(|role| format!("  {:13}  {}\n", role.flag, role.about)).unwrap_or_default();
    format!(
        "Usage: {program} [--config PATH] [--check]{usage}\n\n\
         {line}  \
         --config PATH  read settings from this TOML file\n  \
         --check        check the settings and stop: 0 if good, 78 if not\n  \
         --version      print the version\n  \
         --help         print this\n\n\
         Every setting can also be given as an environment variable, OPENTRUSTY_<NAME>.\n"
    )
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Run(Args, bool),
    Help,
    Version,
}

fn interpret(words: impl Iterator<Item = OsString>, role: Option<&Role>) -> Result<Wanted, String> {
    let mut args = Args::default();
    let mut other = false;
    let mut words = words;
    while let Some(word) = words.next() {
        let Some(flag) = word.to_str() else {
            return Err(format!("unknown argument {}", word.display()));
        };
        match flag {
            "--help" | "-h" => return Ok(Wanted::Help),
            "--version" | "-V" => return Ok(Wanted::Version),
            "--check" => args.check = true,
            _ if role.is_some_and(|role| role.flag == flag) => other = true,
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
    Ok(Wanted::Run(args, other))
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
        interpret(words.iter().map(OsString::from), None)
    }

    #[test]
    fn both_forms_of_config_and_check_are_read() {
        let wanted = Ok(Wanted::Run(Args { config: Some("/a/b".into()), check: true }, false));
        assert_eq!(said(&["--config", "/a/b", "--check"]), wanted);
        assert_eq!(said(&["--check", "--config=/a/b"]), wanted);
        assert_eq!(said(&[]), Ok(Wanted::Run(Args::default(), false)));
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
    fn a_role_is_a_flag_of_the_program_that_has_it_and_of_no_other() {
        let role = Role { flag: "--courier", about: "carries" };
        let wanted = Ok(Wanted::Run(Args { config: Some("/a".into()), check: false }, true));
        let words = ["--courier", "--config=/a"];
        assert_eq!(interpret(words.iter().map(OsString::from), Some(&role)), wanted);
        assert!(said(&words).is_err());
        assert!(help("admind", Some(&role)).contains("--courier"));
        assert!(!help("keyd", None).contains("--courier"));
    }

    #[test]
    fn help_and_version_win_over_what_follows() {
        assert_eq!(said(&["--help", "--nonsense"]), Ok(Wanted::Help));
        assert_eq!(said(&["--version"]), Ok(Wanted::Version));
    }
}
