//! Introspection, revocation, userinfo, discovery and keys (security.md, group D).

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{bearer, tokens};
use serde_json::{Value, json};
use support::*;

#[test]
fn w68_introspection_tells_the_issuing_client_and_the_audience_alone() {
    let stand = together();
    let one = issue(&stand, &Ask::new(TWIN).scope("openid orders:read"), ANA);
    let claims = tokens::claims(&one.access);
    for app in [TWIN, ORDERS] {
        let told = app.introspect(&stand, &one.access).expect(200).json();
        assert_eq!(told["active"], true, "{}: {told}", app.id);
        for name in ["iss", "sub", "client_id", "scope", "exp", "iat", "jti"] {
            assert_eq!(told[name], claims[name], "{name}");
        }
        assert_eq!(told["token_type"], "Bearer");
        assert_eq!(told.get("username"), None, "nothing that no scope released");
        assert_eq!(told.get("email"), None);
    }
    for app in [WEB, POST, RIVAL, PLATFORM, BRIEF] {
        println!("{}", app.id);
        assert_inactive(&app.introspect(&stand, &one.access));
        assert_inactive(&app.introspect(&stand, &one.refresh));
    }
    // A refresh token is its client's business alone.
    assert_eq!(TWIN.introspect(&stand, &one.refresh).json()["active"], true);
    assert_inactive(&ORDERS.introspect(&stand, &one.refresh));
    // A wrong hint does not hide a token; RFC 7662 §2.1.
    for hint in ["refresh_token", "access_token", "nonsense"] {
        let form = [("token", one.access.as_str()), ("token_type_hint", hint)];
        assert_eq!(TWIN.call(&stand, "/oauth/introspect", &form).json()["active"], true, "{hint}");
    }
}

#[test]
fn w68_inactive_is_one_member_and_says_nothing_about_why() {
    let stand = together();
    let one = issue(&stand, &Ask::new(TWIN), BEN);
    let rival = issue(&stand, &Ask::new(RIVAL), CLEO);
    TWIN.revoke(&stand, &one.access).expect(200);
    let expired = issue(&stand, &Ask::new(TWIN), BEN);
    sql(
        &stand,
        &format!(
            "UPDATE access_tokens SET expires_at = now() - interval '1 s' WHERE token_hash = sha256('{}')",
            expired.access
        ),
    );
    let mut seen = None;
    for token in [
        &one.access,
        &rival.access,
        &rival.refresh,
        &expired.access,
        &one.id,
        &random(),
        &"x".repeat(5000),
    ] {
        let answer = TWIN.introspect(&stand, token);
        assert_inactive(&answer);
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
        let shape = (headers, answer.body.clone());
        assert_eq!(seen.get_or_insert_with(|| shape.clone()), &shape);
    }
    assert_tok(&TWIN.call(&stand, "/oauth/introspect", &[]), "invalid_request");
    assert_tok(&TWIN.call(&stand, "/oauth/introspect", &[("token", "")]), "invalid_request");
}

#[test]
fn w68_nobody_introspects_without_authentication() {
    let stand = together();
    let one = issue(&stand, &Ask::new(SPA), BEN);
    let url = format!("{}/oauth/introspect", stand.issuer());
    let mut client = stand.client();
    assert_client_refused(&client.post(&url, &[("token", &one.access)]), false);
    assert_client_refused(
        &client.post(&url, &[("token", &one.access), ("client_id", TWIN.id)]),
        false,
    );
    let bearing = client.post_with(&url, &[bearer(&one.access)], &[("token", &one.access)]);
    assert_client_refused(&bearing, false);
    // The name of a public client proves nothing: it may be refused, but it is never told.
    let named = client.post(&url, &[("token", &one.access), ("client_id", SPA.id)]);
    assert!(named.status == 401 || named.json() == json!({ "active": false }), "{}", named.text());
}

#[test]
fn w69_revoking_a_refresh_token_ends_the_family_and_an_access_token_only_itself() {
    let stand = together();
    for app in [TWIN, POST] {
        let one = issue(&stand, &Ask::new(app), BEN);
        app.revoke(&stand, &one.access).expect(200);
        assert!(!is_alive(&stand, app, &one.access));
        let two = Tokens::of(&app.refresh(&stand, &one.refresh));
        let answer = app.revoke(&stand, &two.refresh);
        assert!(
            answer.expect(200).body.is_empty() || answer.json() == json!({}),
            "{}",
            answer.text()
        );
        assert!(!is_alive(&stand, app, &two.access));
        assert_inactive(&app.introspect(&stand, &two.refresh));
        assert_tok(&app.refresh(&stand, &two.refresh), "invalid_grant");
        // Again, and with any hint, is a success that changes nothing.
        app.revoke(&stand, &two.refresh).expect(200);
        app.call(
            &stand,
            "/oauth/revoke",
            &[("token", &two.access), ("token_type_hint", "nonsense")],
        )
        .expect(200);
    }
    // Even one that was rotated away: whoever gives it back means the family.
    let one = issue(&stand, &Ask::new(TWIN), BEN);
    let two = Tokens::of(&TWIN.refresh(&stand, &one.refresh));
    TWIN.revoke(&stand, &one.refresh).expect(200);
    assert!(!is_alive(&stand, TWIN, &two.access));
    assert_tok(&TWIN.refresh(&stand, &two.refresh), "invalid_grant");
    let spa = issue(&stand, &Ask::new(SPA), BEN);
    SPA.revoke(&stand, &spa.refresh).expect(200);
    assert_bearer_refused(&userinfo(&stand, &spa.access));
    assert_tok(&SPA.refresh(&stand, &spa.refresh), "invalid_grant");
}

#[test]
fn w69_an_unknown_token_is_a_success_and_another_clients_is_not_touched() {
    let stand = alone();
    let one = issue(&stand, &Ask::new(TWIN), BEN);
    let before = digest(&stand);
    for unknown in
        [random().as_str(), "x", &one.id, &"t".repeat(9000), "otr_\u{e9}", &one.access[..50]]
    {
        TWIN.revoke(&stand, unknown).expect(200);
    }
    for thief in [WEB, POST, RIVAL, SPA2, ORDERS] {
        for token in [&one.access, &one.refresh] {
            println!("{}", thief.id);
            assert_tok(&thief.revoke(&stand, token), "unauthorized_client");
        }
    }
    assert_tok(&TWIN.call(&stand, "/oauth/revoke", &[]), "invalid_request");
    let url = format!("{}/oauth/revoke", stand.issuer());
    assert_client_refused(&stand.client().post(&url, &[("token", &one.refresh)]), false);
    assert_eq!(digest(&stand), before);
    assert!(is_alive(&stand, TWIN, &one.access));
    // What is dead is nobody's any more: "invalid tokens do not cause an error response" (RFC 7009 §2.2).
    TWIN.revoke(&stand, &one.refresh).expect(200);
    let after = digest(&stand);
    for token in [&one.access, &one.refresh] {
        WEB.revoke(&stand, token).expect(200);
    }
    assert_eq!(digest(&stand), after);
}

#[test]
fn w32_w70_userinfo_takes_a_live_access_token_with_openid_in_one_place() {
    let stand = alone();
    let issuer = stand.issuer().to_owned();
    let url = format!("{issuer}/oauth/userinfo");
    let one = issue(&stand, &Ask::new(TWIN).scope("openid email"), ANA);
    let bare = issue(&stand, &Ask::new(BARE).scope("orders:read").without("nonce"), ANA);
    let before = digest(&stand);
    let mut client = stand.client();
    let sub = userinfo(&stand, &one.access).expect(200).json()["sub"].clone();
    assert_eq!(client.post_with(&url, &[bearer(&one.access)], &[]).expect(200).json()["sub"], sub);
    assert_eq!(client.post(&url, &[("access_token", &one.access)]).expect(200).json()["sub"], sub);

    for wrong in [&one.id, &one.refresh, "x", &format!("{}x", one.access), "a.b.c", "..", "~"] {
        assert_bearer_refused(&client.get_with(&url, bearer(wrong)));
        assert_bearer_refused(&client.post(&url, &[("access_token", wrong)]));
    }
    let poor = client.get_with(&url, bearer(&bare.access));
    poor.expect(403);
    assert!(poor.header("www-authenticate").unwrap().contains("error=\"insufficient_scope\""));
    // RFC 6750 §3.1: who shows no token is told how, without an error code.
    let none = client.get(&url);
    none.expect(401);
    assert!(
        none.header("www-authenticate")
            .is_some_and(|c| c.starts_with("Bearer") && !c.contains("error"))
    );

    let twice = client.post_with(&url, &[bearer(&one.access)], &[("access_token", &one.access)]);
    assert_tok(&twice, "invalid_request");
    assert_tok(
        &client.post(&url, &[("access_token", &one.access), ("access_token", "x")]),
        "invalid_request",
    );
    let in_query = client.get(&format!("{url}?access_token={}", one.access));
    assert!([400, 401].contains(&in_query.status), "{}", in_query.text());
    let beside =
        client.get_with(&format!("{url}?access_token={}", one.access), bearer(&one.access));
    assert_tok(&beside, "invalid_request");
    let two_headers = client.send("GET", &url, &[bearer(&one.access), bearer(&one.access)], b"");
    two_headers.expect(400);
    assert_eq!(digest(&stand), before);
    drop(stand);
    // An access token is no hint of who somebody is.
    let stand = together();
    assert_page(
        &stand.client().get(&format!("{issuer}/oauth/logout?id_token_hint={}", one.access)),
    );
    assert_inactive(&TWIN.introspect(&stand, &one.id));
}

#[test]
fn claims_are_released_by_scope_and_no_others() {
    let stand = together();
    let of = |scope: &str| -> Value {
        let one = issue(&stand, &Ask::new(TWIN).scope(scope), ANA);
        for token in [&one.id, &one.access] {
            let claims = tokens::claims(token);
            for private in
                ["email", "name", "given_name", "picture", "locale", "roles", "tenant_id"]
            {
                assert_eq!(claims.get(private), None, "{private} in {claims}");
            }
        }
        let mut info = userinfo(&stand, &one.access).expect(200).json();
        assert_eq!(info["sub"], tokens::claims(&one.id)["sub"]);
        info.as_object_mut().unwrap().remove("sub");
        info
    };
    let email = json!({ "email": ANA, "email_verified": true });
    let profile = json!({ "name": "Ana Lima", "given_name": "Ana", "family_name": "Lima", "locale": "pt-BR",
        "picture": "https://img.example.org/ana.png" });
    let mut both = email.clone();
    both.as_object_mut().unwrap().extend(profile.as_object().unwrap().clone());
    assert_eq!(of("openid"), json!({}));
    assert_eq!(of("openid email"), email);
    assert_eq!(of("openid profile"), profile);
    assert_eq!(of("openid email profile"), both);
    assert_eq!(of("openid offline_access orders:read"), json!({}));
    // Ben has nothing but an address, and it is not proved: what is unknown is absent, not null.
    let ben = issue(&stand, &Ask::new(TWIN).scope("openid email profile"), BEN);
    let mut info = userinfo(&stand, &ben.access).json();
    info.as_object_mut().unwrap().remove("sub");
    assert_eq!(info, json!({ "email": BEN, "email_verified": false }));
}

#[test]
fn a_subject_is_the_same_within_a_tenant_and_another_elsewhere() {
    let stand = together();
    let sub = |app: App| tokens::claims(&issue(&stand, &Ask::new(app), CLEO).id)["sub"].clone();
    let (twin, post, rival, platform) = (sub(TWIN), sub(POST), sub(RIVAL), sub(PLATFORM));
    assert_eq!(twin, post);
    assert_ne!(twin, rival);
    assert_ne!(twin, platform);
    assert_ne!(rival, platform);
    let id = sql(&stand, &format!("SELECT id FROM users WHERE email = '{CLEO}'"));
    for sub in [&twin, &rival, &platform] {
        let sub = sub.as_str().unwrap();
        assert!(
            sub.len() >= 22 && sub.len() <= 255 && sub.is_ascii() && !sub.contains(&id),
            "{sub}"
        );
    }
}

#[test]
fn w71_discovery_and_keys_are_public_whole_and_the_same_whoever_asks() {
    let stand = together();
    let issuer = stand.issuer();
    let mut wire = Line::open(&stand);
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
    ] {
        let plain = wire.get(path);
        for (name, value) in [
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "http"),
            ("forwarded", "host=evil.example"),
            ("x-forwarded-prefix", "/evil"),
            ("x-original-url", "/evil"),
            ("x-tenant-id", "rival"),
            ("origin", "https://evil.example"),
        ] {
            assert_eq!(
                wire.ask("GET", path, &[(name, value)], b"").expect(200).body,
                plain.expect(200).body,
                "{name}"
            );
        }
        assert!(wire.ask("HEAD", path, &[], b"").expect(200).body.is_empty());
    }
    let discovery = wire.get("/.well-known/openid-configuration").json();
    assert_eq!(discovery["issuer"], issuer);
    for (name, value) in discovery.as_object().unwrap() {
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            assert!(value.as_str().unwrap().starts_with(&format!("{issuer}/")), "{name}: {value}");
        }
    }
    assert_eq!(discovery["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(discovery["response_types_supported"], json!(["code"]));
    assert_eq!(discovery["subject_types_supported"], json!(["pairwise"]));
    for absent in ["check_session_iframe", "registration_endpoint"] {
        assert_eq!(discovery.get(absent), None, "only what works is advertised");
    }
    let jwks = wire.get("/.well-known/jwks.json").json();
    let keys = jwks["keys"].as_array().unwrap();
    let mut kids: Vec<_> = keys.iter().map(|key| key["kid"].as_str().unwrap()).collect();
    kids.sort_unstable();
    kids.dedup();
    assert_eq!(kids.len(), keys.len());
    for key in keys {
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert_eq!(key.get(private), None);
        }
        assert_eq!(key["use"], "sig", "{key}");
        assert!(key["alg"].is_string());
    }
}
