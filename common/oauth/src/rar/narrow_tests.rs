use serde_json::json;

use super::*;
use crate::ErrorCode;
use crate::rar::tests::details;

#[test]
fn w64_what_was_granted_narrows_and_never_widens() {
    let granted = details(&json!([
        {"type": "t", "actions": ["read", "write"], "locations": ["https://a.example", "https://b.example"],
         "limit": 100, "deep": {"actions": ["x", "y"]}},
        {"type": "t", "identifier": "7"},
    ]));
    let first = |changes: Value| {
        let mut first = json!({
            "type": "t", "actions": ["read", "write"],
            "locations": ["https://a.example", "https://b.example"],
            "limit": 100, "deep": {"actions": ["x", "y"]}
        });
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                first.as_object_mut().unwrap().remove(name);
            } else {
                first[name] = value.clone();
            }
        }
        first
    };
    assert_eq!(granted.narrow(None), Ok(granted.clone()));
    for covered in [
        json!([first(json!({}))]),
        json!([{"type": "t", "identifier": "7"}]),
        json!([{"type": "t", "identifier": "7"}, first(json!({}))]),
        json!([first(json!({"actions": ["read"]}))]),
        json!([first(json!({"actions": ["write", "read"], "locations": ["https://b.example"]}))]),
        json!([first(json!({"limit": 100.0}))]),
    ] {
        let wanted = details(&covered);
        assert_eq!(granted.narrow(Some(&wanted)), Ok(wanted.clone()), "{covered}");
        // What was narrowed stays within, and the wider does not come back from it.
        assert!(wanted.covers(&wanted));
        assert_eq!(wanted.covers(&granted), covered.as_array().unwrap().len() == 2);
    }
    for beyond in [
        json!([first(json!({"actions": ["read", "delete"]}))]),
        json!([first(json!({"actions": []}))]),
        json!([first(json!({"actions": "read"}))]),
        json!([first(json!({"actions": ["READ"]}))]),
        json!([first(json!({"locations": ["https://c.example"]}))]),
        json!([first(json!({"locations": null}))]),
        json!([first(json!({"limit": null}))]),
        json!([first(json!({"limit": 99}))]),
        json!([first(json!({"limit": "100"}))]),
        json!([first(json!({"more": 1}))]),
        json!([first(json!({"type": "u"}))]),
        // Only the lists that RFC 9396 §2.2 names are lists of rights.
        json!([first(json!({"deep": {"actions": ["x"]}}))]),
        json!([{"type": "t"}]),
        json!([{"type": "t", "identifier": "7"}, {"type": "t", "identifier": "7"}]),
        json!([first(json!({"actions": ["read"]})), first(json!({"actions": ["write"]}))]),
    ] {
        let code = granted.narrow(Some(&details(&beyond))).err().map(|error| error.code);
        assert_eq!(code, Some(ErrorCode::InvalidAuthorizationDetails), "{beyond}");
    }
    assert!(!Details::default().covers(&granted));
}

#[test]
fn covering_elements_are_found_whatever_the_order() {
    let list = |lists: &[&[&str]]| {
        details(&json!(
            lists.iter().map(|list| json!({"type": "t", "actions": list})).collect::<Vec<_>>()
        ))
    };
    let granted = list(&[&["a", "b"], &["a"], &["b", "c"]]);
    // The first of these would take the first of those, which the second needs.
    assert!(granted.covers(&list(&[&["a"], &["b", "a"]])));
    assert!(granted.covers(&list(&[&["b"], &["a"], &["a"]])));
    assert!(granted.covers(&list(&[&["a"], &["b"], &["b"]])));
    assert!(!granted.covers(&list(&[&["c"], &["c"]])));
    assert!(!granted.covers(&list(&[&["a"], &["a"], &["a"]])));
    let sixteen = list(&[&["a", "b"][..]; 16]);
    assert!(sixteen.covers(&list(&[&["a"][..]; 16])));
    assert!(!list(&[&["a"][..]; 15]).covers(&list(&[&["a"][..]; 16])));
}

#[test]
fn numbers_are_compared_as_numbers() {
    for (a, b, equal) in [
        ("100", "1e2", true),
        ("0", "-0", true),
        ("0.1", "0.10", true),
        ("1", "2", false),
        ("9007199254740993", "9007199254740992.0", false),
        ("18446744073709551615", "18446744073709551615", true),
        ("1", "\"1\"", false),
        ("1", "true", false),
    ] {
        let [one, two] = [a, b].map(|text| serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(same(&one, &two), equal, "{a} {b}");
        assert_eq!(same(&json!({"x": [two]}), &json!({"x": [one]})), equal, "{a} {b}");
    }
}
