//! The strict reader of claims.

use serde_json::Value;

/// Deepest nesting that is accepted.
const DEPTH_MAX: usize = 16;

/// Accepted exactly when `serde_json` reads one object whose members are as many as the text spells out,
/// nested no deeper than the limit; and then both read the same value.
pub fn claims(bytes: &[u8]) -> bool {
    let lenient = serde_json::from_slice::<Value>(bytes).ok().filter(Value::is_object);
    let outline = Outline::of(bytes);
    if let Ok(map) = wire::strict_object(bytes) {
        let value = Value::Object(map);
        assert_eq!(Some(&value), lenient.as_ref(), "two readers, two values");
        assert_eq!(members(&value), outline.members, "a duplicate member was accepted");
        assert!(outline.depth <= DEPTH_MAX, "{} levels were accepted", outline.depth);
        // What it means does not depend on how it was spelt; only a fraction may lose its last bit.
        let again = serde_json::to_vec(&value).expect("a value can be written");
        let again = wire::strict_object(&again).map(Value::Object);
        assert!(again.as_ref() == Ok(&value) || again.is_ok() && fractions(&value), "{value}");
        true
    } else {
        if let Some(value) = lenient {
            let duplicate = members(&value) != outline.members;
            assert!(duplicate || outline.depth > DEPTH_MAX, "refused without a cause");
        }
        false
    }
}

/// Members of every object in `value`.
fn members(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len() + map.values().map(members).sum::<usize>(),
        Value::Array(items) => items.iter().map(members).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Whether a number in `value` is none of the integers that are kept exactly.
fn fractions(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Object(map) => map.values().any(fractions),
        Value::Array(items) => items.iter().any(fractions),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// What can be counted in JSON without reading it: each colon outside a string is one member.
#[derive(Default)]
struct Outline {
    members: usize,
    depth: usize,
}

impl Outline {
    /// Means something only if `bytes` are JSON.
    fn of(bytes: &[u8]) -> Self {
        let mut outline = Self::default();
        let (mut open, mut text, mut escaped) = (0_usize, false, false);
        for byte in bytes {
            match (text, byte) {
                (true, _) if escaped => escaped = false,
                (true, b'\\') => escaped = true,
                (_, b'"') => text = !text,
                (false, b':') => outline.members += 1,
                (false, b'{' | b'[') => {
                    open += 1;
                    outline.depth = outline.depth.max(open);
                }
                (false, b'}' | b']') => open = open.saturating_sub(1),
                (true | false, _) => {}
            }
        }
        outline
    }
}
