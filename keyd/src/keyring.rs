//! The keys that keyd believes in, and the rules of their lives. Pure: the caller brings the clock, and
//! every change is first computed, then sealed by the token, then accepted here.
//!
//! To hold at all times: a verifier whose JWKS is younger than `jwks_max_age_s` can verify every unexpired
//! token.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wire::{Algorithm, Class, Jwk, KeyState, KeyView, Kid, Refused, Statement, thumbprint};

use crate::policy::Policy;

/// Most keys at once, of all issuers together: what fits into one `PublicKeys` reply.
pub const KEYS_MAX: usize = 1600;
/// Longest issuer, bytes.
pub const ISSUER_MAX: usize = 256;

/// Keys that verifiers cannot tell apart before they look at the kid.
type Group = (String, Class, Algorithm);

/// Keys by id.
pub struct Keyring {
    policy: Arc<Policy>,
    keys: BTreeMap<Kid, Entry>,
    /// The key of each group that was published first, and when. Kept after that key is gone: any other
    /// key may be missing from a JWKS that somebody holds.
    firsts: BTreeMap<Group, (u64, Kid)>,
}

struct Entry {
    statement: Arc<Statement>,
    signatures: AtomicU64,
    /// The latest time on keyd's clock at which it signed; survives a clock that is set back.
    signed_at: AtomicU64,
}

/// A key that the token has just made.
pub struct Fresh {
    /// Its id.
    pub kid: Kid,
    /// The `iss` it is to sign for.
    pub issuer: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// What it is to sign.
    pub class: Class,
    /// Its public half.
    pub public: Jwk,
}

impl Fresh {
    /// The first statement about it.
    pub fn staged(self, now: u64) -> Statement {
        Statement {
            kid: self.kid,
            issuer: self.issuer,
            algorithm: self.algorithm,
            class: self.class,
            thumbprint: thumbprint(&self.public),
            public: self.public,
            staged_at: now,
            not_sign_before: None,
            not_sign_after: None,
            serial: 1,
        }
    }
}

impl Keyring {
    /// Empty.
    pub fn new(policy: Arc<Policy>) -> Self {
        Self { policy, keys: BTreeMap::new(), firsts: BTreeMap::new() }
    }

    /// The statement about a key.
    pub fn find(&self, kid: Kid) -> Result<&Arc<Statement>, Refused> {
        self.keys.get(&kid).map(|entry| &entry.statement).ok_or(Refused::UnknownKey)
    }

    /// Whether a key for `issuer` may be made at all.
    pub fn has_room_for(&self, issuer: &str) -> Result<(), Refused> {
        let is_url = issuer.starts_with("https://") || issuer.starts_with("http://");
        // RFC 8414 §2: the issuer is a URL "with no query or fragment components".
        let is_plain =
            issuer.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\?#".contains(&byte));
        if !is_url || !is_plain || issuer.len() > ISSUER_MAX {
            return Err(Refused::InvalidIssuer);
        }
        if self.keys.len() >= KEYS_MAX { Err(Refused::Full) } else { Ok(()) }
    }

    /// The statement by which a staged key begins to sign. One that signs already keeps its statement.
    pub fn activated(&self, kid: Kid, first: bool, now: u64) -> Result<Statement, Refused> {
        let statement = self.find(kid)?;
        if statement.not_sign_after.is_some() {
            return Err(Refused::WrongKey);
        }
        if statement.not_sign_before.is_some() {
            return Ok(Statement::clone(statement));
        }
        // Until then some verifier may hold a JWKS from before the key was published.
        let everybody_knows = statement.staged_at.saturating_add(self.policy.jwks_max_age_s);
        let is_first = self.firsts.get(&group(statement)).is_some_and(|(_, first)| *first == kid);
        if now < everybody_knows && !(first && is_first) {
            return Err(Refused::TooEarly);
        }
        Ok(Statement { not_sign_before: Some(now), ..succeeding(statement)? })
    }

    /// The statement by which a key signs no more. One that is retired already keeps its statement.
    pub fn retired(&self, kid: Kid, now: u64) -> Result<Statement, Refused> {
        let statement = self.find(kid)?;
        if statement.not_sign_after.is_some() {
            return Ok(Statement::clone(statement));
        }
        Ok(Statement { not_sign_after: Some(now), ..succeeding(statement)? })
    }

    /// Whether nothing that the key has signed can still be valid.
    pub fn may_destroy(&self, kid: Kid, now: u64) -> Result<(), Refused> {
        let entry = self.keys.get(&kid).ok_or(Refused::UnknownKey)?;
        let Some(end) = entry.statement.not_sign_after else { return Err(Refused::StillNeeded) };
        let last = end.max(entry.signed_at.load(Ordering::Relaxed));
        let lifetime = self.policy.lifetime_max_s(entry.statement.class);
        // `iat` may be ahead of keyd's clock by the skew, and `exp` counts from there.
        let needed_until = last.saturating_add(lifetime).saturating_add(self.policy.clock_skew_s);
        if now < needed_until { Err(Refused::StillNeeded) } else { Ok(()) }
    }

    /// Takes in a statement whose MAC and whose key in the token have been checked. The highest serial
    /// wins; returns whether `statement` is now the one in force.
    pub fn accept(&mut self, statement: Statement) -> Result<bool, Refused> {
        if !self.keys.contains_key(&statement.kid) && self.keys.len() >= KEYS_MAX {
            return Err(Refused::Full);
        }
        let published = (statement.staged_at, statement.kid);
        let first = self.firsts.entry(group(&statement)).or_insert(published);
        if published.0 < first.0 {
            *first = published;
        }
        if let Some(entry) = self.keys.get_mut(&statement.kid) {
            if rank(&statement) > rank(&entry.statement) {
                entry.statement = Arc::new(statement);
                return Ok(true);
            }
            return Ok(*entry.statement == statement);
        }
        let entry = Entry {
            signatures: AtomicU64::new(0),
            signed_at: AtomicU64::new(0),
            statement: Arc::new(statement),
        };
        self.keys.insert(entry.statement.kid, entry);
        Ok(true)
    }

    /// Drops a key that has been destroyed.
    pub fn forget(&mut self, kid: Kid) {
        self.keys.remove(&kid);
    }

    /// Counts a signature that is about to be released.
    pub fn count(&self, kid: Kid, now: u64) {
        if let Some(entry) = self.keys.get(&kid) {
            entry.signatures.fetch_add(1, Ordering::Relaxed);
            entry.signed_at.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// The audit key that began last.
    pub fn audit_key(&self, now: u64) -> Option<&Arc<Statement>> {
        self.keys
            .values()
            .map(|entry| &entry.statement)
            .filter(|one| one.class == Class::Audit && one.state(now) == KeyState::Active)
            .max_by_key(|one| (one.not_sign_before, one.kid))
    }

    /// One key for an operator or a JWKS.
    pub fn view(&self, kid: Kid, now: u64) -> Result<KeyView, Refused> {
        self.keys.get(&kid).map(|entry| entry.view(now)).ok_or(Refused::UnknownKey)
    }

    /// All keys, in the order of their ids. Every one of them belongs into the JWKS, whatever its state.
    pub fn views(&self, now: u64) -> Vec<KeyView> {
        self.keys.values().map(|entry| entry.view(now)).collect()
    }
}

impl Entry {
    fn view(&self, now: u64) -> KeyView {
        let statement = &self.statement;
        KeyView {
            kid: statement.kid,
            issuer: statement.issuer.clone(),
            algorithm: statement.algorithm,
            class: statement.class,
            public: statement.public.clone(),
            state: statement.state(now),
            staged_at: statement.staged_at,
            not_sign_before: statement.not_sign_before,
            not_sign_after: statement.not_sign_after,
            signatures: self.signatures.load(Ordering::Relaxed),
        }
    }
}

fn group(statement: &Statement) -> Group {
    (statement.issuer.clone(), statement.class, statement.algorithm)
}

fn succeeding(statement: &Statement) -> Result<Statement, Refused> {
    let serial = statement.serial.checked_add(1).ok_or(Refused::Unsupported)?;
    Ok(Statement { serial, ..statement.clone() })
}

/// Which of two statements about one key is in force. Two of one serial exist only if two nodes changed a
/// key at once; then every node must choose alike, and rather the one that signs less.
fn rank(statement: &Statement) -> (u32, bool, u64, u64) {
    let end = statement.not_sign_after;
    (
        statement.serial,
        end.is_some(),
        statement.not_sign_before.unwrap_or(u64::MAX),
        u64::MAX - end.unwrap_or(u64::MAX),
    )
}

#[cfg(test)]
mod tests;
