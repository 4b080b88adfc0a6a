//! What a person sees, and what a foreign page can make their browser send (security.md, groups G and H).

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::fs;

use e2e::{Browser, Client, Page, Stand};
use serde_json::json;
use support::*;

/// A browser at the consent page of `WEB`.
fn at_consent(stand: &Stand, user: &str) -> Browser {
    let mut browser = signed_in(stand, user);
    browser.open(&Ask::new(WEB).scope("openid email").with("prompt", "consent").url(stand));
    assert!(asks_consent(browser.page()), "{}", browser.page().response.text());
    browser
}

fn field(browser: &Browser, name: &str) -> String {
    browser.page().field(name).unwrap()
}

fn approve(
    client: &mut Client,
    stand: &Stand,
    form: [&str; 2],
    headers: &[(&str, &str)],
) -> e2e::Response {
    let pairs = [("csrf", form[0]), ("interaction", form[1]), ("decision", "approve")];
    let headers: Vec<(&str, String)> = headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
    let answer = client.post_with(&format!("{}/consent", stand.issuer()), &headers, &pairs);
    assert_always("consent", &answer);
    answer
}

#[test]
fn w112_a_forged_consent_changes_nothing() {
    let stand = alone();
    let mut ben = at_consent(&stand, BEN);
    let mut other = at_consent(&stand, ANA);
    let (csrf, interaction) = (field(&ben, "csrf"), field(&ben, "interaction"));
    let foreign = field(&other, "csrf");
    let page = ben.open(&Ask::new(WEB).with("prompt", "consent").url(&stand)).clone();
    let (of_another, second) = (page.field("csrf").unwrap(), page.field("interaction").unwrap());
    let mut fresh = stand.browser();
    fresh.open(&Ask::new(WEB).url(&stand));
    let of_login = field(&fresh, "csrf");
    let before = digest(&stand);

    let none = random();
    for wrong in [
        "",
        "AAAA",
        &none,
        &foreign,
        &of_another,
        &of_login,
        &csrf[..csrf.len() - 1],
        &format!("{csrf}A"),
    ] {
        approve(ben.client(), &stand, [wrong, &interaction], &[]).expect(403);
    }
    approve(ben.client(), &stand, [&csrf, &second], &[]).expect(403);
    for header in [
        ("origin", "https://evil.example"),
        ("origin", "http://localhost"),
        ("origin", "https://localhost"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        approve(ben.client(), &stand, [&csrf, &interaction], &[header]).expect(403);
    }
    // Right in itself, but sent by somebody else's browser, with a session or without.
    for browser in [&mut other, &mut fresh] {
        assert_own_page(&approve(browser.client(), &stand, [&csrf, &interaction], &[]));
    }
    assert_own_page(&approve(&mut stand.client(), &stand, [&csrf, &interaction], &[]));
    let mut half = stand.client();
    half.put_cookie(
        "__Host-opentrusty_session",
        &ben.client().cookies()["__Host-opentrusty_session"].clone(),
    );
    assert_own_page(&approve(&mut half, &stand, [&csrf, &interaction], &[]));
    for missing in
        [vec![("csrf", csrf.as_str())], vec![("csrf", &csrf), ("interaction", &interaction)]]
    {
        let answer = ben.client().post(&format!("{}/consent", stand.issuer()), &missing);
        assert_own_page(&answer);
    }
    assert_eq!(digest(&stand), before);
    approve(ben.client(), &stand, [&csrf, &interaction], &[("origin", stand.issuer())]).expect(303);
}

#[test]
fn w112_consent_shown_to_one_person_is_not_given_by_the_next() {
    let stand = alone();
    let mut browser = at_consent(&stand, BEN);
    let (csrf, interaction) = (field(&browser, "csrf"), field(&browser, "interaction"));
    browser.open(&Ask::new(TWIN).with("prompt", "login").url(&stand));
    assert!(go_on(&mut browser, ANA).away_parameter("code").is_some());
    let before = digest(&stand);
    approve(browser.client(), &stand, [&csrf, &interaction], &[]).expect(403);
    assert_eq!(digest(&stand), before);
}

#[test]
fn w112_a_forged_login_signs_nobody_in() {
    let stand = alone();
    let login = format!("{}/login", stand.issuer());
    let mut victim = stand.browser();
    victim.open(&login);
    let own = field(&victim, "csrf");
    victim.open(&Ask::new(TWIN).url(&stand));
    let (bound, interaction) = (field(&victim, "csrf"), field(&victim, "interaction"));
    let mut attacker = stand.browser();
    attacker.open(&login);
    let foreign = field(&attacker, "csrf");
    let before = digest(&stand);
    let mut send = |csrf: &str, interaction: &str, header: Option<(&str, &str)>| {
        let form = [
            ("csrf", csrf),
            ("interaction", interaction),
            ("username", BEN),
            ("password", PASSWORD),
        ];
        let headers: Vec<(&str, String)> =
            header.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        let answer = victim.client().post_with(&login, &headers, &form);
        answer.expect(403);
        assert_own_page(&answer);
    };
    for csrf in ["", "AAAA", &foreign, &bound] {
        send(csrf, "", None);
    }
    for csrf in ["", &foreign, &own] {
        send(csrf, &interaction, None);
    }
    for header in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        send(&own, "", Some(header));
        send(&bound, &interaction, Some(header));
    }
    assert!(!victim.client().cookies().keys().any(|name| name.contains("session")));
    assert_eq!(digest(&stand), before);
}

#[test]
fn w11_what_was_asked_for_is_frozen_when_the_page_is_shown() {
    let stand = together();
    let mut browser = at_consent(&stand, CLEO);
    let (csrf, interaction) = (field(&browser, "csrf"), field(&browser, "interaction"));
    let form = [
        ("csrf", csrf.as_str()),
        ("interaction", &interaction),
        ("decision", "approve"),
        ("scope", "openid profile orders:read"),
        ("client_id", TWIN.id),
        ("redirect_uri", "https://evil.example/"),
        ("user", ANA),
        ("state", "evil"),
    ];
    let answer = browser.client().post(&format!("{}/consent", stand.issuer()), &form);
    let page = browser.open(&format!("{}{}", stand.issuer(), answer.location())).clone();
    assert!(
        page.away
            .as_deref()
            .is_some_and(|away| away.starts_with(WEB.redirect) && !away.contains("evil"))
    );
    let remembered = sql(
        &stand,
        &format!(
            "SELECT w.scopes FROM consents w JOIN users u ON u.id = w.user_id WHERE u.email = '{CLEO}'"
        ),
    );
    assert_eq!(remembered, "{email,openid}");
}

#[test]
fn a_declined_request_is_over() {
    let stand = together();
    let mut browser = at_consent(&stand, BEN);
    let (csrf, interaction) = (field(&browser, "csrf"), field(&browser, "interaction"));
    let page = browser.submit(&[("decision", "deny")]).clone();
    assert_eq!(page.away_parameter("error").as_deref(), Some("access_denied"));
    assert_page(&approve(browser.client(), &stand, [&csrf, &interaction], &[]));
    assert_page(
        &browser.open(&format!("{}/oauth/authorize/{interaction}", stand.issuer())).response,
    );
}

#[test]
fn w111_w119_every_page_keeps_to_itself() {
    let stand = together();
    let mut browser = at_consent(&stand, BEN);
    let mut pages: Vec<Page> = vec![browser.page().clone()];
    for path in [
        "/login",
        "/logout",
        "/oauth/logout",
        "/nothing",
        "/enroll",
        "/consent",
        "/oauth/authorize",
    ] {
        pages.push(browser.open(&format!("{}{path}", stand.issuer())).clone());
        pages.push(stand.browser().open(&format!("{}{path}", stand.issuer())).clone());
    }
    pages
        .push(browser.open(&Ask::new(TWIN).with("response_mode", "form_post").url(&stand)).clone());
    for page in pages {
        assert_always(&page.url, &page.response);
        let html = page.response.text();
        assert!(html.contains("<html lang="), "{}", page.url);
        for loaded in ["src=\"", "href=\"", "@import", "url("] {
            for (_, rest) in
                html.match_indices(loaded).map(|(at, _)| html.split_at(at + loaded.len()))
            {
                assert!(
                    (rest.starts_with('/') && !rest.starts_with("//"))
                        || rest.starts_with("data:,\""),
                    "{}: {loaded}{rest:.40}",
                    page.url
                );
            }
        }
        for inline in [
            "<style",
            " style=",
            " onclick",
            " onload",
            " onsubmit",
            "javascript:",
            "<script>",
            "<iframe",
            "<img",
        ] {
            assert!(!html.contains(inline), "{inline} on {}", page.url);
        }
        let csp = page.response.header("content-security-policy").unwrap();
        assert!(csp.contains("form-action 'self'"), "{csp}");
    }
}

#[test]
fn w117_no_parameter_says_where_to_go_after_signing_in() {
    let stand = together();
    let evil = [
        "//evil.example",
        "/\\evil.example",
        "/%09/evil.example",
        "https:evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
    ];
    let names = [
        "next",
        "return_to",
        "returnTo",
        "return",
        "redirect",
        "redirect_to",
        "redirect_uri",
        "url",
        "continue",
        "RelayState",
        "target",
        "goto",
        "back",
        "from",
        "service",
        "interaction",
    ];
    let mut wire = Line::open(&stand);
    for name in names {
        for value in evil {
            for path in ["/login", "/logout", "/consent", "/enroll", "/oauth/logout"] {
                let answer = wire.get(&format!("{path}?{}", e2e::query(&[(name, value)])));
                assert!(
                    !answer.header("location").is_some_and(|to| to.contains("evil")),
                    "{path} {name}={value}"
                );
                assert!(!answer.text().contains("evil.example"), "{path} {name}={value}");
            }
        }
        let mut browser = stand.browser();
        browser.open(&format!("{}/login?{}", stand.issuer(), e2e::query(&[(name, evil[0])])));
        if name != "interaction" {
            let page = browser.submit(&[("username", BEN), ("password", PASSWORD)]);
            assert!(
                page.away.is_none() && page.url.starts_with(stand.issuer()),
                "{name}: {:?}",
                page.away
            );
        }
    }
}

const PAYLOADS: [&str; 16] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' autofocus onfocus='alert(1)",
    "</title><script>alert(1)</script>",
    "<!--",
    "--><svg onload=alert(1)>",
    "]]>",
    "{{7*7}}",
    "{% if true %}",
    "${7*7}",
    "&lt;b&gt;",
    "&#60;b&#62;",
    "<b x=",
    "</strong></main>",
    "`${alert(1)}`",
    "<a href=javascript:alert(1)>x</a>",
];

#[test]
fn w118_names_and_words_are_text_wherever_they_are_shown() {
    let stand = alone();
    let mut shape: Option<Vec<usize>> = None;
    for payload in ["harmless"].iter().chain(&PAYLOADS) {
        let quoted = payload.replace('\'', "''");
        sql(&stand, &format!(
            "UPDATE clients SET metadata = jsonb_set(metadata, '{{client_name}}', to_jsonb('{quoted}'::text)) WHERE client_id = 'web';
             UPDATE scopes SET description = '{quoted}' WHERE name = 'orders:read';
             UPDATE users SET email = '{quoted}', name = '{quoted}' WHERE email_key = '{DORA}';
             INSERT INTO memberships (user_id, tenant_id) SELECT u.id, t.id FROM users u, tenants t
             WHERE u.email_key = '{DORA}' AND t.slug = 'acme' ON CONFLICT DO NOTHING"
        ));
        let mut browser = stand.browser();
        let ask = Ask::new(WEB).scope("openid orders:read").with("prompt", "consent");
        let login = browser.open(&ask.with("login_hint", payload).url(&stand)).clone();
        let consent = browser.submit(&[("username", DORA), ("password", PASSWORD)]).clone();
        let logout = browser.open(&format!("{}/logout", stand.issuer())).clone();
        let told = browser.open(&format!("{}/login", stand.issuer())).clone();
        assert!(asks_consent(&consent), "{}", consent.response.text());
        let counts: Vec<usize> = [&login, &consent, &logout, &told]
            .map(|page| page.response.text().matches('<').count())
            .to_vec();
        assert_eq!(shape.get_or_insert_with(|| counts.clone()), &counts, "{payload} makes markup");
        assert!(
            login.texts("strong").iter().any(|text| text == payload),
            "{}",
            login.response.text()
        );
        assert_eq!(login.field("username").as_deref(), Some(*payload));
        let strong = consent.texts("strong");
        assert_eq!(strong.iter().filter(|text| *text == payload).count(), 2, "{strong:?}");
        assert!(
            consent.texts("li").iter().any(|text| text == payload),
            "{}",
            consent.response.text()
        );
        assert!(
            logout.texts("strong").iter().any(|text| text == payload),
            "{}",
            logout.response.text()
        );
    }
    sql(&stand, &format!(
        "UPDATE users SET email = email_key, name = NULL WHERE email_key = '{DORA}';
         DELETE FROM memberships m USING users u, tenants t
         WHERE u.id = m.user_id AND t.id = m.tenant_id AND u.email_key = '{DORA}' AND t.slug = 'acme'"
    ));
    stand.seed(&world());
}

#[test]
fn w118_a_refused_request_is_shown_without_what_it_sent() {
    let stand = together();
    let mut wire = Line::open(&stand);
    for payload in PAYLOADS {
        for name in ["client_id", "redirect_uri", "state", "scope"] {
            let answer = wire.get(
                &Ask::new(WEB)
                    .with("redirect_uri", "https://evil.example/")
                    .with(name, payload)
                    .target(),
            );
            assert_page(&answer);
            assert!(!answer.text().contains(payload), "{payload}");
        }
        for path in [
            "/login?interaction=",
            "/consent?interaction=",
            "/enroll?token=",
            "/oauth/authorize/",
            "/oauth/logout?id_token_hint=",
        ] {
            let encoded = e2e::query(&[("", payload)]);
            let answer = wire.get(&format!("{path}{}", &encoded[1..]));
            assert!((400..500).contains(&answer.status), "{path}");
            assert!(!answer.text().contains(payload), "{payload} at {path}");
        }
    }
}

#[test]
fn w123_a_name_that_disguises_itself_cannot_be_registered() {
    let stand = alone();
    let before = digest(&stand);
    let long = "n".repeat(101);
    for name in [
        "\u{202e}knab ruoy",
        "a\u{200b}b",
        "a\u{2066}b",
        "a\nb",
        "a\u{7}b",
        "\u{feff}x",
        "   ",
        &long,
    ] {
        let file = stand.token().with_file_name("bad.json");
        let app = client(App { id: "new", ..WEB }, &json!({ "client_name": name }));
        fs::write(&file, json!({ "clients": [app] }).to_string()).unwrap();
        let output = stand.cli().arg("seed").arg(&file).output().unwrap();
        assert!(!output.status.success(), "{name:?} is registered");
        assert!(String::from_utf8_lossy(&output.stderr).contains("client_name"));
    }
    assert_eq!(digest(&stand), before);
    let browser = at_consent(&stand, BEN);
    let html = browser.page().response.text();
    assert!(
        html.contains("https://web.example.org") && html.contains(BEN),
        "where to, and as whom (W113)"
    );
}

#[test]
fn w125_a_password_is_never_taken_from_an_address() {
    let mut stand = alone();
    let before = digest(&stand);
    let mut browser = stand.browser();
    let secret = "a password that stands in an address";
    for pairs in [
        &[("username", BEN), ("password", PASSWORD)][..],
        &[("username", BEN), ("password", secret), ("csrf", "x")],
    ] {
        let page = browser.open(&format!("{}/login?{}", stand.issuer(), e2e::query(pairs))).clone();
        let html = page.response.text();
        assert!(!html.contains(PASSWORD) && !html.contains(secret));
        assert!(page.away.is_none());
    }
    browser.open(&format!("{}/login", stand.issuer()));
    assert!(asks_password(browser.page()), "nobody is signed in by it");
    let html = browser.page().response.text();
    assert_eq!(html.matches("<form").count(), html.matches("method=\"post\"").count());
    assert_eq!(digest(&stand), before);
    let encoded = e2e::query(&[("", secret)]);
    let log = stand.node(0).authd.log();
    assert!(!log.contains(secret) && !log.contains(&encoded[1..]));
}
