//! Corpora of rich authorization requests.

use serde_json::{Value, json};

use crate::{Seed, named};

pub(crate) fn authorization_details() -> Vec<Seed> {
    let mut seeds = named(&[
        ("least", r#"[{"type":"t"}]"#),
        (
            "payment",
            r#"[{"type":"payment","locations":["https://a.example"],"instructedAmount":{"currency":"EUR","amount":"12.50"},"creditorName":"Acme"}]"#,
        ),
        (
            "two",
            r#"[{"type":"a","actions":["read","write"],"identifier":"7"},{"type":"b","locations":["https://b.example","https://c.example"],"datatypes":["x"]}]"#,
        ),
        ("same-twice", r#"[{"type":"t","a":1},{"type":"t","a":1}]"#),
        ("numbers", r#"[{"type":"t","a":[1e2,0.1,-0,18446744073709551615,1e308,5e-324]}]"#),
        ("fraction", r#"[{"type":"t","a":2.2250738585072011e-308,"b":0.30000000000000004}]"#),
        ("deepest", r#"[{"type":"t","a":[[[[[[1]]]]]]}]"#),
        ("too-deep", r#"[{"type":"t","a":[[[[[[[1]]]]]]]}]"#),
        ("empty", "[]"),
        ("object", r#"{"type":"t"}"#),
        ("no-type", "[{}]"),
        ("type-number", r#"[{"type":1}]"#),
        ("reserved", r#"[{"type":"t","sub":"x"}]"#),
        ("duplicate", r#"[{"type":"t","type":"u"}]"#),
        ("duplicate-deep", r#"[{"type":"t","a":{"b":1,"b":2}}]"#),
        ("nul", r#"[{"type":"t","a":"\u0000"}]"#),
        ("nowhere", r#"[{"type":"t","locations":[]}]"#),
        ("location-number", r#"[{"type":"t","locations":[1]}]"#),
        ("trailing", r#"[{"type":"t"}]]"#),
    ]);
    let many = |n: usize| json!(vec![json!({"type": "t"}); n]).to_string().into_bytes();
    seeds.push(("sixteen".to_owned(), many(16)));
    seeds.push(("seventeen".to_owned(), many(17)));
    seeds
}

pub(crate) fn detail_types() -> Vec<Seed> {
    let object = |properties: Value| json!({"type": "object", "additionalProperties": false, "properties": properties});
    let schema = object(json!({
        "amount": object(json!({
            "currency": {"enum": ["EUR", "GBP"]}, "value": {"type": "string", "maxLength": 12}
        })),
        "creditor": {"type": "string", "minLength": 1},
        "count": {"type": "integer", "minimum": 1, "maximum": 3},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "urgent": {"type": "boolean"},
        "actions": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}}
    }));
    let words = "Pay {amount.value} {amount.currency} to {creditor}";
    let full = json!({
        "type": "t", "amount": {"currency": "EUR", "value": "12"}, "creditor": "Acme", "count": 2,
        "share": 0.5, "urgent": true, "actions": ["read", "write"], "labels": {"a": "b"}
    });
    let seed = |schema: &Value, words: &str, element: &Value| json!({"schema": schema, "summary": words, "element": element});
    let with = |name: &str, value: Value| {
        let mut element = full.clone();
        element[name] = value;
        seed(&schema, words, &element)
    };
    let mut required = schema.clone();
    required["required"] = json!(["type", "creditor"]);
    let inner =
        |inner: Value| seed(&object(json!({"a": inner})), "Words", &json!({"type": "t", "a": 1}));
    let all = [
        ("full", seed(&schema, words, &full)),
        ("bare", seed(&schema, "Words", &json!({"type": "t"}))),
        ("required", seed(&required, words, &full)),
        ("required-missing", seed(&required, words, &json!({"type": "t"}))),
        ("other-type", with("type", json!("u"))),
        ("unknown-member", with("more", json!(1))),
        ("wrong-kind", with("creditor", json!(["Acme"]))),
        ("out-of-range", with("count", json!(4))),
        ("float-integer", with("count", json!(2.0))),
        ("long", with("creditor", json!("x".repeat(200)))),
        ("unseen", with("creditor", json!("A\u{202e}B\n{amount.value}"))),
        ("constant", inner(json!({"const": 1.0}))),
        ("listed", inner(json!({"enum": ["1", 1, null], "title": "A"}))),
        ("pattern", inner(json!({"type": "string", "pattern": "(a+)+$"}))),
        ("reference", inner(json!({"$ref": "#"}))),
        ("open", inner(json!({"type": "object"}))),
        ("inverted", inner(json!({"type": "integer", "minimum": 2, "maximum": 1}))),
        ("reserved", seed(&object(json!({"sub": {"const": 1}})), "Words", &json!({}))),
        ("no-member", seed(&schema, "Pay {amont}", &full)),
        ("open-brace", seed(&schema, "Pay {amount", &full)),
    ];
    all.into_iter().map(|(name, json)| (name.to_owned(), json.to_string().into_bytes())).collect()
}
