//! How a process of ours ends: one line on standard error and an exit code that systemd and a
//! person can tell apart.

use std::error::Error;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::sandbox::SandboxError;

/// `EX_CONFIG` of sysexits.h; units carry `RestartPreventExitStatus=78`.
const CONFIG: u8 = 78;

/// Why a process cannot go on.
#[derive(Debug)]
pub enum Fatal {
    /// A setting is wrong: starting again will not help. Exit code 78.
    Config(ConfigError),
    /// Something that the process needs is not there. Exit code 1.
    Start(Box<dyn Error + Send + Sync>),
}

impl Fatal {
    /// A [`Fatal::Start`] out of any error.
    pub fn start(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Start(error.into())
    }
}

impl From<ConfigError> for Fatal {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<SandboxError> for Fatal {
    fn from(error: SandboxError) -> Self {
        Self::start(error)
    }
}

impl From<std::io::Error> for Fatal {
    fn from(error: std::io::Error) -> Self {
        Self::start(error)
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: &dyn Error = match self {
            Self::Config(error) => error,
            Self::Start(error) => error.as_ref(),
        };
        write!(f, "{first}")?;
        let mut next = first.source();
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

/// Runs a program and turns how it ended into an exit code, with one line on standard error.
pub fn run(program: &str, f: impl FnOnce() -> Result<(), Fatal>) -> ExitCode {
    let Err(fatal) = f() else { return ExitCode::SUCCESS };
    let line = line(program, &fatal);
    // Nobody is left to hear it if standard error is closed; the code still says it.
    let _ = std::io::stderr().write_all(line.as_bytes());
    match fatal {
        Fatal::Config(_) => ExitCode::from(CONFIG),
        Fatal::Start(_) => ExitCode::FAILURE,
    }
}

fn line(program: &str, fatal: &Fatal) -> String {
    let text = format!("{program}: {fatal}");
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    one_line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::io::Error);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the token\nis away")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_source_chain_is_one_line() {
        let fatal = Fatal::start(Outer(std::io::Error::other("no such slot")));
        assert_eq!(line("keyd", &fatal), "keyd: the token is away: no such slot\n");
    }

    #[test]
    fn w181_a_setting_ends_with_78_and_anything_else_with_1() {
        let config = run("keyd", || Err(ConfigError::new("workers", "is 0", "use 1 to 64").into()));
        let start = run("keyd", || Err(std::io::Error::other("gone").into()));
        assert_eq!(format!("{config:?}"), format!("{:?}", ExitCode::from(78)));
        assert_eq!(format!("{start:?}"), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(format!("{:?}", run("keyd", || Ok(()))), format!("{:?}", ExitCode::SUCCESS));
    }
}
