//! Binding statements: what a key may do, in words that keyd alone can write.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::Jwk;

/// A key's identifier: 16 random bytes, the `CKA_ID` of both halves in the token; base64url in a JWS header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kid(pub [u8; 16]);

/// Text that is no key identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KidError;

impl fmt::Display for KidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key id is 22 characters of base64url")
    }
}

impl std::error::Error for KidError {}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kid({self})")
    }
}

impl FromStr for Kid {
    type Err = KidError;

    fn from_str(text: &str) -> Result<Self, KidError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| KidError)?;
        Ok(Self(bytes.try_into().map_err(|_| KidError)?))
    }
}

/// A JWS algorithm that keyd can make. `none` and the symmetric ones have no representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256; 2048-bit keys.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes; 2048-bit keys.
    #[serde(rename = "PS256")]
    Ps256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519 (RFC 8037).
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// All of them. What every installation has comes first.
    pub const ALL: [Self; 5] = [Self::Es256, Self::Rs256, Self::Ps256, Self::Es384, Self::EdDsa];

    /// The name in a JOSE header (RFC 7518 §3.1, RFC 8037 §3.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl FromStr for Algorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or(())
    }
}

/// What kind of artefact a key signs. One key never serves two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// ID tokens and access tokens for anything but the admin API.
    Token,
    /// Access tokens for the admin API: short-lived, one audience.
    Admin,
    /// Seals over the audit log.
    Audit,
}

impl Class {
    /// The word stored in the database and shown to an operator.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Admin => "admin",
            Self::Audit => "audit",
        }
    }
}

impl FromStr for Class {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "token" => Ok(Self::Token),
            "admin" => Ok(Self::Admin),
            "audit" => Ok(Self::Audit),
            _ => Err(()),
        }
    }
}

/// Where a key stands in its life: staged → active → retired → destroyed. Derived from the two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, not signing yet.
    Staged,
    /// Published and signing.
    Active,
    /// Published so that what it signed can be verified; signs no more.
    Retired,
}

/// What a key may do. keyd makes one at `Generate` and at every change, and MACs it with a key in the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The key.
    pub kid: Kid,
    /// The `iss` that this key signs for, and no other.
    pub issuer: String,
    /// The algorithm, fixed at generation.
    pub algorithm: Algorithm,
    /// What it signs.
    pub class: Class,
    /// The public half.
    pub public: Jwk,
    /// RFC 7638 thumbprint of [`Self::public`] (SHA-256).
    pub thumbprint: [u8; 32],
    /// Seconds since the epoch when it was generated and first published.
    pub staged_at: u64,
    /// Seconds since the epoch from which it signs; `None` while staged.
    pub not_sign_before: Option<u64>,
    /// Seconds since the epoch after which it signs no more.
    pub not_sign_after: Option<u64>,
    /// Counts the statements about this key; keyd keeps the highest it has seen.
    pub serial: u32,
}

impl Statement {
    /// Where the key stands at `now` (seconds since the epoch, keyd's clock).
    pub fn state(&self, now: u64) -> KeyState {
        if self.not_sign_after.is_some_and(|end| now >= end) {
            return KeyState::Retired;
        }
        match self.not_sign_before {
            Some(start) if now >= start => KeyState::Active,
            Some(_) | None => KeyState::Staged,
        }
    }
}

/// A statement with keyd's MAC over exactly these bytes. Opaque to everybody else: PostgreSQL stores it,
/// whoever needs the key hands it over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The statement, encoded by keyd.
    pub body: Vec<u8>,
    /// HMAC-SHA-256 under a key in the token.
    pub mac: [u8; 32],
}

impl Sealed {
    /// One blob for a database column: the MAC, then the body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + self.body.len());
        bytes.extend_from_slice(&self.mac);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The inverse of [`Self::to_bytes`]; `None` when too short. Says nothing about the MAC.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (mac, body) = bytes.split_first_chunk::<32>()?;
        Some(Self { body: body.to_vec(), mac: *mac })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_one_name_and_no_other_is_known() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        for bad in ["none", "HS256", "es256", "EDDSA", "Ed25519", "ES256 ", ""] {
            assert_eq!(bad.parse::<Algorithm>(), Err(()), "{bad}");
        }
    }
}
