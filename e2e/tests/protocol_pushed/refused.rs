//! What is not taken, when it is pushed and when it is brought.

use e2e::basic;
use serde_json::json;

use crate::support::*;
use crate::{PREFIX, front, push, pushed};

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
    let many: Vec<String> = (0..101).map(|number| format!("p{number}=x")).collect();
    let answer = wire.ask(
        "POST",
        "/oauth/par",
        &[head, form],
        format!("{body}&{}", many.join("&")).as_bytes(),
    );
    assert_tok(&answer, "invalid_request");
    assert_eq!(digest(&stand), before);
    assert_unharmed(&mut stand);
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
