//! Rich authorization requests (RFC 9396): what a client asks for beyond words of scope.
//!
//! [`Details`] is what is asked for, granted, stored and put into tokens. A tenant defines [`Type`]s; nothing
//! of a type that is not defined, or beside its schema, gets as far as a consent page.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, ErrorCode};

mod kind;
mod narrow;
mod schema;
mod summary;

pub use kind::{InvalidType, Type};
pub use schema::Schema;
pub use summary::{Part, Summary};

/// Longest `authorization_details`, in bytes.
pub const PARAMETER_MAX: usize = 16 * 1024;
/// Most elements.
const ELEMENTS_MAX: usize = 16;
/// Deepest nesting; the array itself is the first level.
const DEPTH_MAX: usize = 8;
/// Longest `type`, in characters.
const TYPE_MAX: usize = 255;

/// Members that tokens and introspection have of their own (W14): an element that carries one could be taken
/// for them by a resource server that reads in a hurry.
const RESERVED: [&str; 30] = [
    "acr",
    "act",
    "active",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "authorization_details",
    "azp",
    "client_id",
    "cnf",
    "email",
    "email_verified",
    "entitlements",
    "exp",
    "groups",
    "iat",
    "iss",
    "jti",
    "may_act",
    "nbf",
    "nonce",
    "permissions",
    "roles",
    "scope",
    "sid",
    "sub",
    "tenant",
    "token_type",
    "username",
];

/// One element: an object with a `type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    kind: String,
    members: Map<String, Value>,
}

impl Element {
    /// `type`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// All members, `type` among them.
    pub const fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// `locations`, if there are any (RFC 9396 §2.2).
    fn locations(&self) -> Option<impl Iterator<Item = &str>> {
        let list = self.members.get("locations")?.as_array()?;
        Some(list.iter().filter_map(Value::as_str))
    }
}

impl TryFrom<Value> for Element {
    type Error = InvalidDetails;

    fn try_from(value: Value) -> Result<Self, InvalidDetails> {
        let Value::Object(members) = value else { return Err(InvalidDetails) };
        let kind = members.get("type").and_then(Value::as_str).ok_or(InvalidDetails)?.to_owned();
        let named = (1..=TYPE_MAX).contains(&kind.chars().count());
        if !named || RESERVED.iter().any(|name| members.contains_key(*name)) {
            return Err(InvalidDetails);
        }
        // "An array of strings representing the location of the resource" (RFC 9396 §2.2). An empty one could
        // be read as nowhere, and as everywhere.
        let texts = |list: &Vec<Value>| !list.is_empty() && list.iter().all(Value::is_string);
        if members.get("locations").is_some_and(|list| !list.as_array().is_some_and(texts)) {
            return Err(InvalidDetails);
        }
        if !members.iter().all(|(name, value)| is_text(name) && is_bounded(value, DEPTH_MAX - 2)) {
            return Err(InvalidDetails);
        }
        Ok(Self { kind, members })
    }
}

/// A NUL has no place in a text, and none in a column.
fn is_text(text: &str) -> bool {
    !text.contains('\0')
}

/// At most `levels` of arrays and objects, and only texts that can be stored.
fn is_bounded(value: &Value, levels: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => is_text(text),
        Value::Array(items) => levels > 0 && items.iter().all(|item| is_bounded(item, levels - 1)),
        Value::Object(members) => {
            levels > 0
                && members.iter().all(|(name, item)| is_text(name) && is_bounded(item, levels - 1))
        }
    }
}

/// JSON that is no list of authorization details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidDetails;

impl std::fmt::Display for InvalidDetails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("authorization_details: an array of at most 16 objects with a type")
    }
}

impl std::error::Error for InvalidDetails {}

impl From<InvalidDetails> for Error {
    fn from(_: InvalidDetails) -> Self {
        refused("authorization_details is malformed")
    }
}

/// "unknown authorization details type …, invalid fields …, fields with invalid values, missing required
/// fields": one code for all of them (RFC 9396 §5).
const fn refused(description: &'static str) -> Error {
    Error::new(ErrorCode::InvalidAuthorizationDetails, description)
}

/// A list of elements, as requested, granted or issued. Serialises as the JSON array.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Value>", into = "Vec<Value>")]
pub struct Details(Vec<Element>);

impl Details {
    /// From the parameter: strict JSON without duplicate members, 1 to 16 elements, 16 KiB, 8 levels.
    pub fn parse(parameter: &str) -> Result<Self, Error> {
        if parameter.len() > PARAMETER_MAX {
            return Err(InvalidDetails.into());
        }
        let list = wire::strict_array(parameter.as_bytes()).map_err(|_| InvalidDetails)?;
        if list.is_empty() {
            return Err(InvalidDetails.into());
        }
        Ok(Self::try_from(list)?)
    }

    /// Whether a client that is registered for the types `allowed` may ask for this: each element of a type
    /// that it has and that its tenant defines (`types`), and to that type's schema.
    pub fn check(&self, allowed: &BTreeSet<String>, types: &[Type]) -> Result<(), Error> {
        for element in &self.0 {
            let kind = types
                .iter()
                .find(|kind| kind.name() == element.kind && allowed.contains(&element.kind))
                .ok_or(refused("the client may not ask for this type of authorization details"))?;
            if !kind.accepts(element) {
                return Err(refused("authorization_details do not match the schema of their type"));
            }
        }
        Ok(())
    }

    /// Each element in words, in order. One whose type is not among `types` (it was defined when this was
    /// asked for) is shown as it is.
    pub fn describe(&self, types: &[Type]) -> Vec<Summary> {
        let in_words = |element: &Element| {
            let kind = types.iter().find(|kind| kind.name() == element.kind);
            kind.map_or_else(|| Summary::bare(element), |kind| kind.describe(element))
        };
        self.0.iter().map(in_words).collect()
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &Element> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a resource server that is one of `audiences` may see: "the authorization details … that are
    /// relevant for that resource server" (RFC 9396 §9.2). An element without `locations` is for every
    /// audience of its token.
    #[must_use]
    pub fn visible_to(&self, audiences: &[String]) -> Self {
        let visible = |element: &&Element| {
            element.locations().is_none_or(|mut locations| {
                locations.any(|location| audiences.iter().any(|audience| audience == location))
            })
        };
        Self(self.0.iter().filter(visible).cloned().collect())
    }

    /// The elements of these types.
    #[must_use]
    pub fn of_types(&self, types: &BTreeSet<String>) -> Self {
        Self(self.0.iter().filter(|element| types.contains(element.kind())).cloned().collect())
    }
}

impl TryFrom<Vec<Value>> for Details {
    type Error = InvalidDetails;

    fn try_from(list: Vec<Value>) -> Result<Self, InvalidDetails> {
        if list.len() > ELEMENTS_MAX {
            return Err(InvalidDetails);
        }
        list.into_iter().map(Element::try_from).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Details> for Vec<Value> {
    fn from(details: Details) -> Self {
        details.0.into_iter().map(|element| Value::Object(element.members)).collect()
    }
}

#[cfg(test)]
mod tests;
