//! What is presented (W65): nothing but a live token of the right kind, and never the client in its place.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::{Stand, tokens};
use serde_json::{Value, json};

use crate::support::*;
use crate::{ACCESS, BROKERS, ID_TOKEN, JWT, REFRESH, bens, exchange, exchanged, raw};

/// A JWS with the same header and signature, but other claims.
fn forged(token: &str, change: impl Fn(&mut Value)) -> String {
    let mut claims = tokens::claims(token);
    change(&mut claims);
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

/// What is wrong with a subject token, its text, and what it is said to be.
type Case = (&'static str, String, &'static str);

/// Tokens that were good once, or are good elsewhere.
fn dead(stand: &Stand) -> Vec<Case> {
    let expired = bens(stand);
    sql(
        stand,
        &format!(
            "UPDATE access_tokens SET issued_at = now() - interval '2 hours', expires_at = now() - interval '1 ms'
             WHERE token_hash = sha256('{}')",
            expired.access
        ),
    );
    let revoked = bens(stand);
    TWIN.revoke(stand, &revoked.access).expect(200);
    let family = bens(stand);
    TWIN.revoke(stand, &family.refresh).expect(200);
    let rotated = bens(stand);
    TWIN.refresh(stand, &rotated.refresh).expect(200);
    TWIN.refresh(stand, &rotated.refresh).expect(400);
    let mut browser = signed_in(stand, BEN);
    let code = code_in(stand, &mut browser, &Ask::new(TWIN), BEN);
    let session = browser.client().cookies()["__Host-opentrusty_session"].clone();
    vec![
        ("expired", expired.access, ACCESS),
        ("revoked", revoked.access, ACCESS),
        ("its family revoked", family.access, ACCESS),
        ("its family stolen", rotated.access, ACCESS),
        ("another tenant's", issue(stand, &Ask::new(RIVAL), DORA).access, ACCESS),
        ("another tenant's, of a member here", issue(stand, &Ask::new(RIVAL), CLEO).access, ACCESS),
        ("the platform's", issue(stand, &Ask::new(PLATFORM), BEN).access, ACCESS),
        ("a code", code, ACCESS),
        ("a session", session, ACCESS),
    ]
}

/// What is made of good tokens: said to be what they are not, cut, longer, changed.
fn mistaken(good: &Tokens, opaque: &str) -> Vec<Case> {
    let access = &good.access;
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    let unsigned = format!("{header}.{}.", access.split('.').nth(1).unwrap());
    let later = forged(access, |claims| claims["exp"] = json!(4_000_000_000_u32));
    let other = forged(access, |claims| claims["sub"] = json!("somebody-else"));
    let cut = &access[..access.len() - 1];
    vec![
        ("an ID token as an access token", good.id.clone(), ACCESS),
        ("an ID token as a JWT", good.id.clone(), JWT),
        ("an ID token as what it is", good.id.clone(), ID_TOKEN),
        ("a refresh token as an access token", good.refresh.clone(), ACCESS),
        ("a refresh token as what it is", good.refresh.clone(), REFRESH),
        ("a refresh token as a JWT", good.refresh.clone(), JWT),
        ("an access token as an ID token", access.clone(), ID_TOKEN),
        ("an access token as a refresh token", access.clone(), REFRESH),
        ("an access token as SAML", access.clone(), "urn:ietf:params:oauth:token-type:saml2"),
        ("a type of nobody's", access.clone(), "access_token"),
        ("a type in capitals", access.clone(), "URN:IETF:PARAMS:OAUTH:TOKEN-TYPE:ACCESS_TOKEN"),
        ("an opaque token as a JWT", opaque.to_owned(), JWT),
        ("half of an opaque one", opaque[..opaque.len() / 2].to_owned(), ACCESS),
        ("one cut short", cut.to_owned(), ACCESS),
        ("one cut short, as a JWT", cut.to_owned(), JWT),
        ("one with a tail", format!("{access}A"), ACCESS),
        ("one in capitals", access.to_uppercase(), JWT),
        ("one with a space", format!(" {access}"), ACCESS),
        ("one with a later end", later, JWT),
        ("one with another subject", other, JWT),
        ("one without a signature", unsigned, JWT),
        ("a very long one", "x".repeat(20_000), ACCESS),
    ]
}

#[test]
fn w65_no_bad_subject_is_exchanged_or_replaced_by_the_client_itself() {
    let stand = alone_with_machines();
    let good = issue(&stand, &Ask::new(TWIN).scope("openid orders:read offline_access"), BEN);
    let opaque = issue(&stand, &Ask::new(OPAQUE), BEN);
    let cases = [dead(&stand), mistaken(&good, &opaque.access)].concat();
    let before = digest(&stand);
    for broker in BROKERS {
        for (what, token, kind) in &cases {
            println!("{what} at {}", broker.id);
            let form = [("subject_token", token.as_str()), ("subject_token_type", *kind)];
            for more in [&[][..], &[("audience", OTHER)], &[("scope", "orders:read")]] {
                let answer = raw(&stand, broker, &[&form, more].concat());
                assert_no_token(&answer);
                assert_tok(&answer, "invalid_request");
            }
        }
        let token = ("subject_token", good.access.as_str());
        let kind = ("subject_token_type", ACCESS);
        for form in [
            &[][..],
            &[token],
            &[kind],
            &[("subject_token", ""), kind],
            &[token, ("subject_token_type", "")],
            &[token, token, kind],
            &[token, kind, kind],
            &[token, kind, ("scope", "openid"), ("scope", "openid")],
            &[token, kind, ("requested_token_type", ACCESS), ("requested_token_type", ACCESS)],
            &[token, kind, ("grant_type", EXCHANGE)],
        ] {
            assert_tok(&raw(&stand, broker, form), "invalid_request");
        }
    }
    assert_eq!(digest(&stand), before);
    for broker in BROKERS {
        exchanged(&exchange(&stand, broker, &good.access, &[]));
    }
}

#[test]
fn w65_no_bad_actor_acts() {
    let stand = alone_with_machines();
    let good = bens(&stand);
    let own = Tokens::of(&BROKER.grant_itself(&stand, &[]));
    let actor = |token: &str, kind: &str| {
        exchange(
            &stand,
            BROKER,
            &good.access,
            &[("actor_token", token), ("actor_token_type", kind), ("audience", OTHER)],
        )
    };
    let one = exchanged(&actor(&own.access, ACCESS));
    let claims = tokens::claims(&one.access);
    assert_eq!(claims["act"]["sub"], BROKER.id);
    assert_eq!(claims["sub"], tokens::claims(&good.access)["sub"]);
    exchanged(&actor(&own.access, JWT));

    let revoked = Tokens::of(&BROKER.grant_itself(&stand, &[]));
    BROKER.revoke(&stand, &revoked.access).expect(200);
    let mixed = Tokens::of(&MIXED.grant_itself(&stand, &[]));
    let robot = Tokens::of(&ROBOT.grant_itself(&stand, &[]));
    let rival = issue(&stand, &Ask::new(RIVAL), DORA);
    let before = digest(&stand);
    for (what, token, kind) in [
        ("revoked", revoked.access.as_str(), ACCESS),
        ("another client's", &mixed.access, ACCESS),
        ("meant for others", &robot.access, ACCESS),
        ("another tenant's", &rival.access, ACCESS),
        ("a person's, for others", &good.access, ACCESS),
        ("an ID token", &good.id, JWT),
        ("an ID token as what it is", &good.id, ID_TOKEN),
        ("a refresh token", &good.refresh, ACCESS),
        ("nothing of ours", "nothing", ACCESS),
        ("nothing of ours, as a JWT", "a.b.c", JWT),
        ("cut short", &own.access[..own.access.len() - 1], ACCESS),
    ] {
        println!("{what}");
        let answer = actor(token, kind);
        assert_no_token(&answer);
        assert_tok(&answer, "invalid_request");
    }
    for more in [
        &[("actor_token", own.access.as_str())][..],
        &[("actor_token_type", ACCESS)],
        &[("actor_token", ""), ("actor_token_type", ACCESS)],
        &[("actor_token", &own.access), ("actor_token_type", "")],
        &[("actor_token", &own.access), ("actor_token", &own.access), ("actor_token_type", ACCESS)],
    ] {
        assert_tok(&exchange(&stand, BROKER, &good.access, more), "invalid_request");
    }
    assert_eq!(digest(&stand), before);
    // Whoever may only impersonate does not get to name an actor.
    let masks = Tokens::of(&MASK.grant_itself(&stand, &[]));
    let answer = exchange(
        &stand,
        MASK,
        &good.access,
        &[("actor_token", &masks.access), ("actor_token_type", ACCESS)],
    );
    assert_no_token(&answer);
    assert_eq!(answer.status, 400);
}
