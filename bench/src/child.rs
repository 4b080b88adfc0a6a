//! Parts of the run that are processes of their own: the same program, with a word that says which.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// This program, where every user may run it, about to play one part.
pub fn part(word: &str) -> Command {
    let program = copy();
    let mut command = Command::new(program);
    command.arg(word).env_clear().current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A build folder may lie in a closed home directory.
fn copy() -> PathBuf {
    let program = e2e::bench::bench().dir().join("bin/bench");
    if !program.exists() {
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    }
    program
}

/// The uid of a daemon's user when root runs the bench; otherwise everything runs as the caller.
pub fn uid_of(user: &str) -> u32 {
    if e2e::bench::is_root() {
        return host::peer::uid_of(user).unwrap();
    }
    rustix::process::getuid().as_raw()
}

/// Lets a part run as a daemon's user, where that is another than the caller.
pub fn run_as(command: &mut Command, user: &str) {
    if !e2e::bench::is_root() {
        return;
    }
    // The folders of keyd's sockets open for a group.
    let group = Command::new("id").args(["-g", user]).output().unwrap().stdout;
    let group = String::from_utf8(group).unwrap().trim().parse().unwrap();
    command.uid(uid_of(user)).gid(group);
}

/// Starts a part and reads the one line of JSON that it says.
pub fn hear<T: DeserializeOwned>(command: &mut Command) -> (Child, T) {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let said = serde_json::from_str(&line).unwrap_or_else(|error| {
        let status = child.wait().unwrap();
        panic!("{command:?} ended with {status}, saying {line:?}: {error}")
    });
    (child, said)
}

/// Runs a part to its end.
pub fn outcome<T: DeserializeOwned>(command: &mut Command) -> T {
    let (mut child, said) = hear(command);
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?} ended with {status}");
    said
}

/// What a part tells whoever started it.
pub fn say(message: &impl Serialize) {
    let mut line = serde_json::to_vec(message).unwrap();
    line.push(b'\n');
    std::io::stdout().lock().write_all(&line).unwrap();
}
