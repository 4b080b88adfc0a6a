//! Where a sign-in leads when no application waits for it: one of a closed list of our own pages, named by a
//! word. No parameter ever holds a URL (W117).

use std::fmt;

/// A page of ours that asks for a sign-in first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landing {
    /// What a person manages.
    Account,
}

impl Landing {
    /// From the value of `to`.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "account" => Some(Self::Account),
            _ => None,
        }
    }

    /// Its path beneath an issuer.
    pub(crate) fn path(self) -> String {
        match self {
            Self::Account => "/account".to_owned(),
        }
    }
}

impl fmt::Display for Landing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "account",
        })
    }
}
