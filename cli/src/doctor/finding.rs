//! What a check found.

use std::fmt;

use serde::Serialize;

use crate::output::plain;

/// In the order of how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Verdict {
    Ok,
    /// It serves, and should not stay so.
    Warn,
    /// It does not serve, or not safely.
    Fail,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

pub(super) fn ok(name: impl Into<String>, seen: impl Into<String>) -> Finding {
    Finding { name: name.into(), verdict: Verdict::Ok, seen: seen.into(), fix: None }
}

pub(super) fn warn(
    name: impl Into<String>,
    seen: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding { fix: Some(fix.into()), verdict: Verdict::Warn, ..ok(name, seen) }
}

pub(super) fn fail(
    name: impl Into<String>,
    seen: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding { verdict: Verdict::Fail, ..warn(name, seen, fix) }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Ok => "OK  ",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        // Names of clients and errors of others are in it.
        write!(f, "{word} {}: {}", self.name, plain(&self.seen))?;
        match &self.fix {
            Some(fix) => write!(f, "\n     fix: {}", plain(fix)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_a_remedy_another_one() {
        assert_eq!(ok("clock", "right").to_string(), "OK   clock: right");
        let bad = fail("clock", "wrong\u{1b}[31m", "set it");
        assert_eq!(bad.to_string(), "FAIL clock: wrong\u{fffd}[31m\n     fix: set it");
        assert!(Verdict::Fail > Verdict::Warn && Verdict::Warn > Verdict::Ok);
        let json = serde_json::to_string(&ok("a", "b")).unwrap();
        assert_eq!(json, r#"{"name":"a","verdict":"OK","seen":"b"}"#);
    }
}
