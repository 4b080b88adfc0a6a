//! Details are about one occasion: a person is asked each time, and what they said then is about nothing else.

use e2e::{Stand, tokens};
use serde_json::{Value, json};

use crate::support::*;
use crate::{FIRST, OPEN, PAYER, alone, ask, granted, payment, together};

const WISH: &str = "authorization_details";

fn one() -> Value {
    json!([payment(&json!({}))])
}

#[test]
fn w64_everybody_is_asked_every_time_whoever_the_client_and_whatever_was_remembered() {
    let stand = together();
    for app in [FIRST, PAYER] {
        println!("{}", app.id);
        let mut browser = signed_in(&stand, CLEO);
        // Everything that can be remembered is.
        issue_in(&stand, &mut browser, &Ask::new(app).scope("openid email"), CLEO);
        let known = Ask::new(app).scope("openid email").with("prompt", "none");
        assert!(browser.open(&known.url(&stand)).away_parameter("code").is_some());
        for round in 0..2 {
            let wish = ask(app, &one().to_string()).scope("openid email");
            let silent = wish.clone().with("prompt", "none");
            for url in [silent.url(&stand), crate::front(&stand, &silent)] {
                let page = browser.open(&url).clone();
                let named = |name: &str| page.away_parameter(name);
                assert_eq!(named("error").as_deref(), Some("consent_required"), "{round}");
                assert_eq!(named("state").as_deref(), Some(&*silent.state));
                assert_eq!(named("code"), None);
            }
            for url in [wish.url(&stand), crate::front(&stand, &wish)] {
                let page = browser.open(&url).clone();
                assert!(asks_consent(&page), "{round}: {}", page.response.text());
                assert!(page.response.text().contains("class=\"detail\""));
            }
            let code = go_on(&mut browser, CLEO).away_parameter("code").unwrap();
            let got = Tokens::of(&app.redeem(&stand, &code, &wish.pkce.verifier));
            assert_eq!(got.reply[WISH], one());
        }
    }
}

#[test]
fn w64_a_sign_in_alone_approves_nothing_and_a_no_is_a_no() {
    let stand = alone();
    for app in [FIRST, PAYER] {
        let wish = ask(app, &one().to_string());
        let mut browser = stand.browser();
        browser.open(&wish.url(&stand));
        browser.submit(&[("username", BEN), ("password", PASSWORD)]);
        assert!(asks_consent(browser.page()), "{}", browser.page().response.text());
        let grants = "SELECT count(*) FROM grants";
        let before = sql(&stand, grants);
        // The interaction does not get further by being visited again.
        let handle = browser.page().field("interaction").unwrap();
        let again = format!("{}/oauth/authorize/{handle}", stand.issuer());
        assert!(asks_consent(browser.open(&again)));
        let page = browser.submit(&[("decision", "deny")]).clone();
        assert_eq!(page.away_parameter("error").as_deref(), Some("access_denied"));
        assert_eq!(page.away_parameter("code"), None);
        assert_eq!(sql(&stand, grants), before);
    }
}

#[test]
fn w64_what_was_asked_for_cannot_be_changed_at_the_consent_page() {
    let stand = together();
    let wish = ask(PAYER, &one().to_string());
    let mut browser = signed_in(&stand, BEN);
    let page = browser.open(&wish.url(&stand)).clone();
    let field = |name: &str| page.field(name).unwrap();
    let bigger = json!([payment(&json!({ "amount": { "value": "99999.00", "currency": "EUR" } }))]);
    let (csrf, interaction, bigger) = (field("csrf"), field("interaction"), bigger.to_string());
    let form = [
        ("csrf", &*csrf),
        ("interaction", &*interaction),
        ("decision", "approve"),
        (WISH, &*bigger),
    ];
    let origin = ("origin", stand.issuer().to_owned());
    let url = format!("{}/consent", stand.issuer());
    let answer = browser.client().post_with(&url, &[origin], &form);
    // Whether the form is refused for a field that it does not have or taken without it.
    if answer.status == 303 {
        let next = format!("{}{}", stand.issuer(), answer.location());
        let code = browser.open(&next).away_parameter("code").unwrap();
        let got = Tokens::of(&PAYER.redeem(&stand, &code, &wish.pkce.verifier));
        assert_eq!(got.reply[WISH], one());
    } else {
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
}

#[track_caller]
fn assert_none(stand: &Stand, app: App, got: &Tokens) {
    assert_eq!(got.reply.get(WISH), None, "{}", got.reply);
    assert_eq!(tokens::claims(&got.access).get(WISH), None);
    let seen = app.introspect(stand, &got.access).expect(200).json();
    assert_eq!((&seen["active"], seen.get(WISH)), (&json!(true), None));
}

#[test]
fn w64_details_of_one_grant_are_in_no_other() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    // Two requests under way in one browser, one without details, finished crosswise.
    let (with, without) =
        (ask(PAYER, &one().to_string()), Ask::new(PAYER).with("prompt", "consent"));
    let other = ask(PAYER, &json!([{ "type": OPEN, "note": "other" }]).to_string());
    let mut open = |ask: &Ask| {
        let page = browser.open(&ask.url(&stand)).clone();
        assert!(asks_consent(&page));
        (page.field("csrf").unwrap(), page.field("interaction").unwrap())
    };
    let forms = [open(&with), open(&without), open(&other)];
    let mut finish = |ask: &Ask, (csrf, interaction): &(String, String)| {
        let form = [("csrf", &**csrf), ("interaction", &**interaction), ("decision", "approve")];
        let headers =
            [("origin", stand.issuer().to_owned()), ("sec-fetch-site", "same-origin".to_owned())];
        let url = format!("{}/consent", stand.issuer());
        let next =
            browser.client().post_with(&url, &headers, &form).expect(303).location().to_owned();
        let code =
            browser.open(&format!("{}{next}", stand.issuer())).away_parameter("code").unwrap();
        Tokens::of(&ask.app.redeem(&stand, &code, &ask.pkce.verifier))
    };
    let third = finish(&other, &forms[2]);
    let first = finish(&with, &forms[0]);
    let second = finish(&without, &forms[1]);
    assert_eq!(first.reply[WISH], one());
    assert_eq!(third.reply[WISH], json!([{ "type": OPEN, "note": "other" }]));
    assert_none(&stand, PAYER, &second);
    assert_none(&stand, PAYER, &Tokens::of(&PAYER.refresh(&stand, &second.refresh)));
    // What comes later, of the same person and client, or of another of either.
    assert_none(&stand, PAYER, &issue_in(&stand, &mut browser, &Ask::new(PAYER), BEN));
    assert_none(&stand, FIRST, &issue_in(&stand, &mut browser, &Ask::new(FIRST), BEN));
    assert_none(&stand, PAYER, &issue(&stand, &Ask::new(PAYER), CLEO));
    assert_none(&stand, PAYER, &Tokens::of(&PAYER.grant_itself(&stand, &[])));
    // The first one keeps its own, and ends with its own.
    let again = Tokens::of(&PAYER.refresh(&stand, &first.refresh));
    assert_eq!(again.reply[WISH], one());
    PAYER.revoke(&stand, &again.refresh).expect(200);
    assert_inactive(&PAYER.introspect(&stand, &again.access));
    let alive = Tokens::of(&PAYER.refresh(&stand, &third.refresh));
    assert_eq!(alive.reply[WISH], json!([{ "type": OPEN, "note": "other" }]));
}

#[test]
fn w64_opaque_tokens_and_numbers_keep_what_was_granted() {
    let stand = alone();
    let app = App { id: "opaque-payer", ..PAYER };
    let over = json!({ "authorization_details_types": [OPEN], "audiences": ["orders-api"], "scope": "openid",
        "opaque_access_tokens": true });
    stand.seed(&json!({ "clients": [client(app, &over)] }));
    let details = json!([{ "type": OPEN, "note": "é漢🙂", "n": [0, -1, 2.5, 9_007_199_254_740_993_u64], "z": null, "b": false }]);
    let got = granted(&stand, app, &details);
    assert!(!got.access.contains('.'));
    assert_eq!(got.reply[WISH], details);
    assert_eq!(app.introspect(&stand, &got.access).json()[WISH], details);
    let again = Tokens::of(&app.refresh(&stand, &got.refresh));
    assert_eq!(again.reply[WISH], details);
}
