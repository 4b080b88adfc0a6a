//! The parameter `authorization_details`.

use oauth::ErrorCode;
use oauth::rar::{Details, PARAMETER_MAX};
use serde_json::Value;

/// What is accepted is a bounded list that a second reader reads alike; it covers itself and nothing that is
/// more, and a resource server sees a part of it.
pub fn authorization_details(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let details = match Details::parse(text) {
        Ok(details) => details,
        Err(error) => {
            assert_eq!(error.code, ErrorCode::InvalidAuthorizationDetails);
            return false;
        }
    };
    assert!(text.len() <= PARAMETER_MAX);
    let lenient: Vec<Value> = serde_json::from_str(text).expect("accepted, so it is an array");
    assert_eq!(Vec::from(details.clone()), lenient, "two readers, two values");
    assert!((1..=16).contains(&lenient.len()));
    assert!(depth(&Value::Array(lenient.clone())) <= 8);
    for (element, value) in details.iter().zip(&lenient) {
        assert_eq!(value["type"], element.kind());
        for name in ["sub", "iss", "aud", "act", "cnf", "roles", "scope", "client_id", "exp"] {
            assert!(value.get(name).is_none(), "{name} was accepted");
        }
    }
    assert!(!lenient.iter().any(has_nul));

    let stored = serde_json::to_vec(&details).expect("it can be stored");
    let loaded: Details = serde_json::from_slice(&stored).expect("and loaded");
    assert_eq!(loaded, details, "what was approved is not what is granted");
    assert_eq!(details.narrow(Some(&loaded)), Ok(details.clone()));
    narrowing(&details, &lenient);
    visible(&details, &lenient);
    for summary in details.describe(&[]) {
        assert_eq!(summary.sentence.len(), 1);
    }
    true
}

/// Without its last element it is less; with the last one twice it is more.
fn narrowing(details: &Details, list: &[Value]) {
    let less = Details::try_from(list[1..].to_vec()).expect("a shorter list");
    assert!(details.covers(&less) && !less.covers(details));
    let mut more = list.to_vec();
    more.push(list[0].clone());
    if let Ok(more) = Details::try_from(more) {
        assert!(!details.covers(&more) && more.covers(details));
        assert!(details.narrow(Some(&more)).is_err());
    }
    // A member more or less is another thing that nobody approved.
    let mut other = list.to_vec();
    let name = (0..200).map(|n| format!("m{n}")).find(|name| list[0].get(name).is_none());
    other[0][name.expect("a name that is free")] = Value::Null;
    let other = Details::try_from(other).expect("one more member");
    assert!(!details.covers(&other) && !other.covers(details));
}

fn visible(details: &Details, list: &[Value]) {
    let everywhere = list.iter().filter(|value| value.get("locations").is_none()).count();
    assert_eq!(details.visible_to(&[]).iter().count(), everywhere);
    let locations: Vec<String> = list
        .iter()
        .filter_map(|value| value["locations"].as_array())
        .flatten()
        .map(|location| location.as_str().expect("a text").to_owned())
        .collect();
    assert_eq!(&details.visible_to(&locations), details);
    if let Some(first) = locations.first() {
        let seen = details.visible_to(std::slice::from_ref(first));
        assert!(seen.iter().count() > everywhere && details.covers(&seen));
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
