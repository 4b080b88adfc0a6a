//! The types that a tenant defines: what `opentrusty seed` takes, and where they are told.

use std::time::Duration;

use e2e::bench::until;
use serde_json::{Value, json};

use crate::support::*;
use crate::{Door, OPEN, PAYER, SENTENCE, alone, payment, payment_schema, together};

#[test]
fn rfc_9396_10_discovery_lists_the_types() {
    let stand = together();
    let url = format!("{}/.well-known/openid-configuration", stand.issuer());
    // Nodes learn of it as they learn of keys.
    let listed = until("the types are listed", Duration::from_secs(60), || {
        let listed =
            stand.client().get(&url).json()["authorization_details_types_supported"].clone();
        listed.as_array().is_some_and(|all| all.contains(&json!("payment"))).then_some(listed)
    });
    let all: Vec<&str> =
        listed.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    for kind in ["payment", OPEN, "rival_only"] {
        assert!(all.contains(&kind), "{all:?}");
    }
    assert!(!all.contains(&"nobodys"), "{all:?}");
}

#[test]
fn w64_a_definition_that_would_not_be_enforced_is_refused_by_its_field() {
    let stand = alone();
    let before = digest(&stand);
    let good =
        json!({ "tenant": "acme", "type": "bad", "schema": payment_schema(), "summary": SENTENCE });
    let with = |name: &str, value: Value| {
        let mut one = good.clone();
        one[name] = value;
        one
    };
    let schema =
        |member: &Value| with("schema", json!({ "type": "object", "properties": { "a": member } }));
    let without = |name: &str| {
        let mut one = good.clone();
        one.as_object_mut().unwrap().remove(name);
        one
    };
    for (field, one) in [
        ("schema", with("schema", json!(true))),
        ("schema", with("schema", json!("{}"))),
        ("schema", with("schema", json!({ "type": "string" }))),
        ("schema", with("schema", json!({ "type": "object", "required": ["b"] }))),
        (
            "schema",
            with(
                "schema",
                json!({ "type": "object", "properties": { "sub": { "type": "string" } } }),
            ),
        ),
        ("schema", schema(&json!({ "type": "text" }))),
        ("schema", schema(&json!({ "$ref": "#" }))),
        ("schema", schema(&json!({ "type": "string", "pattern": "(" }))),
        ("schema", schema(&json!({ "type": "string", "pattern": "(?=a)" }))),
        ("schema", schema(&json!({ "type": "string", "minimum": 1 }))),
        ("schema", schema(&json!({ "type": "string", "minLength": -1 }))),
        ("schema", schema(&json!({ "anyOf": [{ "type": "string" }] }))),
        ("schema", schema(&json!({ "type": "string", "unknownKeyword": 1 }))),
        ("schema", schema(&json!({ "enum": [] }))),
        ("schema", schema(&json!({ "type": "string", "description": "x".repeat(20_000) }))),
        ("type", with("type", json!(""))),
        ("type", with("type", json!("a b"))),
        ("type", with("type", json!("é"))),
        ("type", with("type", json!("x".repeat(256)))),
        ("summary", with("summary", json!(""))),
        ("summary", with("summary", json!("  "))),
        ("summary", with("summary", json!("a\nb"))),
        ("summary", with("summary", json!("a\u{202e}b"))),
        ("summary", with("summary", json!("x".repeat(501)))),
        ("tenant", with("tenant", json!("nobody"))),
        ("sumary", with("sumary", json!("x"))),
        ("schema", without("schema")),
        ("summary", without("summary")),
        ("type", without("type")),
    ] {
        let file = stand.token().with_file_name("bad-type.json");
        let seed = json!({ "authorization_detail_types": [good, one] });
        std::fs::write(&file, seed.to_string()).unwrap();
        let output = stand.cli().arg("seed").arg(&file).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{one} is taken");
        assert!(words.contains("authorization_detail_types[1]"), "{one}: {words}");
        assert!(words.contains(field), "{one}: {words}");
        assert!(!words.contains("panicked"), "{words}");
    }
    // One type twice is two opinions.
    let file = stand.token().with_file_name("bad-type.json");
    std::fs::write(&file, json!({ "authorization_detail_types": [good, good] }).to_string())
        .unwrap();
    let output = stand.cli().arg("seed").arg(&file).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(digest(&stand), before);
}

#[test]
fn w64_a_stricter_definition_counts_from_the_next_request_on() {
    let stand = alone();
    let define = |schema: Value| {
        stand.seed(&json!({ "authorization_detail_types": [
            { "tenant": "acme", "type": "payment", "schema": schema, "summary": SENTENCE }] }));
    };
    let wish = json!([payment(&json!({ "count": 9 }))]).to_string();
    Door::Itself.ask(&stand, PAYER, &wish).expect(200);
    let mut strict = payment_schema();
    strict["properties"]["count"]["maximum"] = json!(8);
    define(strict);
    let answer = Door::Itself.ask(&stand, PAYER, &wish);
    define(payment_schema());
    Door::Itself.assert_refused(&answer, PAYER);
    Door::Itself.ask(&stand, PAYER, &wish).expect(200);
}
