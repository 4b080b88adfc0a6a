//! Other programs of this machine, run for what they do or say.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::unistd::User;
use secrecy::{ExposeSecret as _, SecretSlice};

use crate::failure::Failure;

/// Where root's programs are; not from whoever called.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest part of another program's complaint that is repeated, in characters.
const COMPLAINT_MAX: usize = 400;

/// A program about to be run, with an environment of its own.
pub(crate) struct Program {
    name: String,
    command: Command,
    input: Option<SecretSlice<u8>>,
}

impl Program {
    pub(crate) fn new(name: &str) -> Self {
        let mut command = Command::new(name);
        command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").current_dir("/");
        Self { name: name.to_owned(), command, input: None }
    }

    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// What it reads. Secrets go this way: arguments are for every user of the machine to read.
    pub(crate) fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = Some(SecretSlice::from(bytes));
        self
    }

    /// Runs as this user, with that user's group and no others.
    pub(crate) fn user(mut self, name: &str) -> Result<Self, Failure> {
        let user = user(name)?;
        self.command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        Ok(self)
    }

    /// What it wrote on standard output; a failure repeats the end of what it complained about.
    pub(crate) fn run(self) -> Result<Vec<u8>, Failure> {
        let (succeeded, output, complaint) = self.outcome()?;
        if succeeded {
            return Ok(output);
        }
        Err(Failure::refused(complaint))
    }

    /// The same as text, without the end of the line; also of a program that failed.
    pub(crate) fn answer(self) -> Result<String, Failure> {
        let (_, output, _) = self.outcome()?;
        Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
    }

    fn outcome(mut self) -> Result<(bool, Vec<u8>, String), Failure> {
        let cannot = || format!("{} cannot be run", self.name);
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = self.command.spawn().map_err(Failure::io(cannot()))?;
        if let (Some(input), Some(mut pipe)) = (&self.input, child.stdin.take()) {
            // One that ended without reading says why by itself.
            let _ = pipe.write_all(input.expose_secret());
        }
        let output = child.wait_with_output().map_err(Failure::io(cannot()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(COMPLAINT_MAX).collect();
        let complaint = format!("{} ended with {}: {said}", self.name, output.status);
        Ok((output.status.success(), output.stdout, complaint))
    }
}

/// A system user that the packages make.
pub(crate) fn user(name: &str) -> Result<User, Failure> {
    let found = User::from_name(name)
        .map_err(|errno| Failure::Io(format!("the user {name}"), errno.into()))?;
    found.ok_or_else(|| {
        Failure::refused(format!(
            "there is no user {name}; install the packages, or run systemd-sysusers"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_its_input_and_sees_no_environment_of_ours() {
        let out = Program::new("sh").args(["-c", "cat; env"]).input(b"secret\n".to_vec());
        let out = String::from_utf8(out.run().unwrap()).unwrap();
        assert!(out.starts_with("secret\n") && !out.contains("CARGO"), "{out}");
    }

    #[test]
    fn a_failure_repeats_what_was_said_and_an_answer_does_not_mind() {
        let failing = || Program::new("sh").args(["-c", "echo no; echo because >&2; exit 3"]);
        let said = failing().run().unwrap_err().to_string();
        assert!(said.contains("because") && said.contains('3'), "{said}");
        assert_eq!(failing().answer().unwrap(), "no");
        assert!(Program::new("/no/such/program").run().is_err());
    }
}
