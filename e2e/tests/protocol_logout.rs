//! RP-initiated logout (security.md, W46 and W47): nobody is signed out by an image, nobody is sent where no
//! client has registered to be sent.

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{Browser, Page, Stand, query};
use support::*;

const BYE: &str = "https://web.example.org/bye";
const POST_BYE: &str = "https://post.example.org/bye?x=1";

fn logout(browser: &mut Browser, stand: &Stand, pairs: &[(&str, &str)]) -> Page {
    browser.open(&format!("{}/oauth/logout?{}", stand.issuer(), query(pairs))).clone()
}

fn is_signed_in(browser: &mut Browser, stand: &Stand) -> bool {
    !asks_password(browser.open(&format!("{}/login", stand.issuer())))
}

#[test]
fn w46_without_a_hint_a_person_is_asked_and_nothing_happens_until_they_answer() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    let bound = issue_in(&stand, &mut browser, &Ask::new(WEB), BEN);
    let mut other = signed_in(&stand, ANA);
    let before = digest(&stand);
    for pairs in [
        &[][..],
        &[("client_id", WEB.id)],
        &[("state", "x")],
        &[("client_id", WEB.id), ("post_logout_redirect_uri", BYE), ("state", "x")],
    ] {
        let page = logout(&mut browser, &stand, pairs);
        page.response.expect(200);
        assert!(page.away.is_none() && page.response.text().contains("method=\"post\""));
        let posted = browser.client().post(&format!("{}/oauth/logout", stand.issuer()), pairs);
        // A foreign form is asked as well, at once or after one round to our own address.
        let own = posted.header("location").is_none_or(|to| to.starts_with("/oauth/logout?"));
        assert!([200, 303].contains(&posted.status) && own, "{:?}", posted.headers);
    }
    // The answer needs the token of this browser's own page.
    let url = format!("{}/logout", stand.issuer());
    for csrf in ["", "AAAA", &random()] {
        browser.client().post(&url, &[("csrf", csrf)]).expect(403);
    }
    let foreign = logout(&mut other, &stand, &[]).field("csrf").unwrap();
    browser.client().post(&url, &[("csrf", &foreign)]).expect(403);
    let own = logout(&mut browser, &stand, &[]).field("csrf").unwrap();
    for header in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let header = (header.0, header.1.to_owned());
        browser.client().post_with(&url, &[header], &[("csrf", &own)]).expect(403);
    }
    assert_eq!(digest(&stand), before);

    assert!(is_alive(&stand, WEB, &bound.access) && is_signed_in(&mut browser, &stand));
    logout(
        &mut browser,
        &stand,
        &[("client_id", WEB.id), ("post_logout_redirect_uri", BYE), ("state", "a b&c")],
    );
    let page = browser.submit(&[]).clone();
    assert_eq!(page.away.as_deref(), Some("https://web.example.org/bye?state=a%20b%26c"));
    assert!(!is_signed_in(&mut browser, &stand));
    assert!(!is_alive(&stand, WEB, &bound.access));
}

#[test]
fn w46_the_hint_of_this_very_session_ends_it() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let one = issue_in(&stand, &mut browser, &Ask::new(WEB), BEN);
    let pairs =
        [("id_token_hint", one.id.as_str()), ("post_logout_redirect_uri", BYE), ("state", "s")];
    let page = logout(&mut browser, &stand, &pairs);
    assert_eq!(page.away.as_deref(), Some("https://web.example.org/bye?state=s"));
    assert!(!is_signed_in(&mut browser, &stand));
    assert!(!is_alive(&stand, WEB, &one.access));
    // Once more, with no session left: still only where the client has registered.
    let page = logout(&mut browser, &stand, &pairs);
    assert_eq!(page.away.as_deref(), Some("https://web.example.org/bye?state=s"));
}

#[test]
fn w46_a_registered_query_is_kept_and_state_is_added_to_it() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let one = issue_in(&stand, &mut browser, &Ask::new(POST), BEN);
    let pairs = [
        ("id_token_hint", one.id.as_str()),
        ("post_logout_redirect_uri", POST_BYE),
        ("state", "\r\n\"<x>&="),
    ];
    let page = logout(&mut browser, &stand, &pairs);
    assert_eq!(
        page.away.as_deref(),
        Some("https://post.example.org/bye?x=1&state=%0D%0A%22%3Cx%3E%26%3D")
    );
}

#[test]
fn w46_a_hint_of_somebody_else_signs_nobody_out() {
    let stand = alone();
    let anas = issue(&stand, &Ask::new(WEB), ANA);
    let mut browser = signed_in(&stand, BEN);
    let bens = issue_in(&stand, &mut browser, &Ask::new(WEB), BEN);
    let before = digest(&stand);
    for (hint, redirect) in [(&anas.id, ""), (&anas.id, BYE)] {
        let page = logout(
            &mut browser,
            &stand,
            &[("id_token_hint", hint), ("post_logout_redirect_uri", redirect)],
        );
        assert!(page.away.is_none(), "{:?}", page.away);
        assert_page(&page.response);
    }
    assert_eq!(digest(&stand), before);
    assert!(is_signed_in(&mut browser, &stand) && is_alive(&stand, WEB, &bens.access));
}

#[test]
fn w46_a_hint_that_is_not_ours_is_a_page() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    let one = issue_in(&stand, &mut browser, &Ask::new(WEB), BEN);
    let (head, signature) = one.id.rsplit_once('.').unwrap();
    let (_, claims) = head.split_once('.').unwrap();
    let before = digest(&stand);
    for hint in [
        format!("{head}."),
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("{head}.{}", signature.to_lowercase()),
        format!("{}A", one.id),
        format!("{} ", one.id),
        one.access.clone(),
        one.refresh.clone(),
        "x".into(),
        "a.b.c".into(),
        "..".into(),
        "A".repeat(6000),
        format!("eyJhbGciOiJIUzI1NiJ9.{claims}.{signature}"),
    ] {
        let page = logout(
            &mut browser,
            &stand,
            &[("id_token_hint", &hint), ("post_logout_redirect_uri", BYE)],
        );
        assert!(page.away.is_none());
        assert_page(&page.response);
    }
    // The hint of one client in the name of another.
    for client in [POST.id, "nobody", ""] {
        let pairs = [
            ("id_token_hint", one.id.as_str()),
            ("client_id", client),
            ("post_logout_redirect_uri", POST_BYE),
        ];
        let page = logout(&mut browser, &stand, &pairs);
        assert!(page.away.is_none(), "{client}: {:?}", page.away);
        assert_page(&page.response);
    }
    assert_eq!(digest(&stand), before);
    assert!(is_signed_in(&mut browser, &stand));
}

#[test]
fn w47_only_the_named_clients_own_addresses_are_ever_sent_to() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    let one = issue_in(&stand, &mut browser, &Ask::new(WEB), BEN);
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let cookies: Vec<String> =
        browser.client().cookies().iter().map(|(n, v)| format!("{n}={v}")).collect();
    let cookies = cookies.join("; ");
    let mut bad: Vec<String> = [
        POST_BYE,
        "https://post.example.org/bye",
        WEB.redirect,
        "https://evil.example/",
        "//evil.example",
        "/bye",
        "https:",
        "javascript:alert(1)",
        "https://web.example.org/bye/",
        "https://web.example.org/bye?x",
        "https://web.example.org/bye#x",
        "https://web.example.org/by",
        "https://WEB.example.org/bye",
        "https://web.example.org:443/bye",
        "bye",
        "\\\\evil.example",
    ]
    .map(str::to_owned)
    .to_vec();
    let tokens = [
        ".evil.example",
        "@evil.example",
        "/..",
        "%2e%2e/",
        "\\",
        "?",
        "#",
        "%00",
        "%0d%0a",
        " ",
        ":443",
        "..;/",
        "*",
        "&",
    ];
    for at in 0..=BYE.len() {
        let (before, after) = BYE.split_at(at);
        bad.extend(tokens.iter().map(|token| format!("{before}{token}{after}")));
        bad.push(before.to_owned());
    }
    bad.retain(|uri| !uri.is_empty() && uri != BYE);
    let by_name = ("client_id", WEB.id);
    let by_hint = ("id_token_hint", one.id.as_str());
    for uri in &bad {
        for naming in [by_name, by_hint] {
            for cookie in ["", cookies.as_str()] {
                let pairs = [naming, ("post_logout_redirect_uri", uri.as_str())];
                let target = format!("/oauth/logout?{}", query(&pairs));
                let headers: &[(&str, &str)] =
                    if cookie.is_empty() { &[] } else { &[("cookie", cookie)] };
                let answer = wire.ask("GET", &target, headers, b"");
                assert!(answer.header("location").is_none(), "{uri:?}: {:?}", answer.headers);
            }
        }
    }
    // Nobody is named: nobody has registered anything.
    let page = logout(&mut browser, &stand, &[("post_logout_redirect_uri", BYE)]);
    assert!(page.away.is_none() && page.response.header("location").is_none());
    assert!(bad.len() > 400, "{}", bad.len());
    assert_eq!(digest(&stand), before);
}

#[test]
fn w8_a_repeated_parameter_of_a_logout_is_a_page() {
    let stand = together();
    let mut browser = signed_in(&stand, BEN);
    let one = issue_in(&stand, &mut browser, &Ask::new(WEB), BEN);
    for twice in [
        ("post_logout_redirect_uri", "https://evil.example/"),
        ("post_logout_redirect_uri", BYE),
        ("client_id", POST.id),
        ("client_id", WEB.id),
        ("id_token_hint", "x"),
        ("state", "y"),
    ] {
        let pairs = [
            ("id_token_hint", one.id.as_str()),
            ("client_id", WEB.id),
            ("post_logout_redirect_uri", BYE),
            ("state", "x"),
            twice,
        ];
        let page = logout(&mut browser, &stand, &pairs);
        assert!(page.away.is_none(), "{twice:?}");
        assert_page(&page.response);
    }
    assert!(is_signed_in(&mut browser, &stand));
}
