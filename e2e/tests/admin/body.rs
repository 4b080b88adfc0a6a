//! W99, W152, W160: what the management API makes of a body that is not what it should be. Nothing is changed.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use e2e::{Response, Stand, bearer};
use serde_json::json;

use crate::{admin_token, discreet, own_stand, owner, text};

/// One installation and one token for all of these: none of them may change anything.
fn rig() -> MutexGuard<'static, (Stand, String)> {
    static RIG: OnceLock<Mutex<(Stand, String)>> = OnceLock::new();
    RIG.get_or_init(|| {
        let stand = own_stand();
        let token = admin_token(&stand);
        Mutex::new((stand, token))
    })
    .lock()
    .unwrap_or_else(PoisonError::into_inner)
}

fn post(stand: &Stand, token: &str, kind: Option<&str>, body: &[u8]) -> Response {
    let mut headers = vec![bearer(token)];
    headers.extend(kind.map(|kind| ("content-type", kind.to_owned())));
    stand.client().send("POST", &format!("{}/api/v1/keys", stand.api()), &headers, body)
}

#[track_caller]
fn refused(cases: &[(&str, Vec<u8>)], status: u16, code: &str) {
    let rig = rig();
    let (stand, token) = &*rig;
    let state = || {
        owner(
            stand,
            "SELECT count(*), (SELECT count(*) FROM audit_events WHERE type LIKE 'key.%') FROM signing_keys",
        )
    };
    let before = state();
    for (what, body) in cases {
        let response = post(stand, token, Some("application/json"), body);
        assert_eq!(response.status, status, "{what}: {}", response.text());
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{what}");
        assert_eq!(text(&response.json(), "code"), code, "{what}");
        discreet(&response);
    }
    assert_eq!(state(), before);
    let health = format!("{}/readyz", stand.api());
    stand.client().get(&health).expect(200);
    assert!(!stand.admind_here().log().contains("panicked"));
}

#[test]
fn w99_what_is_not_strict_json_is_malformed() {
    let good = r#"{"class":"token","algorithm":"ES256"}"#;
    let text = |text: &str| text.as_bytes().to_vec();
    refused(
        &[
            ("nothing", vec![]),
            ("white space", text("  \n")),
            ("a word", text("token")),
            ("an array", text(&format!("[{good}]"))),
            ("null", text("null")),
            ("a string", text("\"{}\"")),
            ("half of it", text(&good[..good.len() - 1])),
            ("twice", text(&format!("{good}{good}"))),
            ("something after it", text(&format!("{good} x"))),
            ("a NUL after it", text(&format!("{good}\0"))),
            ("a comment", text(&format!("/* */{good}"))),
            ("a comma too many", text(r#"{"class":"token","algorithm":"ES256",}"#)),
            ("single quotes", text(&good.replace('"', "'"))),
            ("a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
            ("not UTF-8", b"{\"class\":\"\xff\",\"algorithm\":\"ES256\"}".to_vec()),
            ("half a surrogate", text(r#"{"class":"\ud800","algorithm":"ES256"}"#)),
            ("no number", text(r#"{"class":NaN,"algorithm":"ES256"}"#)),
            ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("a key twice", text(r#"{"class":"token","class":"audit","algorithm":"ES256"}"#)),
            (
                "a key twice, the same",
                text(r#"{"class":"token","class":"token","algorithm":"ES256"}"#),
            ),
            (
                "a key twice, escaped",
                text(r#"{"class":"token","cl\u0061ss":"audit","algorithm":"ES256"}"#),
            ),
            (
                "a key twice further down",
                text(r#"{"class":"token","algorithm":"ES256","x":{"a":1,"a":2}}"#),
            ),
            ("a deep array", text(&format!("{{\"class\":{}", "[".repeat(30_000)))),
            (
                "a deep array that ends",
                text(&format!("{{\"class\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000))),
            ),
            ("a deep object", text(&format!("{}1{}", "{\"a\":".repeat(8000), "}".repeat(8000)))),
        ],
        400,
        "malformed",
    );
}

#[test]
fn w152_a_field_that_is_unknown_missing_or_wrong_is_invalid() {
    let text = |text: &str| text.as_bytes().to_vec();
    let mut cases = vec![
        ("nothing in it", text("{}")),
        ("one of two", text(r#"{"class":"token"}"#)),
        ("a number", text(r#"{"class":1,"algorithm":"ES256"}"#)),
        ("null", text(r#"{"class":null,"algorithm":"ES256"}"#)),
        ("an array", text(r#"{"class":["token"],"algorithm":"ES256"}"#)),
        ("an unknown class", text(r#"{"class":"root","algorithm":"ES256"}"#)),
        ("another case", text(r#"{"class":"Token","algorithm":"ES256"}"#)),
        ("white space", text(r#"{"class":"token ","algorithm":"ES256"}"#)),
        ("no algorithm", text(r#"{"class":"token","algorithm":"none"}"#)),
        ("a shared secret", text(r#"{"class":"token","algorithm":"HS256"}"#)),
        ("SQL", text(r#"{"class":"token'; DROP TABLE users; --","algorithm":"ES256"}"#)),
        ("an algorithm that the class has not", text(r#"{"class":"admin","algorithm":"RS256"}"#)),
        ("an algorithm that the class has not", text(r#"{"class":"audit","algorithm":"RS256"}"#)),
        ("an algorithm that the class has not", text(r#"{"class":"admin","algorithm":"EdDSA"}"#)),
        ("another case", text(r#"{"class":"token","algorithm":"EDDSA"}"#)),
        ("a curve", text(r#"{"class":"token","algorithm":"Ed25519"}"#)),
        (
            "an issuer that there is not",
            text(r#"{"class":"token","algorithm":"ES256","issuer":"https://example.com"}"#),
        ),
        ("an issuer that is none", text(r#"{"class":"token","algorithm":"ES256","issuer":7}"#)),
    ];
    for column in [
        "id",
        "kid",
        "state",
        "issuer",
        "issuer_id",
        "statement",
        "not_sign_before",
        "created_at",
        "tenant_id",
        "actor",
        "x",
    ] {
        cases.push((
            "an unknown field",
            text(&format!(r#"{{"class":"token","algorithm":"ES256","{column}":"active"}}"#)),
        ));
    }
    refused(&cases, 422, "invalid");
}

#[test]
fn w160_only_json_is_read() {
    let rig = rig();
    let (stand, token) = &*rig;
    let good = br#"{"class":"token","algorithm":"ES256"}"#;
    for kind in [
        None,
        Some(""),
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/jsonp"),
        Some("application/json-patch+json"),
        Some("text/json"),
        Some("application"),
        Some("text/plain, application/json"),
    ] {
        for act in ["activate", "retire"] {
            let path = format!("{}/api/v1/keys/AAAAAAAAAAAAAAAAAAAAAA/{act}", stand.api());
            let mut headers = vec![bearer(token)];
            headers.extend(kind.map(|kind| ("content-type", kind.to_owned())));
            let answer = stand.client().send("POST", &path, &headers, b"{}");
            assert_eq!(answer.status, 415, "{act} as {kind:?}: {}", answer.text());
        }
        let response = post(stand, token, kind, good);
        assert_eq!(response.status, 415, "{kind:?}: {}", response.text());
        assert_eq!(text(&response.json(), "code"), "unsupported_media_type");
    }
    // It is the type that is right here, and the body that is not.
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        post(stand, token, Some(kind), b"{}").expect(422);
    }
    let two = [
        bearer(token),
        ("content-type", "application/json".to_owned()),
        ("content-type", "text/plain".to_owned()),
    ];
    let response = stand.client().send("POST", &format!("{}/api/v1/keys", stand.api()), &two, good);
    assert!(matches!(response.status, 400 | 415), "{}", response.status);
    assert_eq!(owner(stand, "SELECT count(*) FROM signing_keys"), "7");
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let rig = rig();
    let (stand, token) = &*rig;
    let body = format!(r#"{{"class":"token","algorithm":"{}"}}"#, "A".repeat(100_000));
    let response = post(stand, token, Some("application/json"), body.as_bytes());
    assert_eq!(response.status, 413, "{}", response.text());
    discreet(&response);
}

#[test]
fn w150_an_id_that_is_none_is_not_found() {
    let rig = rig();
    let (stand, token) = &*rig;
    let before =
        owner(stand, "SELECT string_agg(kid || state, ',' ORDER BY kid) FROM signing_keys");
    for kid in [
        "x",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "'%20OR%20'1'='1",
        "%00",
        "%ff",
        "*",
        "null",
        "AAAAAAAAAAAAAAAAAAAAA%00",
        "%F0%9F%92%A9",
        &"A".repeat(5000),
    ] {
        for act in ["activate", "retire"] {
            let url = format!("{}/api/v1/keys/{kid}/{act}", stand.api());
            let response = stand.client().json("POST", &url, &[bearer(token)], &json!({}));
            assert!(
                matches!(response.status, 400 | 404 | 414 | 431),
                "{kid} {act}: {}",
                response.status
            );
            discreet(&response);
        }
    }
    let after = owner(stand, "SELECT string_agg(kid || state, ',' ORDER BY kid) FROM signing_keys");
    assert_eq!(before, after);
}
