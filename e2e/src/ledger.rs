//! What clients asked and what they were told, written down before and after each request: one line of JSON
//! each, so that a ledger outlives whoever wrote it. What it says was acknowledged must be so afterwards.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::http::Response;

/// What was asked, with what it takes to ask about it later.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// One step of an authorization request.
    Page,
    /// A password.
    SignIn,
    /// The step of an authorization request that gives a code.
    Code,
    /// A code.
    Redeem {
        /// The code.
        code: String,
        /// The verifier that belongs to it.
        verifier: String,
    },
    /// A refresh token.
    Refresh {
        /// The refresh token.
        token: String,
    },
    /// A refresh token that is given back.
    Revoke {
        /// The refresh token.
        token: String,
    },
    /// What somebody else's token is worth, asked by a client of another tenant.
    Trespass,
    /// A new signing key, asked of the management API.
    Stage {
        /// What for.
        class: String,
        /// The algorithm.
        algorithm: String,
    },
    /// A call of the management API.
    Manage {
        /// Its path.
        path: String,
    },
}

/// What came with an answer and has to be worth something later.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Got {
    /// Nothing of the kind.
    #[default]
    Nothing,
    /// A pair of tokens.
    Tokens {
        /// The access token.
        access: String,
        /// The refresh token.
        refresh: String,
    },
    /// A signing key.
    Key {
        /// Its id.
        kid: String,
    },
    /// A session.
    Session {
        /// The cookies that hold it.
        cookies: BTreeMap<String, String>,
    },
}

/// One line.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Before a request is sent.
    Asked {
        /// Which one.
        request: u64,
        /// When, in milliseconds since 1970.
        at_ms: u64,
        /// What.
        what: Ask,
    },
    /// When its whole answer has come.
    Answered {
        /// Which one.
        request: u64,
        /// When.
        at_ms: u64,
        /// The status.
        status: u16,
        /// What came along.
        got: Got,
    },
    /// When no whole answer came: it may have been carried out or not.
    Failed {
        /// Which one.
        request: u64,
        /// When.
        at_ms: u64,
        /// Why.
        error: String,
    },
}

/// A ledger that is being written.
#[derive(Debug)]
pub struct Ledger {
    file: Mutex<File>,
    next: AtomicU64,
    acknowledged: AtomicUsize,
}

impl Ledger {
    /// Begin a new one.
    pub fn create(path: &Path) -> Self {
        let file = OpenOptions::new().create_new(true).append(true).open(path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { file: Mutex::new(file), next: AtomicU64::new(0), acknowledged: AtomicUsize::new(0) }
    }

    /// How many requests were answered as they should be.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ask; an answer is given back if it says that what was asked for was done.
    pub fn ask(
        &self,
        what: Ask,
        send: impl FnOnce() -> std::io::Result<Response>,
        got: impl FnOnce(&Response) -> Got,
    ) -> Option<Response> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        self.write(&Line::Asked { request, at_ms: now_ms(), what });
        match send() {
            Ok(response) => {
                let status = response.status;
                let done = is_done(status);
                // RFC 9110 §15.6.4: whoever is turned away for now is told when to come again.
                let later = status != 503 || response.header("retry-after").is_some();
                assert!(later, "503 without Retry-After");
                let got = if done { got(&response) } else { Got::Nothing };
                self.write(&Line::Answered { request, at_ms: now_ms(), status, got });
                done.then(|| {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    response
                })
            }
            Err(error) => {
                let error = error.to_string();
                self.write(&Line::Failed { request, at_ms: now_ms(), error });
                None
            }
        }
    }

    /// One write a line: what a crash cuts short is the last line at most.
    fn write(&self, line: &Line) {
        let mut text = serde_json::to_string(line).unwrap();
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).expect("the ledger can be written");
    }
}

fn is_done(status: u16) -> bool {
    matches!(status, 200 | 201 | 303)
}

fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "compared with the times that a script writes")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// One request, as the ledger knows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What was asked.
    pub what: Ask,
    /// When.
    pub asked_ms: u64,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Fate {
    /// An answer came.
    Answered {
        /// When.
        at_ms: u64,
        /// Its status.
        status: u16,
        /// What came along.
        got: Got,
    },
    /// No whole answer came.
    Failed {
        /// When that was clear.
        at_ms: u64,
        /// Why.
        error: String,
    },
    /// Whoever asked was gone before it could tell.
    Open,
}

impl Entry {
    /// The answer, if it says that what was asked for was done.
    pub fn done(&self) -> Option<&Got> {
        match &self.fate {
            Fate::Answered { status, got, .. } if is_done(*status) => Some(got),
            Fate::Answered { .. } | Fate::Failed { .. } | Fate::Open => None,
        }
    }

    /// Why it was not done, and when that was known; nothing if it was, or if nobody can tell.
    pub fn fault(&self) -> Option<(u64, String)> {
        match &self.fate {
            Fate::Answered { status, .. } if is_done(*status) => None,
            Fate::Answered { at_ms, status, .. } => Some((*at_ms, format!("status {status}"))),
            Fate::Failed { at_ms, error } => Some((*at_ms, error.clone())),
            Fate::Open => None,
        }
    }
}

/// Read a ledger that is no longer written, in the order in which was asked.
pub fn read(path: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut places = HashMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.split_inclusive('\n') {
        // Whoever wrote it may have died in the middle of the last line.
        let Some(line) = line.strip_suffix('\n') else { continue };
        let line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let (request, fate) = match line {
            Line::Asked { request, at_ms, what } => {
                places.insert(request, entries.len());
                entries.push(Entry { what, asked_ms: at_ms, fate: Fate::Open });
                continue;
            }
            Line::Answered { request, at_ms, status, got } => {
                (request, Fate::Answered { at_ms, status, got })
            }
            Line::Failed { request, at_ms, error } => (request, Fate::Failed { at_ms, error }),
        };
        let entry = places.get(&request).and_then(|place| entries.get_mut(*place));
        entry.unwrap_or_else(|| panic!("nobody asked request {request}")).fate = fate;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_cut_line_is_left_out() {
        let path = std::env::temp_dir().join(format!("ledger-{}", std::process::id()));
        let ledger = Ledger::create(&path);
        let later = ("retry-after".to_owned(), "1".to_owned());
        let answer = |status| Response { status, headers: vec![later.clone()], body: Vec::new() };
        assert!(ledger.ask(Ask::Page, || Ok(answer(303)), |_| Got::Nothing).is_some());
        assert!(ledger.ask(Ask::SignIn, || Ok(answer(503)), |_| Got::Nothing).is_none());
        let gone = || Err(std::io::ErrorKind::ConnectionReset.into());
        assert!(ledger.ask(Ask::Code, gone, |_| Got::Nothing).is_none());
        assert_eq!(ledger.acknowledged(), 1);
        ledger.file.lock().unwrap().write_all(b"{\"asked\":{\"requ").unwrap();
        let entries = read(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(entries.len(), 3);
        assert!(entries[0].done().is_some() && entries[0].fault().is_none());
        assert_eq!(entries[1].fault().unwrap().1, "status 503");
        assert!(entries[2].done().is_none() && entries[2].fault().is_some());
    }
}
