//! Clients that ask for themselves (RFC 6749 §4.4), and access tokens that say nothing: what they get, and what
//! they never get.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::time::Duration;

use e2e::bench::until;
use e2e::{Response, Stand, basic, tokens};
use serde_json::{Value, json};
use support::*;

/// A token of a client's own, held to what RFC 6749 §4.4.3 allows in the answer.
#[track_caller]
fn own_token(answer: &Response) -> Tokens {
    let tokens = Tokens::of(answer);
    let mut members: Vec<&str> =
        tokens.reply.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["access_token", "expires_in", "scope", "token_type"], "W31");
    assert!(answer.header("set-cookie").is_none());
    tokens
}

fn jwks(stand: &Stand) -> Value {
    stand.client().get(&format!("{}/.well-known/jwks.json", stand.issuer())).json()
}

fn listed(value: &Value) -> Vec<String> {
    let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let mut all: Vec<String> = all.iter().map(|one| one.as_str().unwrap().to_owned()).collect();
    all.sort_unstable();
    all
}

#[test]
fn w31_a_client_gets_an_access_token_about_itself_and_nothing_else() {
    let stand = together_with_machines();
    for (app, scope, audience) in
        [(ROBOT, "orders:read orders:write", "orders-api"), (MIXED, "orders:read", stand.issuer())]
    {
        let one = own_token(&app.grant_itself(&stand, &[]));
        assert_eq!(one.reply["scope"], scope, "without scope: whatever is not about a person");
        assert_eq!(tokens::header(&one.access)["typ"], "at+jwt", "RFC 9068 §2.1");
        let claims = tokens::verify(&one.access, &jwks(&stand), stand.issuer(), audience).unwrap();
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(app.id), &json!(app.id)));
        assert_eq!(claims["scope"], scope);
        let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(one.reply["expires_in"], lifetime);
        for personal in ["auth_time", "acr", "amr", "sid", "nonce", "act", "email"] {
            assert_eq!(claims.get(personal), None, "{personal}: nobody signed in");
        }
        let seen = app.introspect(&stand, &one.access).expect(200).json();
        assert_eq!(seen["active"], true);
        for same in ["sub", "client_id", "scope", "exp", "iat", "jti", "iss"] {
            assert_eq!(seen[same], claims[same], "{same}");
        }
        let rows = format!(
            "SELECT (SELECT count(*) FROM refresh_tokens WHERE grant_id = a.grant_id), g.user_id IS NULL,
             g.session_id IS NULL FROM access_tokens a JOIN grants g ON g.id = a.grant_id
             WHERE a.jti = '{}'",
            claims["jti"].as_str().unwrap()
        );
        assert_eq!(sql(&stand, &rows), "0|t|t");
    }
}

/// "A refresh token SHOULD NOT be included" (RFC 6749 §4.4.3); an ID token has nobody to speak of.
#[test]
fn w13_w31_what_speaks_of_a_person_or_is_not_the_clients_is_an_invalid_scope() {
    let stand = alone_with_machines();
    let before = digest(&stand);
    for scope in [
        "openid",
        "profile",
        "email",
        "offline_access",
        "openid orders:read",
        "orders:read offline_access",
        "address",
        "phone",
        "orders:write",
        "rival:read",
        "opentrusty:admin",
        "nothing",
        "ORDERS:READ",
        "orders:read\u{a0}openid",
        "orders:read \"",
        "orders:read\\",
        "órders:read",
        "*",
    ] {
        println!("{scope}");
        assert_tok(&MIXED.grant_itself(&stand, &[("scope", scope)]), "invalid_scope");
    }
    let many: Vec<String> = (0..65).map(|number| format!("s{number}")).collect();
    assert_tok(&MIXED.grant_itself(&stand, &[("scope", &many.join(" "))]), "invalid_scope");
    assert_eq!(digest(&stand), before);
    // W95: empty is absent. Twice the same word is once.
    for scope in ["", "orders:read", "orders:read orders:read"] {
        let one = own_token(&MIXED.grant_itself(&stand, &[("scope", scope)]));
        assert_eq!(one.reply["scope"], "orders:read", "{scope:?}");
    }
    let one = own_token(&ROBOT.grant_itself(&stand, &[("scope", "orders:write")]));
    assert_eq!(one.reply["scope"], "orders:write");
}

#[test]
fn w30_w31_only_a_client_that_has_the_grant_and_proves_who_it_is_gets_a_token() {
    let stand = alone_with_machines();
    sql(&stand, "DELETE FROM throttles");
    let before = digest(&stand);
    for app in [SPA, NATIVE, TWIN, POST, RIVAL, PLATFORM, ORDERS, BARE] {
        println!("{}", app.id);
        assert_tok(&app.grant_itself(&stand, &[]), "unauthorized_client");
    }
    let url = format!("{}/oauth/token", stand.issuer());
    let form = [("grant_type", "client_credentials")];
    let mut http = stand.client();
    let named = [form[0], ("client_id", ROBOT.id)];
    assert_client_refused(&http.post(&url, &form), false);
    assert_client_refused(&http.post(&url, &named), false);
    assert_client_refused(&http.post_with(&url, &[basic(ROBOT.id, "wrong")], &form), true);
    assert_client_refused(
        &http.post(&url, &[named[0], named[1], ("client_secret", ROBOT.secret.unwrap())]),
        false,
    );
    // Refused attempts are counted, and that is all that they leave.
    sql(&stand, "DELETE FROM throttles");
    assert_eq!(digest(&stand), before);

    // A public client cannot be registered for it at all.
    let public = App { id: "loose", secret: None, ..ROBOT };
    let file =
        json!({ "clients": [client(public, &json!({ "grant_types": ["client_credentials"] }))] });
    let path = std::env::temp_dir().join(format!("opentrusty-loose-{}.json", std::process::id()));
    std::fs::write(&path, file.to_string()).unwrap();
    let refused = stand.cli().arg("seed").arg(&path).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("grant_types"), "{refused:?}");
    assert_eq!(sql(&stand, "SELECT count(*) FROM clients WHERE client_id = 'loose'"), "0");
}

/// RFC 8707 §2.2: "audience" and "resource" choose, and choose only among what the client may name.
#[test]
fn w66_the_audience_is_one_of_the_clients_own() {
    let stand = alone_with_machines();
    let aud = |more: &[(&str, &str)]| {
        let one = own_token(&ROBOT.grant_itself(&stand, more));
        let claims = tokens::claims(&one.access);
        let seen = ROBOT.introspect(&stand, &one.access).json();
        assert_eq!(listed(&seen["aud"]), listed(&claims["aud"]));
        listed(&claims["aud"])
    };
    assert_eq!(aud(&[]), [OTHER, "orders-api"]);
    assert_eq!(aud(&[("audience", "orders-api")]), ["orders-api"]);
    assert_eq!(aud(&[("resource", OTHER)]), [OTHER]);
    assert_eq!(aud(&[("resource", OTHER), ("audience", "orders-api")]), [OTHER, "orders-api"]);
    assert_eq!(aud(&[("audience", OTHER), ("audience", "orders-api")]), [OTHER, "orders-api"]);
    assert_eq!(aud(&[("resource", OTHER), ("resource", OTHER)]), [OTHER]);
    assert_eq!(aud(&[("resource", ""), ("audience", "")]), [OTHER, "orders-api"]);
    let plain = own_token(&MIXED.grant_itself(&stand, &[]));
    assert_eq!(listed(&tokens::claims(&plain.access)["aud"]), [stand.issuer()]);

    let before = digest(&stand);
    let api = stand.api().to_owned();
    for foreign in [
        "orders-ap",
        "ORDERS-API",
        "https://other.example.org/",
        "https://evil.example",
        "rival-web",
        "robot",
        api.as_str(),
        "*",
        "orders-api https://other.example.org",
    ] {
        println!("{foreign}");
        for name in ["resource", "audience"] {
            assert_tok(&ROBOT.grant_itself(&stand, &[(name, foreign)]), "invalid_target");
            let beside = [(name, foreign), ("audience", "orders-api")];
            assert_tok(&ROBOT.grant_itself(&stand, &beside), "invalid_target");
        }
    }
    assert_eq!(digest(&stand), before);
}

#[test]
fn w94_a_parameter_comes_once() {
    let stand = alone_with_machines();
    let before = digest(&stand);
    for (name, value) in [
        ("grant_type", "client_credentials"),
        ("grant_type", "refresh_token"),
        ("scope", "orders:read"),
        ("unknown", "x"),
    ] {
        let twice = [("scope", "orders:read"), (name, value), (name, value)];
        let twice = if name == "scope" { &twice[..2] } else { &twice[..] };
        assert_tok(&ROBOT.grant_itself(&stand, twice), "invalid_request");
    }
    let url = format!("{}/oauth/token?grant_type=client_credentials", stand.issuer());
    let head = basic(ROBOT.id, ROBOT.secret.unwrap());
    let by_query = stand.client().post_with(&url, std::slice::from_ref(&head), &[]);
    assert_tok(&by_query, "invalid_request");
    assert_eq!(digest(&stand), before);
    // W101: what is unknown is ignored, once.
    own_token(&ROBOT.grant_itself(&stand, &[("unknown", "x")]));
}

/// What ends a client's own tokens, and what undoes it.
const STATES: [(&str, &str, &str); 5] = [
    (
        "client disabled",
        "UPDATE clients SET status = 'disabled' WHERE client_id = 'robot'",
        "UPDATE clients SET status = 'active' WHERE client_id = 'robot'",
    ),
    (
        "tenant suspended",
        "UPDATE tenants SET status = 'suspended' WHERE slug = 'acme'",
        "UPDATE tenants SET status = 'active' WHERE slug = 'acme'",
    ),
    (
        "grant revoked",
        "UPDATE grants SET revoked_at = now(), revoke_reason = 'test'
         WHERE client = (SELECT id FROM clients WHERE client_id = 'robot')",
        "SELECT 1",
    ),
    (
        "token expired",
        "UPDATE access_tokens SET issued_at = now() - interval '2 hours', expires_at = now() - interval '1 ms'
         WHERE grant_id IN (SELECT id FROM grants WHERE client = (SELECT id FROM clients WHERE client_id = 'robot'))",
        "SELECT 1",
    ),
    ("client deleted", "DELETE FROM clients WHERE client_id = 'robot'", "SELECT 1"),
];

#[test]
fn w33_what_is_switched_off_is_dead_at_once_and_gets_nothing_new() {
    let stand = alone_with_machines();
    for (name, off, on) in STATES {
        let one = own_token(&ROBOT.grant_itself(&stand, &[]));
        for app in [ROBOT, ORDERS] {
            assert_eq!(app.introspect(&stand, &one.access).json()["active"], true, "{}", app.id);
        }
        println!("{name}");
        sql(&stand, off);
        for app in [ROBOT, ORDERS] {
            let answer = app.introspect(&stand, &one.access);
            match answer.status {
                200 => assert_inactive(&answer),
                _ => assert_client_refused(&answer, true),
            }
        }
        assert_bearer_refused(&userinfo(&stand, &one.access));
        if ["client disabled", "tenant suspended", "client deleted"].contains(&name) {
            assert_client_refused(&ROBOT.grant_itself(&stand, &[]), true);
        }
        sql(&stand, on);
    }
    stand.seed(&machines());
    let answer = ROBOT.grant_itself(&stand, &[]);
    own_token(&answer);
}

#[test]
fn w33_a_grant_or_scope_that_is_taken_away_is_in_no_new_token() {
    let stand = alone_with_machines();
    let set = |name: &str, value: &Value| {
        sql(
            &stand,
            &format!(
                "UPDATE clients SET metadata = jsonb_set(metadata, '{{{name}}}', '{value}') WHERE client_id = 'robot'"
            ),
        );
    };
    set("grant_types", &json!([]));
    assert_tok(&ROBOT.grant_itself(&stand, &[]), "unauthorized_client");
    set("grant_types", &json!(["client_credentials"]));
    set("scope", &json!("orders:read"));
    let one = own_token(&ROBOT.grant_itself(&stand, &[]));
    assert_eq!(one.reply["scope"], "orders:read");
    assert_tok(&ROBOT.grant_itself(&stand, &[("scope", "orders:write")]), "invalid_scope");
    set("scope", &json!("orders:read orders:write"));
    set("audiences", &json!([OTHER]));
    assert_tok(&ROBOT.grant_itself(&stand, &[("audience", "orders-api")]), "invalid_target");
    set("audiences", &json!(["orders-api", OTHER]));
}

/// The names of people and of machines never meet: whoever trusts `sub` must not take one for the other.
#[test]
fn w31_a_client_that_is_called_like_a_person_gets_nothing() {
    let stand = alone_with_machines();
    for (app, user) in [(TWIN, BEN), (RIVAL, DORA), (PLATFORM, CLEO)] {
        let person = issue(&stand, &Ask::new(app), user);
        let sub = tokens::claims(&person.id)["sub"].as_str().unwrap().to_owned();
        let over = json!({ "client_id": sub, "grant_types": ["client_credentials"], "scope": "orders:read" });
        stand.seed(&json!({ "clients": [client(ROBOT, &over)] }));
        let url = format!("{}/oauth/token", stand.issuer());
        let head = basic(&sub, ROBOT.secret.unwrap());
        let answer =
            stand.client().post_with(&url, &[head], &[("grant_type", "client_credentials")]);
        println!("{sub}: {}", answer.text());
        assert_no_token(&answer);
        assert_tok(&answer, "unauthorized_client");
        let rows = format!(
            "SELECT count(*) FROM grants WHERE client = (SELECT id FROM clients WHERE client_id = '{sub}')"
        );
        assert_eq!(sql(&stand, &rows), "0");
        assert!(is_alive(&stand, app, &person.access), "and the person is not harmed");
        sql(&stand, &format!("DELETE FROM clients WHERE client_id = '{sub}'"));
    }
}

#[test]
fn w68_w69_w70_a_machines_token_is_its_own_and_its_audiences_affair() {
    let stand = together_with_machines();
    let one = own_token(&ROBOT.grant_itself(&stand, &[]));
    for stranger in [TWIN, WEB, MIXED, RIVAL, PLATFORM] {
        assert_inactive(&stranger.introspect(&stand, &one.access));
        assert_tok(&stranger.revoke(&stand, &one.access), "unauthorized_client");
    }
    let narrow = own_token(&ROBOT.grant_itself(&stand, &[("audience", OTHER)]));
    assert_inactive(&ORDERS.introspect(&stand, &narrow.access));
    assert_eq!(ORDERS.introspect(&stand, &one.access).json()["sub"], ROBOT.id);
    // userinfo is about people: the token is good, and not for this.
    let info = userinfo(&stand, &one.access);
    info.expect(403);
    let challenge = info.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    assert!(!info.text().contains("sub"));
    // W26: it is no refresh token, no code and no session.
    assert_tok(&ROBOT.refresh(&stand, &one.access), "unauthorized_client");
    assert_tok(&MIXED.refresh(&stand, &one.access), "invalid_grant");
    assert_tok(&MIXED.redeem(&stand, &one.access, &random()), "invalid_grant");
    ROBOT.revoke(&stand, &one.access).expect(200);
    for app in [ROBOT, ORDERS] {
        assert_inactive(&app.introspect(&stand, &one.access));
    }
    assert_bearer_refused(&userinfo(&stand, &one.access));
    assert_eq!(ROBOT.introspect(&stand, &narrow.access).json()["active"], true, "it alone died");
}

/// A JWT says when it was made and when it ends; whoever asks about it must hear the same, to the second.
#[test]
fn w68_what_introspection_says_of_a_jwt_is_what_it_says_itself() {
    let stand = together_with_machines();
    let one = issue(&stand, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    let mut refresh = one.refresh.clone();
    let mut all = vec![(TWIN, one.access)];
    for _ in 0..6 {
        let next = Tokens::of(&TWIN.refresh(&stand, &refresh));
        all.push((TWIN, next.access));
        refresh = next.refresh;
        all.push((ROBOT, own_token(&ROBOT.grant_itself(&stand, &[])).access));
    }
    for (app, token) in all {
        let (claims, seen) = (tokens::claims(&token), app.introspect(&stand, &token).json());
        for same in ["iat", "exp", "auth_time", "sub", "jti", "client_id", "scope"] {
            assert_eq!(seen[same], claims[same], "{same} of {}", app.id);
        }
    }
}

/// There are relying parties that refuse what was issued a fraction of a second from now.
#[test]
fn no_token_is_from_the_future() {
    let stand = together_with_machines();
    let late =
        "SELECT extract(milliseconds FROM clock_timestamp())::integer % 1000 BETWEEN 500 AND 800";
    for _ in 0..8 {
        until("it is late in a second", Duration::from_secs(20), || {
            (sql(&stand, late) == "t").then_some(())
        });
        let one = own_token(&ROBOT.grant_itself(&stand, &[]));
        let now = sql(&stand, "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint");
        let issued = tokens::claims(&one.access)["iat"].as_i64().unwrap();
        assert!(issued <= now.parse().unwrap(), "{issued} at {now}");
    }
}

#[test]
fn every_token_of_a_clients_own_has_its_audit_row() {
    let stand = together_with_machines();
    let one = own_token(&ROBOT.grant_itself(&stand, &[]));
    let jti = tokens::claims(&one.access)["jti"].as_str().unwrap().to_owned();
    let grant = sql(&stand, &format!("SELECT grant_id FROM access_tokens WHERE jti = '{jti}'"));
    assert_eq!(audits(&stand, "tokens.granted", &grant), 1);
    let row = sql(
        &stand,
        &format!("SELECT actor_type, actor FROM audit_events WHERE target = '{grant}'"),
    );
    assert_eq!(row, "client|robot");
}

#[test]
fn an_opaque_token_says_nothing_and_does_all_that_a_jwt_does() {
    let stand = together_with_machines();
    let one = issue(&stand, &Ask::new(OPAQUE).scope("openid email offline_access"), BEN);
    let sub = tokens::claims(&one.id)["sub"].clone();
    let next = Tokens::of(&OPAQUE.refresh(&stand, &one.refresh));
    let own = own_token(&OPAQUE.grant_itself(&stand, &[]));
    for token in [&one.access, &next.access, &own.access] {
        assert!(token.len() >= 43 && !token.contains('.') && token.is_ascii(), "{token}");
        let stored = "SELECT count(*) FROM access_tokens a WHERE token_hash = sha256('TOKEN') AND a::text NOT LIKE '%TOKEN%'";
        assert_eq!(sql(&stand, &stored.replace("TOKEN", token)), "1", "only its hash is kept");
    }
    assert_ne!(one.access, next.access);
    // OIDC Core §3.1.3.6: `at_hash` is of the very text.
    let hash = {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let half =
            sql(&stand, &format!("SELECT encode(substr(sha256('{}'), 1, 16), 'hex')", one.access));
        let bytes: Vec<u8> =
            (0..16).map(|at| u8::from_str_radix(&half[2 * at..2 * at + 2], 16).unwrap()).collect();
        URL_SAFE_NO_PAD.encode(bytes)
    };
    assert_eq!(tokens::claims(&one.id)["at_hash"], hash);
    for app in [OPAQUE, ORDERS] {
        let seen = app.introspect(&stand, &one.access).expect(200).json();
        assert_eq!((&seen["active"], &seen["sub"]), (&json!(true), &sub));
        assert_eq!((&seen["client_id"], &seen["token_type"]), (&json!("opaque"), &json!("Bearer")));
        assert_eq!(listed(&seen["aud"]), ["orders-api"]);
        for member in ["iss", "exp", "iat", "jti", "scope", "auth_time", "acr", "amr", "sid"] {
            assert!(!seen[member].is_null(), "{member}: {seen}");
        }
    }
    assert_inactive(&TWIN.introspect(&stand, &one.access));
    assert_inactive(&RIVAL.introspect(&stand, &one.access));
    assert_eq!(userinfo(&stand, &one.access).expect(200).json()["email"], BEN);
    assert_tok(&TWIN.revoke(&stand, &one.access), "unauthorized_client");
    OPAQUE.revoke(&stand, &one.access).expect(200);
    assert!(!is_alive(&stand, OPAQUE, &one.access) && is_alive(&stand, OPAQUE, &next.access));
    OPAQUE.revoke(&stand, &next.refresh).expect(200);
    assert!(!is_alive(&stand, OPAQUE, &next.access), "FAM†");
}

#[test]
fn w21_w27_no_variant_of_an_opaque_token_is_alive_and_a_replayed_code_kills_it() {
    let stand = alone_with_machines();
    let ask = Ask::new(OPAQUE);
    let code = code(&stand, &ask, BEN);
    let one = Tokens::of(&OPAQUE.redeem(&stand, &code, &ask.pkce.verifier));
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let head = basic(OPAQUE.id, OPAQUE.secret.unwrap());
    let token = &one.access;
    let mut wrong = vec![
        token.to_uppercase(),
        token.to_lowercase(),
        format!("{token}="),
        format!("{token}A"),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}."),
        format!("{token}.."),
        format!("\u{feff}{token}"),
        token.chars().rev().collect(),
    ];
    for at in 0..token.len() {
        wrong.push(token[..at].to_owned());
        wrong.push(token[at + 1..].to_owned());
        let other = if token.as_bytes()[at] == b'A' { 'B' } else { 'A' };
        wrong.push(format!("{}{other}{}", &token[..at], &token[at + 1..]));
    }
    wrong.retain(|text| !text.is_empty() && text != token);
    for text in &wrong {
        let form = [("token", text.as_str())];
        assert_inactive(&wire.post("/oauth/introspect", &[(head.0, &head.1)], &form));
    }
    assert!(wrong.len() > 100);
    assert_eq!(digest(&stand), before);
    assert!(is_alive(&stand, OPAQUE, token));
    assert_tok(&OPAQUE.redeem(&stand, &code, &ask.pkce.verifier), "invalid_grant");
    assert!(!is_alive(&stand, OPAQUE, token));
}

/// The management API verifies signatures: no client of a tenant gets near it, in whichever form.
#[test]
fn neither_form_opens_the_management_api() {
    let stand = together_with_machines();
    let opaque = own_token(&OPAQUE.grant_itself(&stand, &[]));
    let jwt = own_token(&ROBOT.grant_itself(&stand, &[]));
    let url = format!("{}/api/v1/me", stand.api());
    for token in [opaque.access, jwt.access] {
        let answer = stand.client().get_with(&url, e2e::bearer(&token));
        answer.expect(401);
    }
}
