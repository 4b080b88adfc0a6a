//! What keyd is for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::json;
use wire::{
    Algorithm, AuditRoot, Class, DeriveLabel, Jwk, Kid, Purpose, Refused, Reply, Request, Sign,
    TokenState,
};

use crate::bed::{ADMIN, Bed, ISSUER, access, claims, verified};
use keyd::jws::Verifier;

#[test]
fn w178_every_algorithm_signs_and_another_library_agrees() {
    let bed = Bed::started();
    for algorithm in Algorithm::ALL {
        let (key, _) = bed.active_key(algorithm, Class::Token);
        let mut sign = bed.sign_socket();
        // Twice: once with the handle looked up, once with the one that is kept.
        for _ in 0..2 {
            let jws = sign.signed(key.kid);
            let header = verified(&jws, &key);
            assert_eq!(
                header,
                format!(r#"{{"alg":"{}","kid":"{}","typ":"at+jwt"}}"#, algorithm.name(), key.kid)
            );
            let claims = elsewhere(&jws, algorithm, &key.public).unwrap();
            assert_eq!((&claims["iss"], &claims["jti"]), (&ISSUER.into(), &"j1".into()));
            assert!(elsewhere(&tampered(&jws), algorithm, &key.public).is_none());
        }
        let listed = sign.keys().into_iter().find(|one| one.kid == key.kid).unwrap();
        assert_eq!((listed.public, listed.signatures), (key.public, 2));
    }
    assert_eq!(bed.sign_socket().call(&Request::Health), Reply::Health(TokenState::Ready));
}

/// The claims, if the library that our clients use finds the signature good.
fn elsewhere(jws: &str, algorithm: Algorithm, public: &Jwk) -> Option<serde_json::Value> {
    let key = match public {
        Jwk::P256 { x, y } => DecodingKey::from_ec_components(&b64(x), &b64(y)),
        Jwk::P384 { x, y } => DecodingKey::from_ec_components(&b64(x), &b64(y)),
        Jwk::Rsa { n, e } => DecodingKey::from_rsa_components(&b64(n), &b64(e)),
        Jwk::Ed25519 { x } => DecodingKey::from_ed_components(&b64(x)),
    };
    let mut validation = Validation::new(algorithm.name().parse().unwrap());
    validation.validate_aud = false;
    Some(jsonwebtoken::decode(jws, &key.unwrap(), &validation).ok()?.claims)
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The same signature under other claims.
fn tampered(jws: &str) -> String {
    let parts: Vec<&str> = jws.split('.').collect();
    let claims = b64(&claims(&[("sub", json!("somebody else"))]));
    format!("{}.{claims}.{}", parts[0], parts[2])
}

#[test]
fn w144_w173_a_key_signs_for_its_own_issuer_and_for_no_other() {
    let bed = Bed::started();
    let tenants = [ISSUER, "https://auth.example.com/t/a", "https://auth.example.com/t/ab"];
    let mut manage = bed.manage_socket();
    let keys = tenants.map(|issuer| {
        let (algorithm, class) = (Algorithm::Es256, Class::Token);
        let generate = Request::Generate { issuer: issuer.to_owned(), algorithm, class };
        let (key, _) = manage.changed(&generate);
        // The first of its issuer signs at once, whatever other issuers have.
        manage.activate(key.kid).0
    });
    let mut sign = bed.sign_socket();
    for (mine, key) in tenants.into_iter().zip(&keys) {
        assert_eq!(key.issuer, mine);
        for issuer in tenants.into_iter().chain(["https://auth.example.com/t/a/", "", "x"]) {
            let claims = claims(&[("iss", json!(issuer))]);
            let request =
                Request::Sign(Sign { kid: key.kid, purpose: Purpose::AccessToken, claims });
            if issuer == mine {
                let Reply::Signed(jws) = sign.call(&request) else { panic!("{issuer}") };
                verified(&jws, key);
            } else {
                assert_eq!(sign.refusal(&request), Refused::ForeignIssuer, "{mine} {issuer}");
            }
        }
    }
    assert!(sign.keys().iter().all(|key| key.signatures == 1));
}

#[test]
fn each_purpose_has_its_key_and_its_type() {
    let bed = Bed::started();
    let (token, _) = bed.active_key(Algorithm::Es256, Class::Token);
    let (admin, _) = bed.active_key(Algorithm::Es256, Class::Admin);
    let mut sign = bed.sign_socket();
    for (purpose, key, aud, typ) in [
        (Purpose::AccessToken, &token, "https://app.example.com", "at+jwt"),
        (Purpose::IdToken, &token, "c1", "JWT"),
        (Purpose::AdminToken, &admin, ADMIN, "at+jwt"),
    ] {
        let claims = claims(&[("aud", json!(aud))]);
        let reply = sign.call(&Request::Sign(Sign { kid: key.kid, purpose, claims }));
        let Reply::Signed(jws) = reply else { panic!("{purpose:?}: {reply:?}") };
        assert!(verified(&jws, key).ends_with(&format!(r#""typ":"{typ}"}}"#)));
    }
}

#[test]
fn audit_roots_are_sealed_by_the_audit_key_and_no_other() {
    let bed = Bed::started();
    let root = AuditRoot([7; 32]);
    let mut manage = bed.manage_socket();
    bed.active_key(Algorithm::Es256, Class::Token);
    assert_eq!(manage.refusal(&Request::SealAudit(root.clone())), Refused::UnknownKey);
    let (audit, _) = bed.active_key(Algorithm::Es256, Class::Audit);
    let reply = manage.call(&Request::SealAudit(root.clone()));
    let Reply::AuditSealed { kid, signature } = reply else { panic!("{reply:?}") };
    assert_eq!(kid, audit.kid);
    let verifier = Verifier::new(Algorithm::Es256, &audit.public).unwrap();
    assert!(verifier.accepts(&root.signing_input(), &signature));
}

#[test]
fn w174_a_compromised_authd_gets_no_token_that_the_policy_forbids() {
    let bed = Bed::started();
    let (token, _) = bed.active_key(Algorithm::Es256, Class::Token);
    let (admin, _) = bed.active_key(Algorithm::Es256, Class::Admin);
    let (audit, _) = bed.active_key(Algorithm::Es256, Class::Audit);
    let mut sign = bed.sign_socket();
    let now = host::clock::now_s();
    let year = json!(now + 31_536_000);
    let foreign = json!("https://evil.example.com");
    let cases = [
        (token.kid, Purpose::AccessToken, claims(&[("exp", year)]), Refused::LifetimeTooLong),
        (token.kid, Purpose::AccessToken, claims(&[("iss", foreign)]), Refused::ForeignIssuer),
        (token.kid, Purpose::AccessToken, claims(&[("aud", json!(ADMIN))]), Refused::WrongAudience),
        (token.kid, Purpose::AdminToken, claims(&[("aud", json!(ADMIN))]), Refused::WrongKey),
        (admin.kid, Purpose::AccessToken, claims(&[]), Refused::WrongKey),
        (
            admin.kid,
            Purpose::AdminToken,
            claims(&[("aud", json!(ADMIN)), ("exp", json!(now + 400))]),
            Refused::LifetimeTooLong,
        ),
        (admin.kid, Purpose::AdminToken, claims(&[]), Refused::WrongAudience),
        (audit.kid, Purpose::AccessToken, claims(&[]), Refused::WrongKey),
        (Kid([0; 16]), Purpose::AccessToken, claims(&[]), Refused::UnknownKey),
        (token.kid, Purpose::AccessToken, b"x".repeat(32), Refused::MalformedClaims),
        (token.kid, Purpose::IdToken, b"{}".to_vec(), Refused::ForeignIssuer),
    ];
    for (kid, purpose, claims, why) in cases {
        let request = Request::Sign(Sign { kid, purpose, claims });
        assert_eq!(sign.refusal(&request), why, "{request:?}");
    }
    let keys = sign.keys();
    assert!(keys.iter().all(|key| key.signatures == 0), "{keys:?}");
}

#[test]
fn w176_each_socket_hears_only_its_own_requests() {
    let bed = Bed::started();
    let (key, _) = bed.active_key(Algorithm::Es256, Class::Token);
    let kid = key.kid;
    let mut sign = bed.sign_socket();
    for request in [
        Request::Generate {
            issuer: crate::bed::ISSUER.to_owned(),
            algorithm: Algorithm::Es256,
            class: Class::Admin,
        },
        Request::Activate { kid, first: true },
        Request::Retire(kid),
        Request::Destroy(kid),
        Request::SealAudit(AuditRoot([0; 32])),
        Request::Status,
        Request::Derive(DeriveLabel::Cursor),
    ] {
        assert_eq!(sign.refusal(&request), Refused::NotPermitted, "{request:?}");
    }
    let mut manage = bed.manage_socket();
    for request in [access(kid), Request::Derive(DeriveLabel::Csrf)] {
        assert_eq!(manage.refusal(&request), Refused::NotPermitted, "{request:?}");
    }
    let reply = manage.call(&Request::Status);
    let Reply::Status { token, keys, signatures, refusals } = reply else { panic!("{reply:?}") };
    assert_eq!((token, keys.len(), signatures, refusals), (TokenState::Ready, 1, 0, 9));
}

#[test]
fn subkeys_are_stable_and_differ_by_label_and_root() {
    let subkeys = |bed: &Bed| {
        let derived = |reply| {
            let Reply::Derived(key) = reply else { panic!("{reply:?}") };
            key.0
        };
        (
            derived(bed.sign_socket().call(&Request::Derive(DeriveLabel::Csrf))),
            derived(bed.manage_socket().call(&Request::Derive(DeriveLabel::Cursor))),
        )
    };
    let mut bed = Bed::started();
    let first = subkeys(&bed);
    assert_ne!(first.0, first.1);
    bed.kill();
    bed.start();
    assert_eq!(subkeys(&bed), first);
    bed.kill();
    bed.set_env("OPENTRUSTY_SECRET_KEY", "0123456789abcdef0123456789abcdef");
    bed.start();
    let rooted = subkeys(&bed);
    assert_ne!(rooted, first);
    assert_eq!(subkeys(&bed), rooted);
}
