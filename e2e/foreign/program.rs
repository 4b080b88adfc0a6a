//! One of the programs in this folder, run to its end, and the line of JSON that it printed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::Stand;
use e2e::bench::bench;
use serde_json::Value;

/// Seconds that a program gets. `timeout` ends it and what it started, also when the test is gone.
const PATIENCE_S: &str = "55";

/// A program with what it needs to know of a stand.
pub(crate) struct Program {
    command: Command,
    /// What the public plane has to say when the program fails.
    log: PathBuf,
}

impl Program {
    /// The `run` of a folder, with words for its command line.
    pub(crate) fn new(stand: &Stand, folder: &str, words: &[&str]) -> Self {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=3", PATIENCE_S])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign").join(folder).join("run"))
            .args(words)
            .env("HOME", bench().dir())
            .env("NODE_EXTRA_CA_CERTS", stand.ca_file())
            .env("RP_CA", stand.ca_file())
            .env("RP_ISSUER", stand.issuer())
            .stdin(Stdio::null());
        Self { command, log: stand.token().with_file_name("n0/log/authd.log") }
    }

    /// Tell it something: `RP_` and the name is the variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.command.env(format!("RP_{name}"), value);
        self
    }

    /// Run it and read what it saw; what it wrote to stderr is shown when it fails.
    pub(crate) fn run(mut self) -> Value {
        let output = self.command.output().expect("timeout starts");
        let seen = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{:?} ended with {} (124: too slow; 127: packaging/dev/foreign makes what is missing)\n{seen}{}\n{}",
            self.command,
            output.status,
            String::from_utf8_lossy(&output.stderr),
            std::fs::read_to_string(&self.log).unwrap_or_default(),
        );
        serde_json::from_str(seen.trim()).unwrap_or_else(|error| panic!("{error}: {seen}"))
    }
}
