//! What a relying party does with a token: read it, and check it against the published keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

/// A token's header, unchecked.
#[track_caller]
pub fn header(token: &str) -> Value {
    part(token, 0)
}

/// A token's claims, unchecked.
#[track_caller]
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

/// A token's claims, its signature checked with the key of its `kid` in a JWKS, `exp` and `iss` and `aud`
/// checked too.
///
/// # Errors
/// Why a relying party would refuse it.
pub fn verify(token: &str, jwks: &Value, issuer: &str, audience: &str) -> Result<Value, String> {
    let set: JwkSet = serde_json::from_value(jwks.clone()).map_err(|error| error.to_string())?;
    let header = decode_header(token).map_err(|error| error.to_string())?;
    let kid = header.kid.ok_or("no kid")?;
    let jwk = set.find(&kid).ok_or_else(|| format!("{kid} is not published"))?;
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = 0;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    decode::<Value>(token, &key, &validation)
        .map(|data| data.claims)
        .map_err(|error| error.to_string())
}

#[track_caller]
fn part(token: &str, index: usize) -> Value {
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "no JWS: {token}");
    let bytes = URL_SAFE_NO_PAD.decode(parts.get(index).copied().unwrap_or_default()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
