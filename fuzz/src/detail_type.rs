//! A type of authorization details as a tenant defines it, and an element of it.

use oauth::rar::{Details, Element, Part, Summary, Type};
use serde_json::{Map, Value};

/// Keywords that the plainer reading below does not know.
const BEYOND: [&str; 5] =
    ["pattern", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];

/// `{"schema": .., "summary": .., "element": ..}`. An
/// element that is accepted matches it as another, plainer reading sees it; and the words say all of it.
pub fn detail_type(bytes: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return false };
    let (schema, Some(summary)) = (&value["schema"], value["summary"].as_str()) else {
        return false;
    };
    let kind = match Type::define("t", schema, summary) {
        Ok(kind) => kind,
        Err(invalid) => {
            assert!(!invalid.field.is_empty() && !invalid.problem.is_empty());
            return false;
        }
    };
    assert!(summary.chars().count() <= 500 && !summary.contains(char::is_control));
    let Ok(details) = Details::try_from(vec![value["element"].clone()]) else { return true };
    let element = details.iter().next().expect("one element");
    let accepted = kind.accepts(element);
    said(&kind.describe(element), element);
    if !(exact(schema) && exact(&value["element"])) || goes_beyond(schema) {
        return true;
    }
    let mut members = element.members().clone();
    if schema["properties"].get("type").is_none() {
        members.remove("type");
    }
    let mut schema = schema.clone();
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name != "type" || members.contains_key("type"));
    }
    let matching = matches(&schema, &Value::Object(members));
    assert_eq!(accepted, element.kind() == "t" && matching, "{schema} {:?}", element.members());
    true
}

/// Whether every number is one that a float holds exactly, or a fraction.
fn exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|n| n.abs() < 9e15),
        Value::Array(items) => items.iter().all(exact),
        Value::Object(members) => members.values().all(exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// Whether a schema, or one inside it, has a keyword that is not looked at here.
fn goes_beyond(schema: &Value) -> bool {
    let Some(keywords) = schema.as_object() else { return false };
    BEYOND.iter().any(|word| keywords.contains_key(*word))
        || ["items", "additionalProperties"].iter().any(|word| goes_beyond(&schema[word]))
        || schema["properties"].as_object().is_some_and(|named| named.values().any(goes_beyond))
}

/// `type`, or what the other keywords are about.
fn kind_of(schema: &Value) -> Option<&str> {
    let has = |word: &str| schema.get(word).is_some();
    match schema["type"].as_str() {
        None if has("properties") || has("required") => Some("object"),
        None if has("items") => Some("array"),
        named => named,
    }
}

/// JSON Schema as its text has it, keyword by keyword.
fn matches(schema: &Value, value: &Value) -> bool {
    let number = |word: &str| schema[word].as_f64();
    let within = |size: f64, min: &str, max: &str| {
        number(min).is_none_or(|min| min <= size) && number(max).is_none_or(|max| size <= max)
    };
    let size = |length: usize| f64::from(u32::try_from(length).expect("short"));
    let listed =
        schema["enum"].as_array().is_none_or(|list| list.iter().any(|one| same(one, value)));
    let constant = schema.get("const").is_none_or(|one| same(one, value));
    let typed = match kind_of(schema) {
        None => true,
        Some("object") => value.as_object().is_some_and(|members| object(schema, members)),
        Some("array") => value.as_array().is_some_and(|items| {
            within(size(items.len()), "minItems", "maxItems")
                && items
                    .iter()
                    .all(|item| schema["items"].is_boolean() || matches(&schema["items"], item))
        }),
        Some("string") => value
            .as_str()
            .is_some_and(|text| within(size(text.chars().count()), "minLength", "maxLength")),
        Some("integer") => {
            (value.is_i64() || value.is_u64())
                && value.as_f64().is_some_and(|n| within(n, "minimum", "maximum"))
        }
        Some("number") => value.as_f64().is_some_and(|n| within(n, "minimum", "maximum")),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("{other}"),
    };
    listed && constant && typed
}

fn object(schema: &Value, members: &Map<String, Value>) -> bool {
    let required = schema["required"].as_array();
    let there = |name: &Value| members.contains_key(name.as_str().expect("a name"));
    required.is_none_or(|names| names.iter().all(there))
        && members.iter().all(|(name, value)| {
            let inner = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
            *inner == Value::Bool(true) || inner.is_object() && matches(inner, value)
        })
}

/// Numbers by value, as far as the shortest texts for them agree.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Every plain text and number of the element stands in the sentence or after it.
fn said(summary: &Summary, element: &Element) {
    let mut all = String::new();
    for part in &summary.sentence {
        if let Part::Value(value) = part {
            all.push_str(value);
            all.push('\n');
        }
    }
    for (name, value) in &summary.rest {
        all.extend([name, " ", value, "\n"]);
    }
    let lines = all.matches('\n').count();
    assert_eq!(lines, summary.rest.len() + places(summary), "a value broke its line");
    let mut texts = Vec::new();
    for (_, value) in element.members().iter().filter(|(name, _)| *name != "type") {
        gather(value, &mut texts);
    }
    for text in texts {
        assert!(all.contains(&text), "{text} is not shown in {all}");
    }
}

fn places(summary: &Summary) -> usize {
    summary.sentence.iter().filter(|part| matches!(part, Part::Value(_))).count()
}

fn gather(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, texts)),
        Value::Object(members) => members.values().for_each(|item| gather(item, texts)),
        Value::String(text) if text.chars().all(|c| c == ' ' || c.is_alphanumeric()) => {
            // A letter may be one that nobody sees.
            texts.extend((!text.contains('\u{3164}')).then(|| text.clone()));
        }
        Value::String(_) => {}
        Value::Null | Value::Bool(_) | Value::Number(_) => texts.push(value.to_string()),
    }
}
