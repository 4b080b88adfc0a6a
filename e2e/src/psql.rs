//! A `psql` that stays connected: statements without the price of a new process, and ones that are begun now
//! and waited for later.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::bench::bench;

/// What `psql` prints when everything before it is done.
const DONE: &str = "-- that was all --";

/// The connection.
#[derive(Debug)]
pub struct Psql {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Psql {
    /// Connect to a database as a role.
    pub fn connect(database: &str, role: &str) -> Self {
        let mut process = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                database,
                "-U",
                role,
                "-h",
            ])
            .arg(bench().sockets())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, input, output }
    }

    /// Begin statements; each ends with a semicolon.
    pub fn begin(&mut self, sql: &str) {
        let input = self.input.as_mut().expect("it is open until the end");
        writeln!(input, "{sql}\n\\echo {DONE}").expect("psql reads");
    }

    /// Wait for what was begun; its rows one a line, columns split by `|`.
    pub fn finish(&mut self) -> String {
        let mut rows = String::new();
        loop {
            let from = rows.len();
            let read = self.output.read_line(&mut rows).expect("psql prints text");
            assert!(read > 0, "psql has ended; it said why");
            if rows.get(from..).is_some_and(|line| line.trim_end() == DONE) {
                rows.truncate(from);
                return rows.trim_end().to_owned();
            }
        }
    }

    /// Both.
    pub fn run(&mut self, sql: &str) -> String {
        self.begin(sql);
        self.finish()
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        // It ends with its input; nothing is to be done about one that does not.
        drop(self.input.take());
        drop(self.process.wait());
    }
}
