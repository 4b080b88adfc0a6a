//! Refresh tokens (security.md, group C): one live one per family, a reused one ends the family.

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{Stand, basic, tokens};
use serde_json::json;
use support::*;

/// Of a family: every refresh token and every access token is dead, by every way to ask.
#[track_caller]
fn assert_family_dead(stand: &Stand, app: App, refresh: &[&str], access: &[&str]) {
    for token in access {
        assert_bearer_refused(&userinfo(stand, token));
        if app.secret.is_some() {
            assert_inactive(&app.introspect(stand, token));
        }
    }
    for token in refresh {
        if app.secret.is_some() {
            assert_inactive(&app.introspect(stand, token));
        }
        assert_tok(&app.refresh(stand, token), "invalid_grant");
    }
}

/// The grant that a refresh token belongs to.
fn family(stand: &Stand, refresh: &str) -> String {
    sql(
        stand,
        &format!("SELECT grant_id FROM refresh_tokens WHERE token_hash = sha256('{refresh}')"),
    )
}

#[test]
fn a_refresh_token_rotates_and_what_it_gives_is_as_good() {
    let stand = together();
    let jwks = stand.client().get(&format!("{}/.well-known/jwks.json", stand.issuer())).json();
    for app in [TWIN, POST, SPA] {
        let first = issue(&stand, &Ask::new(app).scope("openid email"), BEN);
        let mut last = first.clone();
        for _ in 0..3 {
            let next = Tokens::of(&app.refresh(&stand, &last.refresh));
            assert_ne!(next.refresh, last.refresh);
            assert_eq!(next.reply["scope"], "email openid");
            let (old, new) = (tokens::claims(&first.access), tokens::claims(&next.access));
            for claim in ["sub", "aud", "client_id", "auth_time", "sid", "scope", "iss"] {
                assert_eq!(old[claim], new[claim], "{claim}");
            }
            assert_ne!(old["jti"], new["jti"]);
            // OIDC Core §12.2: the same person, no nonce needed, the original auth_time.
            let id = tokens::verify(&next.id, &jwks, stand.issuer(), app.id).unwrap();
            assert_eq!(id["sub"], tokens::claims(&first.id)["sub"]);
            assert_eq!(id["auth_time"], tokens::claims(&first.id)["auth_time"]);
            userinfo(&stand, &next.access).expect(200);
            last = next;
        }
    }
}

#[test]
fn w35_a_reused_refresh_token_ends_its_family() {
    let stand = together();
    for app in [TWIN, POST, SPA] {
        let one = issue(&stand, &Ask::new(app), BEN);
        let two = Tokens::of(&app.refresh(&stand, &one.refresh));
        let three = Tokens::of(&app.refresh(&stand, &two.refresh));
        userinfo(&stand, &three.access).expect(200);
        let grant = family(&stand, &one.refresh);
        assert_eq!(audits(&stand, "refresh.reused", &grant), 0);

        assert_tok(&app.refresh(&stand, &one.refresh), "invalid_grant");
        assert_eq!(audits(&stand, "refresh.reused", &grant), 1, "AUD(refresh_reuse)");
        let refresh = [three.refresh.as_str(), &two.refresh, &one.refresh];
        assert_family_dead(&stand, app, &refresh, &[&one.access, &two.access, &three.access]);
    }
}

#[test]
fn w35_reuse_is_seen_whatever_else_is_wrong_with_the_request() {
    let stand = together();
    for (name, value) in [("scope", "nonsense:scope"), ("resource", "https://nowhere.example")] {
        let one = issue(&stand, &Ask::new(TWIN), BEN);
        let two = Tokens::of(&TWIN.refresh(&stand, &one.refresh));
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", &one.refresh), (name, value)];
        println!("{name}={value}");
        let answer = TWIN.call(&stand, "/oauth/token", &form);
        answer.expect(400);
        assert_no_token(&answer);
        assert_family_dead(&stand, TWIN, &[&two.refresh], &[&one.access, &two.access]);
    }
}

#[test]
fn w38_without_authentication_a_stolen_refresh_token_does_nothing() {
    let stand = alone();
    let one = issue(&stand, &Ask::new(TWIN), BEN);
    let before = digest(&stand);
    let url = format!("{}/oauth/token", stand.issuer());
    let form = [("grant_type", "refresh_token"), ("refresh_token", one.refresh.as_str())];
    let mut client = stand.client();
    for id in [TWIN.id, POST.id, "nobody"] {
        assert_client_refused(&client.post_with(&url, &[basic(id, "wrong")], &form), true);
        assert_client_refused(
            &client.post(&url, &[&form[..], &[("client_id", id)]].concat()),
            false,
        );
    }
    assert_client_refused(&client.post(&url, &form), false);
    assert_eq!(digest(&stand), before);
    Tokens::of(&TWIN.refresh(&stand, &one.refresh));
}

#[test]
fn w38_another_client_that_presents_a_refresh_token_ends_its_family() {
    let stand = together();
    for (owner, thief) in
        [(TWIN, POST), (TWIN, WEB), (SPA, TWIN), (POST, RIVAL), (RETRY, TWIN), (TWIN, PLATFORM)]
    {
        let one = issue(&stand, &Ask::new(owner), CLEO);
        let grant = family(&stand, &one.refresh);
        println!("{} presents a token of {}", thief.id, owner.id);
        assert_tok(&thief.refresh(&stand, &one.refresh), "invalid_grant");
        assert_eq!(audits(&stand, "refresh.stolen", &grant), 1);
        assert_family_dead(&stand, owner, &[&one.refresh], &[&one.access]);
    }
}

/// Anybody can be a public client: what one says about another's token proves nothing.
#[test]
fn w38_a_public_client_cannot_end_a_family_that_is_not_its_own() {
    let stand = together();
    for owner in [TWIN, SPA] {
        let one = issue(&stand, &Ask::new(owner), BEN);
        assert_tok(&SPA2.refresh(&stand, &one.refresh), "invalid_grant");
        userinfo(&stand, &one.access).expect(200);
        Tokens::of(&owner.refresh(&stand, &one.refresh));
    }
}

#[test]
fn w13_w39_nothing_is_widened_and_a_refused_request_costs_nothing() {
    let stand = together();
    let one = issue(&stand, &Ask::new(TWIN).scope("openid email"), BEN);
    for scope in [
        "openid email profile",
        "orders:read",
        "openid orders:write",
        "rival:read",
        "opentrusty:admin",
        "nothing",
        "openid \"",
        "openid\temail",
        "offline_access",
        &"x".repeat(2049),
    ] {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", one.refresh.as_str()),
            ("scope", scope),
        ];
        println!("{scope:.30}");
        assert_tok(&TWIN.call(&stand, "/oauth/token", &form), "invalid_scope");
    }
    for (name, target) in [
        ("resource", "https://nobody.example"),
        ("audience", "rival-web"),
        ("resource", "not a uri"),
        ("audience", stand.api()),
    ] {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", one.refresh.as_str()),
            (name, target),
        ];
        assert_tok(&TWIN.call(&stand, "/oauth/token", &form), "invalid_target");
    }
    assert!(is_alive(&stand, TWIN, &one.access));
    Tokens::of(&TWIN.refresh(&stand, &one.refresh));
}

/// RFC 6749 §6: the scope of a refresh may be less, and the next one may be all of it again.
#[test]
fn w39_narrowing_is_for_one_access_token_and_does_not_shrink_the_grant() {
    let stand = together();
    let one = issue(&stand, &Ask::new(TWIN).scope("openid email profile"), ANA);
    let narrow = |token: &str, scope: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
        Tokens::of(&TWIN.call(&stand, "/oauth/token", &form))
    };
    let two = narrow(&one.refresh, "openid");
    assert_eq!(two.reply["scope"], "openid");
    assert_eq!(tokens::claims(&two.access)["scope"], "openid");
    assert_eq!(userinfo(&stand, &two.access).json().get("email"), None);
    let three = Tokens::of(&TWIN.refresh(&stand, &two.refresh));
    assert_eq!(three.reply["scope"], "email openid profile");
    assert_eq!(userinfo(&stand, &three.access).json()["email"], ANA);
    let four = narrow(&three.refresh, "email");
    assert_eq!(four.id, "", "no openid, no ID token");
    userinfo(&stand, &four.access).expect(403);
}

#[test]
fn w40_a_family_has_an_absolute_end_by_the_databases_clock() {
    let stand = together();
    let one = issue(&stand, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    let grant = family(&stand, &one.refresh);
    let ends = || sql(&stand, &format!("SELECT expires_at FROM grants WHERE id = '{grant}'"));
    let end = ends();
    let within = format!(
        "SELECT expires_at <= created_at + interval '30 days' FROM grants WHERE id = '{grant}'"
    );
    assert_eq!(sql(&stand, &within), "t");
    let two = Tokens::of(&TWIN.refresh(&stand, &one.refresh));
    assert_eq!(ends(), end, "a refresh does not move the end");
    // Near its end, nothing outlives it.
    let shift = |when: &str| {
        sql(
            &stand,
            &format!(
                "UPDATE grants SET expires_at = now() + interval '{when}' WHERE id = '{grant}'"
            ),
        );
    };
    shift("100 seconds");
    let three = Tokens::of(&TWIN.refresh(&stand, &two.refresh));
    assert!(three.reply["expires_in"].as_i64().unwrap() <= 100, "{}", three.reply);
    shift("-1 second");
    assert_family_dead(&stand, TWIN, &[&three.refresh], &[&three.access]);
}

#[test]
fn w72_within_the_retry_window_a_lost_answer_is_replaced() {
    let stand = together();
    let one = issue(&stand, &Ask::new(RETRY), BEN);
    let lost = Tokens::of(&RETRY.refresh(&stand, &one.refresh));
    assert!(is_alive(&stand, RETRY, &lost.access));
    let again = Tokens::of(&RETRY.refresh(&stand, &one.refresh));
    assert_ne!(again.refresh, lost.refresh);
    // The successor that nobody used is gone, and its access token with it.
    assert!(!is_alive(&stand, RETRY, &lost.access));
    assert_inactive(&RETRY.introspect(&stand, &lost.refresh));
    let live = sql(
        &stand,
        &format!(
            "SELECT count(*) FROM refresh_tokens WHERE rotated_at IS NULL AND grant_id = '{}'",
            family(&stand, &one.refresh)
        ),
    );
    assert_eq!(live, "1", "I4: one live refresh token per family");
    assert!(is_alive(&stand, RETRY, &again.access));
    // Once the successor was used the old one is a replay, window or not.
    let next = Tokens::of(&RETRY.refresh(&stand, &again.refresh));
    assert_tok(&RETRY.refresh(&stand, &one.refresh), "invalid_grant");
    assert_family_dead(
        &stand,
        RETRY,
        &[&next.refresh, &again.refresh],
        &[&next.access, &again.access],
    );
}

#[test]
fn w72_the_replaced_successor_is_a_replay_and_ends_the_family() {
    let stand = together();
    let one = issue(&stand, &Ask::new(RETRY), BEN);
    let lost = Tokens::of(&RETRY.refresh(&stand, &one.refresh));
    let again = Tokens::of(&RETRY.refresh(&stand, &one.refresh));
    assert_tok(&RETRY.refresh(&stand, &lost.refresh), "invalid_grant");
    assert_family_dead(&stand, RETRY, &[&again.refresh], &[&again.access, &one.access]);
}

#[test]
fn w72_after_the_window_a_repeat_is_a_replay() {
    let stand = together();
    let one = issue(&stand, &Ask::new(RETRY), BEN);
    let two = Tokens::of(&RETRY.refresh(&stand, &one.refresh));
    sql(
        &stand,
        &format!(
            "UPDATE refresh_tokens SET rotated_at = rotated_at - interval '31 seconds'
         WHERE token_hash = sha256('{}')",
            one.refresh
        ),
    );
    assert_tok(&RETRY.refresh(&stand, &one.refresh), "invalid_grant");
    assert_family_dead(&stand, RETRY, &[&two.refresh], &[&two.access]);
}

#[test]
fn w72_the_window_is_for_the_same_client_alone() {
    let stand = together();
    let one = issue(&stand, &Ask::new(RETRY), BEN);
    let two = Tokens::of(&RETRY.refresh(&stand, &one.refresh));
    assert_tok(&TWIN.refresh(&stand, &one.refresh), "invalid_grant");
    assert_family_dead(&stand, RETRY, &[&two.refresh], &[&two.access]);
}

#[test]
fn offline_access_outlives_the_session_and_nothing_else_does() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let bound = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    let bound = Tokens::of(&TWIN.refresh(&stand, &bound.refresh));
    let free = issue_in(&stand, &mut browser, &Ask::new(TWIN).scope("openid offline_access"), BEN);
    browser.open(&format!("{}/logout", stand.issuer()));
    browser.submit(&[]);
    assert_family_dead(&stand, TWIN, &[&bound.refresh], &[&bound.access]);
    assert!(is_alive(&stand, TWIN, &free.access));
    let free = Tokens::of(&TWIN.refresh(&stand, &free.refresh));
    assert!(is_alive(&stand, TWIN, &free.access));
}

#[test]
fn an_access_token_dies_at_its_exp_while_the_family_lives() {
    let stand = together();
    let short = App { id: "short", redirect: "https://short.example.org/cb", ..TWIN };
    stand.seed(&json!({ "clients": [client(short, &json!({ "access_token_lifetime": 30 }))] }));
    let one = issue(&stand, &Ask::new(short), BEN);
    let claims = tokens::claims(&one.access);
    assert_eq!(one.reply["expires_in"], 30);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 30);
    sql(
        &stand,
        &format!(
            "UPDATE access_tokens SET expires_at = now() - interval '1 ms' WHERE token_hash = sha256('{}')",
            one.access
        ),
    );
    assert!(!is_alive(&stand, short, &one.access));
    Tokens::of(&short.refresh(&stand, &one.refresh));
}

/// A machine that refreshes every five minutes has a hundred thousand spent tokens at the end of a year: deleted with
/// their grant in one statement they would take longer than a statement may, and stop all housekeeping.
#[test]
fn w136_spent_tokens_of_a_dead_family_go_in_batches_and_the_grant_after_them() {
    let stand = together();
    let got = issue(&stand, &Ask::new(POST).scope("openid offline_access"), BEN);
    let grant = family(&stand, &got.refresh);
    sql(
        &stand,
        &format!(
            "INSERT INTO refresh_tokens (token_hash, grant_id, rotated_at)
             SELECT sha256(number::text::bytea), '{grant}', now() FROM generate_series(1, 250) number"
        ),
    );
    let left = || {
        let tokens = format!("SELECT count(*) FROM refresh_tokens WHERE grant_id = '{grant}'");
        let grants = format!("SELECT count(*) FROM grants WHERE id = '{grant}'");
        (sql(&stand, &tokens), sql(&stand, &grants))
    };
    sql(&stand, "SELECT sweep_expired(100)");
    assert_eq!(left(), ("251".into(), "1".into()), "it lives");
    for table in ["grants", "access_tokens"] {
        let key = if table == "grants" { "id" } else { "grant_id" };
        sql(
            &stand,
            &format!(
                "UPDATE {table} SET expires_at = now() - interval '25 hours' WHERE {key} = '{grant}'"
            ),
        );
    }
    for expected in ["151", "51"] {
        sql(&stand, "SELECT sweep_expired(100)");
        assert_eq!(left(), (expected.into(), "1".into()));
    }
    sql(&stand, "SELECT sweep_expired(100)");
    assert_eq!(left(), ("0".into(), "0".into()));
}
