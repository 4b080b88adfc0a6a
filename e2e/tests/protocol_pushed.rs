//! Pushed authorization requests (RFC 9126; security.md W11, W49–W53): frozen when they are pushed, good once, for
//! one client and one browser.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{Browser, Response, Stand, basic, tokens};
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

#[test]
fn w52_whoever_does_not_prove_who_they_are_pushes_nothing() {
    let stand = alone_with_machines();
    sql(&stand, "DELETE FROM throttles");
    let before = digest(&stand);
    let url = format!("{}/oauth/par", stand.issuer());
    let ask = Ask::new(TWIN);
    let pairs = ask.pairs();
    let mut http = stand.client();
    assert_client_refused(&http.post(&url, &pairs), false);
    assert_client_refused(&http.post_with(&url, &[basic(TWIN.id, "wrong")], &pairs), true);
    assert_client_refused(&http.post_with(&url, &[basic("nobody", "wrong")], &pairs), true);
    let posted = [&pairs[..], &[("client_secret", TWIN.secret.unwrap())]].concat();
    assert_client_refused(&http.post(&url, &posted), false);
    let anonymous: Vec<_> = pairs.iter().copied().filter(|(n, _)| *n != "client_id").collect();
    assert_client_refused(&http.post(&url, &anonymous), false);
    // Authenticated as one, and speaking for another.
    let head = basic(POST.id, POST.secret.unwrap());
    assert_client_refused(&http.post_with(&url, &[head], &pairs), true);
    let head = basic(TWIN.id, TWIN.secret.unwrap());
    let other = Ask::new(WEB);
    let mixed = http.post_with(&url, &[head], &other.pairs());
    assert!([400, 401].contains(&mixed.status), "{}", mixed.text());
    for app in [ROBOT, BROKER] {
        let answer = app.call(&stand, "/oauth/par", &anonymous);
        assert_tok(&answer, "unauthorized_client");
    }
    sql(&stand, "DELETE FROM throttles");
    assert_eq!(digest(&stand), before);
}

#[test]
fn w52_a_request_is_checked_when_it_is_pushed() {
    let stand = alone_with_machines();
    let before = digest(&stand);
    let good = || Ask::new(TWIN);
    let long = "s".repeat(4097);
    for (ask, error) in [
        (good().with("request_uri", &format!("{PREFIX}{}", random())), "invalid_request"),
        (good().with("request_uri", "https://evil.example/r.jwt"), "invalid_request"),
        (good().with("request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported"),
        (good().with("redirect_uri", "https://evil.example/cb"), "invalid_request"),
        (good().with("redirect_uri", "https://web.example.org/cb/"), "invalid_request"),
        (good().without("redirect_uri"), "invalid_request"),
        (good().without("response_type"), "invalid_request"),
        (good().with("response_type", "token"), "unsupported_response_type"),
        (good().with("response_type", "code id_token"), "unsupported_response_type"),
        (good().with("response_mode", "fragment"), "invalid_request"),
        (good().without("code_challenge"), "invalid_request"),
        (good().without("code_challenge_method"), "invalid_request"),
        (good().with("code_challenge_method", "plain"), "invalid_request"),
        (good().with("code_challenge", "short"), "invalid_request"),
        (good().scope("openid orders:write"), "invalid_scope"),
        (good().scope("openid rival:read"), "invalid_scope"),
        (good().scope("opentrusty:admin"), "invalid_scope"),
        (good().with("audience", "https://evil.example"), "invalid_target"),
        (good().with("resource", stand.api()), "invalid_target"),
        (good().with("prompt", "none login"), "invalid_request"),
        (good().with("max_age", "-1"), "invalid_request"),
        (good().with("claims", "[]"), "invalid_request"),
        (good().with("id_token_hint", "eyJhbGciOiJub25lIn0.e30."), "invalid_request"),
        (good().with("state", &long), "invalid_request"),
        (good().and("scope", "openid"), "invalid_request"),
        (good().and("redirect_uri", TWIN.redirect), "invalid_request"),
        (good().and("unknown", "1").and("unknown", "2"), "invalid_request"),
    ] {
        println!("{:?} → {error}", ask.pairs());
        assert_tok(&push(&stand, &ask), error);
    }
    assert_eq!(digest(&stand), before);
}

#[test]
fn w92_w93_w98_w102_only_a_form_of_bounded_size_by_post() {
    let mut stand = alone_with_machines();
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let (name, value) = basic(TWIN.id, TWIN.secret.unwrap());
    let head = (name, value.as_str());
    let ask = Ask::new(TWIN);
    let body = e2e::query(&ask.pairs());
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
        let answer = wire.ask(method, "/oauth/par", &[head], b"");
        answer.expect(405);
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
    }
    let form = ("content-type", "application/x-www-form-urlencoded");
    let target = format!("/oauth/par?{body}");
    assert_tok(&wire.ask("POST", &target, &[head, form], b""), "invalid_request");
    assert_tok(
        &wire.ask("POST", "/oauth/par?x=1", &[head, form], body.as_bytes()),
        "invalid_request",
    );
    for kind in ["text/plain", "application/json", "multipart/form-data; boundary=x", ""] {
        let answer =
            wire.ask("POST", "/oauth/par", &[head, ("content-type", kind)], body.as_bytes());
        answer.expect(415);
    }
    for broken in ["%", "%zz", "a=%00", "state=%ff", "state=%ed%a0%80"] {
        let answer =
            wire.ask("POST", "/oauth/par", &[head, form], format!("{body}&{broken}").as_bytes());
        assert_tok(&answer, "invalid_request");
    }
    for size in [64 * 1024 + 1, 1024 * 1024] {
        let large = format!("{body}&x={}", "x".repeat(size - body.len() - 3));
        let mut connection = e2e::Connection::open(
            stand.client().address(&url::Url::parse(stand.issuer()).unwrap()),
            stand.trust(),
        )
        .unwrap();
        let head = format!(
            "POST /oauth/par HTTP/1.1\r\nhost: {}\r\nauthorization: {value}\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
            stand.issuer().strip_prefix("https://").unwrap(),
            form.1,
            large.len()
        );
        // The answer may come before all of it is sent.
        let _ = connection.send(head.as_bytes());
        let _ = connection.send(large.as_bytes());
        assert_eq!(connection.receive(false).unwrap().status, 413);
    }
    let many: String = (0..101).map(|number| format!("&p{number}=x")).collect();
    let answer = wire.ask("POST", "/oauth/par", &[head, form], format!("{body}{many}").as_bytes());
    assert_tok(&answer, "invalid_request");
    assert_eq!(digest(&stand), before);
    assert_unharmed(&mut stand);
}

/// Everything that a browser has seen on its way to consent.
fn seen(browser: &mut Browser, responses: &[Response]) -> String {
    let mut all = format!("{:?}", browser.client().cookies());
    for response in responses {
        let headers = response.headers.iter().filter(|(name, _)| name != "content-security-policy");
        all.push_str(&format!("{:?}", headers.collect::<Vec<_>>()));
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
fn w6_w33_what_changed_since_the_push_counts_at_its_use() {
    let stand = alone_with_machines();
    let set = |name: &str, value: serde_json::Value| {
        sql(
            &stand,
            &format!(
                "UPDATE clients SET metadata = jsonb_set(metadata, '{{{name}}}', '{value}') WHERE client_id = 'pusher'"
            ),
        );
    };
    let mut browser = signed_in(&stand, BEN);
    let issued = |page: &e2e::Page| page.away.is_some() && page.away_parameter("code").is_some();
    // The redirect URI is taken away: nobody is sent there, neither with a code nor with an error.
    for prompt in ["none", "login", "consent"] {
        let uri = pushed(&stand, &Ask::new(PUSHER).with("prompt", prompt));
        set("redirect_uris", json!(["https://pusher.example.org/new"]));
        let page = browser.open(&front(&stand, PUSHER.id, &uri, &[])).clone();
        assert_eq!(page.away, None, "{prompt}");
        assert_page(&page.response);
        set("redirect_uris", json!([PUSHER.redirect]));
    }
    // Between the first visit and the end.
    let uri = pushed(&stand, &Ask::new(PUSHER).with("prompt", "consent"));
    browser.open(&front(&stand, PUSHER.id, &uri, &[]));
    assert!(asks_consent(browser.page()));
    set("redirect_uris", json!(["https://pusher.example.org/new"]));
    let page = browser.submit(&[("decision", "approve")]).clone();
    assert_eq!(page.away, None);
    assert!(page.response.status >= 400);
    set("redirect_uris", json!([PUSHER.redirect]));
    // A scope, the grant itself.
    for (name, less, whole) in [
        ("scope", json!("openid"), json!("openid profile email offline_access orders:read")),
        ("grant_types", json!(["refresh_token"]), json!(["authorization_code", "refresh_token"])),
    ] {
        let ask = Ask::new(PUSHER).scope("openid email");
        let uri = pushed(&stand, &ask);
        set(name, less);
        let page = walk(&mut browser, &front(&stand, PUSHER.id, &uri, &[]), BEN);
        println!("{name}: {:?} {}", page.away, page.response.status);
        if issued(&page) {
            let code = page.away_parameter("code").unwrap();
            let answer = PUSHER.redeem(&stand, &code, &ask.pkce.verifier);
            assert!(
                answer.status != 200 || answer.json()["scope"] == "openid",
                "{}",
                answer.text()
            );
        }
        set(name, whole);
    }
    for (off, on) in [
        (
            "UPDATE clients SET status = 'disabled' WHERE client_id = 'pusher'",
            "UPDATE clients SET status = 'active' WHERE client_id = 'pusher'",
        ),
        (
            "UPDATE tenants SET status = 'suspended' WHERE slug = 'acme'",
            "UPDATE tenants SET status = 'active' WHERE slug = 'acme'",
        ),
    ] {
        let uri = pushed(&stand, &Ask::new(PUSHER));
        sql(&stand, off);
        assert_page(&browser.open(&front(&stand, PUSHER.id, &uri, &[])).response);
        assert_client_refused(&push(&stand, &Ask::new(PUSHER)), true);
        sql(&stand, on);
    }
    let uri = pushed(&stand, &Ask::new(PUSHER));
    sql(&stand, "DELETE FROM clients WHERE client_id = 'pusher'");
    assert_page(&browser.open(&front(&stand, PUSHER.id, &uri, &[])).response);
    stand.seed(&machines());
    assert_page(&browser.open(&front(&stand, PUSHER.id, &uri, &[])).response);
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

#[test]
fn w26_w27_no_variant_and_no_other_artefact_is_the_name_of_a_request() {
    let stand = alone_with_machines();
    let ask = Ask::new(TWIN);
    let uri = pushed(&stand, &ask);
    let name = uri.strip_prefix(PREFIX).unwrap();
    let mut browser = signed_in(&stand, BEN);
    browser.open(&Ask::new(PUSHER).url(&stand));
    let waiting = stand.client().get(&Ask::new(WEB).url(&stand)).location().to_owned();
    let handle = waiting.rsplit_once('/').unwrap().1.to_owned();
    let one = issue(&stand, &Ask::new(TWIN), BEN);
    let before = digest(&stand);
    let mut wrong = vec![
        format!("{PREFIX}{}", random()),
        format!("{PREFIX}{handle}"),
        format!("{PREFIX}{}", one.access),
        format!("{PREFIX}{}", one.refresh),
        PREFIX.to_owned(),
        uri.replace("urn:ietf", "urn:IETF").replace(name, &name.to_uppercase()),
        format!("{PREFIX}{}", name.to_lowercase()),
        format!("{uri}="),
        format!("{uri}A"),
        format!("{uri} "),
        format!(" {uri}"),
        format!("{uri}\n"),
        format!("{PREFIX}{PREFIX}{name}"),
    ];
    for at in 0..name.len() {
        let (head, tail) = name.split_at(at);
        wrong.push(format!("{PREFIX}{head}{}", &tail[1..]));
        let other = if tail.starts_with('A') { 'B' } else { 'A' };
        wrong.push(format!("{PREFIX}{head}{other}{}", &tail[1..]));
    }
    wrong.retain(|text| *text != uri);
    for text in &wrong {
        let answer = browser.client().get(&front(&stand, TWIN.id, text, &[]));
        // What is not even of our scheme, without a redirect_uri, has nowhere to be sent.
        assert_page(&answer);
    }
    // W26: the name, and the whole of it, is nothing else of ours.
    for text in [name, uri.as_str()] {
        assert_tok(&TWIN.redeem(&stand, text, &ask.pkce.verifier), "invalid_grant");
        assert_tok(&TWIN.refresh(&stand, text), "invalid_grant");
        assert_inactive(&TWIN.introspect(&stand, text));
        assert_bearer_refused(&userinfo(&stand, text));
        TWIN.revoke(&stand, text).expect(200);
        for path in ["/oauth/authorize/", "/consent?interaction=", "/login?interaction="] {
            let answer = browser.client().get(&format!("{}{path}{text}", stand.issuer()));
            assert!(answer.status >= 400 && answer.header("location").is_none(), "{path}");
        }
    }
    assert_eq!(digest(&stand), before);
    let page = walk(&mut browser, &front(&stand, TWIN.id, &uri, &[]), BEN);
    assert!(page.away_parameter("code").is_some());
}

/// OIDC Core §5.5: the parameter moves what a scope releases into the ID token, and widens nothing.
#[test]
fn w14_w85_claims_that_are_asked_for_are_in_the_id_token_if_a_scope_releases_them() {
    let stand = together_with_machines();
    let wanted = json!({ "id_token": { "email": { "essential": true }, "given_name": null, "roles": null,
        "sub": null, "iss": { "value": "https://evil.example" } }, "userinfo": { "name": null } });
    for push_it in [false, true] {
        let of = |scope: &str| {
            let ask = Ask::new(TWIN).scope(scope).with("claims", &wanted.to_string());
            let url = match push_it {
                true => front(&stand, TWIN.id, &pushed(&stand, &ask), &[]),
                false => ask.url(&stand),
            };
            let page = walk(&mut stand.browser(), &url, ANA);
            let code = page.away_parameter("code").unwrap();
            let one = Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier));
            let access = tokens::claims(&one.access);
            assert!(access.get("email").is_none() && access.get("given_name").is_none());
            let id = tokens::claims(&one.id);
            assert_eq!(id["iss"], stand.issuer());
            assert!(id.get("roles").is_none() && id.get("name").is_none());
            (id.get("email").cloned(), id.get("given_name").cloned())
        };
        assert_eq!(of("openid"), (None, None));
        assert_eq!(of("openid email"), (Some(json!(ANA)), None));
        assert_eq!(of("openid email profile"), (Some(json!(ANA)), Some(json!("Ana"))));
    }
}

#[test]
fn w16_w17_claims_that_name_another_person_or_a_stronger_sign_in_are_not_met() {
    let stand = together_with_machines();
    let mut browser = signed_in(&stand, BEN);
    let one = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    let own = tokens::claims(&one.id)["sub"].clone();
    let other = tokens::claims(&issue(&stand, &Ask::new(TWIN), ANA).id)["sub"].clone();
    let silent = |claims: &serde_json::Value| {
        Ask::new(TWIN).with("prompt", "none").with("claims", &claims.to_string())
    };
    let sub = |sub: &serde_json::Value| json!({ "id_token": { "sub": { "value": sub } } });
    let page = browser.open(&silent(&sub(&own)).url(&stand)).clone();
    assert!(page.away_parameter("code").is_some(), "{:?}", page.away);
    let page = browser.open(&silent(&sub(&other)).url(&stand)).clone();
    assert_eq!(page.away_parameter("error").as_deref(), Some("login_required"));
    let gold = json!({ "id_token": { "acr": { "essential": true, "values": ["gold"] } } });
    let page = browser.open(&silent(&gold).url(&stand)).clone();
    assert_eq!(
        page.away_parameter("error").as_deref(),
        Some("unmet_authentication_requirements"),
        "{:?}",
        page.away
    );
    for text in ["", "[]", "null", "{", "{\"id_token\":1}", "{\"id_token\":{},\"id_token\":{}}"] {
        let ask = Ask::new(TWIN).with("claims", text);
        let answer = ask.send(&stand);
        // W95: an empty value is no value.
        if text.is_empty() {
            assert_accepted(&answer);
        } else {
            assert_red(&answer, &TWIN, "invalid_request", Some(&ask.state));
        }
    }
}
