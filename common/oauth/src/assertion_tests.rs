use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://as.example";
const ENDPOINT: &str = "https://as.example/oauth/token";
const NOW: i64 = 1_000_000;

fn claims() -> Value {
    json!({"iss": "app", "sub": "app", "aud": ISSUER, "exp": NOW + 60, "jti": "j1"})
}

fn text(header: &str, claims: &str) -> String {
    let b64 = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.AAAA", b64(header), b64(claims))
}

fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn judged(claims: &Value, endpoint: Option<&str>) -> Result<Proven, InvalidAssertion> {
    let (_, assertion) = Assertion::parse(&text(r#"{"alg":"ES256"}"#, &claims.to_string()))?;
    assertion.judge(&Expected { issuer: ISSUER, endpoint, now: Timestamp(NOW) })
}

#[test]
fn a_good_assertion_proves_its_jti_until_it_expires() {
    let proven = judged(&claims(), None).unwrap();
    assert_eq!(proven.expires_at(), Timestamp(NOW + 60));
    assert_eq!(*proven.jti_hash(), <[u8; 32]>::from(Sha256::digest("j1")));
    let other = judged(&with(&json!({"jti": "j2"})), None).unwrap();
    assert_ne!(proven.jti_hash(), other.jti_hash());
}

#[test]
fn w73_the_audience_is_the_issuer_as_a_string() {
    for aud in [
        json!(ENDPOINT),
        json!([ISSUER]),
        json!([ISSUER, ENDPOINT]),
        json!([]),
        json!({}),
        json!(null),
        json!("https://as.example/"),
        json!("https://AS.example"),
        json!("https://as.example/t/acme"),
        json!("https://other.example"),
        json!("as.example"),
        json!(""),
        json!(1),
    ] {
        assert!(judged(&with(&json!({"aud": aud})), None).is_err(), "{aud}");
    }
    assert!(judged(&without("aud"), None).is_err());
}

#[test]
fn w73_the_endpoint_is_an_audience_only_for_a_client_that_is_registered_so() {
    let par = "https://as.example/oauth/par";
    for (aud, ok) in [
        (json!(ISSUER), true),
        (json!(ENDPOINT), true),
        (json!([ISSUER]), true),
        (json!([ENDPOINT]), true),
        (json!([ENDPOINT, ISSUER]), false),
        (json!([ENDPOINT, "https://other.example"]), false),
        (json!([]), false),
        (json!([[ENDPOINT]]), false),
        (json!(par), false),
        (json!("https://other.example/oauth/token"), false),
    ] {
        assert_eq!(judged(&with(&json!({"aud": aud})), Some(ENDPOINT)).is_ok(), ok, "{aud}");
    }
}

#[test]
fn w73_at_every_endpoint_the_token_endpoint_is_an_audience_for_such_a_client() {
    let revoke = "https://as.example/oauth/revoke";
    for (aud, ok) in [
        (json!(revoke), true),
        (json!(ENDPOINT), true),
        (json!([ENDPOINT]), true),
        (json!("https://as.example/t/acme/oauth/token"), false),
        (json!("https://as.example/oauth/token/"), false),
        (json!("https://as.example/oauth/par"), false),
        (json!("/oauth/token"), false),
    ] {
        assert_eq!(judged(&with(&json!({"aud": aud})), Some(revoke)).is_ok(), ok, "{aud}");
    }
}

#[test]
fn w76_w77_times_are_integers_within_their_bounds() {
    for (changes, ok) in [
        (json!({"exp": NOW}), false),
        (json!({"exp": NOW + 1}), true),
        (json!({"exp": NOW + 310}), true),
        (json!({"exp": NOW + 311}), false),
        (json!({"exp": 4_102_444_800_u64}), false),
        (json!({"exp": i64::MAX}), false),
        (json!({"exp": u64::MAX}), false),
        (json!({"exp": 1e308}), false),
        (json!({"exp": 1_000_060.0}), false),
        (json!({"exp": "1000060"}), false),
        (json!({"exp": -1}), false),
        (json!({"exp": null}), false),
        (json!({"iat": NOW, "nbf": NOW}), true),
        (json!({"iat": NOW - 1000}), true),
        (json!({"iat": NOW + 10}), true),
        (json!({"iat": NOW + 11}), false),
        (json!({"nbf": NOW + 10}), true),
        (json!({"nbf": NOW + 11}), false),
        (json!({"iat": 0.5}), false),
        (json!({"nbf": "0"}), false),
        (json!({"iat": -1}), false),
        (json!({"nbf": null}), false),
    ] {
        assert_eq!(judged(&with(&changes), None).is_ok(), ok, "{changes}");
    }
    assert!(judged(&without("exp"), None).is_err());
}

#[test]
fn w75_w76_a_jti_is_required_and_bounded() {
    for (jti, ok) in [
        (json!("x".repeat(255)), true),
        (json!("\u{e9}".repeat(255)), true),
        (json!("x".repeat(256)), false),
        (json!(""), false),
        (json!(1), false),
        (json!(null), false),
        (json!(["j"]), false),
    ] {
        assert_eq!(judged(&with(&json!({"jti": jti})), None).is_ok(), ok, "{jti}");
    }
    assert!(judged(&without("jti"), None).is_err());
}

#[test]
fn w74_issuer_and_subject_are_one_client() {
    for changes in [
        json!({"iss": "other"}),
        json!({"sub": "other"}),
        json!({"sub": null}),
        json!({"iss": ["app"]}),
        json!({"iss": "", "sub": ""}),
        json!({"iss": "a b", "sub": "a b"}),
        json!({"iss": 1, "sub": 1}),
    ] {
        let text = text(r#"{"alg":"ES256"}"#, &with(&changes).to_string());
        assert!(Assertion::parse(&text).is_err(), "{changes}");
    }
    for name in ["iss", "sub"] {
        let text = text(r#"{"alg":"ES256"}"#, &without(name).to_string());
        assert!(Assertion::parse(&text).is_err(), "{name}");
    }
}

#[test]
fn w78_w79_w80_w81_headers_that_are_no_assertions() {
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"nOnE"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"ES512"}"#,
        r#"{"alg":"es256"}"#,
        r#"{"alg":"ES256","jwk":{}}"#,
        r#"{"alg":"ES256","jku":"https://evil.example"}"#,
        r#"{"alg":"ES256","x5u":"https://evil.example"}"#,
        r#"{"alg":"ES256","x5c":[]}"#,
        r#"{"alg":"ES256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"ES256","zip":"DEF"}"#,
        r#"{"alg":"ES256","kid":1}"#,
        r#"{"alg":"ES256","alg":"none"}"#,
        r#"{"alg":"ES256","typ":"at+jwt"}"#,
        r#"{"alg":"ES256","typ":"dpop+jwt"}"#,
        r#"{"alg":"ES256","typ":""}"#,
        r#"{"kid":"k"}"#,
    ] {
        assert!(Assertion::parse(&text(header, &claims().to_string())).is_err(), "{header}");
    }
    for typ in ["JWT", "jwt", "client-authentication+jwt"] {
        let header = format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#);
        assert!(Assertion::parse(&text(&header, &claims().to_string())).is_ok(), "{typ}");
    }
    // A JWE has five parts; the JSON serialisation none; a JWT inside a JWT is no object.
    let good = text(r#"{"alg":"ES256"}"#, &claims().to_string());
    let nested = text(r#"{"alg":"ES256","cty":"JWT"}"#, &good);
    for bad in [format!("{good}.AA.AA"), r#"{"payload":"","signatures":[]}"#.to_owned(), nested] {
        assert!(Assertion::parse(&bad).is_err(), "{bad}");
    }
}

#[test]
fn w85_claims_can_be_read_in_one_way_only() {
    let twice = claims().to_string().replacen('{', r#"{"sub":"other","#, 1);
    assert!(Assertion::parse(&text(r#"{"alg":"ES256"}"#, &twice)).is_err());
}

#[test]
fn w86_more_than_8_kib_is_not_looked_at() {
    let long = with(&json!({"x": "x".repeat(8 * 1024)}));
    assert!(Assertion::parse(&text(r#"{"alg":"ES256"}"#, &long.to_string())).is_err());
}

#[test]
fn only_the_named_key_is_asked() {
    let key = |kid: &str, fill: u8| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": URL_SAFE_NO_PAD.encode([fill; 32])});
    let keys = KeySet::parse(&json!({"keys": [key("a", 5), key("b", 6)]})).unwrap();
    let outcome = |header: &str, good: &str| {
        let text = text(header, &claims().to_string());
        let (_, assertion) = Assertion::parse(&text).unwrap();
        assertion.signature(&keys, |key, signed| {
            assert_eq!(text, format!("{}.AAAA", signed.input));
            assert_eq!((signed.signature, signed.algorithm), (&[0; 3][..], Algorithm::EdDsa));
            key.kid() == Some(good)
        })
    };
    assert_eq!(outcome(r#"{"alg":"EdDSA","kid":"a"}"#, "a"), Signature::Good);
    assert_eq!(outcome(r#"{"alg":"EdDSA","kid":"a"}"#, "b"), Signature::Bad);
    assert_eq!(outcome(r#"{"alg":"EdDSA","kid":"c"}"#, "a"), Signature::UnknownKey);
    assert_eq!(outcome(r#"{"alg":"EdDSA"}"#, "a"), Signature::Bad);
    assert_eq!(outcome(r#"{"alg":"ES256","kid":"a"}"#, "a"), Signature::Bad);
    assert_eq!(outcome(r#"{"alg":"ES256"}"#, "a"), Signature::UnknownKey);
}
