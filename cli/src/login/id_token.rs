//! The ID token, checked as OpenID Connect Core §3.1.3.7 says: it proves that the answer is ours.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

use crate::clients::CLI;
use crate::failure::Failure;

/// Seconds by which this machine's clock may differ.
const LEEWAY_S: u64 = 60;

#[derive(Deserialize)]
struct Claims {
    nonce: String,
}

/// Refuses a token that this issuer did not make for this client and this attempt.
pub(super) fn check(token: &str, keys: Value, issuer: &str, nonce: &str) -> Result<(), Failure> {
    let refuse = |problem: String| Failure::value("the ID token", problem);
    let keys: JwkSet = serde_json::from_value(keys).map_err(|error| refuse(error.to_string()))?;
    let header = decode_header(token).map_err(|error| refuse(error.to_string()))?;
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
        return Err(refuse("its algorithm is neither RS256 nor ES256".to_owned()));
    }
    let kid = header.kid.ok_or_else(|| refuse("it names no key".to_owned()))?;
    let key = keys.find(&kid).ok_or_else(|| refuse("its key is not published".to_owned()))?;
    let key = DecodingKey::from_jwk(key).map_err(|error| refuse(error.to_string()))?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY_S;
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[CLI]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<Claims>(token, &key, &validation)
        .map_err(|error| refuse(error.to_string()))?
        .claims;
    if claims.nonce != nonce {
        return Err(refuse("it belongs to another attempt (nonce)".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
#[path = "id_token_tests.rs"]
mod tests;
