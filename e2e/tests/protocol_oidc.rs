//! OpenID Connect at the authorization endpoint: when somebody is asked again, what the ID token then says,
//! and the answer that comes as a form.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::{Browser, Stand, tokens};
use sha2::{Digest as _, Sha256};
use support::*;

/// Moves a browser's sign-in into the past.
fn age(stand: &Stand, browser: &mut Browser, seconds: u32) {
    let secret = browser.client().cookies()["__Host-opentrusty_session"].clone();
    // The account must be as old: a sign-in from before the password was set is none.
    sql(stand, "UPDATE credentials SET changed_at = changed_at - interval '1 day'");
    let moved = sql(
        stand,
        &format!(
            "UPDATE sessions SET auth_time = auth_time - interval '{seconds} seconds'
         WHERE secret_hash = sha256('{secret}') RETURNING 1"
        ),
    );
    assert_eq!(moved, "1");
}

fn now(stand: &Stand) -> i64 {
    sql(stand, "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint").parse().unwrap()
}

fn auth_time(tokens: &Tokens) -> i64 {
    let id = tokens::claims(&tokens.id);
    assert_eq!(id["auth_time"], tokens::claims(&tokens.access)["auth_time"]);
    id["auth_time"].as_i64().unwrap()
}

#[test]
fn the_nonce_comes_back_and_at_hash_binds_the_access_token() {
    let stand = together();
    for app in [TWIN, RETRY] {
        let ask = Ask::new(app);
        let one = issue(&stand, &ask, BEN);
        let id = tokens::claims(&one.id);
        assert_eq!(id["nonce"], ask.nonce);
        let half = URL_SAFE_NO_PAD.encode(&Sha256::digest(&one.access)[..16]);
        assert_eq!(id["at_hash"], half);
        assert_eq!(id["amr"], serde_json::json!(["pwd"]));
        let without = issue(&stand, &Ask::new(app).without("nonce"), BEN);
        assert_eq!(tokens::claims(&without.id).get("nonce"), None);
    }
}

#[test]
fn w16_auth_time_says_when_somebody_really_signed_in() {
    let stand = together();
    let mut browser = stand.browser();
    let begin = now(&stand);
    let first = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    assert!((begin..=now(&stand)).contains(&auth_time(&first)));
    age(&stand, &mut browser, 1000);
    let silent = issue_in(&stand, &mut browser, &Ask::new(POST).with("prompt", "none"), BEN);
    assert_eq!(auth_time(&silent), auth_time(&first) - 1000, "no sign-in, no new auth_time");
    let begin = now(&stand);
    browser.open(&Ask::new(POST).with("prompt", "login").url(&stand));
    assert!(asks_password(browser.page()));
    let ask = Ask::new(POST).with("prompt", "login");
    let again = issue_in(&stand, &mut browser, &ask, BEN);
    assert!((begin..=now(&stand)).contains(&auth_time(&again)));
    // A refresh is no sign-in.
    let refreshed = Tokens::of(&POST.refresh(&stand, &silent.refresh));
    assert_eq!(auth_time(&refreshed), auth_time(&silent));
}

#[test]
fn w16_max_age_asks_those_who_signed_in_too_long_ago() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    age(&stand, &mut browser, 100);
    for (max_age, asked) in
        [("1000", false), ("4294967295", false), ("50", true), ("1", true), ("0", true)]
    {
        let silent = Ask::new(TWIN).with("max_age", max_age).with("prompt", "none");
        let page = browser.open(&silent.url(&stand)).clone();
        let error = page.away_parameter("error");
        assert_eq!(error.as_deref(), asked.then_some("login_required"), "max_age={max_age}");
        assert_eq!(page.away_parameter("code").is_some(), !asked);
        assert_eq!(page.away_parameter("state"), Some(silent.state));
        let page = browser.open(&Ask::new(TWIN).with("max_age", max_age).url(&stand));
        assert_eq!(asks_password(page), asked, "max_age={max_age}");
    }
}

#[test]
fn w16_max_age_zero_and_prompt_login_ask_once_and_cannot_be_walked_around() {
    let stand = together();
    for (name, value) in [("max_age", "0"), ("prompt", "login"), ("prompt", "login consent")] {
        let mut browser = signed_in(&stand, BEN);
        let ask = Ask::new(TWIN).with(name, value);
        assert!(asks_password(browser.open(&ask.url(&stand))), "{name}={value}");
        let interaction = browser.page().field("interaction").unwrap();
        for path in ["oauth/authorize/", "consent?interaction=", "login?interaction="] {
            let page = browser.open(&format!("{}/{path}{interaction}", stand.issuer()));
            assert!(asks_password(page), "{path}: {:?}", page.away);
        }
        // A sign-in beside it is not the one that was asked for.
        let mut other = signed_in(&stand, BEN);
        let session = other.client().cookies()["__Host-opentrusty_session"].clone();
        browser.client().put_cookie("__Host-opentrusty_session", &session);
        let page = browser.open(&format!("{}/oauth/authorize/{interaction}", stand.issuer()));
        assert!(asks_password(page), "another browser's sign-in: {:?}", page.away);
        let page = go_on(&mut browser, BEN);
        let code = page.away_parameter("code").unwrap_or_else(|| panic!("{:?}", page.away));
        Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier));
    }
}

#[test]
fn w16_prompt_none_shows_nothing_and_says_what_is_missing() {
    let stand = alone();
    let mut nobody = stand.browser();
    let mut dora = signed_in(&stand, DORA);
    let mut ben = signed_in(&stand, BEN);
    for (browser, app, errors) in [
        (&mut nobody, TWIN, &["login_required"][..]),
        (&mut ben, WEB, &["consent_required"]),
        (&mut dora, TWIN, &["access_denied", "interaction_required", "login_required"]),
    ] {
        for mode in ["query", "form_post"] {
            let ask = Ask::new(app).with("prompt", "none").with("response_mode", mode);
            let page = browser.open(&ask.url(&stand)).clone();
            let told = |name: &str| match mode {
                "query" => page.away_parameter(name),
                _ => page.field(name),
            };
            let error = told("error").unwrap_or_default();
            assert!(errors.contains(&error.as_str()), "{error} {:?}", page.away);
            assert_eq!(told("state"), Some(ask.state));
            assert_eq!(told("iss").as_deref(), Some(stand.issuer()));
            assert_eq!(told("code"), None);
        }
    }
    let grants = "SELECT count(*) FROM grants g JOIN users u ON u.id = g.user_id JOIN clients c ON c.id = g.client";
    assert_eq!(
        sql(&stand, &format!("{grants} WHERE email = '{DORA}' AND client_id <> '{}'", PLATFORM.id)),
        "0"
    );
}

#[test]
fn somebody_who_is_no_member_gets_no_code_however_they_come() {
    let stand = together();
    for app in [TWIN, WEB, SPA] {
        let ask = Ask::new(app);
        let page = walk(&mut stand.browser(), &ask.url(&stand), DORA);
        assert_eq!(
            page.away_parameter("error").as_deref(),
            Some("access_denied"),
            "{:?}",
            page.away
        );
        assert_eq!(page.away_parameter("state"), Some(ask.state));
        assert_eq!(page.away_parameter("iss").as_deref(), Some(stand.issuer()));
    }
    // At the platform's own clients everybody is somebody.
    issue(&stand, &Ask::new(PLATFORM), DORA);
}

#[test]
fn select_account_and_what_we_do_not_read_are_taken() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let page = browser.open(&Ask::new(TWIN).with("prompt", "select_account").url(&stand));
    assert!(asks_password(page), "one may choose who one is: {:?}", page.away);
    for (name, value) in [
        ("acr_values", "urn:x urn:y"),
        ("ui_locales", "pt-BR de"),
        ("claims_locales", "de"),
        ("display", "popup"),
        ("unheard_of", "1"),
        ("id_token_hint", ""),
        ("prompt", ""),
        ("max_age", ""),
    ] {
        let page = walk(&mut browser, &Ask::new(TWIN).with(name, value).url(&stand), BEN);
        assert!(page.away_parameter("code").is_some(), "{name}: {:?}", page.away);
    }
}

#[test]
fn w17_a_hint_says_who_must_answer() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let own = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
    let other = issue(&stand, &Ask::new(TWIN), ANA);
    let elsewhere = issue(&stand, &Ask::new(PLATFORM), BEN);
    let silent = |hint: &str| Ask::new(TWIN).with("prompt", "none").with("id_token_hint", hint);
    let page = browser.open(&silent(&own.id).url(&stand));
    assert!(page.away_parameter("code").is_some(), "{:?}", page.away);
    for hint in [&other.id, &elsewhere.id] {
        let ask = silent(hint);
        let page = browser.open(&ask.url(&stand));
        assert_eq!(page.away_parameter("error").as_deref(), Some("login_required"));
        assert_eq!(page.away_parameter("state"), Some(ask.state));
        // With a page allowed, it is the other person who is asked for, and nobody else gets a code.
        let ask = Ask::new(TWIN).with("id_token_hint", hint);
        let page = browser.open(&ask.url(&stand));
        assert!(page.away.is_none() || page.away_parameter("code").is_none(), "{:?}", page.away);
    }
    let (head, _) = own.id.rsplit_once('.').unwrap();
    for hint in [format!("{head}."), format!("{}x", own.id), own.access, "x".into(), "a.b.c".into()]
    {
        let ask = silent(&hint);
        let answer = stand.client().get(&ask.url(&stand));
        assert_red(&answer, &TWIN, "invalid_request", Some(&ask.state));
    }
}

#[test]
fn a_login_hint_fills_the_field_and_nothing_more() {
    let stand = together();
    for hint in
        [ANA, "\"><script>alert(1)</script>", "' onfocus='alert(1)", "&quot;&#34;", "a b\u{e9}"]
    {
        let mut browser = stand.browser();
        let page = browser.open(&Ask::new(TWIN).with("login_hint", hint).url(&stand)).clone();
        assert!(asks_password(&page));
        assert_eq!(page.field("username").as_deref(), Some(hint));
        let html = page.response.text();
        assert!(!html.contains("<script>") && !html.contains("onfocus='"), "{html}");
    }
    let mut browser = signed_in(&stand, BEN);
    let page = walk(&mut browser, &Ask::new(TWIN).with("login_hint", ANA).url(&stand), BEN);
    assert!(page.away_parameter("code").is_some());
}

#[test]
fn a_form_post_answer_is_a_form_of_fixed_shape() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    for app in [TWIN, QUERY] {
        let ask = Ask::new(app).with("response_mode", "form_post");
        let page = browser.open(&ask.url(&stand)).clone();
        page.response.expect(200);
        assert_always("/form_post", &page.response);
        let html = page.response.text();
        let action = app.redirect.replace('&', "&#38;");
        assert!(html.contains(&format!("action=\"{action}\"")), "{html}");
        assert!(html.contains("method=\"post\"") && html.contains("type=\"submit\""), "{html}");
        assert_eq!(page.field("state"), Some(ask.state.clone()));
        assert_eq!(page.field("iss").as_deref(), Some(stand.issuer()));
        assert_eq!(page.field("error"), None);
        assert_eq!(html.matches("<script").count(), 1, "one external file: {html}");
        assert!(html.contains("<script src=\"/") && html.contains("</script>"), "{html}");
        let csp = page.response.header("content-security-policy").unwrap();
        let origin = url::Url::parse(app.redirect).unwrap().origin().ascii_serialization();
        assert!(csp.contains(&format!("form-action 'self' {origin}")), "{csp}");
        let code = page.field("code").unwrap();
        Tokens::of(&app.redeem(&stand, &code, &ask.pkce.verifier));
    }
    // Errors go the same way, even those that are found at once.
    let ask = Ask::new(TWIN).with("response_mode", "form_post").without("code_challenge");
    let page = browser.open(&ask.url(&stand)).clone();
    assert_eq!(page.field("error").as_deref(), Some("invalid_request"));
    assert_eq!(page.field("state"), Some(ask.state));
    assert!(page.away.is_none() && page.response.header("location").is_none());
}

#[test]
fn the_audience_is_what_was_asked_for_or_the_clients_or_the_issuer() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let mut aud =
        |ask: &Ask| tokens::claims(&issue_in(&stand, &mut browser, ask, BEN).access)["aud"].clone();
    let both = serde_json::json!(["orders-api", "https://other.example.org"]);
    assert_eq!(aud(&Ask::new(POST)), stand.issuer());
    assert_eq!(aud(&Ask::new(TWIN)), both);
    assert_eq!(
        aud(&Ask::new(TWIN).with("resource", "https://other.example.org")),
        "https://other.example.org"
    );
    assert_eq!(aud(&Ask::new(TWIN).with("audience", "orders-api")), "orders-api");
    let twice =
        Ask::new(TWIN).and("audience", "orders-api").and("resource", "https://other.example.org");
    let mut members: Vec<String> =
        aud(&twice).as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect();
    members.sort();
    assert_eq!(members, ["https://other.example.org", "orders-api"]);
}

#[test]
fn what_was_asked_for_is_what_is_granted() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    for (scope, granted) in [
        ("openid", "openid"),
        ("email openid", "email openid"),
        ("openid openid", "openid"),
        ("profile", "profile"),
    ] {
        let one = issue_in(&stand, &mut browser, &Ask::new(TWIN).scope(scope), BEN);
        assert_eq!(one.reply["scope"], granted);
        assert_eq!(tokens::claims(&one.access)["scope"], granted);
        assert_eq!(one.id.is_empty(), !granted.contains("openid"), "an ID token iff openid");
    }
}
