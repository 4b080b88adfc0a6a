//! What may not be asked for: one error for all of it at each of the five doors, and nothing changes.

use serde_json::{Value, json};

use crate::support::*;
use crate::{DOORS, Door, LESSER, OPEN, PAYER, THIEF, alone, payment, push};

fn many(n: usize) -> String {
    json!(vec![payment(&json!({})); n]).to_string()
}

fn nested(levels: usize) -> String {
    format!(r#"[{{"type":"{OPEN}","a":{}1{}}}]"#, "[".repeat(levels), "]".repeat(levels))
}

/// No list of objects with a type, or one that can be read in two ways.
const MALFORMED: [&str; 23] = [
    "[]",
    "{}",
    "null",
    "1",
    "\"payment\"",
    "[",
    "[{}]",
    "[null]",
    "[[]]",
    "[\"payment\"]",
    r#"[{"type":1}]"#,
    r#"[{"type":null}]"#,
    r#"[{"type":["payment"]}]"#,
    r#"[{"type":""}]"#,
    r#"{"type":"payment","creditor":"A","amount":{"value":"1.00","currency":"EUR"}}"#,
    r#"[{"type":"payment","type":"payment","creditor":"A","amount":{"value":"1.00","currency":"EUR"}}]"#,
    r#"[{"type":"payment","creditor":"A","creditor":"B","amount":{"value":"1.00","currency":"EUR"}}]"#,
    r#"[{"type":"payment","creditor":"A","amount":{"value":"1.00","value":"9.00","currency":"EUR"}}]"#,
    r#"[{"type":"payment","creditor":"A","\u0063reditor":"B","amount":{"value":"1.00","currency":"EUR"}}]"#,
    r#"[{"type":"payment","creditor":"A\u0000","amount":{"value":"1.00","currency":"EUR"}}]"#,
    r#"[{"type":"payment","creditor":"\ud800","amount":{"value":"1.00","currency":"EUR"}}]"#,
    r#"[{"type":"payment","creditor":"A","amount":{"value":"1.00","currency":"EUR"}}] []"#,
    r#"[{"type":"payment","creditor":"A","amount":{"value":"1.00","currency":"EUR"},}]"#,
];

#[test]
fn w64_what_is_malformed_or_beside_its_schema_is_refused_at_every_door() {
    let stand = alone();
    let mut cases: Vec<String> = MALFORMED.map(str::to_owned).to_vec();
    for bad in [
        json!({ "unknown": 1 }),
        json!({ "Creditor": "x" }),
        json!({ "creditor": 1 }),
        json!({ "creditor": null }),
        json!({ "creditor": ["Acme"] }),
        json!({ "creditor": "x".repeat(3001) }),
        json!({ "amount": "12.50" }),
        json!({ "amount": { "value": "12.50" } }),
        json!({ "amount": { "value": 12.5, "currency": "EUR" } }),
        json!({ "amount": { "value": "12.5", "currency": "EUR" } }),
        json!({ "amount": { "value": "12.50", "currency": "USD" } }),
        json!({ "amount": { "value": "12.50", "currency": "EUR", "more": 1 } }),
        json!({ "count": "1" }),
        json!({ "count": 1.5 }),
        json!({ "count": 0 }),
        json!({ "urgent": "true" }),
        json!({ "actions": "initiate" }),
        json!({ "actions": ["own"] }),
        json!({ "actions": [1] }),
        json!({ "locations": "orders-api" }),
        json!({ "locations": [] }),
        json!({ "locations": [1] }),
        json!({ "type": "Payment" }),
        json!({ "type": "payment " }),
        json!({ "type": "nobodys" }),
        json!({ "type": "rival_only" }),
    ] {
        cases.push(json!([payment(&bad)]).to_string());
        // One that is bad spoils those that are good.
        cases.push(json!([payment(&json!({})), payment(&bad)]).to_string());
    }
    cases.push(json!([{ "type": "payment", "creditor": "A" }]).to_string());
    cases.push(json!([{ "type": OPEN, "note": 1 }]).to_string());
    for name in ["sub", "iss", "aud", "exp", "client_id", "act", "cnf", "roles", "active"] {
        cases.push(json!([{ "type": OPEN, name: "x" }]).to_string());
    }
    cases.extend([many(17), nested(7), nested(200)]);
    refused(&stand, PAYER, &cases);
    for (app, kind) in [(LESSER, OPEN), (THIEF, "rival_only"), (THIEF, "nobodys"), (THIEF, OPEN)] {
        refused(&stand, app, &[json!([{ "type": kind }]).to_string()]);
    }
    // What a client may have makes no difference to one that may have nothing.
    refused(&stand, WEB, &[json!([payment(&json!({}))]).to_string()]);
    // Each at its limit, and nobody is refused for too little.
    for good in [many(16), nested(6), format!(" {} ", many(1))] {
        push(&stand, &crate::ask(PAYER, &good)).expect(201);
        Door::Itself.ask(&stand, PAYER, &good).expect(200);
    }
}

/// Each is refused at each door, and nothing that is stored changes.
#[track_caller]
fn refused(stand: &e2e::Stand, app: App, cases: &[String]) {
    let before = digest(stand);
    for door in DOORS {
        // It may ask for nothing of its own at all.
        if app == WEB && door == Door::Itself {
            continue;
        }
        for case in cases {
            let start: String = case.chars().take(120).collect();
            let answer = door.ask(stand, app, case);
            let status = if door == Door::Authorize { 303 } else { 400 };
            assert_eq!(answer.status, status, "{door:?} {} {start}", app.id);
            door.assert_refused(&answer, app);
        }
    }
    assert_eq!(digest(stand), before);
}

#[test]
fn w64_w86_what_is_very_long_is_refused_before_it_is_read() {
    let stand = alone();
    let before = digest(&stand);
    let long = |n: usize| json!([{ "type": OPEN, "note": "x".repeat(n) }]).to_string();
    for case in [long(16 * 1024), long(50_000), many(500), nested(8_000)] {
        for door in [Door::Pushed, Door::Device, Door::Ciba, Door::Itself] {
            let answer = door.ask(&stand, PAYER, &case);
            // A body beyond what any form of ours needs is not taken at all.
            if answer.status != 413 {
                door.assert_refused(&answer, PAYER);
            }
        }
    }
    assert_eq!(digest(&stand), before);
    let frame = long(0).len();
    push(&stand, &crate::ask(PAYER, &long(16 * 1024 - frame))).expect(201);
}

#[test]
fn w64_details_that_come_twice_are_refused_and_none_is_none() {
    let stand = alone();
    let one = json!([payment(&json!({}))]).to_string();
    let twice = |value: &Value| ("authorization_details", value.as_str().unwrap().to_owned());
    let other = json!([payment(&json!({ "creditor": "Other" }))]).to_string();
    let (first, second) = (twice(&json!(one)), twice(&json!(other)));
    let before = digest(&stand);
    let ask = crate::ask(PAYER, &first.1).and(second.0, &second.1);
    let map = redirected(&ask.send(&stand), &PAYER);
    assert!(map["error"].starts_with("invalid_"), "{map:?}");
    let pairs = [(first.0, &*first.1), (second.0, &*second.1)];
    for (path, form) in [
        ("/oauth/device_authorization", vec![("scope", "openid")]),
        ("/oauth/bc-authorize", vec![("scope", "openid"), ("login_hint", BEN)]),
        ("/oauth/token", vec![("grant_type", "client_credentials")]),
    ] {
        let answer = PAYER.call(&stand, path, &[&form[..], &pairs].concat());
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert_no_token(&answer);
    }
    push(&stand, &ask).expect(400);
    assert_eq!(digest(&stand), before);
    // RFC 6749 §3.1: a parameter without a value is as good as none.
    let got = Tokens::of(&Door::Itself.ask(&stand, PAYER, ""));
    assert_eq!(got.reply.get("authorization_details"), None);
    assert_eq!(e2e::tokens::claims(&got.access).get("authorization_details"), None);
}
