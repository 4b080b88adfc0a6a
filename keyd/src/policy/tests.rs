//! What the policy accepts, and more than sixty things that it does not.

use serde_json::json;
use wire::{Jwk, thumbprint};

use super::*;

const NOW: u64 = 1_900_000_000;
const ADMIN: &str = "https://api.example.com";
const ISSUER: &str = "https://auth.example.com";

fn policy() -> Policy {
    Policy {
        admin_audience: ADMIN.to_owned(),
        access_lifetime_max_s: 86_400,
        admin_lifetime_max_s: 300,
        id_lifetime_max_s: 3600,
        jwks_max_age_s: 3600,
        clock_skew_s: 60,
    }
}

fn statement(class: Class) -> Statement {
    let public = Jwk::P256 { x: [1; 32], y: [2; 32] };
    Statement {
        kid: Kid([7; 16]),
        issuer: ISSUER.to_owned(),
        algorithm: Algorithm::Es256,
        class,
        thumbprint: thumbprint(&public),
        public,
        staged_at: NOW - 10_000,
        not_sign_before: Some(NOW - 5000),
        not_sign_after: None,
        serial: 2,
    }
}

fn good(purpose: Purpose) -> Value {
    match purpose {
        Purpose::AccessToken => json!({
            "iss": ISSUER, "sub": "u1", "aud": "https://app.example.com", "iat": NOW,
            "exp": NOW + 86_400, "jti": "j1", "client_id": "c1",
        }),
        Purpose::AdminToken => json!({
            "iss": ISSUER, "sub": "u1", "aud": ADMIN, "iat": NOW, "exp": NOW + 300, "jti": "j1",
            "client_id": "c1",
        }),
        Purpose::IdToken => json!({
            "iss": ISSUER, "sub": "u1", "aud": "c1", "iat": NOW, "exp": NOW + 3600,
        }),
    }
}

fn class_of(purpose: Purpose) -> Class {
    match purpose {
        Purpose::AccessToken | Purpose::IdToken => Class::Token,
        Purpose::AdminToken => Class::Admin,
    }
}

fn judge(purpose: Purpose, claims: &[u8]) -> Result<Prepared, Refused> {
    let sign = Sign { kid: Kid([7; 16]), purpose, claims: claims.to_vec() };
    policy().prepare(&Arc::new(statement(class_of(purpose))), &sign, NOW)
}

const PURPOSES: [Purpose; 3] = [Purpose::AccessToken, Purpose::AdminToken, Purpose::IdToken];

#[test]
fn what_each_purpose_needs_is_enough() {
    for (purpose, typ) in PURPOSES.into_iter().zip(["at+jwt", "at+jwt", "JWT"]) {
        let claims = good(purpose).to_string();
        let prepared = judge(purpose, claims.as_bytes()).unwrap();
        let expected = jws::signing_input(Algorithm::Es256, Kid([7; 16]), typ, claims.as_bytes());
        assert_eq!(prepared.message(), expected.as_bytes());
    }
}

#[test]
fn variations_that_are_allowed() {
    let cases: [(Purpose, &str, Value); 9] = [
        (Purpose::AdminToken, "aud", json!([ADMIN])),
        (Purpose::AccessToken, "aud", json!(["https://a.example.com", "https://b.example.com"])),
        (Purpose::AccessToken, "iat", json!(NOW - 60)),
        (Purpose::AccessToken, "exp", json!(NOW + 1)),
        (Purpose::AccessToken, "nbf", json!(NOW)),
        (Purpose::AccessToken, "cnf", json!({"x5t#S256": "abc"})),
        (Purpose::IdToken, "nonce", json!("n")),
        (Purpose::IdToken, "aud", json!(["c1"])),
        (Purpose::IdToken, "auth_time", json!(NOW - 500)),
    ];
    for (purpose, name, value) in cases {
        let mut claims = good(purpose);
        claims[name] = value.clone();
        if name == "iat" {
            claims["exp"] = json!(NOW);
        }
        assert!(
            judge(purpose, claims.to_string().as_bytes()).is_ok(),
            "{purpose:?} {name} {value}"
        );
    }
}

/// One member of otherwise good claims, replaced (`Some`) or left out (`None`), and the refusal it earns.
fn forbidden() -> Vec<(Purpose, &'static str, Option<Value>, Refused)> {
    use Purpose::{AccessToken, AdminToken, IdToken};
    let mut table = Vec::new();
    for purpose in PURPOSES {
        let ceiling = good(purpose)["exp"].as_u64().unwrap();
        let times: [(&str, Option<Value>, Refused); 16] = [
            ("iss", None, Refused::ForeignIssuer),
            ("iss", Some(json!("https://other.example.com")), Refused::ForeignIssuer),
            ("iss", Some(json!("https://auth.example.com/")), Refused::ForeignIssuer),
            ("iss", Some(json!([ISSUER])), Refused::ForeignIssuer),
            ("iat", None, Refused::WrongIssueTime),
            ("iat", Some(json!(NOW - 61)), Refused::WrongIssueTime),
            ("iat", Some(json!(NOW + 61)), Refused::WrongIssueTime),
            ("iat", Some(json!(NOW.to_string())), Refused::WrongIssueTime),
            ("iat", Some(json!(1_900_000_000.5)), Refused::WrongIssueTime),
            ("exp", None, Refused::LifetimeTooLong),
            ("exp", Some(json!(NOW)), Refused::LifetimeTooLong),
            ("exp", Some(json!(ceiling + 1)), Refused::LifetimeTooLong),
            ("exp", Some(json!(NOW + 31_536_000)), Refused::LifetimeTooLong),
            ("exp", Some(json!(u64::MAX)), Refused::LifetimeTooLong),
            ("exp", Some(json!(-1)), Refused::LifetimeTooLong),
            ("exp", Some(json!("1900000100")), Refused::LifetimeTooLong),
        ];
        table.extend(times.map(|(name, value, why)| (purpose, name, value, why)));
        let others: [(&str, Option<Value>, Refused); 11] = [
            ("nbf", Some(json!(ceiling)), Refused::LifetimeTooLong),
            ("nbf", Some(json!("soon")), Refused::MissingClaim),
            ("nbf", Some(Value::Null), Refused::MissingClaim),
            ("sub", None, Refused::MissingClaim),
            ("sub", Some(json!(7)), Refused::MissingClaim),
            ("sub", Some(json!("")), Refused::MissingClaim),
            ("aud", None, Refused::WrongAudience),
            ("aud", Some(json!([])), Refused::WrongAudience),
            ("aud", Some(json!("")), Refused::WrongAudience),
            ("aud", Some(json!([1])), Refused::WrongAudience),
            ("aud", Some(json!({"a": ADMIN})), Refused::WrongAudience),
        ];
        table.extend(others.map(|(name, value, why)| (purpose, name, value, why)));
    }
    for purpose in [AccessToken, IdToken] {
        for aud in [
            json!(ADMIN),
            json!([ADMIN]),
            json!(["https://app.example.com", ADMIN]),
            json!("https://API.example.com"),
            json!("https://api.example.com/"),
            json!([" https://api.example.com "]),
        ] {
            table.push((purpose, "aud", Some(aud), Refused::WrongAudience));
        }
    }
    for aud in [
        json!("https://app.example.com"),
        json!([ADMIN, "https://app.example.com"]),
        json!([ADMIN, ADMIN]),
        json!("https://api.example.com/"),
        json!("HTTPS://api.example.com"),
    ] {
        table.push((AdminToken, "aud", Some(aud), Refused::WrongAudience));
    }
    for purpose in [AccessToken, AdminToken] {
        for name in ["jti", "client_id"] {
            table.push((purpose, name, None, Refused::MissingClaim));
            table.push((purpose, name, Some(json!(["x"])), Refused::MissingClaim));
        }
    }
    table
}

#[test]
fn w174_forbidden_claims_are_refused() {
    let table = forbidden();
    assert!(table.len() >= 60, "{}", table.len());
    for (purpose, name, value, why) in table {
        let mut claims = good(purpose);
        match &value {
            Some(value) => claims[name] = value.clone(),
            None => drop(claims.as_object_mut().unwrap().remove(name)),
        }
        let verdict = judge(purpose, claims.to_string().as_bytes());
        assert_eq!(verdict.err(), Some(why), "{purpose:?} {name} {value:?}");
    }
}

#[test]
fn w174_bytes_that_two_readers_could_read_differently_are_refused() {
    let good = good(Purpose::AccessToken).to_string();
    let inner = good.strip_prefix('{').unwrap();
    let long = format!(r#"{{"pad":"{}",{inner}"#, "a".repeat(CLAIMS_MAX));
    for bad in [
        format!(r#"{{"iss":"https://other.example.com",{inner}"#),
        format!(r#"{{"exp":1,{inner}"#),
        format!(r#"{{"\u0061ud":"{ADMIN}",{inner}"#),
        format!(r#"{{"act":{{"sub":"a","sub":"b"}},{inner}"#),
        format!("{good}{{}}"),
        format!("[{good}]"),
        good.replace(':', ";"),
        String::new(),
        long,
    ] {
        let verdict = judge(Purpose::AccessToken, bad.as_bytes());
        assert_eq!(verdict.err(), Some(Refused::MalformedClaims), "{bad:.60}");
    }
}

#[test]
fn w173_a_key_serves_its_class_and_only_while_it_is_active() {
    for purpose in PURPOSES {
        let claims = good(purpose).to_string().into_bytes();
        let sign = Sign { kid: Kid([7; 16]), purpose, claims };
        let attempt =
            |statement: Statement| policy().prepare(&Arc::new(statement), &sign, NOW).err();
        for class in [Class::Token, Class::Admin, Class::Audit] {
            let expected = (class != class_of(purpose)).then_some(Refused::WrongKey);
            assert_eq!(attempt(statement(class)), expected, "{purpose:?} {class:?}");
        }
        let base = || statement(class_of(purpose));
        let staged = Statement { not_sign_before: None, ..base() };
        let early = Statement { not_sign_before: Some(NOW + 1), ..base() };
        let retired = Statement { not_sign_after: Some(NOW), ..base() };
        for inactive in [staged, early, retired] {
            assert_eq!(attempt(inactive), Some(Refused::WrongKey), "{purpose:?}");
        }
        let other = Statement { kid: Kid([8; 16]), ..base() };
        assert_eq!(attempt(other), Some(Refused::UnknownKey));
    }
}

#[test]
fn only_an_active_audit_key_seals() {
    let root = AuditRoot([9; 32]);
    let seal = |statement: Statement| policy().prepare_seal(&Arc::new(statement), &root, NOW);
    assert_eq!(seal(statement(Class::Audit)).unwrap().message(), root.signing_input());
    assert_eq!(seal(statement(Class::Token)).err(), Some(Refused::WrongKey));
    assert_eq!(seal(statement(Class::Admin)).err(), Some(Refused::WrongKey));
    let retired = Statement { not_sign_after: Some(NOW), ..statement(Class::Audit) };
    assert_eq!(seal(retired).err(), Some(Refused::WrongKey));
}

#[test]
fn a_seal_can_never_be_read_as_a_jws() {
    assert!(AuditRoot([b'a'; 32]).signing_input().contains(&b' '));
}
