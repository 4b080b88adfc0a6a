//! Token exchange (RFC 8693; security.md W65–W67): what may be exchanged, by whom, for what, and what dies with it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::{Response, Stand, basic, tokens};
use serde_json::{Value, json};
use support::*;

const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const REFRESH: &str = "urn:ietf:params:oauth:token-type:refresh_token";

/// Delegation and impersonation: every refusal is tried in both.
const BROKERS: [App; 2] = [BROKER, MASK];

/// An exchange of an access token, with more parameters.
#[track_caller]
fn exchange(stand: &Stand, broker: App, subject: &str, more: &[(&str, &str)]) -> Response {
    let form = [&[("subject_token", subject), ("subject_token_type", ACCESS)], more].concat();
    raw(stand, broker, &form)
}

#[track_caller]
fn raw(stand: &Stand, broker: App, form: &[(&str, &str)]) -> Response {
    broker.call(stand, "/oauth/token", &[&[("grant_type", EXCHANGE)], form].concat())
}

/// What an exchange gave, held to what its answer may have (RFC 8693 §2.2.1).
#[track_caller]
fn exchanged(answer: &Response) -> Tokens {
    let one = Tokens::of(answer);
    let mut members: Vec<&str> =
        one.reply.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let all = ["access_token", "expires_in", "issued_token_type", "scope", "token_type"];
    assert_eq!(members, all, "W67: no refresh token, no ID token");
    one
}

/// Ben's token at a client that needs no consent; its audiences are `orders-api` and `OTHER`.
#[track_caller]
fn bens(stand: &Stand) -> Tokens {
    issue(stand, &Ask::new(TWIN).scope("openid email orders:read"), BEN)
}

#[track_caller]
fn is_active(stand: &Stand, app: App, token: &str) -> bool {
    app.introspect(stand, token).expect(200).json()["active"] == true
}

fn grant_of(stand: &Stand, token: &str) -> String {
    sql(stand, &format!("SELECT grant_id FROM access_tokens WHERE token_hash = sha256('{token}')"))
}

fn listed(value: &Value) -> Vec<String> {
    let mut all: Vec<String> = match value {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        one => vec![one.as_str().unwrap().to_owned()],
    };
    all.sort_unstable();
    all
}

#[test]
fn w67_a_delegated_token_names_the_subject_and_who_acts() {
    let stand = together_with_machines();
    let subject = bens(&stand);
    let answer = exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]);
    let one = exchanged(&answer);
    assert!(answer.header("cache-control").unwrap().contains("no-store"));
    assert_eq!(one.reply["issued_token_type"], ACCESS);
    let jwks = stand.client().get(&format!("{}/.well-known/jwks.json", stand.issuer())).json();
    let claims = tokens::verify(&one.access, &jwks, stand.issuer(), OTHER).unwrap();
    let before = tokens::claims(&subject.access);
    for same in ["sub", "auth_time", "acr", "amr"] {
        assert_eq!(claims[same], before[same], "{same}");
    }
    assert_eq!(claims["client_id"], BROKER.id);
    assert_eq!(claims["act"]["sub"], BROKER.id, "RFC 8693 §4.1");
    assert_eq!(claims["act"].get("act"), None);
    assert_ne!(claims["jti"], before["jti"]);
    assert!(claims["exp"].as_i64() <= before["exp"].as_i64(), "W66");
    let seen = BROKER.introspect(&stand, &one.access).json();
    assert_eq!((&seen["active"], &seen["act"]), (&json!(true), &claims["act"]));
    assert_eq!((&seen["iat"], &seen["exp"]), (&claims["iat"], &claims["exp"]));
    for app in [ORDERS, TWIN, MASK, RIVAL, WEB] {
        assert_inactive(&app.introspect(&stand, &one.access));
    }
    let grant = grant_of(&stand, &one.access);
    let refresh = format!("SELECT count(*) FROM refresh_tokens WHERE grant_id = '{grant}'");
    assert_eq!(sql(&stand, &refresh), "0");
    // Both parties are in the audit: who acts, and for whom.
    assert_eq!(audits(&stand, "tokens.exchanged", &grant), 1);
    let row = format!(
        "SELECT actor, data ->> 'mode', data ->> 'subject', data -> 'act' ->> 'sub' FROM audit_events
         WHERE type = 'tokens.exchanged' AND target = '{grant}'"
    );
    let sub = before["sub"].as_str().unwrap();
    assert_eq!(sql(&stand, &row), format!("broker|delegation|{sub}|broker"));
    assert!(is_alive(&stand, TWIN, &subject.access), "the subject token is not used up");
}

#[test]
fn w67_an_impersonating_token_names_only_the_subject_and_the_audit_both() {
    let stand = together_with_machines();
    let subject = bens(&stand);
    let one = exchanged(&exchange(&stand, MASK, &subject.access, &[("audience", OTHER)]));
    let seen = MASK.introspect(&stand, &one.access).json();
    let before = tokens::claims(&subject.access);
    assert_eq!((&seen["active"], &seen["sub"]), (&json!(true), &before["sub"]));
    assert_eq!((seen.get("act"), &seen["client_id"]), (None, &json!(MASK.id)));
    assert_eq!(listed(&seen["aud"]), [OTHER]);
    assert!(!one.access.contains('.'), "the client's own tokens are random text");
    let grant = grant_of(&stand, &one.access);
    let row = format!(
        "SELECT actor, data ->> 'mode', data ->> 'subject' FROM audit_events
         WHERE type = 'tokens.exchanged' AND target = '{grant}'"
    );
    let sub = before["sub"].as_str().unwrap();
    assert_eq!(sql(&stand, &row), format!("mask|impersonation|{sub}"));
}

#[test]
fn w67_nobody_is_taken_for_somebody_who_administers() {
    let stand = alone_with_machines();
    let ask = || Ask::new(TWIN).scope("openid email orders:read");
    let ana = issue(&stand, &ask(), ANA);
    let refused = |token: &str| {
        let answer = exchange(&stand, MASK, token, &[]);
        assert_no_token(&answer);
        assert_tok(&answer, "unauthorized_client");
    };
    refused(&ana.access);
    let acted = exchanged(&exchange(&stand, BROKER, &ana.access, &[("audience", OTHER)]));
    assert_eq!(tokens::claims(&acted.access)["act"]["sub"], BROKER.id);
    refused(&acted.access);
    // Every role but plain membership, also one that was given after the token was issued.
    let ben = issue(&stand, &ask(), BEN);
    let roles = sql(
        &stand,
        "SELECT name, scope FROM roles WHERE name NOT IN ('tenant_member', 'tenant_owner')",
    );
    assert!(roles.lines().count() >= 2, "{roles}");
    for role in roles.lines() {
        let (name, scope) = role.split_once('|').unwrap();
        println!("{name}");
        exchanged(&exchange(&stand, MASK, &ben.access, &[]));
        let tenant = match scope {
            "platform" => "NULL",
            _ => "(SELECT id FROM tenants WHERE slug = 'acme')",
        };
        sql(
            &stand,
            &format!(
                "INSERT INTO role_assignments (id, user_id, role, scope, tenant_id)
                 SELECT gen_random_uuid(), id, '{name}', '{scope}', {tenant} FROM users WHERE email = '{BEN}'"
            ),
        );
        refused(&ben.access);
        sql(&stand, &format!("DELETE FROM role_assignments WHERE role = '{name}'"));
    }
    exchanged(&exchange(&stand, MASK, &ben.access, &[]));
}

/// A JWS with the same header and signature, but other claims.
fn forged(token: &str, change: impl Fn(&mut Value)) -> String {
    let mut claims = tokens::claims(token);
    change(&mut claims);
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

#[test]
fn w65_no_bad_subject_is_exchanged_or_replaced_by_the_client_itself() {
    let stand = alone_with_machines();
    let good = issue(&stand, &Ask::new(TWIN).scope("openid orders:read offline_access"), BEN);
    let opaque = issue(&stand, &Ask::new(OPAQUE), BEN);
    let waiting = Ask::new(TWIN);
    let mut browser = signed_in(&stand, BEN);
    let code = code_in(&stand, &mut browser, &waiting, BEN);
    let session = browser.client().cookies()["__Host-opentrusty_session"].clone();
    let expired = bens(&stand);
    sql(
        &stand,
        &format!(
            "UPDATE access_tokens SET issued_at = now() - interval '2 hours', expires_at = now() - interval '1 ms'
             WHERE token_hash = sha256('{}')",
            expired.access
        ),
    );
    let revoked = bens(&stand);
    TWIN.revoke(&stand, &revoked.access).expect(200);
    let family = bens(&stand);
    TWIN.revoke(&stand, &family.refresh).expect(200);
    let rotated = bens(&stand);
    TWIN.refresh(&stand, &rotated.refresh).expect(200);
    TWIN.refresh(&stand, &rotated.refresh).expect(400);
    let foreign = issue(&stand, &Ask::new(RIVAL), DORA);
    let both = issue(&stand, &Ask::new(RIVAL), CLEO);
    let platform = issue(&stand, &Ask::new(PLATFORM), BEN);
    let later = forged(&good.access, |claims| claims["exp"] = json!(4_000_000_000_u32));
    let admin = forged(&good.access, |claims| claims["sub"] = json!("somebody-else"));
    let none = {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
        format!("{header}.{}.", good.access.split('.').nth(1).unwrap())
    };
    let long = "x".repeat(20_000);
    let cut = &good.access[..good.access.len() - 1];
    let tail = format!("{}A", good.access);
    let upper = good.access.to_uppercase();
    let spaced = format!(" {}", good.access);
    let half = &opaque.access[..opaque.access.len() / 2];
    let cases: [(&str, &str, &str); 31] = [
        ("expired", &expired.access, ACCESS),
        ("revoked", &revoked.access, ACCESS),
        ("its family revoked", &family.access, ACCESS),
        ("its family stolen", &rotated.access, ACCESS),
        ("another tenant's", &foreign.access, ACCESS),
        ("another tenant's, of a member here", &both.access, ACCESS),
        ("the platform's", &platform.access, ACCESS),
        ("an ID token as an access token", &good.id, ACCESS),
        ("an ID token as a JWT", &good.id, JWT),
        ("an ID token as what it is", &good.id, ID_TOKEN),
        ("a refresh token as an access token", &good.refresh, ACCESS),
        ("a refresh token as what it is", &good.refresh, REFRESH),
        ("a refresh token as a JWT", &good.refresh, JWT),
        ("an access token as an ID token", &good.access, ID_TOKEN),
        ("an access token as a refresh token", &good.access, REFRESH),
        ("an access token as SAML", &good.access, "urn:ietf:params:oauth:token-type:saml2"),
        ("a type of nobody's", &good.access, "access_token"),
        ("a type in capitals", &good.access, "URN:IETF:PARAMS:OAUTH:TOKEN-TYPE:ACCESS_TOKEN"),
        ("an opaque token as a JWT", &opaque.access, JWT),
        ("a code", &code, ACCESS),
        ("a session", &session, ACCESS),
        ("one cut short", cut, ACCESS),
        ("one cut short, as a JWT", cut, JWT),
        ("one with a tail", &tail, ACCESS),
        ("one in capitals", &upper, JWT),
        ("one with a space", &spaced, ACCESS),
        ("half of an opaque one", half, ACCESS),
        ("one with a later end", &later, JWT),
        ("one with another subject", &admin, JWT),
        ("one without a signature", &none, JWT),
        ("a very long one", &long, ACCESS),
    ];
    let before = digest(&stand);
    for broker in BROKERS {
        for (what, token, kind) in cases {
            println!("{what} at {}", broker.id);
            let form = [("subject_token", token), ("subject_token_type", kind)];
            for more in [&[][..], &[("audience", OTHER)], &[("scope", "orders:read")]] {
                let answer = raw(&stand, broker, &[&form, more].concat());
                assert_no_token(&answer);
                assert_tok(&answer, "invalid_request");
            }
        }
        let (token, kind) =
            (("subject_token", good.access.as_str()), ("subject_token_type", ACCESS));
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

#[test]
fn w30_w66_without_a_policy_nothing_is_exchanged() {
    let stand = alone_with_machines();
    let subject = bens(&stand);
    let elsewhere = issue(&stand, &Ask::new(POST), BEN);
    let narrow = issue(&stand, &Ask::new(TWIN).with("audience", OTHER), BEN);
    sql(&stand, "DELETE FROM throttles");
    let before = digest(&stand);
    for app in [IDLE, TWIN, POST, SPA, ROBOT, ORDERS] {
        println!("{}", app.id);
        let answer = exchange(&stand, app, &subject.access, &[]);
        assert_no_token(&answer);
        assert_tok(&answer, "unauthorized_client");
    }
    for broker in BROKERS {
        let answer = exchange(&stand, broker, &elsewhere.access, &[]);
        assert_tok(&answer, "unauthorized_client");
        for target in [
            stand.issuer(),
            stand.api(),
            "twin",
            "broker",
            "rival-web",
            "https://evil.example",
            "https://other.example.org/",
            "ORDERS-API",
            "*",
        ] {
            println!("{target}");
            for name in ["audience", "resource"] {
                let alone = exchange(&stand, broker, &subject.access, &[(name, target)]);
                assert_tok(&alone, "invalid_target");
                let beside = [(name, target), ("audience", OTHER)];
                let beside = exchange(&stand, broker, &subject.access, &beside);
                assert_tok(&beside, "invalid_target");
            }
        }
    }
    // From `OTHER` the broker reaches `OTHER` alone; the mask never reaches `orders-api`.
    let target = [("audience", "orders-api")];
    assert_tok(&exchange(&stand, BROKER, &narrow.access, &target), "invalid_target");
    assert_tok(&exchange(&stand, MASK, &subject.access, &target), "invalid_target");
    // A tenant's policy is about its own tokens, whatever they are called.
    assert_tok(&exchange(&stand, RIVAL_BROKER, &subject.access, &[]), "invalid_request");
    // And nobody is believed without proof.
    let url = format!("{}/oauth/token", stand.issuer());
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", subject.access.as_str()),
        ("subject_token_type", ACCESS),
        ("client_id", BROKER.id),
    ];
    assert_client_refused(&stand.client().post(&url, &form), false);
    assert_client_refused(&stand.client().post(&url, &form[..3]), false);
    let head = basic(BROKER.id, "wrong");
    assert_client_refused(&stand.client().post_with(&url, &[head], &form[..3]), true);
    sql(&stand, "DELETE FROM throttles");
    assert_eq!(digest(&stand), before);
}

#[test]
fn w66_the_audience_is_what_the_policy_lists() {
    let stand = together_with_machines();
    let subject = bens(&stand);
    let aud = |broker: App, more: &[(&str, &str)]| {
        let one = exchanged(&exchange(&stand, broker, &subject.access, more));
        listed(&broker.introspect(&stand, &one.access).json()["aud"])
    };
    let (both, orders) = ([OTHER, "orders-api"], ["orders-api"]);
    assert_eq!(aud(BROKER, &[("audience", OTHER)]), [OTHER]);
    assert_eq!(aud(BROKER, &[("audience", "orders-api")]), orders);
    assert_eq!(aud(BROKER, &[("resource", OTHER), ("audience", "orders-api")]), both);
    assert_eq!(aud(BROKER, &[("audience", "orders-api"), ("audience", OTHER)]), both);
    assert_eq!(aud(BROKER, &[("audience", OTHER), ("resource", OTHER)]), [OTHER]);
    assert_eq!(aud(BROKER, &[]), both, "without one: all that the policy lists");
    assert_eq!(aud(MASK, &[]), [OTHER]);
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", "orders-api")]));
    let seen = ORDERS.introspect(&stand, &one.access).json();
    assert_eq!((&seen["active"], &seen["act"]["sub"]), (&json!(true), &json!(BROKER.id)));
}

#[test]
fn w13_w66_the_scope_never_widens() {
    let stand = together_with_machines();
    let whole =
        issue(&stand, &Ask::new(TWIN).scope("openid profile offline_access orders:read"), BEN);
    let bare = issue(&stand, &Ask::new(TWIN), BEN);
    for broker in BROKERS {
        let scope = |subject: &Tokens, scope: &str| {
            exchange(&stand, broker, &subject.access, &[("scope", scope)])
        };
        // What the subject has, of what the client may have.
        let one = exchanged(&exchange(&stand, broker, &whole.access, &[("audience", OTHER)]));
        assert_eq!(one.reply["scope"], "openid orders:read");
        let one = exchanged(&exchange(&stand, broker, &bare.access, &[]));
        assert_eq!(one.reply["scope"], "openid");
        assert_eq!(exchanged(&scope(&whole, "")).reply["scope"], "openid orders:read");
        let less = exchanged(&scope(&whole, "orders:read"));
        assert_eq!(less.reply["scope"], "orders:read");
        assert_eq!(broker.introspect(&stand, &less.access).json()["scope"], "orders:read");
        assert_eq!(userinfo(&stand, &less.access).status, 403);
        for (subject, wanted) in [
            (&whole, "email"),
            (&whole, "profile"),
            (&whole, "offline_access"),
            (&whole, "orders:write"),
            (&whole, "openid orders:read email"),
            (&whole, "opentrusty:admin"),
            (&whole, "rival:read"),
            (&whole, "nothing"),
            (&bare, "orders:read"),
            (&bare, "openid email"),
            (&less, "openid"),
            (&less, "orders:read openid"),
        ] {
            println!("{wanted} at {}", broker.id);
            let answer = scope(subject, wanted);
            assert_no_token(&answer);
            assert_tok(&answer, "invalid_scope");
        }
        assert_tok(&scope(&whole, "open\"id"), "invalid_scope");
    }
}

#[test]
fn w66_the_new_token_does_not_outlive_what_it_came_of() {
    let stand = together_with_machines();
    let subject = bens(&stand);
    let actor = Tokens::of(&BROKER.grant_itself(&stand, &[]));
    let shorten = |token: &str, left_s: i64| {
        sql(
            &stand,
            &format!(
                "UPDATE access_tokens SET expires_at = date_trunc('second', now()) + interval '{left_s} s' WHERE token_hash = sha256('{token}')"
            ),
        );
    };
    shorten(&subject.access, 300);
    let by_actor = [("actor_token", actor.access.as_str()), ("actor_token_type", ACCESS)];
    for (broker, more, most) in [
        (BROKER, &[][..], 300),
        (MASK, &[], 300),
        (BROKER, &by_actor, 300),
        (BROKER, &by_actor, 120),
    ] {
        if most == 120 {
            shorten(&actor.access, 120);
        }
        let one = exchanged(&exchange(&stand, broker, &subject.access, more));
        let left = one.reply["expires_in"].as_i64().unwrap();
        assert!(left > 0 && left <= most, "{left}");
        let beyond = format!(
            "SELECT n.expires_at <= s.expires_at, g.expires_at <= s.expires_at
             FROM access_tokens n JOIN grants g ON g.id = n.grant_id, access_tokens s
             WHERE n.token_hash = sha256('{}') AND s.token_hash = sha256('{}')",
            one.access, subject.access
        );
        assert_eq!(sql(&stand, &beyond), "t|t");
        // And what comes of that one in turn.
        let two = exchanged(&exchange(&stand, BROKER, &one.access, &[("audience", OTHER)]));
        assert!(two.reply["expires_in"].as_i64().unwrap() <= left);
    }
}

#[test]
fn w67_five_may_act_one_for_another_and_no_sixth() {
    let stand = together_with_machines();
    let subject = bens(&stand);
    let mut token = subject.access.clone();
    for depth in 1..=5 {
        let one = exchanged(&exchange(&stand, BROKER, &token, &[("audience", OTHER)]));
        let claims = tokens::claims(&one.access);
        assert_eq!(claims["sub"], tokens::claims(&subject.access)["sub"]);
        let mut act = claims.get("act");
        let mut seen = 0;
        while let Some(actor) = act {
            assert_eq!(actor["sub"], BROKER.id);
            seen += 1;
            act = actor.get("act");
        }
        assert_eq!(seen, depth);
        token = one.access;
    }
    let answer = exchange(&stand, BROKER, &token, &[("audience", OTHER)]);
    assert_no_token(&answer);
    assert_tok(&answer, "invalid_request");
    // Impersonation does not wash the chain off.
    let masked = exchanged(&exchange(&stand, MASK, &token, &[("audience", OTHER)]));
    let seen = MASK.introspect(&stand, &masked.access).json();
    assert_eq!(seen["act"]["act"]["act"]["act"]["act"]["sub"], BROKER.id);
    let further = exchange(&stand, BROKER, &masked.access, &[("audience", OTHER)]);
    assert_tok(&further, "invalid_request");
    assert!(is_active(&stand, BROKER, &token));
}

/// What ends a grant that others hang on.
const ENDS: [(&str, &str); 9] = [
    (
        "subject's grant revoked",
        "UPDATE grants SET revoked_at = now(), revoke_reason = 'test' WHERE id = GRANT",
    ),
    (
        "session ended",
        "UPDATE sessions SET ended_at = now() WHERE id = (SELECT session_id FROM grants WHERE id = GRANT)",
    ),
    (
        "session expired",
        "UPDATE sessions SET expires_at = now() - interval '1 ms' WHERE id = (SELECT session_id FROM grants WHERE id = GRANT)",
    ),
    ("consent withdrawn", "UPDATE consents SET withdrawn_at = now() WHERE user_id = BEN_ID"),
    ("user disabled", "UPDATE users SET status = 'disabled' WHERE id = BEN_ID"),
    ("membership disabled", "UPDATE memberships SET status = 'disabled' WHERE user_id = BEN_ID"),
    ("subject's client disabled", "UPDATE clients SET status = 'disabled' WHERE client_id = 'web'"),
    ("subject's client deleted", "DELETE FROM clients WHERE client_id = 'web'"),
    ("user deleted", "DELETE FROM users WHERE id = BEN_ID"),
];

#[test]
fn w33_w65_what_the_subject_loses_is_lost_to_whoever_acts_for_it() {
    let stand = alone_with_machines();
    for (name, end) in ENDS {
        let subject = issue(&stand, &Ask::new(WEB).scope("openid orders:read"), BEN);
        let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]));
        let two = exchanged(&exchange(&stand, BROKER, &one.access, &[("audience", OTHER)]));
        let three = exchanged(&exchange(&stand, MASK, &two.access, &[]));
        let chain = [(BROKER, &one), (BROKER, &two), (MASK, &three)];
        for (app, token) in chain {
            assert!(is_alive(&stand, app, &token.access));
        }
        println!("{name}");
        let grant = format!("'{}'", grant_of(&stand, &subject.access));
        let ben = format!("(SELECT id FROM users WHERE email = '{BEN}')");
        sql(&stand, &end.replace("GRANT", &grant).replace("BEN_ID", &ben));
        for (app, token) in chain {
            assert_inactive(&app.introspect(&stand, &token.access));
            assert_bearer_refused(&userinfo(&stand, &token.access));
            for broker in BROKERS {
                let again = exchange(&stand, broker, &token.access, &[]);
                assert_tok(&again, "invalid_request");
            }
        }
        assert_tok(&exchange(&stand, BROKER, &subject.access, &[]), "invalid_request");
        sql(
            &stand,
            "UPDATE users SET status = 'active'; UPDATE clients SET status = 'active';
             UPDATE memberships SET status = 'active'",
        );
        if name.ends_with("deleted") {
            stand.seed(&world());
        }
    }
}

#[test]
fn w33_a_person_who_signs_out_or_a_client_that_gives_its_token_back_ends_it_too() {
    let stand = together_with_machines();
    let mut browser = signed_in(&stand, BEN);
    let subject = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]));
    browser.open(&format!("{}/logout", stand.issuer()));
    browser.submit(&[]);
    assert!(!is_alive(&stand, BROKER, &one.access), "signed out");

    let subject = issue(&stand, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]));
    let two = exchanged(&exchange(&stand, MASK, &one.access, &[]));
    TWIN.revoke(&stand, &subject.refresh).expect(200);
    assert!(!is_alive(&stand, BROKER, &one.access) && !is_alive(&stand, MASK, &two.access));

    // A replayed code, and a refresh token used twice.
    let ask = Ask::new(TWIN);
    let code = code(&stand, &ask, BEN);
    let subject = Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier));
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]));
    assert_tok(&TWIN.redeem(&stand, &code, &ask.pkce.verifier), "invalid_grant");
    assert!(!is_alive(&stand, BROKER, &one.access));
}

#[test]
fn w33_what_the_actor_loses_ends_the_delegation() {
    let stand = alone_with_machines();
    let subject = bens(&stand);
    let actor = Tokens::of(&BROKER.grant_itself(&stand, &[]));
    let more = [("actor_token", actor.access.as_str()), ("actor_token_type", ACCESS)];
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &more));
    let two = exchanged(&exchange(&stand, MASK, &one.access, &[]));
    sql(
        &stand,
        &format!(
            "UPDATE grants SET revoked_at = now(), revoke_reason = 'test' WHERE id = '{}'",
            grant_of(&stand, &actor.access)
        ),
    );
    assert!(!is_alive(&stand, BROKER, &one.access) && !is_alive(&stand, MASK, &two.access));
    assert!(is_alive(&stand, TWIN, &subject.access));

    // The broker in the middle of a chain is switched off.
    let one = exchanged(&exchange(&stand, BROKER, &subject.access, &[("audience", OTHER)]));
    let two = exchanged(&exchange(&stand, MASK, &one.access, &[]));
    sql(&stand, "UPDATE clients SET status = 'disabled' WHERE client_id = 'broker'");
    assert_bearer_refused(&userinfo(&stand, &one.access));
    assert!(!is_alive(&stand, MASK, &two.access));
    assert_client_refused(&exchange(&stand, BROKER, &subject.access, &[]), true);
    sql(&stand, "UPDATE clients SET status = 'active' WHERE client_id = 'broker'");
    sql(&stand, "DELETE FROM clients WHERE client_id = 'broker'");
    assert!(!is_alive(&stand, MASK, &two.access));
    stand.seed(&machines());
    assert!(is_alive(&stand, TWIN, &subject.access));
}

#[test]
fn w33_a_policy_or_grant_that_is_taken_away_is_gone_at_once() {
    let stand = alone_with_machines();
    let subject = bens(&stand);
    let taken = "DELETE FROM exchange_policies WHERE client = (SELECT id FROM clients WHERE client_id = 'broker')";
    sql(
        &stand,
        &format!("{taken} AND target_audience = '{OTHER}' AND subject_audience = 'orders-api'"),
    );
    let narrow = [("audience", "orders-api")];
    let orders = issue(&stand, &Ask::new(TWIN).with("audience", "orders-api"), BEN);
    assert_tok(&exchange(&stand, BROKER, &orders.access, &[("audience", OTHER)]), "invalid_target");
    exchanged(&exchange(&stand, BROKER, &orders.access, &narrow));
    sql(&stand, taken);
    assert_tok(&exchange(&stand, BROKER, &subject.access, &[]), "unauthorized_client");
    stand.seed(&machines());
    exchanged(&exchange(&stand, BROKER, &subject.access, &[]));
    sql(
        &stand,
        "UPDATE clients SET metadata = jsonb_set(metadata, '{grant_types}', '[\"client_credentials\"]')
         WHERE client_id = 'broker'",
    );
    assert_tok(&exchange(&stand, BROKER, &subject.access, &[]), "unauthorized_client");
    stand.seed(&machines());
    exchanged(&exchange(&stand, BROKER, &subject.access, &[]));
}

#[test]
fn either_form_is_exchanged_for_either() {
    let stand = together_with_machines();
    let jwt = bens(&stand);
    let opaque = issue(&stand, &Ask::new(OPAQUE).scope("openid email"), BEN);
    for (subject, kind) in [(&jwt, ACCESS), (&jwt, JWT), (&opaque, ACCESS)] {
        for (broker, wanted, is_jwt) in [
            (BROKER, "", true),
            (BROKER, ACCESS, true),
            (BROKER, JWT, true),
            (MASK, "", false),
            (MASK, ACCESS, false),
            (MASK, JWT, true),
        ] {
            let form = [
                ("subject_token", subject.access.as_str()),
                ("subject_token_type", kind),
                ("requested_token_type", wanted),
            ];
            let one = exchanged(&raw(&stand, broker, &form));
            let issued = if wanted.is_empty() { ACCESS } else { wanted };
            assert_eq!(one.reply["issued_token_type"], issued);
            assert_eq!(one.access.split('.').count() == 3, is_jwt, "{} {wanted}", broker.id);
            assert!(is_alive(&stand, broker, &one.access));
            if is_jwt {
                assert_eq!(tokens::header(&one.access)["typ"], "at+jwt");
                let seen = broker.introspect(&stand, &one.access).json();
                assert_eq!(tokens::claims(&one.access)["sub"], seen["sub"]);
            }
        }
    }
    for wanted in
        [ID_TOKEN, REFRESH, "urn:ietf:params:oauth:token-type:saml2", "jwt", "access_token"]
    {
        for broker in BROKERS {
            let more = [("requested_token_type", wanted)];
            assert_tok(&exchange(&stand, broker, &jwt.access, &more), "invalid_request");
        }
    }
}

#[test]
fn w26_w69_an_exchanged_token_is_the_brokers_and_nothing_but_an_access_token() {
    let stand = together_with_machines();
    let subject = bens(&stand);
    for broker in BROKERS {
        let one = exchanged(&exchange(&stand, broker, &subject.access, &[("audience", OTHER)]));
        assert_tok(&TWIN.refresh(&stand, &one.access), "invalid_grant");
        assert_tok(&TWIN.redeem(&stand, &one.access, &random()), "invalid_grant");
        for stranger in [TWIN, WEB, RIVAL, IDLE] {
            assert_tok(&stranger.revoke(&stand, &one.access), "unauthorized_client");
            assert_inactive(&stranger.introspect(&stand, &one.access));
        }
        let api = stand
            .client()
            .get_with(&format!("{}/api/v1/me", stand.api()), e2e::bearer(&one.access));
        assert_eq!(api.status, 401);
        let hint = Ask::new(TWIN).with("id_token_hint", &one.access).with("prompt", "none");
        assert_red(&hint.send(&stand), &TWIN, "invalid_request", Some(&hint.state));
        assert!(is_alive(&stand, broker, &one.access));
        broker.revoke(&stand, &one.access).expect(200);
        assert!(!is_alive(&stand, broker, &one.access));
        assert_tok(&exchange(&stand, broker, &one.access, &[]), "invalid_request");
    }
    assert!(is_alive(&stand, TWIN, &subject.access));
}

#[test]
fn w31_a_machines_token_is_exchanged_as_a_machines() {
    let stand = together_with_machines();
    let robot = Tokens::of(&ROBOT.grant_itself(&stand, &[]));
    let one = exchanged(&exchange(&stand, BROKER, &robot.access, &[("audience", OTHER)]));
    let claims = tokens::claims(&one.access);
    assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&json!(ROBOT.id), &json!(BROKER.id)));
    assert_eq!(one.reply["scope"], "orders:read");
    for personal in ["auth_time", "acr", "amr", "sid"] {
        assert_eq!(claims.get(personal), None, "{personal}");
    }
    assert!(is_active(&stand, BROKER, &one.access));
    assert_eq!(userinfo(&stand, &one.access).status, 403);
    ROBOT.revoke(&stand, &robot.access).expect(200);
    assert_tok(&exchange(&stand, BROKER, &robot.access, &[]), "invalid_request");
}
