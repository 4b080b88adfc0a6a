//! Token exchange (RFC 8693; security.md W65–W67): what may be exchanged, by whom, for what, and what dies with it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
#[path = "../support/mod.rs"]
mod support;

mod ends;
mod policies;
mod subjects;

use e2e::{Response, Stand, tokens};
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
    let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let mut all: Vec<String> = all.iter().map(|one| one.as_str().unwrap().to_owned()).collect();
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
    // Whoever administers another tenant appears nowhere in the power of this one's clients either.
    let at_rival = format!(
        "FROM tenants t, users u WHERE t.slug = 'rival' AND u.email = '{BEN}' ON CONFLICT DO NOTHING"
    );
    sql(
        &stand,
        &format!("INSERT INTO memberships (tenant_id, user_id) SELECT t.id, u.id {at_rival}"),
    );
    let everywhere = roles.lines().flat_map(|role| {
        let (name, scope) = role.split_once('|').unwrap();
        let tenants: &[&str] = if scope == "platform" { &[""] } else { &["acme", "rival"] };
        tenants.iter().map(move |tenant| (name, scope, *tenant))
    });
    for (name, scope, tenant) in everywhere {
        println!("{name} {tenant}");
        exchanged(&exchange(&stand, MASK, &ben.access, &[]));
        let tenant = format!("(SELECT id FROM tenants WHERE slug = '{tenant}')");
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
    let of_ben = format!("user_id = (SELECT id FROM users WHERE email = '{BEN}')");
    let at_rival = "tenant_id = (SELECT id FROM tenants WHERE slug = 'rival')";
    sql(&stand, &format!("DELETE FROM memberships WHERE {of_ben} AND {at_rival}"));
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
