//! Corpora of what clients prove themselves by.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::{Seed, named};

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key with some members changed; null takes one away.
fn with(key: &Value, changes: Value) -> Value {
    let mut key = key.clone();
    if let (Some(own), Value::Object(changes)) = (key.as_object_mut(), changes) {
        own.extend(changes);
        own.retain(|_, value| !value.is_null());
    }
    key
}

pub(crate) fn key_sets() -> Vec<Seed> {
    let x = "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY";
    let y = "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";
    let ec = json!({"kty": "EC", "crv": "P-256", "kid": "a", "x": x, "y": y});
    let p384 = json!({"kty": "EC", "crv": "P-384", "x": b64(&[1; 48]), "y": b64(&[2; 48])});
    let rsa = json!({"kty": "RSA", "kid": "r", "n": b64(&[0xff; 256]), "e": "AQAB"});
    let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&[9; 32])});
    let one = |key: Value| json!({"keys": [key]});
    let all = [
        ("each-kind", json!({"keys": [ec, p384, rsa, ed]})),
        ("used", one(with(&ec, json!({"use": "sig", "key_ops": ["verify"], "alg": "ES256"})))),
        ("certificates", one(with(&rsa, json!({"x5c": ["MIIB"], "x5t": "AA", "alg": "PS256"})))),
        ("without-kid", one(with(&ec, json!({"kid": null})))),
        ("largest", one(with(&rsa, json!({"n": b64(&[0xff; 512])})))),
        ("too-large", one(with(&rsa, json!({"n": b64(&[0xff; 513])})))),
        ("too-small", one(with(&rsa, json!({"n": b64(&[0x7f; 256])})))),
        ("exponent-three", one(with(&rsa, json!({"e": "Aw"})))),
        ("padded", one(with(&ec, json!({"x": format!("{x}=")})))),
        ("private", one(with(&ec, json!({"d": x})))),
        ("symmetric", one(json!({"kty": "oct", "k": "AQAB"}))),
        ("encryption", json!({"keys": [with(&rsa, json!({"use": "enc"})), ec]})),
        ("foreign-curve", one(with(&ec, json!({"crv": "secp256k1"})))),
        ("other-alg", one(with(&ec, json!({"alg": "RS256"})))),
        ("small-order", one(with(&ed, json!({"x": b64(&[0; 32])})))),
        ("beyond-field", one(with(&ec, json!({"x": b64(&[0xff; 32])})))),
        ("twice", json!({"keys": [ec, ec]})),
        ("many", json!({"keys": vec![with(&ed, json!({"kid": null})); 20]})),
        ("too-many", json!({"keys": vec![json!({}); 21]})),
        ("none", json!({"keys": []})),
        ("kid-number", one(with(&ec, json!({"kid": 1})))),
        ("array", json!([ec])),
    ];
    all.into_iter().map(|(name, json)| (name.to_owned(), json.to_string().into_bytes())).collect()
}

pub(crate) fn client_assertions() -> Vec<Seed> {
    let header = json!({"alg": "EdDSA", "kid": "e", "typ": "JWT"});
    let claims = json!({
        "iss": "app", "sub": "app", "aud": "https://as.example", "exp": 1_000_060, "iat": 1_000_000, "jti": "j"
    });
    let text = |header: &Value, claims: &Value| {
        format!(
            "{}.{}.AAAA",
            b64(header.to_string().as_bytes()),
            b64(claims.to_string().as_bytes())
        )
    };
    let claim = |changes: Value| text(&header, &with(&claims, changes));
    let head = |changes: Value| text(&with(&header, changes), &claims);
    let endpoint = "https://as.example/oauth/token";
    let good = text(&header, &claims);
    let all = [
        ("good", good.clone()),
        ("rsa", head(json!({"alg": "PS256", "kid": "r"}))),
        ("without-kid", head(json!({"kid": null, "typ": "client-authentication+jwt"}))),
        ("endpoint", claim(json!({"aud": endpoint}))),
        ("array", claim(json!({"aud": ["https://as.example"]}))),
        ("two-audiences", claim(json!({"aud": [endpoint, "https://as.example"]}))),
        ("foreign-audience", claim(json!({"aud": "https://other.example"}))),
        ("slash", claim(json!({"aud": "https://as.example/"}))),
        ("latest", claim(json!({"exp": 1_000_310, "nbf": 1_000_010}))),
        ("too-late", claim(json!({"exp": 1_000_311}))),
        ("over", claim(json!({"exp": 1_000_000}))),
        ("float", claim(json!({"exp": 1_000_060.0}))),
        ("huge", claim(json!({"exp": 1e308}))),
        ("from-tomorrow", claim(json!({"nbf": 1_086_400}))),
        ("no-jti", claim(json!({"jti": null}))),
        ("long-jti", claim(json!({"jti": "x".repeat(256)}))),
        ("other-subject", claim(json!({"sub": "other"}))),
        ("other-client", claim(json!({"iss": "other", "sub": "other"}))),
        ("wrong-alg", head(json!({"alg": "RS256", "kid": "r"}))),
        ("unknown-kid", head(json!({"kid": "x"}))),
        ("hmac", head(json!({"alg": "HS256"}))),
        ("unsigned", good.replace(".AAAA", ".")),
        ("own-key", head(json!({"jwk": {"kty": "OKP"}}))),
        ("access-token", head(json!({"typ": "at+jwt"}))),
    ];
    all.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect()
}

/// Metadata of clients that sign.
pub(crate) fn clients() -> Vec<Seed> {
    named(&[
        (
            "signs",
            r#"{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","assertion_audience_endpoint":true,"jwks":{"keys":[{"kty":"OKP","crv":"Ed25519","x":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk"}]}}"#,
        ),
        (
            "signs-elsewhere",
            r#"{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/jwks"}"#,
        ),
        (
            "signs-without-keys",
            r#"{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt"}"#,
        ),
    ])
}
