//! The assertion of a client, up to the arithmetic of its signature.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth::Timestamp;
use oauth::assertion::{Assertion, TYPE};
use oauth::client::{Client, Draft, Evidence, Metadata, Presented};
use oauth::form::{Form, encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

const ISSUER: &str = "https://as.example";
const ENDPOINT: &str = "https://as.example/oauth/token";
const NOW: i64 = 1_000_000;

/// One that may name the issuer alone, and one that may name the endpoint.
static CLIENTS: LazyLock<[Client; 2]> = LazyLock::new(|| [client(false), client(true)]);

fn client(endpoint: bool) -> Client {
    let x = URL_SAFE_NO_PAD.encode([5; 32]);
    let n = URL_SAFE_NO_PAD.encode([0xff; 256]);
    let draft: Draft = serde_json::from_value(json!({
        "redirect_uris": ["https://app.example/cb"],
        "token_endpoint_auth_method": "private_key_jwt",
        "assertion_audience_endpoint": endpoint,
        "jwks": {"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "e", "x": x},
            {"kty": "RSA", "kid": "r", "alg": "PS256", "n": n, "e": "AQAB"}
        ]}
    }))
    .expect("names of a draft");
    let metadata = Metadata::try_from(draft).expect("metadata that holds together");
    let id = "app".parse().expect("an id");
    Client { key: oauth::ids::ClientKey(Uuid::nil()), id, tenant: None, metadata }
}

/// Whatever proves a client says so to a second reader as well: for us, now, once, by a key of the client.
pub fn client_assertion(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok((id, _)) = Assertion::parse(text) else { return false };
    let claims = part(text, 1);
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(id.as_str()), &json!(id.as_str())));
    let body = format!("client_assertion={}&client_assertion_type={}", encode(text), encode(TYPE));
    let form = Form::parse(body.as_bytes()).expect("two parameters");
    let presented = Presented::parse(None, &form).expect("accepted, so it is presented");
    assert_eq!(presented.client_id(), &id);
    let mut any = false;
    for client in CLIENTS.iter() {
        for signed in [false, true] {
            let evidence = Evidence {
                secrets: &[],
                fetched: None,
                issuer: ISSUER,
                endpoint: ENDPOINT,
                now: Timestamp(NOW),
            };
            let header = part(text, 0);
            let outcome = client.clone().authenticate(&presented, &evidence, |key, signature| {
                assert_eq!(header["alg"], signature.algorithm.as_str());
                assert!(header.get("kid").is_none_or(|kid| kid.as_str() == key.kid()));
                assert!(key.fits(signature.algorithm));
                assert!(text.starts_with(signature.input));
                signed
            });
            let Ok((_, proven)) = outcome else { continue };
            assert!(signed, "without a signature");
            let proven = proven.expect("an assertion is spent");
            assert_eq!(proven.expires_at(), Timestamp(claims["exp"].as_i64().expect("an integer")));
            let jti = claims["jti"].as_str().expect("a text");
            assert_eq!(proven.jti_hash().to_vec(), Sha256::digest(jti).to_vec());
            judged(&claims, client.metadata.assertion_audience_endpoint);
            any = true;
        }
    }
    any
}

fn judged(claims: &Value, endpoint: bool) {
    assert_eq!(claims["iss"], "app");
    let by_issuer = claims["aud"] == ISSUER;
    let named = [json!(ENDPOINT), json!([ENDPOINT]), json!([ISSUER])].contains(&claims["aud"]);
    assert!(by_issuer || endpoint && named, "{claims}");
    let exp = claims["exp"].as_u64().expect("an integer");
    assert!((1_000_001..=1_000_310).contains(&exp));
    for name in ["iat", "nbf"] {
        assert!(claims.get(name).is_none_or(|at| at.as_u64().is_some_and(|at| at <= 1_000_010)));
    }
    assert!((1..=255).contains(&claims["jti"].as_str().map_or(0, |jti| jti.chars().count())));
}

fn part(text: &str, index: usize) -> Value {
    let part = text.split('.').nth(index).expect("three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}
