//! The device grant (RFC 8628; security.md, W54–W60): who may redeem a code, who may let a device in, and what
//! they are told before they do.

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{Page, Stand, tokens};
use support::deferred::*;
use support::*;

/// Lets time pass for every request that waits: further ones may be polled, or are over.
fn pass(stand: &Stand, seconds: u32) {
    sql(
        stand,
        &format!(
            "UPDATE deferred_requests SET polled_at = polled_at - interval '{seconds} s',
             expires_at = expires_at - interval '{seconds} s', created_at = created_at - interval '{seconds} s'"
        ),
    );
}

/// A page without the numbers that differ from one to the next.
fn fixed(page: &Page) -> String {
    let csrf = page.field("csrf").unwrap_or_default();
    let code = page.field("user_code").unwrap_or_default();
    page.response.text().replace(&csrf, "CSRF").replace(&code, "CODE")
}

#[test]
fn a_device_is_let_in_by_the_person_with_its_code() {
    let stand = together();
    let tv = device(&stand, TV, "openid orders:read");
    assert_tok(&tv.poll(&stand), "authorization_pending");
    let page = tv.decide(&stand, BEN, "approve");
    assert!(page.response.text().contains("Your device is connected"), "{}", page.response.text());

    let got = Tokens::of(&tv.poll(&stand));
    let jwks = stand.client().get(&format!("{}/.well-known/jwks.json", stand.issuer())).json();
    let id = tokens::verify(&got.id, &jwks, stand.issuer(), TV.id).unwrap();
    assert_eq!((id.get("nonce"), id.get("sid")), (None, None));
    assert_eq!(id["amr"], serde_json::json!(["pwd"]));
    let access = tokens::claims(&got.access);
    assert_eq!(
        (&access["aud"], &access["scope"]),
        (&"orders-api".into(), &"openid orders:read".into())
    );
    assert_eq!(access["sub"], id["sub"]);
    assert_eq!(userinfo(&stand, &got.access).expect(200).json()["sub"], id["sub"]);
    assert_eq!(ORDERS.introspect(&stand, &got.access).json()["active"], true);
    // The same person is called the same by another client of the tenant.
    let web = issue(&stand, &Ask::new(TWIN), BEN);
    assert_eq!(tokens::claims(&web.id)["sub"], id["sub"]);
    // What a device got does not end with the browser session that let it in.
    sql(&stand, "UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL");
    let next = Tokens::of(&TV.refresh(&stand, &got.refresh));
    assert_eq!(userinfo(&stand, &next.access).status, 200);
}

#[test]
fn the_reply_is_that_of_the_rfc() {
    let stand = together();
    let answer = TV.call(&stand, "/oauth/device_authorization", &[]);
    // Without a scope: the tenant's defaults that are the client's too, and here there are none.
    assert_tok(&answer, "invalid_scope");
    let reply =
        TV.call(&stand, "/oauth/device_authorization", &[("scope", "openid")]).expect(200).json();
    assert_eq!((&reply["expires_in"], &reply["interval"]), (&1800.into(), &5.into()));
    let code = reply["user_code"].as_str().unwrap();
    assert!(code.len() == 9 && code.as_bytes()[4] == b'-', "{code}");
    assert!(code.bytes().all(|b| b"-BCDFGHJKLMNPQRSTVWXZ".contains(&b)), "{code}");
    let complete = reply["verification_uri_complete"].as_str().unwrap();
    assert_eq!(complete, format!("{}/device?user_code={code}", stand.issuer()));
    assert_eq!(reply.as_object().unwrap().len(), 6);
    let document =
        stand.client().get(&format!("{}/.well-known/openid-configuration", stand.issuer())).json();
    let endpoint = format!("{}/oauth/device_authorization", stand.issuer());
    assert_eq!(document["device_authorization_endpoint"], endpoint);
    assert!(document["grant_types_supported"].as_array().unwrap().contains(&DEVICE.into()));
}

#[test]
fn w54_a_device_code_is_good_for_its_own_client_alone() {
    let stand = alone();
    let tv = device(&stand, TV, "openid");
    tv.decide(&stand, BEN, "approve");
    let before = digest(&stand);
    assert_tok(&WEB.poll_device(&stand, &tv.secret), "invalid_grant");
    // Not registered for the grant: told so whatever it brings.
    assert_tok(&TWIN.poll_device(&stand, &tv.secret), "unauthorized_client");
    for wrong in [random(), format!("{}A", tv.secret), tv.user_code.clone()] {
        assert_tok(&TV.poll_device(&stand, &wrong), "invalid_grant");
    }
    let missing = TV.call(&stand, "/oauth/token", &[("grant_type", DEVICE)]);
    assert_tok(&missing, "invalid_request");
    assert_eq!(digest(&stand), before);
    Tokens::of(&tv.poll(&stand));
}

#[test]
fn w55_a_device_code_is_redeemed_once_and_the_first_tokens_stay() {
    let stand = alone();
    let tv = device(&stand, TV, "openid");
    tv.decide(&stand, BEN, "approve");
    let got = Tokens::of(&tv.poll(&stand));
    let before = digest(&stand);
    assert_tok(&tv.poll(&stand), "invalid_grant");
    assert_eq!(digest(&stand), before);
    assert_eq!(userinfo(&stand, &got.access).status, 200);
}

#[test]
fn w55_the_first_decision_is_final() {
    let stand = alone();
    let declined = audits(&stand, "request.declined", "\"device\"");
    for (first, second) in [("approve", "deny"), ("deny", "approve")] {
        let tv = device(&stand, TV, "openid");
        let mut one = at_device(&stand, BEN);
        let mut two = at_device(&stand, BEN);
        for browser in [&mut one, &mut two] {
            browser.submit(&[("user_code", &tv.user_code)]);
        }
        assert_eq!(one.submit(&[("decision", first)]).response.status, 200);
        let before = digest(&stand);
        let late = two.submit(&[("decision", second)]).clone();
        assert_eq!(late.response.status, 409, "{}", late.response.text());
        assert_own_page(&late.response);
        assert_eq!(digest(&stand), before);
        match first {
            "approve" => drop(Tokens::of(&tv.poll(&stand))),
            _ => assert_tok(&tv.poll(&stand), "access_denied"),
        }
    }
    assert_eq!(audits(&stand, "request.declined", "\"device\""), declined + 1);
}

#[test]
fn w56_polls_that_come_too_often_are_slowed_down() {
    let stand = alone();
    let tv = device(&stand, TV, "openid");
    let interval =
        || sql(&stand, "SELECT interval_s FROM deferred_requests ORDER BY created_at DESC LIMIT 1");
    assert_tok(&tv.poll(&stand), "authorization_pending");
    assert_tok(&tv.poll(&stand), "slow_down");
    assert_eq!(interval(), "10");
    pass(&stand, 6);
    assert_tok(&tv.poll(&stand), "slow_down");
    assert_eq!(interval(), "15");
    pass(&stand, 16);
    assert_tok(&tv.poll(&stand), "authorization_pending");
    assert_eq!(interval(), "15");
    // Whoever was let in is not slowed down.
    tv.decide(&stand, BEN, "approve");
    Tokens::of(&tv.poll(&stand));

    let tv = device(&stand, TV, "openid");
    tv.decide(&stand, BEN, "deny");
    let before = digest(&stand);
    assert_tok(&tv.poll(&stand), "access_denied");
    assert_tok(&tv.poll(&stand), "access_denied");
    assert_eq!(digest(&stand), before, "a poll after the decision writes nothing");

    for decision in ["approve", "none"] {
        let tv = device(&stand, TV, "openid");
        if decision == "approve" {
            tv.decide(&stand, BEN, decision);
        }
        pass(&stand, 1800);
        let before = digest(&stand);
        assert_tok(&tv.poll(&stand), "expired_token");
        assert_eq!(digest(&stand), before);
    }
}

#[test]
fn w57_unknown_expired_used_and_foreign_codes_look_the_same() {
    let stand = alone();
    let entered = |user: &str, code: &str| {
        let mut browser = at_device(&stand, user);
        browser.submit(&[("user_code", code)]).clone()
    };
    let unknown = entered(BEN, "BCDF-GHJK");
    assert!(unknown.response.text().contains("That code does not work"));
    assert_eq!(unknown.response.status, 200);
    let used = device(&stand, TV, "openid");
    used.decide(&stand, BEN, "approve");
    let declined = device(&stand, TV, "openid");
    declined.decide(&stand, BEN, "deny");
    // Of a tenant that Dora is no member of; and what is no code at all.
    let foreign = device(&stand, TV, "openid");
    let of_dora = entered(DORA, &foreign.user_code);
    let unknown_to_dora = entered(DORA, "BCDF-GHJK");
    assert_eq!(fixed(&of_dora), fixed(&unknown_to_dora));
    let before = digest_of_requests(&stand);
    for code in [used.user_code.as_str(), &declined.user_code, "AAAA", "B-B", &"B".repeat(31)] {
        assert_eq!(fixed(&entered(BEN, code)), fixed(&unknown), "{code}");
    }
    let text = entered(BEN, "\"><b>x</b>").response.text();
    assert!(text.contains("That code does not work") && !text.contains("<b>"), "{text}");
    assert_eq!(digest_of_requests(&stand), before);
    pass(&stand, 1800);
    assert_eq!(fixed(&entered(BEN, &foreign.user_code)), fixed(&unknown));
}

fn digest_of_requests(stand: &Stand) -> String {
    sql(stand, "SELECT md5(string_agg(r::text, ',' ORDER BY poll_hash)) FROM deferred_requests r")
}

/// Five by session, fifty by network whatever the session; what was right does not count (W133).
#[test]
fn w57_w133_codes_cannot_be_guessed() {
    let stand = alone();
    sql(&stand, "DELETE FROM throttles");
    let mut browser = at_device(&stand, BEN);
    let mut enter = |code: &str| {
        browser.open(&format!("{}/device", stand.issuer()));
        browser.submit(&[("user_code", code)]).response.clone()
    };
    for _ in 0..8 {
        let tv = device(&stand, TV, "openid");
        assert!(enter(&tv.user_code).text().contains("name=\"decision\""));
    }
    for code in ["BCDF-GHJK", "nonsense", "BCDF-GHJL", "BCDF-GHJM", "BCDF-GHJN"] {
        enter(code).expect(200);
    }
    let tv = device(&stand, TV, "openid");
    for code in [tv.user_code.as_str(), "BCDF-GHJP"] {
        let shut = enter(code);
        shut.expect(429);
        assert!(shut.header("retry-after").unwrap().parse::<u32>().unwrap() <= 30);
    }
    // A new session has a budget of its own, until the network has none.
    for _ in 0..9 {
        let mut browser = at_device(&stand, BEN);
        for _ in 0..5 {
            browser.open(&format!("{}/device", stand.issuer()));
            browser.submit(&[("user_code", "BCDF-GHJK")]).response.expect(200);
        }
    }
    let mut browser = at_device(&stand, ANA);
    browser.submit(&[("user_code", &tv.user_code)]).response.expect(429);
    assert_tok(&tv.poll(&stand), "authorization_pending");
    sql(&stand, "DELETE FROM throttles; DELETE FROM deferred_requests");
}

#[test]
fn w58_the_page_says_who_asks_for_what_from_where_and_since_when() {
    let stand = alone();
    let tv = device(&stand, TV, "openid email offline_access orders:read");
    pass(&stand, 130);
    let mut browser = at_device(&stand, BEN);
    let typed = tv.user_code.to_lowercase().replace('-', " ");
    let page = browser.submit(&[("user_code", &typed)]).clone();
    let text = page.response.text();
    for part in [
        "The tv app",
        &tv.user_code,
        BEN,
        "127.0.0.1",
        "2 minutes ago",
        "Approve only if you started this yourself",
        "Read your orders",
        "Read your e-mail address",
        "Keep access while you are away",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // No button is heavier than the other, and none is pressed by Enter before one was looked at.
    let class = |id: &str| {
        let button = text.split(&format!("id=\"{id}\"")).nth(1).unwrap();
        button
            .split('>')
            .next()
            .unwrap()
            .split("class=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(class("approve"), class("deny"));
    assert_tok(&tv.poll(&stand), "authorization_pending");
}

#[test]
fn w58_a_link_with_the_code_decides_nothing() {
    let stand = alone();
    let tv = device(&stand, TV, "openid");
    let path = tv.complete.strip_prefix(stand.issuer()).unwrap();
    let mut browser = at_page(&stand, path, BEN);
    assert_eq!(browser.page().field("user_code").as_deref(), Some(tv.user_code.as_str()));
    assert!(!browser.page().response.text().contains("name=\"decision\""));
    let before = digest_of_requests(&stand);
    browser.open(&tv.complete);
    assert_eq!(digest_of_requests(&stand), before);
    // Twice by hand: to see what it is, and to agree.
    browser.submit(&[("user_code", &tv.user_code)]);
    assert_eq!(digest_of_requests(&stand), before);
    browser.submit(&[("decision", "approve")]);
    Tokens::of(&tv.poll(&stand));
}

#[test]
fn w58_an_old_sign_in_lets_no_device_in() {
    let stand = alone();
    let tv = device(&stand, TV, "openid");
    let mut entering = at_device(&stand, BEN);
    let mut deciding = at_device(&stand, BEN);
    deciding.submit(&[("user_code", &tv.user_code)]);
    age_sign_ins(&stand);
    let before = digest_of_requests(&stand);
    for (browser, values) in [
        (&mut entering, ("user_code", tv.user_code.as_str())),
        (&mut deciding, ("decision", "approve")),
    ] {
        let page = browser.submit(&[values]).clone();
        assert!(asks_password(&page), "{}", page.response.text());
        assert!(page.url.ends_with(&format!("/login?to=device&user_code={}", tv.user_code)));
    }
    assert_eq!(digest_of_requests(&stand), before);
    // And back, with the code filled in.
    let page = deciding.submit(&[("username", BEN), ("password", PASSWORD)]).clone();
    assert_eq!(page.field("user_code").as_deref(), Some(tv.user_code.as_str()));
    deciding.open(&format!("{}/device", stand.issuer()));
    assert!(!asks_password(deciding.page()));
}

#[test]
fn w58_the_grant_is_off_by_default_and_has_a_ceiling() {
    let stand = together();
    let ask = |app: App, scope: &str| {
        app.call(&stand, "/oauth/device_authorization", &[("scope", scope)])
    };
    for app in [TWIN, SPA, RIVAL, PLATFORM, BANK] {
        assert_tok(&ask(app, "openid"), "unauthorized_client");
    }
    for scope in [
        "opentrusty:admin",
        "opentrusty:ciba",
        "rival:read",
        "openid orders:write",
        "openid nothing",
    ] {
        assert_tok(&ask(TV, scope), "invalid_scope");
    }
    let audience = [("scope", "openid"), ("audience", "https://other.example.org")];
    assert_tok(&TV.call(&stand, "/oauth/device_authorization", &audience), "invalid_target");
    let wrong = App { secret: Some("not the secret of this client, is it"), ..WEB };
    assert_client_refused(&ask(wrong, "openid"), true);
    assert_client_refused(&ask(App { id: "nobody", ..TV }, "openid"), false);
}

#[test]
fn w59_what_changes_after_the_approval_counts() {
    let stand = alone();
    let ben = format!("(SELECT id FROM users WHERE email = '{BEN}')");
    for (change, undo) in [
        (
            format!("UPDATE users SET status = 'disabled' WHERE email = '{BEN}'"),
            format!("UPDATE users SET status = 'active' WHERE email = '{BEN}'"),
        ),
        (
            format!("UPDATE memberships SET status = 'disabled' WHERE user_id = {ben}"),
            format!("UPDATE memberships SET status = 'active' WHERE user_id = {ben}"),
        ),
        (
            format!(
                "UPDATE grants SET revoked_at = now(), revoke_reason = 'password_change' WHERE user_id = {ben}"
            ),
            "SELECT 1".to_owned(),
        ),
    ] {
        let tv = device(&stand, TV, "openid");
        tv.decide(&stand, BEN, "approve");
        // The change races an open page, too.
        let open = device(&stand, TV, "openid");
        let mut browser = at_device(&stand, BEN);
        browser.submit(&[("user_code", &open.user_code)]);
        sql(&stand, &change);
        let answer = tv.poll(&stand);
        assert_tok(&answer, "access_denied");
        if undo != "SELECT 1" {
            assert_own_page(&browser.submit(&[("decision", "approve")]).response);
            assert_tok(&open.poll(&stand), "authorization_pending");
        }
        sql(&stand, &undo);
        // Spent, not saved for later.
        assert_tok(&tv.poll(&stand), "invalid_grant");
    }
}

#[test]
fn w60_w112_a_forged_decision_changes_nothing() {
    let stand = alone();
    let tv = device(&stand, TV, "openid");
    let mut ben = at_device(&stand, BEN);
    let to_enter = ben.page().field("csrf").unwrap();
    ben.submit(&[("user_code", &tv.user_code)]);
    let csrf = ben.page().field("csrf").unwrap();
    let mut ana = at_device(&stand, ANA);
    ana.submit(&[("user_code", &tv.user_code)]);
    let foreign = ana.page().field("csrf").unwrap();
    let url = format!("{}/device", stand.issuer());
    let before = digest(&stand);
    let none = random();
    for wrong in ["", "AAAA", &none, &to_enter, &foreign] {
        let form = [("csrf", wrong), ("user_code", &tv.user_code), ("decision", "approve")];
        ben.client().post(&url, &form).expect(403);
    }
    let right = [("csrf", csrf.as_str()), ("user_code", &tv.user_code), ("decision", "approve")];
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        ben.client().post_with(&url, &[(name, value.to_owned())], &right).expect(403);
    }
    for wrong in ["maybe", "APPROVE", ""] {
        let form = [right[0], right[1], ("decision", wrong)];
        ben.client().post(&url, &form).expect(403);
    }
    // Right in itself, from other browsers.
    ana.client().post(&url, &right).expect(403);
    stand.client().post(&url, &right).expect(403);
    assert_eq!(digest(&stand), before);
    ben.client().post(&url, &right).expect(200);
    Tokens::of(&tv.poll(&stand));
}

/// What these grants make opens no other door, and nothing else opens theirs.
#[test]
fn w26_no_artefact_stands_in_for_another() {
    let stand = alone();
    let tv = device(&stand, WEB, "openid");
    tv.decide(&stand, BEN, "approve");
    let id = auth_req_id(&WEB.ask_for(&stand, BEN, &[]));
    let mut ben = at_page(&stand, "/ciba", BEN);
    let handle = ben.page().field("handle").unwrap();
    let ask = Ask::new(WEB);
    let code = code(&stand, &ask, BEN);
    let live = issue(&stand, &Ask::new(WEB), BEN);
    let cookie = ben.client().cookies()["__Host-opentrusty_session"].clone();
    let requests = digest_of_requests(&stand);
    for other in [&code, &live.access, &live.refresh, &live.id, &tv.user_code, &handle, &cookie] {
        assert_tok(&WEB.poll_device(&stand, other), "invalid_grant");
        assert_tok(&WEB.poll_ciba(&stand, other), "invalid_grant");
    }
    assert_tok(&WEB.poll_device(&stand, &id), "invalid_grant");
    assert_tok(&WEB.poll_ciba(&stand, &tv.secret), "invalid_grant");
    for ours in [&tv.secret, &tv.user_code, &id, &handle] {
        assert_tok(&WEB.redeem(&stand, ours, &ask.pkce.verifier), "invalid_grant");
        assert_tok(&WEB.refresh(&stand, ours), "invalid_grant");
        assert_inactive(&WEB.introspect(&stand, ours));
        assert_bearer_refused(&userinfo(&stand, ours));
        WEB.revoke(&stand, ours).expect(200);
        let mut client = stand.client();
        client.put_cookie("__Host-opentrusty_session", ours);
        client.get(&format!("{}/device", stand.issuer())).expect(303);
        client.get(&format!("{}/oauth/authorize/{ours}", stand.issuer())).expect(400);
        client.get(&format!("{}/enroll?token={ours}", stand.issuer())).expect(400);
        let secret = [("client_id", WEB.id), ("client_secret", ours), ("grant_type", "x")];
        client.post(&format!("{}/oauth/token", stand.issuer()), &secret).expect(401);
    }
    assert_eq!(digest_of_requests(&stand), requests);
    Tokens::of(&tv.poll(&stand));
    assert!(is_alive(&stand, WEB, &live.access));
    sql(&stand, "DELETE FROM deferred_requests; DELETE FROM throttles");
}

#[test]
fn w136_one_network_has_a_bounded_number_of_open_requests_of_a_client() {
    let stand = alone();
    sql(&stand, "DELETE FROM deferred_requests");
    let ask = || TV.call(&stand, "/oauth/device_authorization", &[("scope", "openid")]);
    for _ in 0..50 {
        ask().expect(200);
    }
    let full = ask();
    full.expect(429);
    assert_eq!(full.header("retry-after"), Some("60"));
    assert_eq!(sql(&stand, "SELECT count(*) FROM deferred_requests"), "50");
    // Of that client; and only of those that are open.
    device(&stand, WEB, "openid");
    pass(&stand, 1800);
    ask().expect(200);
    sql(&stand, "DELETE FROM deferred_requests");
}
