//! The authorization endpoint (security.md, group A): what is refused, how, and to whom it is told.

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{Pkce, query};
use support::*;

/// Requests that are wrong in one way each, with the error that the client hears.
fn wrong() -> Vec<(&'static str, Ask, &'static str)> {
    let ask = || Ask::new(WEB);
    let long = "s".repeat(4097);
    let mut list = vec![
        ("no response_type", ask().without("response_type"), "invalid_request"),
        ("empty response_type", ask().with("response_type", ""), "invalid_request"),
        ("unknown scope", ask().scope("openid nothing:here"), "invalid_scope"),
        ("other client's scope", ask().scope("openid orders:write"), "invalid_scope"),
        ("other tenant's scope", ask().scope("openid rival:read"), "invalid_scope"),
        ("admin scope", ask().scope("openid opentrusty:admin"), "invalid_scope"),
        ("65 scopes", ask().scope(&"openid ".repeat(65)), "invalid_scope"),
        ("2049 bytes of scope", ask().scope(&"o".repeat(2049)), "invalid_scope"),
        ("quote in scope", ask().scope("openid \"x\""), "invalid_scope"),
        ("backslash in scope", ask().scope("openid a\\b"), "invalid_scope"),
        ("tab in scope", ask().scope("openid\tprofile"), "invalid_scope"),
        ("umlaut in scope", ask().scope("openid ü"), "invalid_scope"),
        (
            "no PKCE",
            ask().without("code_challenge").without("code_challenge_method"),
            "invalid_request",
        ),
        ("no challenge", ask().without("code_challenge"), "invalid_request"),
        ("no method", ask().without("code_challenge_method"), "invalid_request"),
        ("plain", ask().with("code_challenge_method", "plain"), "invalid_request"),
        ("s256", ask().with("code_challenge_method", "s256"), "invalid_request"),
        ("S512", ask().with("code_challenge_method", "S512"), "invalid_request"),
        (
            "request object",
            ask().with("request", "eyJhbGciOiJub25lIn0.e30."),
            "request_not_supported",
        ),
        (
            "request_uri",
            ask().with("request_uri", "https://evil.example/r"),
            "request_uri_not_supported",
        ),
        ("registration", ask().with("registration", "{}"), "registration_not_supported"),
        ("256 of nonce", ask().with("nonce", &"n".repeat(256)), "invalid_request"),
        (
            "unknown resource",
            ask().with("resource", "https://nobody.example.org"),
            "invalid_target",
        ),
        (
            "unknown audience",
            ask().with("audience", "https://nobody.example.org"),
            "invalid_target",
        ),
    ];
    list.extend(wrong_words());
    list.push(("too long a state", ask().with("state", &long), "invalid_request"));
    list
}

/// Words that are none of those which PKCE, `prompt` and `max_age` have.
fn wrong_words() -> Vec<(&'static str, Ask, &'static str)> {
    let ask = || Ask::new(WEB);
    let mut list = Vec::new();
    for word in ["", "c", &"c".repeat(42), &"c".repeat(44), &format!("{}=", "c".repeat(42))] {
        list.push(("bad challenge", ask().with("code_challenge", word), "invalid_request"));
    }
    for word in ["+", "/", ".", "~", " ", "%", "\u{e9}"] {
        let challenge = format!("{word}{}", &Pkce::new().challenge[word.len()..]);
        list.push(("bad challenge", ask().with("code_challenge", &challenge), "invalid_request"));
    }
    for word in ["none login", "login none", "none consent", "create", "NONE", "login,consent"] {
        list.push(("bad prompt", ask().with("prompt", word), "invalid_request"));
    }
    for word in [
        "-1",
        "+1",
        "0x10",
        "1e309",
        "1e3",
        "1.5",
        " 5",
        "NaN",
        "18446744073709551616",
        "99999999999",
        "٣",
    ] {
        list.push(("bad max_age", ask().with("max_age", word), "invalid_request"));
    }
    list
}

#[test]
fn w12_w13_w16_w20_what_is_wrong_is_told_to_the_registered_uri_with_state_and_iss() {
    let stand = alone();
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    for (what, ask, error) in wrong() {
        println!("{what}");
        let state = (ask.state.as_str(), what != "too long a state");
        assert_red(&wire.get(&ask.target()), &WEB, error, state.1.then_some(state.0));
    }
    assert_eq!(digest(&stand), before);
}

#[test]
fn w7_nothing_is_told_to_a_uri_that_is_not_registered_whatever_else_is_wrong() {
    let stand = alone();
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let hostile = ["https://evil.example/cb", "https://web.example.org/cb/", TWIN.redirect, ""];
    for (what, ask, _) in wrong() {
        for uri in hostile {
            let app = if uri == TWIN.redirect { SPA } else { WEB };
            let ask = ask.clone().with("client_id", app.id).with("redirect_uri", uri);
            println!("{what} to {uri:?}");
            assert_page(&wire.get(&ask.target()));
        }
        assert_page(&wire.get(&ask.clone().without("redirect_uri").target()));
        assert_page(&wire.get(&ask.clone().and("redirect_uri", "https://evil.example/").target()));
        assert_page(
            &wire.get(&ask.clone().with("prompt", "none").with("client_id", "nobody").target()),
        );
        assert_page(&wire.get(&ask.clone().without("client_id").target()));
    }
    assert_eq!(digest(&stand), before);
}

#[test]
fn w7_a_client_or_tenant_that_is_gone_is_told_nothing() {
    let stand = alone();
    for (gone, back) in [
        (
            "UPDATE clients SET status = 'disabled' WHERE client_id = 'web'",
            "UPDATE clients SET status = 'active' WHERE client_id = 'web'",
        ),
        (
            "UPDATE tenants SET status = 'suspended' WHERE slug = 'acme'",
            "UPDATE tenants SET status = 'active' WHERE slug = 'acme'",
        ),
    ] {
        sql(&stand, gone);
        let answers = [
            Ask::new(WEB).send(&stand),
            Ask::new(WEB).with("prompt", "none").send(&stand),
            Ask::new(WEB).with("redirect_uri", "https://evil.example/").send(&stand),
        ];
        sql(&stand, back);
        answers.iter().for_each(assert_page);
    }
    assert_accepted(&Ask::new(WEB).send(&stand));
}

#[test]
fn w8_a_repeated_parameter_is_refused_and_query_and_body_are_never_merged() {
    let stand = alone();
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let names: Vec<String> =
        Ask::new(WEB).pairs().iter().map(|(name, _)| (*name).to_owned()).collect();
    let more =
        ["prompt", "max_age", "login_hint", "response_mode", "ui_locales", "unheard_of", "claims"];
    for name in names.iter().map(String::as_str).chain(more) {
        let full = Ask::new(WEB);
        let own = full.pairs().iter().find(|(n, _)| *n == name).map_or("1", |(_, v)| v).to_owned();
        for other in [own.as_str(), "different"] {
            let mut twice = full.clone();
            if more.contains(&name) {
                twice = twice.and(name, &own);
            }
            let answer = wire.get(&twice.and(name, other).target());
            println!("{name} twice");
            match name {
                "client_id" | "redirect_uri" => assert_page(&answer),
                // Which of two states is meant cannot be known: none is echoed.
                "state" => assert_red(&answer, &WEB, "invalid_request", None),
                _ => assert_red(&answer, &WEB, "invalid_request", Some(&full.state)),
            }
        }
        // Split: the one parameter in the query, the rest in the body, or the other way about.
        let (one, rest) = (vec![(name, own.as_str())], full.clone().without(name));
        for (query_part, body_part) in [(one.clone(), rest.pairs()), (rest.pairs(), one)] {
            let target = format!("/oauth/authorize?{}", query(&query_part));
            assert_page(&wire.post(&target, &[], &body_part));
        }
    }
    assert_eq!(digest(&stand), before);
}

#[test]
fn a_request_by_post_is_as_good_as_one_by_get() {
    let stand = together();
    let mut wire = Line::open(&stand);
    // A page of the client's posts without our cookies (SameSite=Lax): it may be sent round once as a GET,
    // to our own address and with every parameter as it came.
    let mut post = |ask: &Ask| {
        let answer = wire.post("/oauth/authorize", &[], &ask.pairs());
        let round = answer.status == 303 && answer.location().starts_with("/oauth/authorize?");
        if round { wire.get(answer.location()) } else { answer }
    };
    let ask = Ask::new(WEB).with("state", "a+b c&d=\u{e9}%41");
    let wrong = ask.clone().without("response_type");
    assert_accepted(&post(&ask));
    let answer = post(&wrong);
    assert_red(&answer, &WEB, "invalid_request", Some("a+b c&d=\u{e9}%41"));
}

#[test]
fn w9_only_code_by_query_or_form_post() {
    let stand = alone();
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    for kind in [
        "token",
        "id_token",
        "none",
        "code token",
        "code id_token",
        "code id_token token",
        "token code",
        "Code",
        "CODE",
        "code code",
        "code ",
        " code",
        "id_token token",
        "password",
        "code\0",
    ] {
        let ask = Ask::new(WEB).with("response_type", kind);
        let answer = wire.get(&ask.target());
        println!("response_type={kind:?}");
        if kind.contains('\0') {
            assert_own_page(&answer);
        } else {
            assert_red(&answer, &WEB, "unsupported_response_type", Some(&ask.state));
        }
    }
    for mode in [
        "fragment",
        "web_message",
        "jwt",
        "query.jwt",
        "form_post.jwt",
        "Query",
        "FORM_POST",
        "query ",
    ] {
        let ask = Ask::new(WEB).with("response_mode", mode);
        println!("response_mode={mode:?}");
        assert_red(&wire.get(&ask.target()), &WEB, "invalid_request", Some(&ask.state));
    }
    assert_eq!(digest(&stand), before);
    drop(stand);
    let mut wire = Line::open(&together());
    for mode in ["query", "form_post", ""] {
        assert_accepted(&wire.get(&Ask::new(WEB).with("response_mode", mode).target()));
    }
}

#[test]
fn w10_every_answer_names_its_issuer() {
    let stand = together();
    let issuer = stand.issuer();
    let discovery = stand.client().get(&format!("{issuer}/.well-known/openid-configuration"));
    assert_eq!(discovery.json()["authorization_response_iss_parameter_supported"], true);
    assert_eq!(discovery.json()["issuer"], issuer);
    let iss = |page: &e2e::Page| page.away_parameter("iss");

    let ask = Ask::new(TWIN);
    let mut browser = stand.browser();
    let code = walk(&mut browser, &ask.url(&stand), BEN);
    assert!(code.away_parameter("code").is_some());
    assert_eq!(iss(&code).as_deref(), Some(issuer));
    assert_eq!(code.away_parameter("state"), Some(ask.state));

    let posted =
        walk(&mut browser, &Ask::new(TWIN).with("response_mode", "form_post").url(&stand), BEN);
    assert_eq!(posted.field("iss").as_deref(), Some(issuer));

    let silent = browser.open(&Ask::new(WEB).with("prompt", "none").url(&stand)).clone();
    assert_eq!(silent.away_parameter("error").as_deref(), Some("consent_required"));
    assert_eq!(iss(&silent).as_deref(), Some(issuer));

    browser.open(&Ask::new(WEB).url(&stand));
    let denied = browser.submit(&[("decision", "deny")]).clone();
    assert_eq!(denied.away_parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(iss(&denied).as_deref(), Some(issuer));

    let stranger = stand.browser().open(&Ask::new(WEB).with("prompt", "none").url(&stand)).clone();
    assert_eq!(stranger.away_parameter("error").as_deref(), Some("login_required"));
    assert_eq!(iss(&stranger).as_deref(), Some(issuer));
}

#[test]
fn w15_consent_is_never_stretched() {
    let stand = together();
    let mut browser = stand.browser();
    let page = walk(&mut browser, &Ask::new(WEB).scope("openid email").url(&stand), CLEO);
    assert!(page.away_parameter("code").is_some());
    // What was agreed to, and less, passes in silence; anything more does not.
    for (scope, answer) in [
        ("openid email", None),
        ("openid", None),
        ("openid email profile", Some("consent_required")),
        ("openid orders:read", Some("consent_required")),
        ("openid email offline_access", Some("consent_required")),
    ] {
        let ask = Ask::new(WEB).scope(scope).with("prompt", "none");
        let page = browser.open(&ask.url(&stand)).clone();
        assert_eq!(page.away_parameter("error").as_deref(), answer, "{scope}");
        assert_eq!(page.away_parameter("code").is_some(), answer.is_none(), "{scope}");
        assert_eq!(page.away_parameter("state"), Some(ask.state));
    }
    assert!(asks_consent(browser.open(&Ask::new(WEB).scope("openid email profile").url(&stand))));
    assert!(asks_consent(browser.open(&Ask::new(WEB).with("prompt", "consent").url(&stand))));
    // Another client has nothing from this consent.
    let ask = Ask::new(NATIVE).with("prompt", "none");
    let page = browser.open(&ask.url(&stand)).clone();
    assert_eq!(page.away_parameter("error").as_deref(), Some("consent_required"));
}

/// RFC 8252 §8.6: whoever listens on a loopback port or claims a scheme may not be who was agreed with.
#[test]
fn w15_a_client_on_the_users_machine_always_asks() {
    let stand = together();
    for uri in ["http://127.0.0.1:49152/cb", "http://[::1]:49153/cb", "com.example.app:/cb"] {
        let mut browser = stand.browser();
        let ask = || Ask::new(NATIVE).with("redirect_uri", uri);
        let page = walk(&mut browser, &ask().url(&stand), CLEO);
        assert!(page.away_parameter("code").is_some(), "{uri}");
        assert!(asks_consent(browser.open(&ask().url(&stand))), "{uri} is asked again");
        let silent = browser.open(&ask().with("prompt", "none").url(&stand)).clone();
        assert_eq!(silent.away_parameter("error").as_deref(), Some("consent_required"), "{uri}");
        assert_eq!(silent.away_parameter("code"), None);
    }
}

#[test]
fn w18_state_and_nonce_are_echoed_encoded_or_not_at_all() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let mut wire = Line::open(&stand);
    for hostile in [
        "\"><script>alert(1)</script>",
        "a\r\nset-cookie: x=1\r\n\r\nhello",
        "a\nb",
        "&error=x&code=y",
        "#frag",
        "%0d%0a",
        "%2541",
        "+ +",
        "ü漢\u{202e}",
        "';--",
        "\u{7f}\u{1}",
        &"s".repeat(4096),
    ] {
        println!("{}", &hostile.chars().take(30).collect::<String>());
        let wrong = Ask::new(TWIN).with("state", hostile).without("response_type");
        let answer = wire.get(&wrong.target());
        if answer.status == 400 {
            // Controls may be refused as no form at all; then nothing comes back.
            assert!(hostile.chars().any(char::is_control));
            assert_page(&answer);
            continue;
        }
        assert_red(&answer, &TWIN, "invalid_request", Some(hostile));
        let location = answer.location();
        assert!(
            location.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)),
            "{location}"
        );
        let good = Ask::new(TWIN).with("state", hostile);
        let page = browser.open(&good.url(&stand)).clone();
        assert_eq!(page.away_parameter("state").as_deref(), Some(hostile));
        let posted = browser.open(&good.with("response_mode", "form_post").url(&stand)).clone();
        assert_eq!(posted.field("state").as_deref(), Some(hostile), "{}", posted.response.text());
        assert!(!posted.response.text().contains("<script>alert"), "{}", posted.response.text());
    }
    for nonce in ["n".repeat(255), "\"<'>&ü漢".to_owned()] {
        let ask = Ask::new(TWIN).with("nonce", &nonce);
        let tokens = issue_in(&stand, &mut browser, &ask, BEN);
        assert_eq!(e2e::tokens::claims(&tokens.id)["nonce"], nonce);
    }
}

#[test]
fn w18_a_nul_never_reaches_the_database() {
    let stand = alone();
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    for name in [
        "client_id",
        "redirect_uri",
        "state",
        "nonce",
        "scope",
        "login_hint",
        "code_challenge",
        "x",
    ] {
        let target = Ask::new(WEB).with(name, "a\0b").target();
        assert_own_page(&wire.get(&target));
    }
    assert_eq!(digest(&stand), before);
}
