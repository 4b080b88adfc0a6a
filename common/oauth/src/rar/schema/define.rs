//! From JSON to a schema, refusing whatever would not be enforced.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Kind, Object, Pattern, Range, Schema, integer};
use crate::rar::{DEPTH_MAX, RESERVED, is_bounded};

/// Longest schema, in bytes of JSON without white space.
const SCHEMA_MAX: usize = 16 * 1024;
/// Most members that one object may name.
const PROPERTIES_MAX: usize = 50;
/// Most values of one `enum`.
const VALUES_MAX: usize = 100;
/// Longest name of a member, in bytes.
const NAME_MAX: usize = 64;
/// Longest `pattern`, in bytes, and most memory that it may compile to.
const PATTERN_MAX: usize = 256;
const PATTERN_COMPILED_MAX: usize = 64 * 1024;
/// Keywords that say something to people and tools, and constrain nothing (JSON Schema Validation §9; `format`
/// is an annotation by default, §7.1).
const ANNOTATIONS: [&str; 10] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "format",
];

/// Where a schema is wrong, as a path of keywords, and how.
pub(in crate::rar) type Problem = (String, &'static str);

impl Schema {
    /// The schema of a type: of an object without members that a token has of its own (W14).
    pub(in crate::rar) fn define(value: &Value) -> Result<Self, Problem> {
        let here = |problem| (String::new(), problem);
        // Two levels of keywords for each level of a value: `properties`, and a name.
        if !is_bounded(value, 2 * DEPTH_MAX) {
            return Err(here("too deep, or a NUL in a text"));
        }
        if value.to_string().len() > SCHEMA_MAX {
            return Err(here("at most 16 KiB"));
        }
        let root = value.as_object().ok_or(here("a JSON object"))?.clone();
        let schema = schema(root, "")?;
        let Kind::Object(object) = &schema.kind else {
            return Err(("type".to_owned(), "a type of authorization details is an object"));
        };
        if schema.allowed.is_some() {
            return Err(("enum".to_owned(), "a type of authorization details has properties"));
        }
        let taken = |name: &&&str| object.properties.contains_key(**name);
        if let Some(name) = RESERVED.iter().find(taken) {
            return Err((format!("properties.{name}"), "reserved for tokens"));
        }
        Ok(schema)
    }
}

/// The keywords of one schema, each taken out once; what is left over is refused.
struct Keywords<'a> {
    members: Map<String, Value>,
    path: &'a str,
}

impl Keywords<'_> {
    fn at(&self, keyword: &str) -> String {
        if self.path.is_empty() { keyword.to_owned() } else { format!("{}.{keyword}", self.path) }
    }

    fn wrong<T>(&self, keyword: &str, problem: &'static str) -> Result<T, Problem> {
        Err((self.at(keyword), problem))
    }

    fn number<T>(
        &mut self,
        keyword: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        match self.members.remove(keyword).as_ref().map(read) {
            None => Ok(None),
            Some(Some(bound)) => Ok(Some(bound)),
            Some(None) => self.wrong(keyword, "not a number of the type that it limits"),
        }
    }

    fn range<T: PartialOrd + Copy>(
        &mut self,
        [lower, upper]: [&str; 2],
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Range<T>, Problem> {
        let (min, max) = (self.number(lower, &read)?, self.number(upper, &read)?);
        let empty = min.is_some_and(|min| max.is_some_and(|max| min > max));
        if empty { self.wrong(lower, "above its maximum") } else { Ok(Range { min, max }) }
    }

    fn drop_annotations(&mut self) {
        self.members.retain(|keyword, _| !ANNOTATIONS.contains(&keyword.as_str()));
    }

    fn allowed(&mut self) -> Result<Option<Vec<Value>>, Problem> {
        match (self.members.remove("enum"), self.members.remove("const")) {
            (None, None) => Ok(None),
            (None, Some(value)) => Ok(Some(vec![value])),
            (Some(Value::Array(list)), None) if (1..=VALUES_MAX).contains(&list.len()) => {
                Ok(Some(list))
            }
            (Some(_), None) => self.wrong("enum", "an array of 1 to 100 values"),
            (Some(_), Some(_)) => self.wrong("const", "not beside enum"),
        }
    }

    fn kind(&mut self, is_listed: bool) -> Result<Kind, Problem> {
        let has = |keyword: &str| self.members.contains_key(keyword);
        let word = match self.members.get("type") {
            Some(Value::String(word)) => word.clone(),
            Some(_) => return self.wrong("type", "one type"),
            // What its other keywords are about.
            None if has("properties") || has("required") => "object".to_owned(),
            None if has("items") => "array".to_owned(),
            None if is_listed || self.members.is_empty() => return Ok(Kind::Any),
            None => return self.wrong("type", "needed beside these keywords"),
        };
        self.members.remove("type");
        let length = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
        Ok(match word.as_str() {
            "object" => Kind::Object(self.object()?),
            "array" => {
                let items = match self.members.remove("items") {
                    Some(Value::Object(items)) => schema(items, &self.at("items"))?,
                    None | Some(Value::Bool(true)) => Schema::any(),
                    Some(_) => return self.wrong("items", "a schema"),
                };
                let unique = self.flag("uniqueItems")?;
                let lengths = self.range(["minItems", "maxItems"], length)?;
                Kind::Array { items: Box::new(items), lengths, unique }
            }
            "string" => Kind::String {
                lengths: self.range(["minLength", "maxLength"], length)?,
                pattern: self.pattern()?,
            },
            "integer" => Kind::Integer(self.range(["minimum", "maximum"], integer)?),
            "number" => Kind::Number {
                range: self.range(["minimum", "maximum"], Value::as_f64)?,
                open: self.range(["exclusiveMinimum", "exclusiveMaximum"], Value::as_f64)?,
                step: self
                    .number("multipleOf", |value| value.as_f64().filter(|step| *step > 0.0))?,
            },
            "boolean" => Kind::Boolean,
            _ => return self.wrong("type", "object, array, string, integer, number or boolean"),
        })
    }

    fn flag(&mut self, keyword: &str) -> Result<bool, Problem> {
        match self.members.remove(keyword) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => self.wrong(keyword, "true or false"),
        }
    }

    /// Found anywhere in the text, as JSON Schema has it. The engine takes time linear in the text, whatever the
    /// pattern.
    fn pattern(&mut self) -> Result<Option<Pattern>, Problem> {
        let text = match self.members.remove("pattern") {
            None => return Ok(None),
            Some(Value::String(text)) if text.len() <= PATTERN_MAX => text,
            Some(_) => return self.wrong("pattern", "at most 256 bytes"),
        };
        let built = regex_lite::RegexBuilder::new(&text).size_limit(PATTERN_COMPILED_MAX).build();
        match built {
            Ok(regex) => Ok(Some(Pattern(regex))),
            Err(_) => {
                self.wrong("pattern", "not a regular expression of the kind that is enforced here")
            }
        }
    }

    fn object(&mut self) -> Result<Object, Problem> {
        let properties = self.properties()?;
        let required: BTreeSet<String> = match self.members.remove("required") {
            None => BTreeSet::new(),
            Some(list) => match names(&list) {
                Some(list) => list,
                None => return self.wrong("required", "an array of names"),
            },
        };
        // A name that is required and not allowed would refuse everything; `type` is every element's.
        let known =
            |name: &String| properties.contains_key(name) || self.path.is_empty() && name == "type";
        if !required.iter().all(known) {
            return self.wrong("required", "a name that is not among the properties");
        }
        let additional = match self.members.remove("additionalProperties") {
            // RFC 9396 §5 wants unknown fields refused, so a schema that says nothing is closed.
            None | Some(Value::Bool(false)) => None,
            Some(Value::Bool(true)) => Some(Box::new(Schema::any())),
            Some(Value::Object(inner)) => {
                Some(Box::new(schema(inner, &self.at("additionalProperties"))?))
            }
            Some(_) => return self.wrong("additionalProperties", "true, false or a schema"),
        };
        Ok(Object { properties, required, additional })
    }

    fn properties(&mut self) -> Result<BTreeMap<String, Schema>, Problem> {
        let named = match self.members.remove("properties") {
            None => Map::new(),
            Some(Value::Object(named)) if named.len() <= PROPERTIES_MAX => named,
            Some(_) => return self.wrong("properties", "an object of at most 50 schemas"),
        };
        let mut properties = BTreeMap::new();
        for (name, inner) in named {
            let path = self.at(&format!("properties.{name}"));
            if !is_name(&name) {
                return Err((path, "1 to 64 letters, digits and _ - : @ $"));
            }
            let Value::Object(inner) = inner else { return Err((path, "a schema")) };
            properties.insert(name, schema(inner, &path)?);
        }
        Ok(properties)
    }
}

fn schema(members: Map<String, Value>, path: &str) -> Result<Schema, Problem> {
    let mut keywords = Keywords { members, path };
    keywords.drop_annotations();
    let allowed = keywords.allowed()?;
    let kind = keywords.kind(allowed.is_some())?;
    if let Some(keyword) = keywords.members.keys().next() {
        return keywords.wrong(keyword, "not a keyword of this type that is enforced here");
    }
    Ok(Schema { allowed, kind })
}

fn names(list: &Value) -> Option<BTreeSet<String>> {
    list.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Names without a dot or a brace, so that a summary can name each member in one way.
fn is_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':' | b'@' | b'$');
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(legal)
}
