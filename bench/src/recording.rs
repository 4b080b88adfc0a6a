//! What authd says to PostgreSQL, statement by statement with its values, read from the server's log.
//!
//! The log is turned on for one database, and for a few hundred requests that are not measured. Every line of it
//! is one message of the extended protocol that is answered before the next is sent: a round trip.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use e2e::bench::{bench, until};

use crate::load::Worker;

/// Whose statements count; what admind and the courier say in the meantime does not.
const ROLE: &str = "opentrusty_authd";

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Without values, such as `BEGIN`.
    Plain(Arc<str>),
    /// Prepared; its values as text, `None` for NULL.
    Prepared(Arc<str>, Arc<[Option<String>]>),
}

/// What one worker's requests said, in order: nothing in it depends on another worker of the same round.
#[derive(Debug)]
pub struct Chain {
    /// First, so that plans are prepared and caches filled.
    pub warm: Vec<Said>,
    /// Then.
    pub counted: Vec<Said>,
}

/// The server's log, read from where it was read last.
#[derive(Debug)]
pub struct Recorder {
    log: PathBuf,
    prefix: String,
    at: u64,
    /// Each statement is kept once.
    known: HashMap<String, Arc<str>>,
}

impl Recorder {
    /// Lets PostgreSQL log what is said in a database from the next connection on.
    pub fn begin(database: &str) -> Self {
        let ask = |sql: &str| bench().psql("postgres", "postgres", sql).unwrap();
        let prefix = "<%u %d> ";
        ask(&format!("ALTER SYSTEM SET log_line_prefix = '{prefix}'"));
        for (name, value) in [("log_statement", "all"), ("log_parameter_max_length", "-1")] {
            ask(&format!("ALTER DATABASE {database} SET {name} = '{value}'"));
        }
        ask("SELECT pg_reload_conf()");
        until("the log has its prefix", Duration::from_secs(10), || {
            (ask("SHOW log_line_prefix").trim() == prefix.trim()).then_some(())
        });
        let log = bench().dir().join("pg/server.log");
        Self {
            prefix: format!("<{ROLE} {database}> "),
            at: fs::metadata(&log).unwrap().len(),
            log,
            known: HashMap::new(),
        }
    }

    /// What was said since the last recording: people signed in, connections were made.
    pub fn between(&mut self) -> Vec<Said> {
        let news = self.news();
        said(&news, &self.prefix, &mut self.known)
    }

    /// Lets one worker after the other make `warm` and then `counted` requests.
    pub fn record<W: Worker>(
        &mut self,
        workers: &mut [W],
        (warm, counted): (usize, usize),
    ) -> Vec<Chain> {
        let mut steps = |worker: &mut W, count| {
            for _ in 0..count {
                match worker.step() {
                    Ok(true) => {}
                    Ok(false) => panic!("nothing is left to ask for"),
                    Err(what) => panic!("not the answer that was wanted: {what}"),
                }
            }
            self.between()
        };
        workers
            .iter_mut()
            .map(|worker| Chain { warm: steps(worker, warm), counted: steps(worker, counted) })
            .collect()
    }

    /// What came since the last call. A statement is in the log before it is run.
    fn news(&mut self) -> String {
        let mut file = File::open(&self.log).unwrap();
        file.seek(SeekFrom::Start(self.at)).unwrap();
        let mut bytes = Vec::new();
        self.at += file.read_to_end(&mut bytes).unwrap() as u64;
        String::from_utf8(bytes).unwrap()
    }
}

/// The statements in a piece of log whose lines begin with `prefix`.
fn said(text: &str, prefix: &str, known: &mut HashMap<String, Arc<str>>) -> Vec<Said> {
    let mut all = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (entry, after) = entry(rest);
        rest = after;
        let Some(message) = entry.strip_prefix(prefix) else { continue };
        // PostgreSQL puts a tab before every further line of a message.
        let message = message.replace("\n\t", "\n");
        let mut keep =
            |sql: &str| Arc::clone(known.entry(sql.to_owned()).or_insert_with(|| Arc::from(sql)));
        if let Some(sql) = message.strip_prefix("LOG:  statement: ") {
            all.push(Said::Plain(keep(sql)));
        } else if let Some((_, sql)) =
            message.strip_prefix("LOG:  execute ").and_then(|named| named.split_once(": "))
        {
            all.push(Said::Prepared(keep(sql), Arc::new([])));
        } else if let Some(list) = message
            .strip_prefix("DETAIL:  parameters: ")
            .or_else(|| message.strip_prefix("DETAIL:  Parameters: "))
            && let Some(Said::Prepared(_, given)) = all.last_mut()
        {
            *given = values(list).into();
        }
    }
    all
}

/// The first message, with all its lines; and what comes after.
fn entry(text: &str) -> (&str, &str) {
    let end = text
        .match_indices('\n')
        .map(|(at, _)| at)
        .find(|at| !text[at + 1..].starts_with('\t'))
        .unwrap_or(text.len());
    (&text[..end], text.get(end + 1..).unwrap_or_default())
}

/// `$1 = 'it''s', $2 = NULL`
fn values(list: &str) -> Vec<Option<String>> {
    let mut all = Vec::new();
    let mut rest = list;
    while let Some((_, value)) = rest.split_once(" = ") {
        let Some(mut open) = value.strip_prefix('\'') else {
            all.push(None);
            rest = value.strip_prefix("NULL").expect("a value or NULL");
            continue;
        };
        let mut text = String::new();
        rest = loop {
            let (part, after) = open.split_once('\'').expect("an end of the value");
            text.push_str(part);
            match after.strip_prefix('\'') {
                Some(more) => {
                    text.push('\'');
                    open = more;
                }
                None => break after,
            }
        };
        all.push(Some(text));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_come_with_their_values_and_strangers_are_left_out() {
        let log = "<a d> LOG:  execute sqlx_s_1: SELECT $1,\n\t  $2\n\
                   <a d> DETAIL:  parameters: $1 = 'it''s = \n\t$2', $2 = NULL\n\
                   <b d> LOG:  statement: SELECT 1\n\
                   <a d> LOG:  statement: BEGIN\n\
                   <a d> LOG:  execute sqlx_s_2: SELECT ': '\n";
        let all = said(log, "<a d> ", &mut HashMap::new());
        assert_eq!(
            all,
            [
                Said::Prepared(
                    "SELECT $1,\n  $2".into(),
                    [Some("it's = \n$2".to_owned()), None].into()
                ),
                Said::Plain("BEGIN".into()),
                Said::Prepared("SELECT ': '".into(), [].into()),
            ]
        );
    }

    #[test]
    fn values_may_hold_what_separates_them() {
        let list = r"$1 = '\x00ff', $2 = '{a,''b''}', $3 = '', $4 = ''', $5 = ''''";
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            values(&list.replace("$4 = ''', ", "$4 = NULL, ")),
            [text(r"\x00ff"), text("{a,'b'}"), text(""), None, text("'")]
        );
    }
}
