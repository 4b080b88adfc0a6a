//! Scopes: words a client may ask for. They release data and never grant admin rights by themselves.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most bytes of one `scope` parameter (W108).
const PARAMETER_MAX: usize = 2048;
/// Most scopes in one parameter (W13).
const COUNT_MAX: usize = 64;
/// Most bytes of one scope.
const SCOPE_MAX: usize = 100;

/// Asks for an ID token and the right to call userinfo.
pub const OPENID: &str = "openid";
/// Asks for a refresh token that outlives the session.
pub const OFFLINE_ACCESS: &str = "offline_access";
/// The management API; for first-party clients of the platform only.
pub const ADMIN: &str = "opentrusty:admin";
/// Answering sign-in requests (CIBA) on a person's behalf: for their authenticator app, a first-party client.
pub const CIBA: &str = "opentrusty:ciba";
/// Scopes that exist without being defined by a tenant (OIDC Core §5.4, §11). What is not stored about
/// people (`address`, `phone`) may be asked for and releases nothing.
pub const BUILT_IN: [&str; 8] =
    [OPENID, "profile", "email", "address", "phone", OFFLINE_ACCESS, ADMIN, CIBA];

/// Text that is no scope, or too many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidScope;

impl fmt::Display for InvalidScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("scope: at most 64 words of %x21 / %x23-5B / %x5D-7E, 100 characters each")
    }
}

impl std::error::Error for InvalidScope {}

/// One scope: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 §3.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

impl Scope {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let legal = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        let valid = (1..=SCOPE_MAX).contains(&text.len()) && text.bytes().all(legal);
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidScope) }
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, InvalidScope> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

/// A set of scopes; its text is sorted, space-delimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeSet(BTreeSet<Scope>);

impl ScopeSet {
    /// Whether `scope` is among them. Whole words only: `openidx` is not `openid`.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.iter().any(|own| own.as_str() == scope)
    }

    /// Whether every scope is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// Those of `self` that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    /// Those that are in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// Without `scope`.
    #[must_use]
    pub fn without(&self, scope: &str) -> Self {
        Self(self.0.iter().filter(|own| own.as_str() != scope).cloned().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Scope::as_str)
    }

    /// As a database array.
    pub fn to_vec(&self) -> Vec<String> {
        self.iter().map(str::to_owned).collect()
    }

    /// From a database array.
    pub fn from_list(list: &[String]) -> Result<Self, InvalidScope> {
        list.iter().map(|scope| scope.parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for ScopeSet {
    type Err = InvalidScope;

    /// `scope = scope-token *( SP scope-token )`; a repeated word counts once, an empty text is no scope.
    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        if text.len() > PARAMETER_MAX {
            return Err(InvalidScope);
        }
        let words: Vec<_> = text.split(' ').filter(|word| !word.is_empty()).collect();
        if words.len() > COUNT_MAX {
            return Err(InvalidScope);
        }
        words.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w13_charset_count_and_length_are_bounded() {
        for bad in ["a\"b", "a\\b", "a\tb", "\u{e9}", "a\u{0}"] {
            assert!(bad.parse::<ScopeSet>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(101).parse::<ScopeSet>().is_err());
        let many = |n: usize| (0..n).map(|i| format!("s{i}")).collect::<Vec<_>>().join(" ");
        assert!(many(64).parse::<ScopeSet>().is_ok());
        assert!(many(65).parse::<ScopeSet>().is_err());
        assert!("a ".repeat(1025).parse::<ScopeSet>().is_err());
    }

    #[test]
    fn whole_words_only() {
        let set: ScopeSet = "openidx email email".parse().unwrap();
        assert!(!set.contains("openid"));
        assert_eq!(set.to_string(), "email openidx");
    }
}
