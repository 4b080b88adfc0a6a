//! Wrong sign-ins (security.md, group H): what an answer gives away, and what a password is.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{Browser, Stand, tokens};
use serde_json::json;
use support::statements::statements;
use support::*;

fn field(browser: &Browser, name: &str) -> String {
    browser.page().field(name).unwrap()
}

/// What a wrong sign-in is answered, without the numbers that differ from one request to the next.
fn refused(stand: &Stand, user: &str, password: &str) -> (u16, Vec<(String, String)>, String) {
    // What is asked here is what a guess is answered, not how many may be made.
    sql(stand, "DELETE FROM throttles");
    let mut browser = stand.browser();
    browser.open(&Ask::new(TWIN).url(stand));
    let (csrf, interaction) = (field(&browser, "csrf"), field(&browser, "interaction"));
    let form = [
        ("csrf", csrf.as_str()),
        ("interaction", &interaction),
        ("username", user),
        ("password", password),
    ];
    let answer = browser.client().post(&format!("{}/login", stand.issuer()), &form);
    let headers =
        answer.headers.iter().filter(|(n, _)| !["date", "x-request-id"].contains(&n.as_str()));
    let text = answer
        .text()
        .replace(&csrf, "CSRF")
        .replace(&interaction, "INTERACTION")
        .replace(user, "USER");
    (answer.status, headers.cloned().collect(), text)
}

#[test]
fn w128_an_unknown_person_and_a_wrong_password_get_the_same_bytes() {
    let stand = alone();
    sql(&stand, &format!("UPDATE users SET status = 'disabled' WHERE email = '{CLEO}'"));
    sql(
        &stand,
        "INSERT INTO users (id, email, email_key) VALUES (gen_random_uuid(), 'eve@example.org', 'eve@example.org')",
    );
    let known = refused(&stand, BEN, "wrong");
    assert!(known.2.contains("role=\"alert\""), "{}", known.2);
    // Unknown; disabled, with the right password and a wrong one; without any password.
    for (user, password) in [
        ("bex@example.org", "wrong"),
        ("bex@example.org", PASSWORD),
        (CLEO, PASSWORD),
        (CLEO, "wrong"),
        ("eve@example.org", "wrong"),
        ("eve@example.org", ""),
        (BEN, ""),
        (ANA, "wrong"),
    ] {
        let other = refused(&stand, user, password);
        // The names differ in length, and the address in the field with them.
        let fits = |headers: &[(String, String)]| -> Vec<(String, String)> {
            headers
                .iter()
                .filter(|(n, _)| user.len() == BEN.len() || n != "content-length")
                .cloned()
                .collect()
        };
        assert_eq!(
            (other.0, fits(&other.1), &other.2),
            (known.0, fits(&known.1), &known.2),
            "{user}"
        );
    }
    sql(
        &stand,
        "DELETE FROM users WHERE email = 'eve@example.org'; UPDATE users SET status = 'active'",
    );
}

#[test]
fn w128_an_unknown_person_and_a_wrong_password_are_the_same_work() {
    let stand = alone();
    let known = statements(&stand, || drop(refused(&stand, BEN, "wrong")));
    assert!(known.iter().any(|text| text.contains("audit_events")), "{known:?}");
    for (user, password) in
        [("bex@example.org", "wrong"), ("nobody at all", "wrong"), (ANA, "wrong")]
    {
        assert_eq!(statements(&stand, || drop(refused(&stand, user, password))), known, "{user}");
    }
}

#[test]
fn w134_a_password_counts_to_its_last_byte_and_ends_at_1024() {
    let stand = alone();
    let long: String =
        (0..1024).map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap())).collect();
    let person = json!({ "email": "long@example.org", "password": long, "memberships": [{ "tenant": "acme" }] });
    stand.seed(&json!({ "users": [person] }));
    let before = digest(&stand);
    let mut changed = long.clone();
    changed.replace_range(1023.., "!");
    for wrong in [&long[..1023], &long[..72], &changed, &long.to_uppercase()] {
        assert_eq!(refused(&stand, "long@example.org", wrong).0, 200);
    }
    for near in [
        format!("{PASSWORD} "),
        format!(" {PASSWORD}"),
        PASSWORD.to_uppercase(),
        PASSWORD[..PASSWORD.len() - 1].into(),
    ] {
        assert_eq!(refused(&stand, BEN, &near).0, 200);
    }
    assert_eq!(refused(&stand, "long@example.org", &format!("{long}x")).0, 400);
    assert_eq!(refused(&stand, "nobody@example.org", &"x".repeat(1025)).0, 400);
    assert_eq!(refused(&stand, "nobody@example.org", &"x".repeat(60_000)).0, 400);
    assert_eq!(refused(&stand, BEN, &"x".repeat(1_000_000)).0, 413);
    assert_ne!(digest(&stand), before, "interactions were begun");
    let mut browser = stand.browser();
    browser.open(&Ask::new(TWIN).url(&stand));
    assert!(
        browser
            .submit(&[("username", "long@example.org"), ("password", &long)])
            .away_parameter("code")
            .is_some()
    );
}

#[test]
fn w131_an_address_is_the_same_however_it_is_spelt() {
    let stand = together();
    let sub = |name: &str| {
        let mut browser = stand.browser();
        let ask = Ask::new(TWIN);
        browser.open(&ask.url(&stand));
        let page = browser.submit(&[("username", name), ("password", PASSWORD)]).clone();
        let code = page
            .away_parameter("code")
            .unwrap_or_else(|| panic!("{name}: {}", page.response.text()));
        tokens::claims(&Tokens::of(&TWIN.redeem(&stand, &code, &ask.pkce.verifier)).id)["sub"]
            .clone()
    };
    let ana = sub(ANA);
    for spelling in ["ANA@example.org", "Ana@Example.ORG", " ana@example.org", "ana@example.org "] {
        assert_eq!(sub(spelling), ana, "{spelling:?}");
    }
}
