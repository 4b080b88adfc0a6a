//! A type of authorization details, as a tenant defines it.

use std::fmt;

use serde_json::Value;

use super::summary::Template;
use super::{Element, Schema, Summary, TYPE_MAX};

/// A defined type: its name, what an element of it looks like, and what that means in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    name: String,
    schema: Schema,
    summary: Template,
}

/// Which field of a definition is wrong, where in it, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidType {
    /// `type`, `schema` or `summary`.
    pub field: &'static str,
    /// For whoever wrote it.
    pub problem: String,
}

impl fmt::Display for InvalidType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for InvalidType {}

impl Type {
    /// From a row, or from whoever is about to write one: `name` is 1 to 255 printable ASCII characters,
    /// `schema` within the part of JSON Schema that [`Schema`] names, `summary` 1 to 500 characters in which
    /// `{member}` and `{member.inner}` stand for values.
    pub fn define(name: &str, schema: &Value, summary: &str) -> Result<Self, InvalidType> {
        if !(1..=TYPE_MAX).contains(&name.len()) || !name.bytes().all(|b| b.is_ascii_graphic()) {
            let problem = "1 to 255 printable ASCII characters without spaces".to_owned();
            return Err(InvalidType { field: "type", problem });
        }
        let schema = Schema::define(schema).map_err(|(path, problem)| {
            let problem =
                if path.is_empty() { problem.to_owned() } else { format!("{path}: {problem}") };
            InvalidType { field: "schema", problem }
        })?;
        let summary = Template::define(summary, &schema)
            .map_err(|problem| InvalidType { field: "summary", problem })?;
        Ok(Self { name: name.to_owned(), schema, summary })
    }

    /// `type`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `element` is of this type and to its schema.
    pub fn accepts(&self, element: &Element) -> bool {
        element.kind == self.name && self.schema.accepts_element(&element.members)
    }

    /// `element` in words, with all that the words leave out.
    pub fn describe(&self, element: &Element) -> Summary {
        self.summary.describe(&element.members)
    }
}
