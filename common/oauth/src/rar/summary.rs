//! Authorization details in words, for the page on which somebody approves them.
//!
//! "consent shows every element" (W64): the tenant's sentence says what it says, and every value that does
//! not stand in it in full is listed after it. Values are marked as such, so that a client cannot write the
//! tenant's sentence.

use serde_json::{Map, Value};

use super::{Element, Schema};
use crate::text::deceives;

/// Longest summary, in characters.
const SUMMARY_MAX: usize = 500;
/// Longest value that stands inside the sentence, in characters; a longer one is listed.
const INLINE_MAX: usize = 120;

/// A piece of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The tenant's words.
    Words(String),
    /// What the client filled in.
    Value(String),
}

/// One element in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The sentence.
    pub sentence: Vec<Part>,
    /// Every other member: its path, and its value. Nothing is missing here and there.
    pub rest: Vec<(String, String)>,
}

/// A summary with its places.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Words(String),
    Place(Vec<String>),
}

impl Template {
    /// A place is a member that the schema names; braces around anything else are words like any other.
    pub(super) fn define(text: &str, schema: &Schema) -> Result<Self, String> {
        if !(1..=SUMMARY_MAX).contains(&text.chars().count()) || text.trim().is_empty() {
            return Err("1 to 500 characters".to_owned());
        }
        if text.chars().any(deceives) {
            return Err("no control or direction characters".to_owned());
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((words, tail)) = rest.split_once('{') {
            let place = tail
                .split_once('}')
                .map(|(path, tail)| (path.split('.').collect::<Vec<_>>(), tail));
            if let Some((path, tail)) = place.filter(|(path, _)| schema.declares(path)) {
                pieces.push(Piece::Words(words.to_owned()));
                pieces.push(Piece::Place(path.into_iter().map(str::to_owned).collect()));
                rest = tail;
            } else {
                pieces.push(Piece::Words(format!("{words}{{")));
                rest = tail;
            }
        }
        pieces.push(Piece::Words(rest.to_owned()));
        pieces.retain(|piece| !matches!(piece, Piece::Words(words) if words.is_empty()));
        Ok(Self(pieces))
    }

    pub(super) fn describe(&self, members: &Map<String, Value>) -> Summary {
        let mut said: Vec<&[String]> = Vec::new();
        let mut sentence = Vec::new();
        for piece in &self.0 {
            sentence.push(match piece {
                Piece::Words(words) => Part::Words(words.clone()),
                Piece::Place(path) => Part::Value(match value(members, path).map(inline) {
                    None => "\u{2014}".to_owned(),
                    Some(text) if text.chars().count() > INLINE_MAX => "\u{2026}".to_owned(),
                    Some(text) => {
                        said.push(path);
                        text
                    }
                }),
            });
        }
        Summary { sentence, rest: unsaid(members, &said) }
    }
}

impl Summary {
    /// Without a template: the type, and every other member.
    pub(super) fn bare(element: &Element) -> Self {
        let sentence = vec![Part::Value(shown(element.kind()))];
        Self { sentence, rest: unsaid(element.members(), &[]) }
    }
}

fn unsaid(members: &Map<String, Value>, said: &[&[String]]) -> Vec<(String, String)> {
    let mut rest = Vec::new();
    for (name, value) in members.iter().filter(|(name, _)| *name != "type") {
        leaves(&mut vec![name.clone()], value, said, &mut rest);
    }
    rest
}

fn value<'a>(members: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let found = members.get(first)?;
    if rest.is_empty() { Some(found) } else { value(found.as_object()?, rest) }
}

/// Lists what is below `path` and not said, down to single values and plain lists of them.
fn leaves(
    path: &mut Vec<String>,
    value: &Value,
    said: &[&[String]],
    rest: &mut Vec<(String, String)>,
) {
    if said.contains(&path.as_slice()) {
        return;
    }
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), value)).collect()
        }
        Value::Array(items) if !items.iter().all(is_single) => {
            (1..).zip(items).map(|(number, item): (usize, _)| (number.to_string(), item)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Vec::new()
        }
    };
    if inner.is_empty() {
        rest.push((shown(&path.join(".")), inline(value)));
    }
    for (name, value) in inner {
        path.push(name);
        leaves(path, value, said, rest);
        path.pop();
    }
}

fn is_single(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

/// A value as a person reads it: lists with commas, an object as its members.
fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(word) => word.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => shown(text),
        Value::Array(items) if items.is_empty() => "[ ]".to_owned(),
        Value::Object(members) if members.is_empty() => "{ }".to_owned(),
        Value::Array(items) => items.iter().map(inline).collect::<Vec<_>>().join(", "),
        Value::Object(members) => {
            let pair =
                |(name, value): (&String, &Value)| format!("{}: {}", shown(name), inline(value));
            members.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
    }
}

/// White space is a space; what nobody could see is made visible instead of left out.
fn shown(text: &str) -> String {
    let seen = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        c if deceives(c) => '\u{fffd}',
        c => c,
    };
    if text.is_empty() { "\u{201c}\u{201d}".to_owned() } else { text.chars().map(seen).collect() }
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
