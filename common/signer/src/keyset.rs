//! The keys that keyd believes in, ready for use: the JWKS, which key signs now, and verification.
//!
//! Built from keyd's answer and never from a table: a row that somebody planted is not in here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey, Validation};
use oauth::jwt::Unverified;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use wire::{Algorithm, Class, Jwk, KeyState, KeyView, Kid};

/// Text that no key of this issuer has signed for this class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs;

impl std::fmt::Display for NotOurs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a token signed by a key of this issuer")
    }
}

impl std::error::Error for NotOurs {}

/// One issuer's keys.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<KeyView>,
    jwks: Vec<u8>,
    etag: String,
}

impl KeySet {
    /// From everything keyd holds, the keys of `issuer`. Staged keys are published before they sign,
    /// retired ones until they are destroyed; keys that seal the audit log are nobody's business here.
    pub fn new(issuer: &str, keys: Vec<KeyView>) -> Self {
        let mut keys: Vec<_> = keys
            .into_iter()
            .filter(|key| key.issuer == issuer && key.class != Class::Audit)
            .collect();
        keys.sort_by_key(|key| (key.staged_at, key.kid));
        let jwks =
            json!({ "keys": keys.iter().map(jwk).collect::<Vec<_>>() }).to_string().into_bytes();
        let digest: [u8; 32] = Sha256::digest(&jwks).into();
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest));
        Self { keys, jwks, etag }
    }

    /// The JWKS document.
    pub fn jwks(&self) -> &[u8] {
        &self.jwks
    }

    /// Its strong entity tag, with quotes.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// The key that signs now: of several, the one that was activated last.
    pub fn signing(&self, class: Class, algorithm: Algorithm) -> Option<Kid> {
        self.keys
            .iter()
            .filter(|key| {
                key.class == class && key.algorithm == algorithm && key.state == KeyState::Active
            })
            .max_by_key(|key| (key.not_sign_before, key.kid))
            .map(|key| key.kid)
    }

    /// What a key of `class` signs with now, in the order of [`Algorithm::ALL`].
    pub fn algorithms(&self, class: Class) -> Vec<Algorithm> {
        let signs = |algorithm: &Algorithm| self.signing(class, *algorithm).is_some();
        Algorithm::ALL.into_iter().filter(signs).collect()
    }

    /// Whether there is a key for everything that is signed by default. The other algorithms come when the
    /// token can, and nobody waits for them.
    pub fn is_complete(&self) -> bool {
        [
            (Class::Token, Algorithm::Es256),
            (Class::Token, Algorithm::Rs256),
            (Class::Admin, Algorithm::Es256),
        ]
        .into_iter()
        .all(|(class, algorithm)| self.signing(class, algorithm).is_some())
    }

    /// The claims of `token`, if a key of this issuer and class signed it: exact `kid`, the key's own
    /// algorithm, `typ` as given. Times and audience are the caller's to judge.
    pub fn verify(
        &self,
        token: &str,
        class: Class,
        typ: &str,
    ) -> Result<Map<String, Value>, NotOurs> {
        let unverified = Unverified::parse(token).map_err(|_| NotOurs)?;
        let kid: Kid = unverified.kid.as_deref().ok_or(NotOurs)?.parse().map_err(|_| NotOurs)?;
        let key =
            self.keys.iter().find(|key| key.kid == kid && key.class == class).ok_or(NotOurs)?;
        if unverified.algorithm != key.algorithm.name() || unverified.typ.as_deref() != Some(typ) {
            return Err(NotOurs);
        }
        let mut validation = Validation::new(match key.algorithm {
            Algorithm::Es256 => JwtAlgorithm::ES256,
            Algorithm::Rs256 => JwtAlgorithm::RS256,
            Algorithm::Ps256 => JwtAlgorithm::PS256,
            Algorithm::Es384 => JwtAlgorithm::ES384,
            Algorithm::EdDsa => JwtAlgorithm::EdDSA,
        });
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let decoding = decoding_key(&key.public).ok_or(NotOurs)?;
        jsonwebtoken::decode::<Map<String, Value>>(token, &decoding, &validation)
            .map_err(|_| NotOurs)?;
        // The strict reader's claims, not the library's: no member can be read in two ways.
        Ok(unverified.claims)
    }
}

fn decoding_key(key: &Jwk) -> Option<DecodingKey> {
    match key {
        Jwk::P256 { x, y } => DecodingKey::from_ec_components(&b64(x), &b64(y)).ok(),
        Jwk::P384 { x, y } => DecodingKey::from_ec_components(&b64(x), &b64(y)).ok(),
        Jwk::Ed25519 { x } => DecodingKey::from_ed_components(&b64(x)).ok(),
        Jwk::Rsa { n, e } => Some(DecodingKey::from_rsa_raw_components(n, e)),
    }
}

fn jwk(key: &KeyView) -> Value {
    let mut members = match &key.public {
        // RFC 7518 §6.2.1: coordinates have the length of the curve's field, leading zeros included.
        Jwk::P256 { x, y } => json!({ "kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y) }),
        Jwk::P384 { x, y } => json!({ "kty": "EC", "crv": "P-384", "x": b64(x), "y": b64(y) }),
        // RFC 8037 §2.
        Jwk::Ed25519 { x } => json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(x) }),
        Jwk::Rsa { n, e } => json!({ "kty": "RSA", "n": b64(n), "e": b64(e) }),
    };
    if let Some(map) = members.as_object_mut() {
        map.insert("kid".into(), key.kid.to_string().into());
        map.insert("alg".into(), key.algorithm.name().into());
        map.insert("use".into(), "sig".into());
    }
    members
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
#[path = "keyset_tests.rs"]
mod tests;
