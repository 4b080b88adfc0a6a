//! A client's assertion that it is itself (RFC 7523 §2.2, RFC 7521 §4.2; OIDC Core §9 `private_key_jwt`).
//!
//! Everything but the arithmetic of the signature is judged here, and everything before it: what an assertion
//! claims is looked at first, so that no key is fetched and no signature computed for one that could not
//! count anyway. Whether a `jti` was used before is the gate's question, and SQL.

use std::fmt;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::Timestamp;
use crate::discovery;
use crate::ids::ClientId;
use crate::jwk::{Algorithm, Key, KeySet, Named, Signed};
use crate::jwt::Unverified;

/// The only `client_assertion_type` (RFC 7523 §2.2).
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longest time from now to `exp`, in seconds: so long is a `jti` remembered (W76).
const AHEAD_MAX_S: u32 = 300;
/// How far a client's clock may run before ours, in seconds (W77).
const SKEW_S: u32 = 10;
/// Longest `jti`, in characters.
const JTI_MAX: usize = 255;

/// Text that is no assertion of any client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidAssertion;

impl fmt::Display for InvalidAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a client assertion")
    }
}

impl std::error::Error for InvalidAssertion {}

/// A JWT that says whose it is, in a form that we accept. Nothing in it is believed yet. No `Debug`: until
/// its `jti` is spent it opens doors.
pub struct Assertion {
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Map<String, Value>,
    input: String,
    signature: Zeroizing<Vec<u8>>,
}

/// What an assertion is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    /// Who we are.
    pub(crate) issuer: &'a str,
    /// The URL that was called, for a client that may name it or the token endpoint instead.
    pub(crate) endpoint: Option<&'a str>,
    /// The database's clock.
    pub(crate) now: Timestamp,
}

/// A client has proved that it holds its key, if this `jti` of it is seen for the first time: authd stores it
/// before anything else happens (W75). Only a judgement makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "until its jti is stored the assertion proves nothing"]
pub struct Proven {
    jti_hash: [u8; 32],
    expires_at: Timestamp,
}

impl Proven {
    /// SHA-256 of `jti`; unique within one client.
    pub const fn jti_hash(&self) -> &[u8; 32] {
        &self.jti_hash
    }

    /// `exp`: from then on the assertion is refused without being remembered.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// How the search for the key ended that made an assertion's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    /// A key of the client made it.
    Good,
    /// It did not, or the key is not for this algorithm.
    Bad,
    /// No key has that name.
    UnknownKey,
}

impl Assertion {
    /// Takes one apart: whose it is, and the rest. `iss` and `sub` are one client (RFC 7523 §3, W74).
    pub fn parse(text: &str) -> Result<(ClientId, Self), InvalidAssertion> {
        let jwt = Unverified::parse(text).map_err(|_| InvalidAssertion)?;
        // Media types have no case (RFC 7515 §4.1.9). Tokens of other kinds are no assertions (RFC 8725
        // §3.11): an ID token or an access token of ours cannot stand in for one.
        let typ = jwt.typ.as_deref();
        let known = |typ: &str| {
            ["jwt", "client-authentication+jwt"].iter().any(|own| typ.eq_ignore_ascii_case(own))
        };
        if !typ.is_none_or(known) {
            return Err(InvalidAssertion);
        }
        let id = text_claim(&jwt.claims, "iss").ok_or(InvalidAssertion)?;
        if text_claim(&jwt.claims, "sub") != Some(id) {
            return Err(InvalidAssertion);
        }
        let id = id.parse().map_err(|_| InvalidAssertion)?;
        let assertion = Self {
            algorithm: Algorithm::parse(&jwt.algorithm).ok_or(InvalidAssertion)?,
            kid: jwt.kid,
            claims: jwt.claims,
            input: jwt.signing_input.to_owned(),
            signature: Zeroizing::new(jwt.signature),
        };
        Ok((id, assertion))
    }

    /// Whether it is meant for us, now, and once; what that is worth when its signature is good.
    pub(crate) fn judge(&self, expected: &Expected<'_>) -> Result<Proven, InvalidAssertion> {
        let now = expected.now;
        if !self.is_meant_for(expected) {
            return Err(InvalidAssertion);
        }
        let expires_at = self.time("exp")?.ok_or(InvalidAssertion)?;
        if expires_at <= now || expires_at > now.plus(AHEAD_MAX_S + SKEW_S) {
            return Err(InvalidAssertion);
        }
        for name in ["iat", "nbf"] {
            if self.time(name)?.is_some_and(|time| time > now.plus(SKEW_S)) {
                return Err(InvalidAssertion);
            }
        }
        let jti = text_claim(&self.claims, "jti").ok_or(InvalidAssertion)?;
        if !(1..=JTI_MAX).contains(&jti.chars().count()) {
            return Err(InvalidAssertion);
        }
        Ok(Proven { jti_hash: Sha256::digest(jti).into(), expires_at })
    }

    /// Whether a key of `keys` made it, as `verify` computes.
    pub(crate) fn signature(
        &self,
        keys: &KeySet,
        verify: impl Fn(&Key, &Signed<'_>) -> bool,
    ) -> Signature {
        let signed =
            Signed { algorithm: self.algorithm, input: &self.input, signature: &self.signature };
        match keys.named(self.kid.as_deref(), self.algorithm) {
            Named::One(key) if verify(key, &signed) => Signature::Good,
            Named::One(_) | Named::Unfit => Signature::Bad,
            Named::Unknown => Signature::UnknownKey,
        }
    }

    /// An assertion for another server must not count here, nor one for us there: `aud` is the issuer, as a
    /// string (W73). Old libraries name an endpoint, or put one value into an array; a client may be registered
    /// for that, visibly. Whichever endpoint they call, many name the token endpoint: "The Audience SHOULD be the
    /// URL of the Authorization Server's Token Endpoint" (OIDC Core §9).
    fn is_meant_for(&self, expected: &Expected<'_>) -> bool {
        let audience = match (self.claims.get("aud"), expected.endpoint) {
            (Some(Value::String(audience)), _) => audience,
            (Some(Value::Array(audiences)), Some(_)) => match audiences.as_slice() {
                [Value::String(audience)] => audience,
                _ => return false,
            },
            _ => return false,
        };
        let names_endpoint = |called: &str| {
            audience == called
                || audience.strip_prefix(expected.issuer) == Some(discovery::TOKEN_ENDPOINT)
        };
        audience == expected.issuer || expected.endpoint.is_some_and(names_endpoint)
    }

    /// A time that is a whole number of seconds since the epoch, not before it.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, InvalidAssertion> {
        let Some(value) = self.claims.get(name) else { return Ok(None) };
        let seconds = value.as_i64().filter(|seconds| *seconds >= 0).ok_or(InvalidAssertion)?;
        Ok(Some(Timestamp(seconds)))
    }
}

fn text_claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

#[cfg(test)]
#[path = "assertion_tests.rs"]
mod tests;
