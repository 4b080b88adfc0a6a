//! A client's keys: which one a signature is to be checked with.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Algorithm, InvalidKey, Key};

/// Most keys of one client (W139).
const KEYS_MAX: usize = 20;

/// The keys of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

/// Which key of a set a signature names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    /// This one.
    One(&'a Key),
    /// None: the set may be older than the key.
    Unknown,
    /// One of that name for other algorithms, or several without a name.
    Unfit,
}

impl KeySet {
    /// What a client registers: every key must be one that we can use.
    pub fn parse(value: &Value) -> Result<Self, InvalidKey> {
        let keys = listed(value)?.iter().map(Key::parse).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(InvalidKey::Count);
        }
        Self(keys).distinct()
    }

    /// What a client publishes at its `jwks_uri`, for other readers as well: "Implementations SHOULD ignore
    /// JWKs within a JWK Set that use kty values that are not understood … or for which values are out of the
    /// supported ranges" (RFC 7517 §5). None may be left, when all are withdrawn. Published private keys are
    /// nobody's any more: the whole set is refused.
    pub fn published(value: &Value) -> Result<Self, InvalidKey> {
        let mut keys = Vec::new();
        for key in listed(value)? {
            match Key::parse(key) {
                Ok(key) => keys.push(key),
                Err(InvalidKey::Private) => return Err(InvalidKey::Private),
                Err(
                    InvalidKey::Shape
                    | InvalidKey::Count
                    | InvalidKey::Kind
                    | InvalidKey::Use
                    | InvalidKey::Algorithm
                    | InvalidKey::Kid
                    | InvalidKey::Repeated
                    | InvalidKey::Rsa
                    | InvalidKey::Point,
                ) => {}
            }
        }
        Self(keys).distinct()
    }

    /// In the order in which they were written.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// As it can be stored.
    pub fn to_json(&self) -> Value {
        json!({"keys": self.0.iter().map(Key::to_json).collect::<Vec<_>>()})
    }

    /// By `kid` exactly; without one only when there is no choice (W80, W90).
    pub(crate) fn named(&self, kid: Option<&str>, algorithm: Algorithm) -> Named<'_> {
        if let Some(kid) = kid {
            return match self.0.iter().find(|key| key.kid() == Some(kid)) {
                Some(key) if key.fits(algorithm) => Named::One(key),
                Some(_) => Named::Unfit,
                None => Named::Unknown,
            };
        }
        let mut fitting = self.0.iter().filter(|key| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Named::One(key),
            (Some(_), Some(_)) => Named::Unfit,
            (None, _) => Named::Unknown,
        }
    }

    fn distinct(self) -> Result<Self, InvalidKey> {
        let mut seen = HashSet::new();
        if self.0.iter().filter_map(Key::kid).all(|kid| seen.insert(kid)) {
            return Ok(self);
        }
        Err(InvalidKey::Repeated)
    }
}

fn listed(value: &Value) -> Result<&[Value], InvalidKey> {
    let keys = value.get("keys").and_then(Value::as_array).ok_or(InvalidKey::Shape)?;
    if keys.len() > KEYS_MAX { Err(InvalidKey::Count) } else { Ok(keys) }
}
