use serde_json::json;

use super::*;

pub(super) fn payment_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["type", "amount", "creditor"],
        "properties": {
            "amount": {
                "type": "object", "additionalProperties": false, "required": ["currency", "value"],
                "properties": {
                    "currency": {"enum": ["EUR", "GBP"]},
                    "value": {"type": "string", "minLength": 1, "maxLength": 12}
                }
            },
            "creditor": {"type": "string", "maxLength": 500},
            "count": {"type": "integer", "minimum": 1, "maximum": 3},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "urgent": {"type": "boolean"},
            "kind": {"const": "one-off"},
            "actions": {
                "type": "array", "minItems": 1, "maxItems": 3,
                "items": {"type": "string", "enum": ["read", "write", "delete"]}
            },
            "locations": {"type": "array", "items": {"type": "string"}},
            "labels": {
                "type": "object", "additionalProperties": {"type": "string", "maxLength": 5}
            }
        }
    })
}

pub(super) fn payment_type() -> Type {
    Type::define("payment", &payment_schema(), "Pay {amount.value} {amount.currency} to {creditor}")
        .unwrap()
}

pub(super) fn payment(extra: &Value) -> Value {
    let mut payment = json!({
        "type": "payment", "creditor": "Acme", "amount": {"currency": "EUR", "value": "12.50"}
    });
    payment.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    payment
}

pub(super) fn details(list: &Value) -> Details {
    Details::parse(&list.to_string()).unwrap()
}

fn allowed() -> BTreeSet<String> {
    BTreeSet::from(["payment".to_owned()])
}

fn checked(element: &Value) -> Result<(), Error> {
    Details::parse(&json!([element]).to_string())?.check(&allowed(), &[payment_type()])
}

#[test]
fn w64_only_a_short_strict_array_of_typed_objects_is_read() {
    let nested = |levels: usize| {
        format!(r#"[{{"type":"t","a":{}1{}}}]"#, "[".repeat(levels), "]".repeat(levels))
    };
    let many = |n: usize| json!(vec![json!({"type": "t"}); n]).to_string();
    let long = |n: usize| format!(r#"[{{"type":"t","a":"{}"}}]"#, "x".repeat(n));
    for good in
        [many(1), many(16), nested(6), long(16 * 1024 - 21), " [ {\"type\":\"t\"} ]".to_owned()]
    {
        assert!(Details::parse(&good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "[]",
        "{}",
        "null",
        r#"{"type":"t"}"#,
        r#"["t"]"#,
        "[{}]",
        r#"[{"type":1}]"#,
        r#"[{"type":""}]"#,
        r#"[{"type":null}]"#,
        r#"[{"type":"t"},1]"#,
        r#"[{"type":"t","type":"u"}]"#,
        r#"[{"type":"t","a":{"b":1,"b":2}}]"#,
        r#"[{"type":"t","\u0061":1,"a":2}]"#,
        r#"[{"type":"t"}] []"#,
        r#"[{"type":"t","a":"\u0000"}]"#,
        r#"[{"type":"t","\u0000":1}]"#,
        r#"[{"type":"t","locations":"https://a.example"}]"#,
        r#"[{"type":"t","locations":[]}]"#,
        r#"[{"type":"t","locations":["https://a.example",1]}]"#,
        &many(17),
        &many(10_000),
        &nested(7),
        &nested(200),
        &long(16 * 1024),
        &format!(r#"[{{"type":"{}"}}]"#, "t".repeat(256)),
    ] {
        let error = Details::parse(bad).err();
        let code = error.map(|error| error.code);
        let start: String = bad.chars().take(60).collect();
        assert_eq!(code, Some(ErrorCode::InvalidAuthorizationDetails), "{start}");
    }
}

#[test]
fn w14_reserved_members_are_refused_in_elements_and_in_definitions() {
    for name in RESERVED {
        assert!(Details::parse(&json!([{"type": "t", name: "x"}]).to_string()).is_err(), "{name}");
        let mut schema = payment_schema();
        schema["properties"][name] = json!({"type": "string"});
        let invalid = Type::define("payment", &schema, "Pay").unwrap_err();
        assert_eq!(invalid.problem, format!("properties.{name}: reserved for tokens"));
    }
    for name in ["sub", "iss", "roles", "act", "cnf"] {
        assert!(RESERVED.contains(&name), "{name}");
    }
}

#[test]
fn w64_types_that_are_unknown_or_not_the_clients_are_refused() {
    let asked = details(&json!([payment(&json!({}))]));
    assert!(asked.check(&allowed(), &[payment_type()]).is_ok());
    for (allowed, types) in [
        (BTreeSet::new(), vec![payment_type()]),
        (allowed(), Vec::new()),
        (BTreeSet::from(["Payment".to_owned()]), vec![payment_type()]),
    ] {
        let code = asked.check(&allowed, &types).err().map(|error| error.code);
        assert_eq!(code, Some(ErrorCode::InvalidAuthorizationDetails));
    }
    let second = details(&json!([payment(&json!({})), {"type": "other"}]));
    assert!(second.check(&allowed(), &[payment_type()]).is_err());
}

#[test]
fn w64_elements_that_do_not_match_their_schema_are_refused() {
    for good in [
        json!({}),
        json!({"count": 3, "share": 0.5, "urgent": true, "kind": "one-off"}),
        json!({"share": 1, "actions": ["read", "write", "delete"]}),
        json!({"labels": {"a": "x", "anything": "y"}, "creditor": "\u{e9}".repeat(500)}),
        json!({"labels": {}}),
    ] {
        assert_eq!(checked(&payment(&good)), Ok(()), "{good}");
    }
    for bad in [
        json!({"unknown": 1}),
        json!({"Creditor": "x"}),
        json!({"creditor": 1}),
        json!({"creditor": null}),
        json!({"creditor": ["Acme"]}),
        json!({"creditor": "x".repeat(501)}),
        json!({"amount": "12.50"}),
        json!({"amount": {"currency": "EUR"}}),
        json!({"amount": {"currency": "USD", "value": "1"}}),
        json!({"amount": {"currency": "EUR", "value": ""}}),
        json!({"amount": {"currency": "EUR", "value": 12.5}}),
        json!({"amount": {"currency": "EUR", "value": "1", "more": 1}}),
        // `type` is the element's own and nobody else's.
        json!({"amount": {"currency": "EUR", "value": "1", "type": "x"}}),
        json!({"count": 0}),
        json!({"count": 4}),
        json!({"count": 1.5}),
        json!({"count": 1.0}),
        json!({"count": "1"}),
        json!({"count": u64::MAX}),
        json!({"share": -0.1}),
        json!({"share": 1.1}),
        json!({"share": "1"}),
        json!({"urgent": "true"}),
        json!({"urgent": 1}),
        json!({"kind": "standing"}),
        json!({"actions": []}),
        json!({"actions": ["read", "own"]}),
        json!({"actions": ["read", 1]}),
        json!({"actions": ["read", "read", "read", "read"]}),
        json!({"actions": "read"}),
        json!({"labels": {"a": "longer"}}),
        json!({"labels": {"a": 1}}),
        json!({"labels": []}),
    ] {
        assert!(checked(&payment(&bad)).is_err(), "{bad}");
    }
    for name in ["amount", "creditor"] {
        let mut element = payment(&json!({}));
        element.as_object_mut().unwrap().remove(name);
        assert!(checked(&element).is_err(), "without {name}");
    }
}

#[test]
fn a_schema_is_refused_where_it_would_not_be_enforced() {
    let define = |schema: &Value| Type::define("t", schema, "Words").map_err(|e| e.problem);
    let root = |member: Value| json!({"type": "object", "additionalProperties": false, "properties": {"a": member}});
    for good in [
        root(json!({"type": "string", "title": "A", "description": "B"})),
        root(json!({"const": {"x": [1]}})),
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object", "additionalProperties": false
        }),
    ] {
        assert!(define(&good).is_ok(), "{good}");
    }
    for (bad, place) in [
        (json!(true), "a JSON object"),
        (json!({}), "type"),
        (json!({"type": "array", "items": {"type": "string"}}), "type"),
        (json!({"enum": [{}]}), "type"),
        (json!({"type": "object", "additionalProperties": false, "enum": [{}]}), "enum"),
        (json!({"type": "object", "additionalProperties": false, "required": ["b"]}), "required"),
        (json!({"type": "object", "additionalProperties": false, "required": "b"}), "required"),
        (root(json!(true)), "properties.a"),
        (root(json!({"type": "null"})), "properties.a.type"),
        (root(json!({"type": ["string", "null"]})), "properties.a.type"),
        (root(json!({"$ref": "#/properties/a"})), "properties.a.type"),
        (root(json!({"type": "string", "$ref": "#"})), "properties.a.$ref"),
        (root(json!({"type": "string", "pattern": "(?=a)"})), "properties.a.pattern"),
        (
            root(json!({"type": "string", "pattern": "(((a{50}){50}){50}){50}"})),
            "properties.a.pattern",
        ),
        (json!({"type": "object", "additionalProperties": 1}), "additionalProperties"),
        (root(json!({"type": "string", "maximum": 1})), "properties.a.maximum"),
        (root(json!({"type": "string", "minLength": -1})), "properties.a.minLength"),
        (root(json!({"type": "string", "minLength": 2, "maxLength": 1})), "properties.a.minLength"),
        (root(json!({"type": "integer", "minimum": 0.5})), "properties.a.minimum"),
        (root(json!({"type": "integer", "exclusiveMinimum": 0})), "properties.a.exclusiveMinimum"),
        (root(json!({"type": "array", "items": [{}]})), "properties.a.items"),
        (
            root(json!({"type": "array", "items": {"type": "string", "x": 1}})),
            "properties.a.items.x",
        ),
        (root(json!({"type": "string", "enum": []})), "properties.a.enum"),
        (root(json!({"enum": [1], "const": 1})), "properties.a.const"),
        (root(json!({"anyOf": [{"type": "string"}]})), "properties.a.type"),
        (
            json!({"type": "object", "additionalProperties": false, "properties": {"a.b": {"const": 1}}}),
            "properties.a.b",
        ),
        (root(json!({"type": "string", "description": "x".repeat(16 * 1024)})), "at most 16 KiB"),
    ] {
        let problem = define(&bad).unwrap_err();
        assert!(problem.starts_with(place), "{bad}: {problem}");
    }
    let names = (0..51).map(|n| (format!("a{n}"), json!({"const": 1}))).collect::<Map<_, _>>();
    let many = json!({"type": "object", "additionalProperties": false, "properties": names});
    assert!(define(&many).unwrap_err().starts_with("properties"));
    let deep = (0..20).fold(json!({"const": 1}), |inner, _| root(inner));
    assert!(define(&deep).unwrap_err().starts_with("too deep"));
    for name in ["", "a b", "a\n", "\u{e9}", &"t".repeat(256)] {
        assert_eq!(Type::define(name, &payment_schema(), "Pay").unwrap_err().field, "type");
    }
}

#[test]
fn w64_what_people_write_in_a_schema_is_enforced() {
    let of = |schema: Value| {
        let kind = Type::define("t", &schema, "Words").unwrap();
        move |element: Value| kind.accepts(details(&json!([element])).iter().next().unwrap())
    };
    let open = of(json!({
        "$schema": "http://json-schema.org/draft-07/schema#", "title": "T", "description": "D", "default": {},
        "properties": {"currency": {"type": "string", "pattern": "^[A-Z]{3}$", "format": "iso-4217"},
            "amount": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01},
            "tags": {"type": "array", "uniqueItems": true}, "anything": {}},
        "required": ["currency"]
    }));
    assert!(open(
        json!({"type": "t", "currency": "EUR", "amount": 19.99, "tags": [1, "a"], "anything": [{}]})
    ));
    for bad in [
        json!({"type": "t"}),
        json!({"type": "t", "currency": "eur"}),
        json!({"type": "t", "currency": "EURO"}),
        json!({"type": "t", "currency": "EUR", "amount": 0}),
        json!({"type": "t", "currency": "EUR", "amount": 1.005}),
        json!({"type": "t", "currency": "EUR", "tags": ["a", "a"]}),
        // A schema that says nothing of other members has none.
        json!({"type": "t", "currency": "EUR", "unknown": 1}),
    ] {
        assert!(!open(bad.clone()), "{bad}");
    }
    let wide = of(json!({"type": "object", "additionalProperties": true}));
    assert!(wide(json!({"type": "t", "whatever": {"a": 1}})));
}

#[test]
fn details_survive_their_column() {
    let original = details(&json!([payment(&json!({"share": 0.1, "count": 2})), {"type": "u"}]));
    let column = serde_json::to_string(&original).unwrap();
    assert_eq!(serde_json::from_str::<Details>(&column).unwrap(), original);
    assert!(column.starts_with("[{"));
    assert!(serde_json::from_str::<Details>(r#"[{"kind":"t"}]"#).is_err());
    assert!(serde_json::from_str::<Details>("[]").unwrap().is_empty());
}

#[test]
fn w64_each_resource_server_sees_only_its_own() {
    let all = details(&json!([
        {"type": "a", "locations": ["https://a.example", "https://c.example"]},
        {"type": "b", "locations": ["https://b.example"]},
        {"type": "everywhere"}
    ]));
    let seen = |audiences: &[&str]| {
        let audiences: Vec<_> = audiences.iter().map(|&audience| audience.to_owned()).collect();
        let visible = all.visible_to(&audiences);
        visible.iter().map(|element| element.kind().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(seen(&["https://a.example"]), ["a", "everywhere"]);
    assert_eq!(seen(&["https://c.example", "https://b.example"]), ["a", "b", "everywhere"]);
    for foreign in ["https://a.example/", "https://A.example", "https://a"] {
        assert_eq!(seen(&[foreign]), ["everywhere"], "{foreign}");
    }
    assert_eq!(seen(&[]), ["everywhere"]);
}

proptest::proptest! {
    #[test]
    fn what_is_read_is_within_bounds_and_survives(text in "\\[\\{\"type\":\"[a-z]{0,2}\"(,\"[a-c]\":[0-9\\[\\]{}\"a:,.-]{0,12}){0,3}\\}\\]") {
        if let Ok(details) = Details::parse(&text) {
            let stored = serde_json::to_string(&details).unwrap();
            let loaded: Details = serde_json::from_str(&stored).unwrap();
            proptest::prop_assert!(details.covers(&loaded) && loaded.covers(&details));
        }
    }
}
