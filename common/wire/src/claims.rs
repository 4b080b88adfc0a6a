//! A strict reader for claims: one JSON object, no duplicate member at any depth, bounded depth.
//!
//! keyd signs the bytes it was given, so a verifier must not be able to read them differently: two
//! members of one name are exactly where JSON readers disagree (RFC 8259 §4).

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Deepest nesting of arrays and objects in claims.
const DEPTH_MAX: usize = 16;

/// Bytes that are no strict JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimsError;

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a strict JSON object")
    }
}

impl std::error::Error for ClaimsError {}

/// Reads one JSON object: UTF-8, no duplicate members at any depth, at most 16 levels, nothing after it.
pub fn strict_object(bytes: &[u8]) -> Result<Map<String, Value>, ClaimsError> {
    match strict(bytes)? {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(ClaimsError)
        }
    }
}

/// Reads one JSON array by the same rules.
pub fn strict_array(bytes: &[u8]) -> Result<Vec<Value>, ClaimsError> {
    match strict(bytes)? {
        Value::Array(items) => Ok(items),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(ClaimsError)
        }
    }
}

fn strict(bytes: &[u8]) -> Result<Value, ClaimsError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader).map_err(|_| ClaimsError)?;
    reader.end().map_err(|_| ClaimsError)?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= DEPTH_MAX {
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut seen = HashSet::new();
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom("duplicate member"));
            }
            map.insert(name, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w85_duplicate_members_are_refused_at_any_depth() {
        assert!(strict_object(br#"{"sub":"a","sub":"b"}"#).is_err());
        assert!(strict_object(br#"{"act":{"sub":"a","sub":"b"}}"#).is_err());
        assert!(strict_object(br#"{"a":[{"x":1,"\u0078":2}]}"#).is_err());
        assert!(strict_object(br#"{"a":{"x":1},"b":{"x":1}}"#).is_ok());
    }

    #[test]
    fn only_one_object_and_nothing_after_it() {
        for bad in ["", "[]", "1", "null", "{} {}", "{}x", "{\"a\":1", "\u{feff}{}", "{\"a\":NaN}"]
        {
            assert_eq!(strict_object(bad.as_bytes()), Err(ClaimsError), "{bad}");
        }
        assert!(strict_object(b"{\"a\":\"\xff\"}").is_err());
        assert!(strict_object(b" {\"a\":1} \n").is_ok());
    }

    #[test]
    fn an_array_is_read_as_strictly() {
        assert!(strict_array(br#"[{"x":1},{"x":1}]"#).is_ok());
        for bad in ["", "{}", "[", "[] []", r#"[{"x":1,"x":1}]"#, "\u{feff}[]"] {
            assert_eq!(strict_array(bad.as_bytes()), Err(ClaimsError), "{bad}");
        }
    }

    #[test]
    fn w99_depth_is_bounded() {
        let nested = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
        assert!(strict_object(nested(15).as_bytes()).is_ok());
        assert!(strict_object(nested(16).as_bytes()).is_err());
        assert!(strict_object(nested(100_000).as_bytes()).is_err());
    }
}
