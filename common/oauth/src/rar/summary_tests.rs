use serde_json::json;

use super::*;
use crate::rar::tests::{details, payment, payment_schema, payment_type};
use crate::rar::{Details, Type};

fn text(summary: &Summary) -> String {
    let text = |part: &Part| match part {
        Part::Words(words) => words.clone(),
        Part::Value(value) => format!("<{value}>"),
    };
    summary.sentence.iter().map(text).collect()
}

fn described(extra: &Value) -> Summary {
    let element = details(&json!([payment(extra)]));
    element.describe(&[payment_type()]).remove(0)
}

#[test]
fn w64_the_sentence_and_the_list_say_everything() {
    let plain = described(&json!({}));
    assert_eq!(text(&plain), "Pay <12.50> <EUR> to <Acme>");
    assert!(plain.rest.is_empty());
    let more = described(&json!({
        "count": 2, "urgent": false, "actions": ["read", "write"], "labels": {"a": "x", "b": "y"}
    }));
    let rest: Vec<_> = more.rest.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        rest,
        [
            ("actions", "read, write"),
            ("count", "2"),
            ("labels.a", "x"),
            ("labels.b", "y"),
            ("urgent", "false")
        ]
    );
    // Too long for a sentence: there in full all the same.
    let long = "x".repeat(121);
    let summary = described(&json!({"creditor": long}));
    assert_eq!(text(&summary), "Pay <12.50> <EUR> to <\u{2026}>");
    assert_eq!(summary.rest, [("creditor".to_owned(), long)]);
}

#[test]
fn w123_a_value_cannot_hide_or_speak_for_the_tenant() {
    let summary = described(&json!({"creditor": "A\u{202e}B\u{1}\n{amount.value}"}));
    let last = summary.sentence.last().unwrap();
    assert_eq!(*last, Part::Value("A\u{fffd}B\u{fffd} {amount.value}".to_owned()));
    assert_eq!(
        text(&described(&json!({"creditor": ""}))),
        "Pay <12.50> <EUR> to <\u{201c}\u{201d}>"
    );
}

#[test]
fn objects_and_lists_of_them_are_spelt_out() {
    let nested = details(&json!([{
        "type": "gone", "a": [{"b": 1}, {"b": [2, 3], "c": {}}], "d": [], "e": null, "f": [[1], 2]
    }]));
    let summary = nested.describe(&[]).remove(0);
    assert_eq!(summary.sentence, [Part::Value("gone".to_owned())]);
    let rest: Vec<_> = summary.rest.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(
        rest,
        [
            ("a.1.b", "1"),
            ("a.2.b", "2, 3"),
            ("a.2.c", "{ }"),
            ("d", "[ ]"),
            ("e", "null"),
            ("f.1", "1"),
            ("f.2", "2")
        ]
    );
    let whole = Type::define("payment", &payment_schema(), "{amount}, {labels}, {urgent}").unwrap();
    let element = details(&json!([payment(&json!({"labels": {"k": "v"}}))]));
    let summary = whole.describe(&element.0[0]);
    assert_eq!(text(&summary), "<currency: EUR, value: 12.50>, <k: v>, <\u{2014}>");
    assert_eq!(summary.rest, [("creditor".to_owned(), "Acme".to_owned())]);
}

#[test]
fn a_summary_names_members_that_exist() {
    for bad in ["", "  ", "Pay\u{202e}", "Pay\n", &"x".repeat(501)] {
        let invalid = Type::define("payment", &payment_schema(), bad).unwrap_err();
        assert_eq!(invalid.field, "summary", "{bad}");
    }
    assert!(Type::define("payment", &payment_schema(), &"\u{e9}".repeat(500)).is_ok());
    // Braces around anything but a member are words, and the member is listed after them.
    for literal in
        ["Pay {amont}", "Pay {amount.}", "Pay {}", "Pay {creditor", "Pay creditor}", "{{a}}"]
    {
        let kind = Type::define("payment", &payment_schema(), literal).unwrap();
        let details = Details::parse(r#"[{"type": "payment", "creditor": "Ana"}]"#).unwrap();
        let summary = kind.describe(details.iter().next().unwrap());
        assert!(
            summary.rest.iter().any(|(name, value)| name == "creditor" && value == "Ana"),
            "{literal}"
        );
        let words: String = summary
            .sentence
            .iter()
            .map(|part| match part {
                Part::Words(words) => words.as_str(),
                Part::Value(_) => panic!("{literal}"),
            })
            .collect();
        assert_eq!(words, literal);
    }
}
