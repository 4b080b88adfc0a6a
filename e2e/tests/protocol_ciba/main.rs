//! CIBA (security.md, W61–W63, W59, W128): who may ask for a person who is elsewhere, who answers, and what
//! nobody is told.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
#[path = "../support/mod.rs"]
mod support;

mod authenticator;

use e2e::{Browser, Response, Stand, tokens};
use support::deferred::*;
use support::statements::statements;
use support::*;

const PING: (&str, &str) = ("client_notification_token", "a-token-of-36-characters-that-is-ours");

/// A stand of one's own, in which nothing waits.
fn quiet() -> std::sync::RwLockWriteGuard<'static, Stand> {
    let stand = alone();
    sql(&stand, "DELETE FROM deferred_requests");
    sql(&stand, "DELETE FROM outbox");
    stand
}

/// Decide the only request that waits for somebody, at the page.
#[track_caller]
fn decide(stand: &Stand, user: &str, decision: &str) -> Browser {
    let mut browser = at_page(stand, "/ciba", user);
    let page = browser.submit(&[("decision", decision)]).clone();
    assert_eq!(page.response.status, 200, "{}", page.response.text());
    browser
}

fn digest_of_requests(stand: &Stand) -> String {
    sql(stand, "SELECT md5(string_agg(r::text, ',' ORDER BY poll_hash)) FROM deferred_requests r")
}

#[test]
fn a_person_elsewhere_lets_an_application_in() {
    let stand = quiet();
    let answer =
        BANK.ask_for(&stand, "Ben@Example.org", &[("binding_message", "Pay 12 € – W4SCT")]);
    let reply = answer.expect(200).json();
    assert_eq!((&reply["expires_in"], &reply["interval"]), (&120.into(), &5.into()));
    assert_eq!(reply.as_object().unwrap().len(), 3);
    let id = auth_req_id(&answer);
    assert_tok(&BANK.poll_ciba(&stand, &id), "authorization_pending");
    let browser = at_page(&stand, "/ciba", BEN);
    let text = browser.page().response.text();
    for part in ["The bank app", "Pay 12 € – W4SCT", "127.0.0.1", "less than a minute ago", BEN]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    decide(&stand, BEN, "approve");
    let got = Tokens::of(&BANK.poll_ciba(&stand, &id));
    let jwks = stand.client().get(&format!("{}/.well-known/jwks.json", stand.issuer())).json();
    let claims = tokens::verify(&got.id, &jwks, stand.issuer(), BANK.id).unwrap();
    assert_eq!((claims.get("nonce"), claims.get("sid")), (None, None));
    assert_eq!(userinfo(&stand, &got.access).expect(200).json()["sub"], claims["sub"]);
    Tokens::of(&BANK.refresh(&stand, &got.refresh));
    // The person by what the client calls them, and by an ID token of the client's.
    let sub = claims["sub"].as_str().unwrap();
    BANK.ask_for(&stand, sub, &[]).expect(200);
    let form = [("scope", "openid"), ("id_token_hint", got.id.as_str())];
    BANK.call(&stand, "/oauth/bc-authorize", &form).expect(200);
    let waiting =
        "SELECT count(*) FROM deferred_requests WHERE user_id IS NOT NULL AND decided_at IS NULL";
    assert_eq!(sql(&stand, waiting), "2");
    let document =
        stand.client().get(&format!("{}/.well-known/openid-configuration", stand.issuer())).json();
    let endpoint = format!("{}/oauth/bc-authorize", stand.issuer());
    assert_eq!(document["backchannel_authentication_endpoint"], endpoint);
}

#[test]
fn w61_a_request_is_its_clients_and_redeemed_once() {
    let stand = quiet();
    let id = auth_req_id(&BANK.ask_for(&stand, BEN, &[]));
    decide(&stand, BEN, "approve");
    let before = digest(&stand);
    assert_tok(&WEB.poll_ciba(&stand, &id), "invalid_grant");
    assert_tok(&SHOP.poll_ciba(&stand, &id), "invalid_grant");
    assert_tok(&TWIN.poll_ciba(&stand, &id), "unauthorized_client");
    for wrong in [random(), format!("{id}A")] {
        assert_tok(&BANK.poll_ciba(&stand, &wrong), "invalid_grant");
    }
    // Nor does it stand in for a device code (W26).
    assert_tok(&WEB.poll_device(&stand, &id), "invalid_grant");
    assert_eq!(digest(&stand), before);
    let got = Tokens::of(&BANK.poll_ciba(&stand, &id));
    assert_tok(&BANK.poll_ciba(&stand, &id), "invalid_grant");
    assert_eq!(userinfo(&stand, &got.access).status, 200);
}

#[test]
fn w55_w56_the_four_errors_and_one_decision() {
    let stand = quiet();
    let id = auth_req_id(&BANK.ask_for(&stand, BEN, &[("requested_expiry", "600")]));
    assert_tok(&BANK.poll_ciba(&stand, &id), "authorization_pending");
    assert_tok(&BANK.poll_ciba(&stand, &id), "slow_down");
    assert_eq!(sql(&stand, "SELECT interval_s FROM deferred_requests"), "10");
    let mut late = at_page(&stand, "/ciba", BEN);
    decide(&stand, BEN, "deny");
    let before = digest(&stand);
    assert_eq!(late.submit(&[("decision", "approve")]).response.status, 409);
    assert_tok(&BANK.poll_ciba(&stand, &id), "access_denied");
    assert_eq!(digest(&stand), before);

    let id = auth_req_id(&BANK.ask_for(&stand, BEN, &[("requested_expiry", "600")]));
    let mut late = at_page(&stand, "/ciba", BEN);
    sql(
        &stand,
        "UPDATE deferred_requests SET created_at = created_at - interval '600 s', expires_at = expires_at - interval '600 s'",
    );
    let before = digest(&stand);
    assert_own_page(&late.submit(&[("decision", "approve")]).response);
    assert_tok(&BANK.poll_ciba(&stand, &id), "expired_token");
    assert_eq!(digest(&stand), before);
}

#[test]
fn w62_what_is_asked_is_bounded() {
    let stand = quiet();
    let before = digest(&stand);
    let ask = |app: App, form: e2e::Form<'_>| app.call(&stand, "/oauth/bc-authorize", form);
    let openid = ("scope", "openid");
    let long = "x".repeat(129);
    for (form, error) in [
        (&[openid][..], "invalid_request"),
        (&[openid, ("login_hint", BEN), ("id_token_hint", "x")], "invalid_request"),
        (&[openid, ("login_hint_token", "x")], "invalid_request"),
        (&[openid, ("id_token_hint", "e30.e30.e30")], "invalid_request"),
        (&[("login_hint", BEN)], "invalid_request"),
        (&[("scope", "email"), ("login_hint", BEN)], "invalid_scope"),
        (&[("scope", "openid rival:read"), ("login_hint", BEN)], "invalid_scope"),
        (&[openid, ("login_hint", BEN), ("audience", "x")], "invalid_target"),
        (&[openid, ("login_hint", BEN), ("binding_message", &long)], "invalid_binding_message"),
        (
            &[openid, ("login_hint", BEN), ("binding_message", "a\u{202e}b")],
            "invalid_binding_message",
        ),
        (&[openid, ("login_hint", BEN), ("requested_expiry", "0")], "invalid_request"),
        (&[openid, ("login_hint", BEN), ("login_hint", BEN)], "invalid_request"),
    ] {
        assert_tok(&ask(BANK, form), error);
    }
    // A hint of another client's, and of somebody who is not asked.
    let foreign = issue(&stand, &Ask::new(TWIN), BEN);
    let before_hint = digest(&stand);
    assert_tok(&ask(BANK, &[openid, ("id_token_hint", &foreign.id)]), "invalid_request");
    assert_tok(&ask(BANK, &[openid, ("id_token_hint", &foreign.access)]), "invalid_request");
    assert_eq!(digest(&stand), before_hint);
    // Pings need a token that nobody guesses.
    for token in [&[][..], &[("client_notification_token", "short")]] {
        assert_tok(&SHOP.ask_for(&stand, BEN, token), "invalid_request");
    }
    for app in [TWIN, SPA, TV, RIVAL] {
        assert_tok(&app.ask_for(&stand, BEN, &[]), "unauthorized_client");
    }
    let wrong = App { secret: Some("not the secret of this client, is it"), ..BANK };
    assert_client_refused(&wrong.ask_for(&stand, BEN, &[]), true);
    assert_eq!(sql(&stand, "SELECT count(*) FROM deferred_requests"), "0");
    assert_ne!(before, "");
}

/// Three open requests for one person, however they are called and whoever asks.
#[test]
fn w62_nobody_is_asked_without_end() {
    let stand = quiet();
    for user in [BEN, "nobody@example.org"] {
        for app in [BANK, WEB, BANK] {
            app.ask_for(&stand, user, &[]).expect(200);
        }
        let full = WEB.ask_for(&stand, &user.to_uppercase(), &[]);
        full.expect(429);
        assert_eq!(full.header("retry-after"), Some("30"));
        assert_error_body(&full, "temporarily_unavailable");
    }
    assert_eq!(sql(&stand, "SELECT count(*) FROM deferred_requests"), "6");
    // Others are not affected, and neither is Ben once he has decided.
    BANK.ask_for(&stand, ANA, &[]).expect(200);
    decide(&stand, BEN, "deny");
    BANK.ask_for(&stand, BEN, &[]).expect(200);
}

#[test]
fn w62_w128_a_request_for_nobody_looks_like_any_other() {
    let stand = quiet();
    sql(&stand, &format!("UPDATE users SET status = 'disabled' WHERE email = '{CLEO}'"));
    let shape = |answer: &Response| {
        let reply = answer.expect(200).json();
        let id = reply["auth_req_id"].as_str().unwrap().to_owned();
        let headers: Vec<(String, String)> = answer
            .headers
            .iter()
            .filter(|(n, _)| !["date", "x-request-id"].contains(&n.as_str()))
            .cloned()
            .collect();
        (headers, answer.text().replace(&id, "ID"), id.len())
    };
    let known = BANK.ask_for(&stand, BEN, &[]);
    // Unknown, disabled, of another tenant, and no address at all.
    for hint in ["nobody@example.org", CLEO, DORA, "neither-a-sub-nor-an-address"] {
        let answer = BANK.ask_for(&stand, hint, &[]);
        assert_eq!(shape(&answer), shape(&known), "{hint}");
        let id = auth_req_id(&answer);
        assert_tok(&BANK.poll_ciba(&stand, &id), "authorization_pending");
        assert_tok(&BANK.poll_ciba(&stand, &id), "slow_down");
    }
    sql(&stand, "UPDATE users SET status = 'active'");
    // And nobody is shown one.
    for user in [CLEO, DORA] {
        let browser = at_page(&stand, "/ciba", user);
        assert!(browser.page().response.text().contains("Nothing waits for you"));
    }
    let rows = "SELECT count(*) FROM deferred_requests WHERE user_id IS NULL AND kind = 'ciba'";
    assert_eq!(sql(&stand, rows), "4");
}

/// A quota that followed the person would tell a client that two hints mean the same one, and a tenant who is a
/// member of another.
#[test]
fn w62_w128_being_told_to_wait_says_nothing_of_who_is_meant() {
    let stand = quiet();
    let sub = sql(
        &stand,
        &format!(
            "SELECT n.sub FROM subjects n JOIN users u ON u.id = n.user_id JOIN tenants t ON t.id = n.tenant_id
             WHERE u.email = '{BEN}' AND t.slug = 'acme'"
        ),
    );
    for _ in 0..3 {
        BANK.ask_for(&stand, &sub, &[]).expect(200);
    }
    BANK.ask_for(&stand, &sub, &[]).expect(429);
    let silent = auth_req_id(&BANK.ask_for(&stand, BEN, &[]));
    assert_tok(&BANK.poll_ciba(&stand, &silent), "authorization_pending");
    // Ben is asked three times all the same.
    let asked = "SELECT count(*) FROM deferred_requests WHERE user_id IS NOT NULL";
    assert_eq!(sql(&stand, asked), "3");
    assert_eq!(sql(&stand, "SELECT count(*) FROM deferred_requests"), "4");
    let told = "SELECT count(*), count(data ->> 'user') FROM audit_events WHERE type = 'request.begun'
        AND request_id IN (SELECT request_id FROM audit_events WHERE type = 'request.begun' ORDER BY id DESC LIMIT 4)";
    assert_eq!(sql(&stand, told), "4|3", "each is in the audit, and whom it asked");
}

#[test]
fn w128_a_request_for_nobody_is_the_same_work() {
    let stand = quiet();
    let work = |hint: &str| statements(&stand, || drop(BANK.ask_for(&stand, hint, &[])));
    let known = work(BEN);
    assert!(known.iter().any(|text| text.starts_with("WITH open AS")), "{known:?}");
    for hint in ["nobody@example.org", DORA, "neither-a-sub-nor-an-address"] {
        assert_eq!(work(hint), known, "{hint}");
    }
}

#[test]
fn w63_a_decision_is_told_to_the_client_with_its_own_token() {
    let stand = quiet();
    for decision in ["approve", "deny"] {
        let id = auth_req_id(&SHOP.ask_for(&stand, BEN, &[PING]));
        assert_eq!(sql(&stand, "SELECT count(*) FROM outbox"), "0");
        decide(&stand, BEN, decision);
        let row = sql(&stand, "SELECT kind, url, bearer, body ->> 'auth_req_id' FROM outbox");
        assert_eq!(row, format!("ciba_ping|https://shop.example.org/ping|{}|{id}", PING.1));
        let kept = "SELECT count(*) FROM deferred_requests WHERE ping_id IS NOT NULL OR notify_token IS NOT NULL";
        assert_eq!(sql(&stand, kept), "0");
        match decision {
            "approve" => drop(Tokens::of(&SHOP.poll_ciba(&stand, &id))),
            _ => assert_tok(&SHOP.poll_ciba(&stand, &id), "access_denied"),
        }
        sql(&stand, "DELETE FROM outbox");
    }
    // A client that polls is told nothing, and nothing of it is kept in clear.
    let id = auth_req_id(&BANK.ask_for(&stand, BEN, &[PING]));
    assert_eq!(
        sql(
            &stand,
            &format!("SELECT count(*) FROM deferred_requests r WHERE r::text LIKE '%{id}%'")
        ),
        "0"
    );
    decide(&stand, BEN, "approve");
    assert_eq!(sql(&stand, "SELECT count(*) FROM outbox"), "0");
}

#[test]
fn w59_what_changes_after_the_approval_counts() {
    let stand = quiet();
    for (change, undo) in [
        (
            "UPDATE users SET status = 'disabled' WHERE email = 'ben@example.org'",
            "UPDATE users SET status = 'active'",
        ),
        (
            "UPDATE memberships SET status = 'disabled' WHERE user_id = (SELECT id FROM users WHERE email = 'ben@example.org')",
            "UPDATE memberships SET status = 'active'",
        ),
    ] {
        let approved = auth_req_id(&BANK.ask_for(&stand, BEN, &[]));
        decide(&stand, BEN, "approve");
        let open = auth_req_id(&BANK.ask_for(&stand, BEN, &[]));
        let mut browser = at_page(&stand, "/ciba", BEN);
        sql(&stand, change);
        assert_tok(&BANK.poll_ciba(&stand, &approved), "access_denied");
        assert_own_page(&browser.submit(&[("decision", "approve")]).response);
        assert_tok(&BANK.poll_ciba(&stand, &open), "authorization_pending");
        sql(&stand, undo);
        sql(&stand, "DELETE FROM deferred_requests");
    }
}

#[test]
fn w58_w60_w112_only_the_person_decides_and_freshly() {
    let stand = quiet();
    let id = auth_req_id(&BANK.ask_for(&stand, BEN, &[]));
    let mut ben = at_page(&stand, "/ciba", BEN);
    let (csrf, handle) = (ben.page().field("csrf").unwrap(), ben.page().field("handle").unwrap());
    let mut ana = at_page(&stand, "/ciba", ANA);
    assert!(ana.page().field("handle").is_none());
    let url = format!("{}/ciba", stand.issuer());
    let before = digest(&stand);
    let right = [("csrf", csrf.as_str()), ("handle", &handle), ("decision", "approve")];
    let none = random();
    for wrong in ["", "AAAA", &none] {
        ben.client().post(&url, &[("csrf", wrong), right[1], right[2]]).expect(403);
    }
    for wrong in ["", "AAAA", &id] {
        ben.client().post(&url, &[right[0], ("handle", wrong), right[2]]).expect(403);
    }
    ben.client().post(&url, &[right[0], right[1], ("decision", "maybe")]).expect(403);
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        ben.client().post_with(&url, &[(name, value.to_owned())], &right).expect(403);
    }
    ana.client().post(&url, &right).expect(403);
    stand.client().post(&url, &right).expect(403);
    assert_eq!(digest(&stand), before);
    let requests = digest_of_requests(&stand);
    age_sign_ins(&stand);
    let page = ben.submit(&[("decision", "approve")]).clone();
    assert!(asks_password(&page) && page.url.ends_with("/login?to=ciba"), "{}", page.url);
    assert_eq!(digest_of_requests(&stand), requests);
    let page = ben.submit(&[("username", BEN), ("password", PASSWORD)]).clone();
    assert_eq!(page.field("handle"), Some(handle));
    ben.submit(&[("decision", "approve")]);
    Tokens::of(&BANK.poll_ciba(&stand, &id));
}
