//! Clients' keys: what may be stored of what a `jwks_uri` answered.

use serde_json::Value;

/// Most keys of one set (W139).
const KEYS_MAX: usize = 20;
/// Members of a JWK that only its owner may know (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why an answer is no set of public keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKeySet {
    /// "A JWK Set is a JSON object … The JSON object MUST have a "keys" member, with its value being an
    /// array of JWKs" (RFC 7517 §5).
    Form,
    /// More keys than we keep.
    Many,
    /// It gives a secret away, which we do not want to hold either.
    Secret,
}

/// A JWK set of at most 20 public keys. Which of them can be used is decided by whoever uses them.
pub(super) fn key_set(bytes: &[u8]) -> Result<Value, NoKeySet> {
    let mut set = wire::strict_object(bytes).map_err(|_| NoKeySet::Form)?;
    let Some(Value::Array(keys)) = set.remove("keys") else { return Err(NoKeySet::Form) };
    if keys.len() > KEYS_MAX {
        return Err(NoKeySet::Many);
    }
    for key in &keys {
        let key = key.as_object().ok_or(NoKeySet::Form)?;
        if PRIVATE.iter().any(|member| key.contains_key(*member)) {
            return Err(NoKeySet::Secret);
        }
    }
    // PostgreSQL's jsonb cannot hold it, anywhere.
    let kept = serde_json::json!({ "keys": keys });
    if kept.to_string().contains("\\u0000") { Err(NoKeySet::Form) } else { Ok(kept) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(value: &Value) -> Result<Value, NoKeySet> {
        key_set(value.to_string().as_bytes())
    }

    #[test]
    fn the_keys_of_a_set_are_kept_and_nothing_beside_them() {
        let key = json!({ "kty": "EC", "crv": "P-256", "x": "a", "y": "b", "kid": "1" });
        assert_eq!(said(&json!({ "keys": [key], "more": 1 })), Ok(json!({ "keys": [key] })));
        assert_eq!(said(&json!({ "keys": [] })), Ok(json!({ "keys": [] })));
        let many = |count: usize| said(&json!({ "keys": vec![json!({ "kty": "RSA" }); count] }));
        assert!(many(20).is_ok());
        assert_eq!(many(21), Err(NoKeySet::Many), "w139");
    }

    #[test]
    fn what_is_no_set_of_public_keys_is_refused() {
        for bytes in [
            &b""[..],
            b"[]",
            b"null",
            b"{}",
            b"{\"keys\":{}}",
            b"{\"keys\":[1]}",
            b"{\"keys\":[[]]}",
            b"{\"keys\":[]} x",
            b"{\"keys\":[],\"keys\":[]}",
            b"{\"keys\":[{\"kty\":\"EC\",\"kty\":\"RSA\"}]}",
            b"{\"keys\":[{\"kid\":\"\\u0000\"}]}",
            b"<html>",
            b"\xff",
        ] {
            assert_eq!(key_set(bytes), Err(NoKeySet::Form), "{}", String::from_utf8_lossy(bytes));
        }
        for member in PRIVATE {
            let set = json!({ "keys": [{ "kty": "RSA" }, { "kty": "RSA", member: "x" }] });
            assert_eq!(said(&set), Err(NoKeySet::Secret), "{member}");
        }
    }
}
