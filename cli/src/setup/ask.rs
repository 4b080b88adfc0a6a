//! Questions on a terminal. Without one, or with --yes, a question is answered by its default or not at all.

use std::fmt::Display;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::str::FromStr;

use host::config::ConfigError;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Whether there is somebody to ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask(bool);

impl Ask {
    pub(super) fn new(yes: bool) -> Self {
        Self(!yes && io::stdin().is_terminal())
    }

    /// Whether questions reach somebody.
    pub(super) const fn reaches(self) -> bool {
        self.0
    }

    /// The flag's value, else what is typed, else the default.
    pub(super) fn for_value<T: FromStr<Err: Display>>(
        self,
        (flag, question): (&str, &str),
        given: Option<T>,
        default: Option<String>,
    ) -> Result<T, Failure> {
        if let Some(value) = given {
            return Ok(value);
        }
        if !self.0 {
            let fix = "give it on the command line, or run setup on a terminal";
            let text = default.ok_or_else(|| ConfigError::new(flag, "is missing", fix))?;
            return parsed(flag, &text);
        }
        loop {
            let typed = line(question, default.as_deref())?;
            let text = if typed.is_empty() { default.clone().unwrap_or_default() } else { typed };
            match parsed(flag, &text) {
                Ok(value) => return Ok(value),
                Err(failure) => tell(&format!("{failure}\n"))?,
            }
        }
    }

    /// A secret, typed without being shown.
    pub(super) fn for_secret(self, flag: &str, question: &str) -> Result<SecretString, Failure> {
        if !self.0 {
            let fix = "name a file that only root can read";
            return Err(ConfigError::new(flag, "is missing", fix).into());
        }
        tell(&format!("{question}: "))?;
        let terminal = io::stdin();
        let failed = |errno: rustix::io::Errno| Failure::Io("the terminal".into(), errno.into());
        let before = tcgetattr(&terminal).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(failed)?;
        let mut text = Zeroizing::new(String::new());
        let read = terminal.lock().read_line(&mut text);
        tcsetattr(&terminal, OptionalActions::Flush, &before).map_err(failed)?;
        tell("\n")?;
        read.map_err(Failure::io("the terminal"))?;
        Ok(SecretString::from(text.trim_end_matches(['\n', '\r'])))
    }
}

fn parsed<T: FromStr<Err: Display>>(flag: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error: T::Err| Failure::value(flag, format!("{text:?}: {error}")))
}

fn line(question: &str, default: Option<&str>) -> Result<String, Failure> {
    let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    tell(&format!("{question}{shown}: "))?;
    let mut text = String::new();
    let read = io::stdin().lock().read_line(&mut text).map_err(Failure::io("the terminal"))?;
    if read == 0 {
        return Err(Failure::refused("the questions were not answered; nothing was changed"));
    }
    Ok(text.trim().to_owned())
}

/// Questions are no result: they go to standard error.
fn tell(text: &str) -> Result<(), Failure> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::io("the terminal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: (&str, &str) = ("--port", "Port");

    #[test]
    fn nobody_is_asked_without_a_terminal() {
        let ask = Ask(false);
        assert_eq!(ask.for_value(PORT, Some(1_u16), Some("2".into())).unwrap(), 1);
        assert_eq!(ask.for_value::<u16>(PORT, None, Some("2".into())).unwrap(), 2);
        for default in [None, Some("none".to_owned())] {
            let refused = ask.for_value::<u16>(PORT, None, default).unwrap_err().to_string();
            assert!(refused.contains("--port"), "{refused}");
        }
        assert!(ask.for_secret("--pin-file", "PIN").is_err());
    }
}
