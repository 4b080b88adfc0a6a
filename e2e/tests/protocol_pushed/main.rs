//! Pushed authorization requests (RFC 9126; security.md W11, W49–W53): frozen when they are pushed, good once, for
//! one client and one browser.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
#[path = "../support/mod.rs"]
mod support;

mod claims;
mod refused;

use std::fmt::Write as _;

use e2e::{Browser, Response, Stand, tokens};
use serde_json::json;
use support::*;

const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// Pushes a request as its app does.
#[track_caller]
fn push(stand: &Stand, ask: &Ask) -> Response {
    let mut pairs = ask.pairs();
    pairs.retain(|(name, _)| *name != "client_id");
    ask.app.call(stand, "/oauth/par", &pairs)
}

/// The name of a request that was taken.
#[track_caller]
fn pushed(stand: &Stand, ask: &Ask) -> String {
    push(stand, ask).expect(201).json()["request_uri"].as_str().unwrap().to_owned()
}

/// What the browser brings, with more parameters.
fn front(stand: &Stand, id: &str, uri: &str, more: &[(&str, &str)]) -> String {
    let pairs = [&[("client_id", id), ("request_uri", uri)], more].concat();
    format!("{}/oauth/authorize?{}", stand.issuer(), e2e::query(&pairs))
}

fn hash_of(uri: &str) -> String {
    format!("sha256('{}')", uri.strip_prefix(PREFIX).unwrap())
}

/// Lets two minutes pass for one pushed request, by the clock that decides.
fn grow_old(stand: &Stand, uri: &str) {
    let text = format!(
        "UPDATE pushed_requests SET created_at = created_at - interval '2 minutes',
         expires_at = expires_at - interval '2 minutes' WHERE request_hash = {} RETURNING 1",
        hash_of(uri)
    );
    assert!(sql(stand, &text).starts_with('1'), "the request is stored by its hash");
}

#[test]
fn w50_the_answer_is_a_name_that_nobody_guesses_for_ninety_seconds() {
    let stand = together_with_machines();
    let mut seen = std::collections::BTreeSet::new();
    for app in [TWIN, POST, SPA, PUSHER, WEB] {
        let ask = Ask::new(app);
        let answer = push(&stand, &ask);
        answer.expect(201);
        assert!(answer.header("content-type").unwrap().starts_with("application/json"));
        assert!(answer.header("set-cookie").is_none() && answer.header("location").is_none());
        let body = answer.json();
        let members: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["expires_in", "request_uri"], "RFC 9126 §2.2");
        assert_eq!(body["expires_in"], 90);
        let uri = body["request_uri"].as_str().unwrap();
        let name = uri.strip_prefix(PREFIX).unwrap();
        assert!(name.len() >= 22, "128 bits at least: {name}");
        assert!(seen.insert(uri.to_owned()));
        let row = format!(
            "SELECT round(extract(epoch FROM expires_at - created_at)), r::text LIKE '%{name}%',
             (SELECT client_id FROM clients WHERE id = r.client) FROM pushed_requests r
             WHERE request_hash = {}",
            hash_of(uri)
        );
        assert_eq!(sql(&stand, &row), format!("90|f|{}", app.id));
    }
}

#[test]
fn a_pushed_request_ends_like_one_that_was_not() {
    let stand = together_with_machines();
    for app in [TWIN, POST, SPA, PUSHER, WEB] {
        let ask = Ask::new(app).scope("openid email");
        let uri = pushed(&stand, &ask);
        let page = walk(&mut stand.browser(), &front(&stand, app.id, &uri, &[]), BEN);
        assert_eq!(page.away_parameter("state"), Some(ask.state.clone()));
        assert_eq!(page.away_parameter("iss").as_deref(), Some(stand.issuer()), "W10");
        assert!(page.away.unwrap().starts_with(app.redirect));
        let code = page.response.location().split("code=").nth(1).unwrap();
        let code = code.split('&').next().unwrap();
        let one = Tokens::of(&app.redeem(&stand, code, &ask.pkce.verifier));
        assert_eq!(one.reply["scope"], "email openid");
        assert_eq!(tokens::claims(&one.id)["nonce"], ask.nonce);
        assert_eq!(userinfo(&stand, &one.access).expect(200).json()["email"], BEN);
    }
}

#[test]
fn w49_a_reload_goes_on_in_its_browser_and_nowhere_else_and_not_after_the_end() {
    let stand = together_with_machines();
    for late in [false, true] {
        let ask = Ask::new(TWIN);
        let uri = pushed(&stand, &ask);
        let url = front(&stand, TWIN.id, &uri, &[]);
        let mut browser = stand.browser();
        browser.open(&url);
        let first = browser.page().url.clone();
        if late {
            grow_old(&stand, &uri);
        }
        for _ in 0..3 {
            browser.open(&url);
            assert!(asks_password(browser.page()), "{}", browser.page().response.text());
        }
        // Others are turned away whether or not it is their first visit here.
        assert_page(&stand.client().get(&url));
        assert_page(&signed_in(&stand, BEN).open(&url).response);
        // The handle that a reload has replaced is no way in any more.
        let old = browser.client().get(&first);
        assert!(old.status >= 400, "{first}: {}", old.status);
        browser.open(&url);
        let page = go_on(&mut browser, BEN);
        let code = page.away_parameter("code").unwrap();
        assert_page(&browser.open(&url).response);
        assert_page(&signed_in(&stand, BEN).open(&url).response);
        Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier));
        assert_page(&browser.open(&url).response);
    }
}

/// Completion is the end whatever it was.
#[test]
fn w49_a_refusal_completes_it_too() {
    let stand = together_with_machines();
    let ask = Ask::new(PUSHER).with("prompt", "none");
    let url = front(&stand, PUSHER.id, &pushed(&stand, &ask), &[]);
    let mut browser = stand.browser();
    let page = browser.open(&url).clone();
    assert_eq!(page.away_parameter("error").as_deref(), Some("login_required"));
    assert_eq!(page.away_parameter("state"), Some(ask.state));
    assert_eq!(page.away_parameter("iss").as_deref(), Some(stand.issuer()));
    assert_page(&browser.open(&url).response);

    let ask = Ask::new(PUSHER).with("prompt", "consent");
    let url = front(&stand, PUSHER.id, &pushed(&stand, &ask), &[]);
    let mut browser = signed_in(&stand, BEN);
    browser.open(&url);
    assert!(asks_consent(browser.page()));
    let page = browser.submit(&[("decision", "deny")]).clone();
    assert_eq!(page.away_parameter("error").as_deref(), Some("access_denied"));
    assert_page(&browser.open(&url).response);
}

#[test]
fn w50_it_must_be_brought_within_ninety_seconds_and_may_take_longer_then() {
    let stand = together_with_machines();
    let uri = pushed(&stand, &Ask::new(TWIN));
    grow_old(&stand, &uri);
    assert_page(&stand.client().get(&front(&stand, TWIN.id, &uri, &[])));
    assert_page(&signed_in(&stand, BEN).open(&front(&stand, TWIN.id, &uri, &[])).response);

    let ask = Ask::new(PUSHER);
    let uri = pushed(&stand, &ask);
    let mut browser = stand.browser();
    browser.open(&front(&stand, PUSHER.id, &uri, &[]));
    grow_old(&stand, &uri);
    let page = go_on(&mut browser, BEN);
    let code = page.away_parameter("code").unwrap();
    Tokens::of(&PUSHER.redeem(&stand, &code, &ask.pkce.verifier));
}

#[test]
fn w50_no_other_client_can_use_it_or_use_it_up() {
    let stand = together_with_machines();
    for owner in [TWIN, SPA, PUSHER] {
        let ask = Ask::new(owner);
        let uri = pushed(&stand, &ask);
        let mut browser = signed_in(&stand, BEN);
        for id in [WEB.id, SPA2.id, POST.id, RIVAL.id, PLATFORM.id, "nobody", "", "TWIN"] {
            let page = browser.open(&front(&stand, id, &uri, &[])).clone();
            assert_page(&page.response);
        }
        let alone = format!("{}/oauth/authorize?request_uri={uri}", stand.issuer());
        assert_page(&browser.open(&alone).response);
        let twice = front(&stand, owner.id, &uri, &[("client_id", WEB.id)]);
        assert_page(&browser.open(&twice).response);
        let other = pushed(&stand, &Ask::new(owner));
        let two = front(&stand, owner.id, &uri, &[("request_uri", &other)]);
        assert_page(&browser.open(&two).response);
        let page = walk(&mut browser, &front(&stand, owner.id, &uri, &[]), BEN);
        let code = page.away_parameter("code").unwrap();
        Tokens::of(&owner.redeem(&stand, &code, &ask.pkce.verifier));
    }
}

#[test]
fn w11_w51_nothing_of_the_front_channel_overrides_what_was_pushed() {
    let stand = together_with_machines();
    let evil = Ask::new(TWIN);
    let mut browser = signed_in(&stand, BEN);
    for more in [
        &[("scope", "openid email profile offline_access"), ("state", "evil")][..],
        &[("redirect_uri", "https://evil.example/cb")],
        &[("redirect_uri", WEB.redirect), ("nonce", "evil")],
        &[("code_challenge", evil.pkce.challenge.as_str()), ("code_challenge_method", "S256")],
        &[("response_type", "token"), ("response_mode", "form_post")],
        &[("prompt", "none"), ("max_age", "0"), ("login_hint", DORA)],
        &[("state", "a"), ("state", "b"), ("scope", "x"), ("scope", "y")],
        &[("resource", "https://evil.example"), ("audience", "rival-web")],
        &[("claims", "{\"id_token\":{\"email\":null}}")],
        &[("request", "eyJhbGciOiJub25lIn0.e30.")],
    ] {
        println!("{more:?}");
        let ask = Ask::new(TWIN).with("audience", "orders-api");
        let uri = pushed(&stand, &ask);
        let page = walk(&mut browser, &front(&stand, TWIN.id, &uri, more), BEN);
        assert!(page.away.as_ref().unwrap().starts_with(TWIN.redirect), "{:?}", page.away);
        assert_eq!(page.away_parameter("state"), Some(ask.state.clone()));
        let code = page.away_parameter("code").unwrap();
        let one = Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier));
        assert_eq!(one.reply["scope"], "openid");
        let id = tokens::claims(&one.id);
        assert_eq!((&id["nonce"], id.get("email")), (&json!(ask.nonce), None));
        assert_eq!(tokens::claims(&one.access)["aud"], "orders-api");
    }
    // The attacker's own challenge on the victim's code.
    let ask = Ask::new(TWIN);
    let uri = pushed(&stand, &ask);
    let swapped = [("code_challenge", evil.pkce.challenge.as_str())];
    let page = walk(&mut browser, &front(&stand, TWIN.id, &uri, &swapped), BEN);
    let code = page.away_parameter("code").unwrap();
    assert_tok(&TWIN.redeem(&stand, &code, &evil.pkce.verifier), "invalid_grant");
}

#[test]
fn w11_a_client_that_must_push_is_not_heard_otherwise() {
    let stand = alone_with_machines();
    let before = digest(&stand);
    for ask in [Ask::new(PUSHER), Ask::new(PUSHER).with("prompt", "none")] {
        assert_red(&ask.send(&stand), &PUSHER, "invalid_request", Some(&ask.state));
    }
    // W7: and no such error is sent to an address that is not registered.
    assert_page(&Ask::new(PUSHER).with("redirect_uri", "https://evil.example/cb").send(&stand));
    for foreign in ["https://evil.example/request.jwt", "urn:example:x"] {
        let ask = Ask::new(TWIN).with("request_uri", foreign);
        assert_red(&ask.send(&stand), &TWIN, "request_uri_not_supported", Some(&ask.state));
    }
    assert_eq!(digest(&stand), before);
}

/// Everything that a browser has seen on its way to consent.
fn seen(browser: &mut Browser, responses: &[Response]) -> String {
    let mut all = format!("{:?}", browser.client().cookies());
    for response in responses {
        let headers = response.headers.iter().filter(|(name, _)| name != "content-security-policy");
        write!(all, "{:?}", headers.collect::<Vec<_>>()).unwrap();
        all.push_str(&response.text());
    }
    all
}

/// Keycloak CVE-2024-4540: what was pushed came back in a cookie. One redirect at a time, so that none is missed.
#[test]
fn w53_nothing_that_was_pushed_is_seen_in_the_browser_before_consent() {
    let stand = together_with_machines();
    let ask = Ask::new(PUSHER).scope("openid orders:read").with("audience", stand.issuer());
    let ask = ask
        .without("audience")
        .with("acr_values", "canary-acr-9c5e4d")
        .with("ui_locales", "cy-9c5e");
    let uri = pushed(&stand, &ask);
    let mut browser = stand.browser();
    let mut responses = Vec::new();
    let mut url = front(&stand, PUSHER.id, &uri, &[]);
    for _ in 0..6 {
        let response = browser.client().get(&url);
        let next = response.header("location").map(|to| format!("{}{to}", stand.issuer()));
        responses.push(response);
        match next {
            Some(next) => url = next,
            None => break,
        }
    }
    let form = browser.open(&url).clone();
    assert!(asks_password(&form));
    responses.push(form.response);
    let text = seen(&mut browser, &responses);
    assert!(text.contains("name=\"password\""), "the pages were looked at");
    let canaries = [
        ask.state.as_str(),
        &ask.nonce,
        &ask.pkce.challenge,
        "pusher.example.org",
        "pusher.example.org".replace('.', "%2E").as_str(),
        "orders:read",
        "orders%3Aread",
        "canary-acr",
        "cy-9c5e",
        "S256",
    ]
    .map(str::to_owned);
    for canary in &canaries {
        assert!(!text.contains(canary.as_str()), "{canary} in {text}");
    }
    // The consent page names the scopes, and none of the rest.
    browser.submit(&[("username", BEN), ("password", PASSWORD)]);
    assert!(asks_consent(browser.page()));
    let consent = [browser.page().response.clone()];
    let text = seen(&mut browser, &consent) + &browser.page().url.clone();
    for canary in [&ask.state, &ask.nonce, &ask.pkce.challenge] {
        assert!(!text.contains(canary.as_str()), "{canary} in {text}");
    }
    browser.submit(&[("decision", "approve")]);
    assert_eq!(browser.page().away_parameter("state"), Some(ask.state));
}

#[test]
fn a_pushed_request_may_want_its_answer_as_a_form() {
    let stand = together_with_machines();
    let ask = Ask::new(TWIN).with("response_mode", "form_post");
    let uri = pushed(&stand, &ask);
    let page = walk(&mut stand.browser(), &front(&stand, TWIN.id, &uri, &[]), BEN);
    assert_eq!((page.response.status, &page.away), (200, &None));
    assert!(page.response.text().contains(TWIN.redirect));
    assert_eq!(page.field("state"), Some(ask.state.clone()));
    assert_eq!(page.field("iss").as_deref(), Some(stand.issuer()), "W10");
    let code = page.field("code").unwrap();
    Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier));
    // An error goes the same way.
    let ask = Ask::new(TWIN).with("response_mode", "form_post").with("prompt", "none");
    let uri = pushed(&stand, &ask);
    let mut browser = stand.browser();
    let page = browser.open(&front(&stand, TWIN.id, &uri, &[])).clone();
    assert_eq!(page.field("error").as_deref(), Some("login_required"));
    assert_eq!(page.field("iss").as_deref(), Some(stand.issuer()));
}
