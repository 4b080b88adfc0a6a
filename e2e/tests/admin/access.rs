//! What becomes of a token that was good: revoked, expired, signed out, demoted, too old for what is asked.

use e2e::people::{MEMBER, PLATFORM_ADMIN, STRANGER, console};
use e2e::{Client, bearer};

use crate::{
    admin_token, call, keys, me, own_stand, owner, signed_in, stand, text, unauthenticated,
};

#[test]
fn a_platform_admin_is_who_they_are_and_may_manage_keys() {
    let token = admin_token(stand());
    let who = me(stand(), &token).expect(200).json();
    assert_eq!(text(&who, "email"), PLATFORM_ADMIN.0);
    assert_eq!(text(&who, "client_id"), "console");
    let roles = who["assignments"].as_array().unwrap();
    assert_eq!(roles.len(), 1, "{who}");
    assert_eq!(
        (&roles[0]["role"], &roles[0]["tenant"]),
        (&"platform_admin".into(), &serde_json::Value::Null)
    );
    let listed = keys(stand(), &token).expect(200).json();
    assert_eq!(text(&listed, "issuer"), stand().issuer());
    let keys = listed["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 7, "{listed}");
    assert!(keys.iter().all(|key| text(key, "issuer") == stand().issuer()), "{listed}");
    assert!(keys.iter().all(|key| key["state"] == "active"), "{listed}");
    // What a key is made of is not told.
    let told = listed.to_string();
    for word in ["statement", "mac", "private", "\"d\"", "pin"] {
        assert!(!told.contains(word), "{told}");
    }
}

#[test]
fn w155_a_token_that_is_dead_in_the_database_opens_nothing_however_well_it_is_signed() {
    let stand = own_stand();
    for (what, kill, revive) in [
        (
            "expired",
            "UPDATE access_tokens SET expires_at = now() - interval '1 second'",
            "UPDATE access_tokens SET expires_at = now() + interval '5 minutes'",
        ),
        (
            "revoked",
            "UPDATE access_tokens SET revoked_at = now()",
            "UPDATE access_tokens SET revoked_at = NULL",
        ),
        (
            "grant revoked",
            "UPDATE grants SET revoked_at = now()",
            "UPDATE grants SET revoked_at = NULL",
        ),
        (
            "grant expired",
            "UPDATE grants SET expires_at = now() - interval '1 second'",
            "UPDATE grants SET expires_at = now() + interval '1 day'",
        ),
        (
            "session ended",
            "UPDATE sessions SET ended_at = now()",
            "UPDATE sessions SET ended_at = NULL",
        ),
        (
            "session expired",
            "UPDATE sessions SET expires_at = now() - interval '1 second'",
            "UPDATE sessions SET expires_at = now() + interval '1 day'",
        ),
        (
            "user disabled",
            "UPDATE users SET status = 'disabled'",
            "UPDATE users SET status = 'active'",
        ),
        (
            "client disabled",
            "UPDATE clients SET status = 'disabled'",
            "UPDATE clients SET status = 'active'",
        ),
    ] {
        let token = admin_token(&stand);
        keys(&stand, &token).expect(200);
        owner(&stand, kill);
        unauthenticated(&me(&stand, &token), what);
        unauthenticated(&keys(&stand, &token), what);
        owner(&stand, revive);
        keys(&stand, &token).expect(200);
    }
    let token = admin_token(&stand);
    owner(&stand, "DELETE FROM access_tokens");
    unauthenticated(&me(&stand, &token), "never heard of");
}

#[test]
fn w155_a_token_given_back_or_signed_out_is_refused_at_once() {
    let stand = own_stand();
    let party = console(&stand);
    let token = admin_token(&stand);
    party.revoke(&mut stand.client(), &token).expect(200);
    unauthenticated(&me(&stand, &token), "given back");

    let mut browser = stand.browser();
    let got = party.tokens(&mut browser, PLATFORM_ADMIN);
    me(&stand, text(&got, "access_token")).expect(200);
    browser.open(&format!("{}/logout", stand.issuer()));
    browser.submit(&[]);
    unauthenticated(&me(&stand, text(&got, "access_token")), "signed out");

    // Its successor does not outlive the refresh token's theft either.
    let got = signed_in(&stand, PLATFORM_ADMIN);
    let mut client = stand.client();
    let second = party.refresh(&mut client, text(&got, "refresh_token")).expect(200).json();
    me(&stand, text(&second, "access_token")).expect(200);
    party.refresh(&mut client, text(&got, "refresh_token")).expect(400);
    unauthenticated(&me(&stand, text(&second, "access_token")), "the family is dead");
}

#[test]
fn w155_a_demotion_and_a_promotion_work_on_the_next_call_of_the_same_token() {
    let stand = own_stand();
    let token = admin_token(&stand);
    keys(&stand, &token).expect(200);
    owner(&stand, "DELETE FROM role_assignments WHERE role = 'platform_admin'");
    let refused = keys(&stand, &token);
    assert_eq!(text(&refused.expect(403).json(), "code"), "forbidden");
    call(&stand, Some(&token), "POST", "/api/v1/keys", Some("{}")).expect(403);
    assert_eq!(me(&stand, &token).expect(200).json()["assignments"], serde_json::json!([]));
    owner(
        &stand,
        &format!(
            "INSERT INTO role_assignments (id, user_id, role, scope)
             SELECT gen_random_uuid(), id, 'platform_admin', 'platform' FROM users WHERE email = '{}'",
            PLATFORM_ADMIN.0
        ),
    );
    keys(&stand, &token).expect(200);
    // Checks are on permissions, not on the role's name.
    owner(
        &stand,
        "UPDATE roles SET permissions = array_remove(permissions, 'platform:manage_keys')",
    );
    keys(&stand, &token).expect(403);
}

#[test]
fn w151_a_tenants_permission_of_the_same_name_gives_nothing_on_the_platform() {
    let stand = own_stand();
    let token = text(&signed_in(&stand, MEMBER), "access_token").to_owned();
    keys(&stand, &token).expect(403);
    owner(
        &stand,
        "UPDATE roles SET permissions = permissions || ARRAY['platform:manage_keys'] WHERE name = 'tenant_member'",
    );
    keys(&stand, &token).expect(403);
}

#[test]
fn w158_what_cannot_be_undone_needs_a_sign_in_of_the_last_five_minutes() {
    let stand = own_stand();
    let token = admin_token(&stand);
    let count = || owner(&stand, "SELECT count(*) FROM signing_keys");
    let wanted = r#"{"class":"token","algorithm":"ES256"}"#;
    let kid = {
        let listed = keys(&stand, &token).expect(200).json();
        text(&listed["keys"][0], "kid").to_owned()
    };
    owner(&stand, "UPDATE grants SET auth_time = now() - interval '301 seconds'");
    for (path, body) in [
        ("/api/v1/keys".to_owned(), wanted),
        (format!("/api/v1/keys/{kid}/activate"), "{}"),
        (format!("/api/v1/keys/{kid}/retire"), "{}"),
    ] {
        let refused = call(&stand, Some(&token), "POST", &path, Some(body));
        assert_eq!(refused.status, 401, "{path}: {}", refused.text());
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        for part in ["Bearer ", "insufficient_user_authentication", "max_age=\"300\""] {
            assert!(challenge.contains(part), "{path}: {challenge}");
        }
        assert_eq!(text(&refused.json(), "code"), "insufficient_user_authentication");
    }
    assert_eq!(count(), "7");
    // To look, the sign-in need not be fresh; and a fresh one helps.
    keys(&stand, &token).expect(200);
    let again = admin_token(&stand);
    call(&stand, Some(&again), "POST", "/api/v1/keys", Some(wanted)).expect(201);
    assert_eq!(count(), "8");
    // A refreshed token is no fresh sign-in.
    let got = signed_in(&stand, PLATFORM_ADMIN);
    owner(&stand, "UPDATE grants SET auth_time = now() - interval '1 hour'");
    let renewed = console(&stand)
        .refresh(&mut stand.client(), text(&got, "refresh_token"))
        .expect(200)
        .json();
    let renewed = text(&renewed, "access_token").to_owned();
    keys(&stand, &renewed).expect(200);
    let refused = call(&stand, Some(&renewed), "POST", "/api/v1/keys", Some(wanted));
    assert_eq!(text(&refused.expect(401).json(), "code"), "insufficient_user_authentication");
}

#[test]
fn w160_cookies_are_nothing_here() {
    let stand = stand();
    let mut browser = stand.browser();
    let got = console(stand).tokens(&mut browser, PLATFORM_ADMIN);
    let token = text(&got, "access_token");
    let mut client: Client = browser.client().clone();
    assert!(!client.cookies().is_empty(), "the person is signed in at the public plane");
    for name in ["token", "access_token", "authorization", "session"] {
        client.put_cookie(name, token);
    }
    for path in ["/api/v1/me", "/api/v1/keys"] {
        unauthenticated(&client.get(&format!("{}{path}", stand.api())), path);
    }
    let staged = client.json(
        "POST",
        &format!("{}/api/v1/keys", stand.api()),
        &[],
        &serde_json::json!({ "class": "token", "algorithm": "ES256" }),
    );
    unauthenticated(&staged, "POST with cookies");
    // And they are in nobody's way.
    let response = client.get_with(&format!("{}/api/v1/me", stand.api()), bearer(token));
    assert!(response.expect(200).values("set-cookie").next().is_none());
}

#[test]
fn w160_the_console_alone_may_ask_from_another_origin() {
    let stand = stand();
    let token = admin_token(stand);
    let url = format!("{}/api/v1/me", stand.api());
    let with = |origin: &str| {
        stand.client().send("GET", &url, &[bearer(&token), ("origin", origin.to_owned())], b"")
    };
    let console = "https://localhost:8082";
    assert_eq!(with(console).header("access-control-allow-origin"), Some(console));
    for origin in [
        "https://evil.example",
        "null",
        "https://localhost:8082.evil.example",
        "http://localhost:8082",
        stand.issuer(),
    ] {
        let response = with(origin);
        assert_eq!(response.header("access-control-allow-origin"), None, "{origin}");
        assert_eq!(response.header("access-control-allow-credentials"), None, "{origin}");
    }
    assert_eq!(with(console).header("access-control-allow-credentials"), None);
    let asked = [
        ("origin", console.to_owned()),
        ("access-control-request-method", "POST".to_owned()),
        ("access-control-request-headers", "authorization, content-type".to_owned()),
    ];
    let preflight = stand.client().send("OPTIONS", &url, &asked, b"");
    preflight.expect(204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some(console));
}

#[test]
fn an_account_without_any_role_sees_itself_and_nothing_else() {
    let token = text(&signed_in(stand(), STRANGER), "access_token").to_owned();
    let who = me(stand(), &token).expect(200).json();
    assert_eq!((text(&who, "email"), &who["assignments"]), (STRANGER.0, &serde_json::json!([])));
    let refused = keys(stand(), &token);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(text(&refused.expect(403).json(), "code"), "forbidden");
}
