//! The part of JSON Schema (2020-12) that a type of authorization details is described in.
//!
//! A part that everybody reads alike, and that costs no more than the value is long: no references and no
//! combination of schemas. A keyword outside of it is refused when a type is defined, never ignored: a constraint
//! that its author believes in is enforced or does not exist. Annotations, `format` among them, constrain nothing.
//! Objects are closed unless they say otherwise, as RFC 9396 §5 wants unknown fields refused. Integers are written
//! as integers: `1.0` is none.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::narrow::same;

mod define;

/// What a value must look like.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// `enum`, or `const` as an `enum` of one.
    allowed: Option<Vec<Value>>,
    /// `type`, with the keywords that belong to it.
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// No `type`: `allowed` decides.
    Any,
    Object(Object),
    Array {
        items: Box<Schema>,
        lengths: Range<usize>,
        unique: bool,
    },
    String {
        lengths: Range<usize>,
        pattern: Option<Pattern>,
    },
    Integer(Range<i128>),
    Number {
        range: Range<f64>,
        /// Bounds that do not belong to it.
        open: Range<f64>,
        step: Option<f64>,
    },
    Boolean,
}

/// A compiled `pattern`.
#[derive(Debug, Clone)]
struct Pattern(regex_lite::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// How far from a whole number of steps a decimal may be for its binary form.
const STEP_TOLERANCE: f64 = 1e-9;

fn is_multiple(number: f64, step: f64) -> bool {
    let steps = number / step;
    (steps - steps.round()).abs() <= STEP_TOLERANCE * steps.abs().max(1.0)
}

#[derive(Debug, Clone, PartialEq)]
struct Object {
    properties: BTreeMap<String, Schema>,
    required: BTreeSet<String>,
    /// The schema of members that have no name here; `None`: there must be none.
    additional: Option<Box<Schema>>,
}

/// Two bounds, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range<T> {
    min: Option<T>,
    max: Option<T>,
}

impl<T: PartialOrd + Copy> Range<T> {
    fn contains(&self, value: T) -> bool {
        self.min.is_none_or(|min| min <= value) && self.max.is_none_or(|max| value <= max)
    }
}

impl Schema {
    /// Whatever there is.
    const fn any() -> Self {
        Self { allowed: None, kind: Kind::Any }
    }

    /// Whether the members of an element are those of this type. `type` is the element's own: a schema may
    /// describe it and need not.
    pub(super) fn accepts_element(&self, members: &Map<String, Value>) -> bool {
        match &self.kind {
            Kind::Object(object) => object.accepts(members, Some("type")),
            Kind::Any
            | Kind::Array { .. }
            | Kind::String { .. }
            | Kind::Integer(_)
            | Kind::Number { .. }
            | Kind::Boolean => false,
        }
    }

    /// Whether `path` names a member that may be there.
    pub(super) fn declares(&self, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return true };
        match &self.kind {
            Kind::Object(object) => {
                object.properties.get(*first).is_some_and(|inner| inner.declares(rest))
            }
            Kind::Any
            | Kind::Array { .. }
            | Kind::String { .. }
            | Kind::Integer(_)
            | Kind::Number { .. }
            | Kind::Boolean => false,
        }
    }

    fn accepts(&self, value: &Value) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.iter().any(|one| same(one, value)))
            && self.kind.accepts(value)
    }
}

impl Kind {
    fn accepts(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _) | (Self::Boolean, Value::Bool(_)) => true,
            (Self::Object(object), Value::Object(members)) => object.accepts(members, None),
            (Self::Array { items, lengths, unique }, Value::Array(list)) => {
                let alone = |(index, item): (usize, &Value)| {
                    !list.iter().skip(index + 1).any(|other| same(item, other))
                };
                lengths.contains(list.len())
                    && list.iter().all(|item| items.accepts(item))
                    && (!unique || list.iter().enumerate().all(alone))
            }
            (Self::String { lengths, pattern }, Value::String(text)) => {
                lengths.contains(text.chars().count())
                    && pattern.as_ref().is_none_or(|pattern| pattern.0.is_match(text))
            }
            (Self::Integer(range), Value::Number(_)) => {
                integer(value).is_some_and(|number| range.contains(number))
            }
            (Self::Number { range, open, step }, Value::Number(number)) => {
                number.as_f64().is_some_and(|number| {
                    range.contains(number)
                        && open.min.is_none_or(|min| min < number)
                        && open.max.is_none_or(|max| number < max)
                        && step.is_none_or(|step| is_multiple(number, step))
                })
            }
            (
                Self::Object(_)
                | Self::Array { .. }
                | Self::String { .. }
                | Self::Integer(_)
                | Self::Number { .. }
                | Self::Boolean,
                _,
            ) => false,
        }
    }
}

impl Object {
    fn accepts(&self, members: &Map<String, Value>, besides: Option<&str>) -> bool {
        let known = |(name, value): (&String, &Value)| match (
            self.properties.get(name),
            &self.additional,
        ) {
            (Some(schema), _) => schema.accepts(value),
            (None, _) if besides == Some(name.as_str()) => true,
            (None, Some(schema)) => schema.accepts(value),
            (None, None) => false,
        };
        self.required.iter().all(|name| members.contains_key(name)) && members.iter().all(known)
    }
}

/// Every integer that JSON readers keep exactly here: i64 and u64.
fn integer(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}
