//! The compact form of a JWS.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth::jwt::{TOKEN_MAX, Unverified};
use serde_json::Value;

/// Members of a header that would choose the key, or change what is signed.
const CHOOSING: [&str; 8] = ["jwk", "jku", "x5u", "x5c", "x5t", "crit", "b64", "zip"];

/// What is accepted has exactly one spelling, says what a second reader reads, and chooses no key.
pub fn jwt(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(jwt) = Unverified::parse(text) else { return false };
    assert!(text.len() <= TOKEN_MAX);

    let parts: Vec<&str> = text.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("{} parts", parts.len()) };
    assert_eq!(jwt.signing_input, format!("{header}.{payload}"));
    assert!(text.starts_with(jwt.signing_input));
    assert!(!jwt.signature.is_empty());
    assert_eq!(URL_SAFE_NO_PAD.encode(&jwt.signature), signature);

    let json = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("accepted, so it is base64url");
        assert_eq!(URL_SAFE_NO_PAD.encode(&bytes), part, "two spellings of one token");
        serde_json::from_slice::<Value>(&bytes).expect("accepted, so it is JSON")
    };
    let header = json(header);
    let member = |name: &str| header.get(name).map(|value| value.as_str().expect("a text"));
    assert_eq!(member("alg"), Some(jwt.algorithm.as_str()));
    assert_eq!(member("kid"), jwt.kid.as_deref());
    assert_eq!(member("typ"), jwt.typ.as_deref());
    assert!(CHOOSING.iter().all(|name| header.get(*name).is_none()), "{header}");
    assert_eq!(json(payload), Value::Object(jwt.claims.clone()));

    for other in [
        format!("{text}="),
        format!("{text}."),
        format!("{text}\n"),
        format!(" {text}"),
        format!("Bearer {text}"),
        text.replacen('.', "..", 1),
        format!("{}.", jwt.signing_input),
        jwt.signing_input.to_owned(),
    ] {
        assert!(Unverified::parse(&other).is_err(), "{other} is a token as well");
    }
    true
}
