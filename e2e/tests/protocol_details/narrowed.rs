//! Less of what was granted, and never more (RFC 9396 §6): at the code, at a poll, at refresh, at exchange.

use e2e::{Response, Stand, tokens};
use serde_json::{Value, json};

use crate::support::*;
use crate::{Door, OPEN, PAYER, alone, ask, granted, payment};

const WISH: &str = "authorization_details";

fn all() -> Value {
    json!([
        payment(&json!({ "actions": ["initiate", "status"], "locations": ["orders-api", OTHER] })),
        { "type": OPEN, "note": "look", "limit": 5 }
    ])
}

/// What `all` covers.
fn less() -> Vec<Value> {
    let all = all();
    let of = |more: &Value| payment(more);
    vec![
        json!([all[0]]),
        json!([all[1]]),
        json!([all[1], all[0]]),
        json!([of(&json!({ "actions": ["status"], "locations": ["orders-api", OTHER] }))]),
        json!([of(&json!({ "actions": ["initiate"], "locations": [OTHER] })), all[1]]),
    ]
}

/// What it does not.
fn more() -> Vec<Value> {
    let all = all();
    let of = |more: &Value| payment(more);
    let both = json!(["orders-api", OTHER]);
    let actions = json!(["initiate", "status"]);
    vec![
        json!([of(&json!({ "actions": ["initiate", "status", "cancel"], "locations": both }))]),
        json!([of(&json!({ "actions": ["cancel"], "locations": both }))]),
        json!([of(&json!({ "actions": [], "locations": both }))]),
        json!([of(
            &json!({ "actions": actions, "locations": ["orders-api", OTHER, "https://third.example"] })
        )]),
        // A member that is left out may have been a limit.
        json!([of(&json!({ "locations": both }))]),
        json!([of(&json!({ "actions": actions }))]),
        json!([of(&json!({ "actions": actions, "locations": both, "urgent": true }))]),
        json!([of(&json!({ "creditor": "Other", "actions": actions, "locations": both }))]),
        json!([of(
            &json!({ "amount": { "value": "12.51", "currency": "EUR" }, "actions": actions, "locations": both })
        )]),
        json!([of(
            &json!({ "amount": { "value": "12.50", "currency": "CHF" }, "actions": actions, "locations": both })
        )]),
        json!([all[0], all[0]]),
        json!([all[0], all[1], all[1]]),
        json!([all[0], payment(&json!({}))]),
        json!([{ "type": OPEN, "note": "look" }]),
        json!([{ "type": OPEN, "note": "look", "limit": 6 }]),
        json!([{ "type": OPEN, "note": "look", "limit": "5" }]),
        json!([{ "type": "rival_only" }]),
        json!([]),
        json!({}),
    ]
}

#[track_caller]
fn assert_carries(stand: &Stand, got: &Tokens, details: &Value) {
    assert_eq!(got.reply[WISH], *details);
    if got.access.contains('.') {
        assert_eq!(tokens::claims(&got.access)[WISH], *details);
    }
    assert_eq!(PAYER.introspect(stand, &got.access).expect(200).json()[WISH], *details);
}

fn refresh(stand: &Stand, token: &str, details: &Value) -> Response {
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", token), (WISH, &details.to_string())];
    PAYER.call(stand, "/oauth/token", &form)
}

fn redeem(stand: &Stand, ask: &Ask, code: &str, details: &Value) -> Response {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", PAYER.redirect),
        ("code_verifier", &ask.pkce.verifier),
        (WISH, &details.to_string()),
    ];
    PAYER.call(stand, "/oauth/token", &form)
}

#[test]
fn w64_a_code_is_redeemed_for_less_and_not_for_more() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    for part in less() {
        let ask = ask(PAYER, &all().to_string());
        let code = code_in(&stand, &mut browser, &ask, BEN);
        let got = Tokens::of(&redeem(&stand, &ask, &code, &part));
        assert_carries(&stand, &got, &part);
        // What was granted is the grant's, whatever one token carries.
        let whole = Tokens::of(&PAYER.refresh(&stand, &got.refresh));
        assert_carries(&stand, &whole, &all());
    }
    for beyond in more().into_iter().take(6) {
        println!("{beyond}");
        let ask = ask(PAYER, &all().to_string());
        let code = code_in(&stand, &mut browser, &ask, BEN);
        let tokens = "SELECT count(*) FROM access_tokens";
        let before = sql(&stand, tokens);
        let answer = redeem(&stand, &ask, &code, &beyond);
        assert_no_token(&answer);
        assert_tok(&answer, "invalid_authorization_details");
        assert_eq!(sql(&stand, tokens), before);
    }
}

#[test]
fn w64_a_refresh_gives_less_and_not_more_and_a_mistake_spends_nothing() {
    let stand = alone();
    let mut got = granted(&stand, PAYER, &all());
    for part in less() {
        got = Tokens::of(&refresh(&stand, &got.refresh, &part));
        assert_carries(&stand, &got, &part);
    }
    let before = digest(&stand);
    for beyond in more() {
        println!("{beyond}");
        let answer = refresh(&stand, &got.refresh, &beyond);
        assert_no_token(&answer);
        assert_tok(&answer, "invalid_authorization_details");
    }
    assert_eq!(digest(&stand), before);
    got = Tokens::of(&PAYER.refresh(&stand, &got.refresh));
    assert_carries(&stand, &got, &all());
    // Where none was granted, none can be had.
    let plain = issue(&stand, &Ask::new(PAYER), BEN);
    let before = digest(&stand);
    assert_tok(
        &refresh(&stand, &plain.refresh, &json!([all()[0]])),
        "invalid_authorization_details",
    );
    assert_eq!(digest(&stand), before);
}

#[test]
fn w64_a_poll_gives_less_and_not_more() {
    let stand = alone();
    for door in [Door::Device, Door::Ciba] {
        let reply = door.ask(&stand, PAYER, &all().to_string()).expect(200).json();
        let (path, grant, name) = if door == Door::Device {
            ("/device", DEVICE, "device_code")
        } else {
            ("/ciba", CIBA, "auth_req_id")
        };
        let mut browser = deferred::at_page(&stand, path, BEN);
        if let Some(code) = reply["user_code"].as_str() {
            browser.submit(&[("user_code", code)]);
        }
        browser.submit(&[("decision", "approve")]);
        let handle = reply[name].as_str().unwrap();
        let poll = |details: &Value| {
            let form = [("grant_type", grant), (name, handle), (WISH, &details.to_string())];
            PAYER.call(&stand, "/oauth/token", &form)
        };
        let before = digest(&stand);
        for beyond in more() {
            println!("{door:?} {beyond}");
            let answer = poll(&beyond);
            assert_no_token(&answer);
            assert_tok(&answer, "invalid_authorization_details");
        }
        assert_eq!(digest(&stand), before);
        let part = less().remove(3);
        let got = Tokens::of(&poll(&part));
        assert_carries(&stand, &got, &part);
        assert_carries(&stand, &Tokens::of(&PAYER.refresh(&stand, &got.refresh)), &all());
    }
}

#[test]
fn w64_w66_an_exchange_gives_less_and_only_what_its_audience_is_concerned_with() {
    let stand = alone();
    let registered = |types: &Value| {
        let text = format!("jsonb_set(metadata, '{{authorization_details_types}}', '{types}')");
        sql(&stand, &format!("UPDATE clients SET metadata = {text} WHERE client_id = 'broker'"));
    };
    registered(&json!(["payment", OPEN]));
    let all = json!([
        payment(&json!({ "actions": ["initiate", "status"], "locations": ["orders-api"] })),
        payment(&json!({ "actions": ["initiate", "status"], "locations": [OTHER] })),
        { "type": OPEN, "note": "look" }
    ]);
    let subject = granted(&stand, PAYER, &all);
    let exchange = |details: Option<&Value>| {
        let text = details.map(Value::to_string);
        let mut form = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", &*subject.access),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", OTHER),
        ];
        form.extend(text.as_deref().map(|text| (WISH, text)));
        BROKER.call(&stand, "/oauth/token", &form)
    };
    let seen =
        |got: &Tokens| BROKER.introspect(&stand, &got.access).expect(200).json()[WISH].clone();
    let whole = Tokens::of(&exchange(None));
    assert_eq!(whole.reply[WISH], json!([all[1], all[2]]));
    assert_eq!(tokens::claims(&whole.access)[WISH], whole.reply[WISH]);
    assert_eq!(seen(&whole), whole.reply[WISH]);
    let part = json!([payment(&json!({ "actions": ["status"], "locations": [OTHER] }))]);
    let got = Tokens::of(&exchange(Some(&part)));
    assert_eq!((&got.reply[WISH], &seen(&got)), (&part, &part));
    let before = digest(&stand);
    for beyond in [
        json!([payment(
            &json!({ "actions": ["initiate", "status", "cancel"], "locations": [OTHER] })
        )]),
        json!([payment(&json!({ "locations": [OTHER] }))]),
        json!([payment(&json!({ "actions": ["status"], "locations": ["orders-api", OTHER] }))]),
        json!([{ "type": OPEN }]),
        json!([all[2], all[2]]),
        json!([{ "type": "nobodys" }]),
    ] {
        let answer = exchange(Some(&beyond));
        assert_no_token(&answer);
        assert_tok(&answer, "invalid_authorization_details");
    }
    assert_eq!(digest(&stand), before);
    // What a token was narrowed to is what can be had of it.
    let narrow = Tokens::of(&refresh(&stand, &subject.refresh, &json!([all[2]])));
    let form = |details: &str| {
        let form = [
            ("grant_type", EXCHANGE),
            ("subject_token", &*narrow.access),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", OTHER),
            (WISH, details),
        ];
        BROKER.call(&stand, "/oauth/token", &form)
    };
    assert_tok(&form(&json!([all[1]]).to_string()), "invalid_authorization_details");
    assert_eq!(Tokens::of(&form("")).reply[WISH], json!([all[2]]));
    // And no more than the client that exchanges is registered for: unasked it goes, asked for it is refused.
    registered(&json!(["payment"]));
    assert_eq!(Tokens::of(&exchange(None)).reply[WISH], json!([all[1]]));
    registered(&json!([]));
    assert_eq!(Tokens::of(&exchange(None)).reply.get(WISH), None);
    assert_tok(&exchange(Some(&json!([all[1]]))), "invalid_authorization_details");
}

#[test]
fn w33_w64_what_a_client_may_no_longer_ask_for_is_not_issued_again() {
    let stand = alone();
    let app = App { id: "demoted", ..PAYER };
    let register = |types: &[&str]| {
        let over = json!({ "authorization_details_types": types, "audiences": ["orders-api", OTHER],
            "grant_types": ["authorization_code", "refresh_token", DEVICE], "scope": "openid" });
        stand.seed(&json!({ "clients": [client(app, &over)] }));
    };
    register(&["payment", OPEN]);
    let got = granted(&stand, app, &all());
    let mut browser = signed_in(&stand, BEN);
    let wish = ask(app, &all().to_string());
    let code = code_in(&stand, &mut browser, &wish, BEN);
    let device = Door::Device.ask(&stand, app, &all().to_string()).expect(200).json();
    let mut at = deferred::at_device(&stand, BEN);
    at.submit(&[("user_code", device["user_code"].as_str().unwrap())]);
    at.submit(&[("decision", "approve")]);

    register(&["payment"]);
    let lost = "invalid_authorization_details";
    assert_tok(&app.redeem(&stand, &code, &wish.pkce.verifier), lost);
    assert_tok(&app.poll_device(&stand, device["device_code"].as_str().unwrap()), lost);
    assert_tok(&app.refresh(&stand, &got.refresh), lost);
    // Without what it lost it goes on.
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &got.refresh),
        (WISH, &json!([all()[0]]).to_string()),
    ];
    let kept = Tokens::of(&app.call(&stand, "/oauth/token", &form));
    assert_eq!(kept.reply[WISH], json!([all()[0]]));
}
