//! The compact form of a JWS, taken apart strictly. No signature is checked here: whoever holds keys does that.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Longest token that is looked at, in bytes; refused before anything is decoded (W86).
pub const TOKEN_MAX: usize = 8 * 1024;

/// Text that is no compact JWS, or one whose header we do not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidJwt;

impl std::fmt::Display for InvalidJwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a compact JWS")
    }
}

impl std::error::Error for InvalidJwt {}

/// A compact JWS whose signature nobody has checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Unverified<'a> {
    /// `alg`, as written.
    pub algorithm: String,
    /// `kid`, when present.
    pub kid: Option<String>,
    /// `typ`, when present.
    pub typ: Option<String>,
    /// The claims, not yet to be believed.
    pub claims: Map<String, Value>,
    /// What the signature covers.
    pub signing_input: &'a str,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

/// Header members that would let the sender choose the key or change what is signed (W80, W81).
const FORBIDDEN: [&str; 8] = ["jwk", "jku", "x5u", "x5c", "x5t", "crit", "b64", "zip"];

impl<'a> Unverified<'a> {
    /// Three canonical base64url parts, strict JSON in the first two, no header that chooses its own key.
    pub fn parse(text: &'a str) -> Result<Self, InvalidJwt> {
        if text.len() > TOKEN_MAX {
            return Err(InvalidJwt);
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidJwt);
        };
        let signing_input = text.get(..header.len() + 1 + payload.len()).ok_or(InvalidJwt)?;
        let header = object(header)?;
        if FORBIDDEN.iter().any(|name| header.contains_key(*name)) {
            return Err(InvalidJwt);
        }
        let algorithm = text_member(&header, "alg")?.ok_or(InvalidJwt)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| InvalidJwt)?;
        if signature.is_empty() {
            return Err(InvalidJwt);
        }
        Ok(Self {
            algorithm,
            kid: text_member(&header, "kid")?,
            typ: text_member(&header, "typ")?,
            claims: object(payload)?,
            signing_input,
            signature,
        })
    }
}

fn object(part: &str) -> Result<Map<String, Value>, InvalidJwt> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidJwt)?;
    wire::strict_object(&bytes).map_err(|_| InvalidJwt)
}

fn text_member(map: &Map<String, Value>, name: &str) -> Result<Option<String>, InvalidJwt> {
    match map.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(InvalidJwt),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        let b64 = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.AAAA", b64(header), b64(claims))
    }

    #[test]
    fn takes_a_token_apart() {
        let text = token(r#"{"alg":"ES256","kid":"k","typ":"at+jwt"}"#, r#"{"sub":"s"}"#);
        let jwt = Unverified::parse(&text).unwrap();
        assert_eq!((jwt.algorithm.as_str(), jwt.kid.as_deref()), ("ES256", Some("k")));
        assert_eq!(jwt.signing_input, text.rsplit_once('.').unwrap().0);
    }

    #[test]
    fn w80_w81_headers_that_choose_are_refused() {
        for member in FORBIDDEN {
            let text = token(&format!(r#"{{"alg":"ES256","{member}":"x"}}"#), "{}");
            assert_eq!(Unverified::parse(&text), Err(InvalidJwt), "{member}");
        }
    }

    #[test]
    fn w84_w85_w86_only_one_spelling_exists() {
        let good = token(r#"{"alg":"ES256"}"#, "{}");
        assert!(Unverified::parse(&good).is_ok());
        for bad in [
            format!("{good}="),
            format!("{good}."),
            format!(" {good}"),
            format!("{good}\n"),
            good.replace('.', ".."),
            good.rsplit_once('.').unwrap().0.to_owned() + ".",
            token(r#"{"alg":"ES256","alg":"none"}"#, "{}"),
            token(r#"{"alg":1}"#, "{}"),
            token("{}", "{}"),
            token(r#"{"alg":"ES256"}"#, "[]"),
            token(r#"{"alg":"ES256"}"#, r#"{"a":1,"a":2}"#),
            ".".repeat(1_000_000),
        ] {
            assert_eq!(Unverified::parse(&bad), Err(InvalidJwt), "{}", &bad[..bad.len().min(80)]);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = Unverified::parse(&text);
        }
    }
}
