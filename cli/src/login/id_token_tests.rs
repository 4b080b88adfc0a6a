use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::*;

const ISSUER: &str = "https://localhost:8080";

/// A key and the key set that publishes it as `kid`.
fn key(kid: &str) -> (EncodingKey, Value) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let part = |range| URL_SAFE_NO_PAD.encode(&point[range]);
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "use": "sig",
        "x": part(1..33), "y": part(33..65)});
    let der = pair.to_pkcs8v1().unwrap();
    (EncodingKey::from_ec_der(der.as_ref()), json!({ "keys": [jwk] }))
}

fn header(kid: Option<&str>) -> Header {
    Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::ES256) }
}

fn claims() -> Value {
    let now = host::clock::now_s();
    json!({"iss": ISSUER, "aud": CLI, "sub": "u", "iat": now, "exp": now + 300, "nonce": "n"})
}

#[test]
fn a_token_of_this_issuer_for_this_client_and_this_attempt_is_taken() {
    let (key, keys) = key("k");
    let token = encode(&header(Some("k")), &claims(), &key).unwrap();
    assert!(check(&token, keys, ISSUER, "n").is_ok());
}

#[test]
fn any_other_token_is_refused() {
    let (key, keys) = key("k");
    for (claim, value) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("another-client")),
        ("exp", json!(host::clock::now_s() - 120)),
        ("nonce", json!("another attempt")),
        ("iss", Value::Null),
        ("aud", Value::Null),
        ("exp", Value::Null),
        ("nonce", Value::Null),
        ("sub", Value::Null),
    ] {
        let mut claims = claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(claim);
        } else {
            claims[claim] = value.clone();
        }
        let token = encode(&header(Some("k")), &claims, &key).unwrap();
        assert!(check(&token, keys.clone(), ISSUER, "n").is_err(), "{claim} {value}");
    }
    for kid in [None, Some("another")] {
        let token = encode(&header(kid), &claims(), &key).unwrap();
        assert!(check(&token, keys.clone(), ISSUER, "n").is_err(), "{kid:?}");
    }
}

#[test]
fn another_key_another_algorithm_or_none_at_all_is_refused() {
    let ((_, keys), (stranger, _)) = (key("k"), key("k"));
    let token = encode(&header(Some("k")), &claims(), &stranger).unwrap();
    assert!(check(&token, keys.clone(), ISSUER, "n").is_err(), "another key under this name");

    let secret = keys["keys"][0]["x"].as_str().unwrap().as_bytes().to_vec();
    let confused = Header { kid: Some("k".into()), ..Header::new(Algorithm::HS256) };
    let token = encode(&confused, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
    assert!(check(&token, keys.clone(), ISSUER, "n").is_err(), "the public key as a shared secret");

    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.", part(&json!({"alg": "none", "kid": "k"})), part(&claims()));
    assert!(check(&token, keys, ISSUER, "n").is_err(), "no signature");
}
