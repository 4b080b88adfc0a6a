//! The `claims` parameter (OIDC Core §5.5): which claims a client wants inside the ID token, and what it demands
//! of the sign-in.
//!
//! A claim is released by a scope that the person agreed to, wherever it is asked for: this parameter moves it
//! into the ID token and widens nothing. What is unknown is ignored, as §5.5 wants it.

use serde_json::{Map, Value};

use crate::claims::ACR_PASSWORD;

/// Longest parameter, in bytes.
const LENGTH_MAX: usize = 4096;
/// Most members of one of its objects.
const MEMBERS_MAX: usize = 64;

/// Text that is no `claims` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidClaims {
    /// Too long, no JSON object, or a member of the wrong type.
    Malformed,
    /// An essential `acr` that no sign-in here has.
    Unmet,
}

/// What is left of the parameter once it is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimsRequest {
    /// Names asked for under `id_token`, of those that we know.
    pub id_token: Vec<String>,
    /// The only `sub` that will do (OIDC Core §5.5.1, "value").
    pub sub: Option<String>,
}

/// The claims about a person that there are.
pub const KNOWN: [&str; 7] =
    ["name", "given_name", "family_name", "picture", "locale", "email", "email_verified"];

impl ClaimsRequest {
    /// From the parameter's text.
    pub fn parse(text: &str) -> Result<Self, InvalidClaims> {
        if text.len() > LENGTH_MAX {
            return Err(InvalidClaims::Malformed);
        }
        let all = wire::strict_object(text.as_bytes()).map_err(|_| InvalidClaims::Malformed)?;
        let mut request = Self::default();
        for name in ["userinfo", "id_token"] {
            let members = match all.get(name) {
                None | Some(Value::Null) => continue,
                Some(Value::Object(members)) if members.len() <= MEMBERS_MAX => members,
                Some(_) => return Err(InvalidClaims::Malformed),
            };
            for (claim, wanted) in members {
                let wanted = match wanted {
                    Value::Null => &Map::new(),
                    Value::Object(wanted) => wanted,
                    Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                        return Err(InvalidClaims::Malformed);
                    }
                };
                request.note((name, claim), wanted)?;
            }
        }
        Ok(request)
    }

    fn note(
        &mut self,
        (place, claim): (&str, &str),
        wanted: &Map<String, Value>,
    ) -> Result<(), InvalidClaims> {
        match claim {
            "acr" => met(wanted),
            "sub" => match wanted.get("value") {
                None => Ok(()),
                Some(Value::String(sub)) if self.sub.as_ref().is_none_or(|own| own == sub) => {
                    self.sub = Some(sub.clone());
                    Ok(())
                }
                Some(_) => Err(InvalidClaims::Malformed),
            },
            known if place == "id_token" && KNOWN.contains(&known) => {
                self.id_token.push(known.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// "If this is an Essential Claim and the requirement cannot be met, then the Authorization Server MUST treat
/// that outcome as a failed authentication attempt" (OIDC Core §5.5.1.1).
fn met(wanted: &Map<String, Value>) -> Result<(), InvalidClaims> {
    let essential = match wanted.get("essential") {
        None => false,
        Some(Value::Bool(essential)) => *essential,
        Some(_) => return Err(InvalidClaims::Malformed),
    };
    let values: Vec<&Value> = match (wanted.get("value"), wanted.get("values")) {
        (Some(value), _) => vec![value],
        (None, Some(Value::Array(values))) => values.iter().collect(),
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(InvalidClaims::Malformed),
    };
    let ours = values.iter().any(|value| value.as_str() == Some(ACR_PASSWORD));
    if essential && !ours { Err(InvalidClaims::Unmet) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_goes_into_the_id_token_and_ignores_what_it_does_not_know() {
        let text = r#"{"userinfo":{"name":null},"id_token":{"email":{"essential":true},"auth_time":null,"x":null}}"#;
        let request = ClaimsRequest::parse(text).unwrap();
        assert_eq!(request.id_token, ["email"]);
        assert_eq!(ClaimsRequest::parse("{}"), Ok(ClaimsRequest::default()));
    }

    #[test]
    fn w16_an_essential_acr_that_nobody_here_has_is_unmet() {
        let ask = |acr: &str| ClaimsRequest::parse(&format!(r#"{{"id_token":{{"acr":{acr}}}}}"#));
        assert_eq!(ask(r#"{"essential":true,"value":"gold"}"#), Err(InvalidClaims::Unmet));
        assert_eq!(
            ask(r#"{"essential":true,"values":["gold","silver"]}"#),
            Err(InvalidClaims::Unmet)
        );
        assert!(ask(r#"{"value":"gold"}"#).is_ok());
        assert!(ask(r#"{"essential":true}"#).is_ok());
        let ours = format!(r#"{{"essential":true,"values":["gold","{ACR_PASSWORD}"]}}"#);
        assert!(ask(&ours).is_ok());
    }

    #[test]
    fn w14_w85_what_is_no_request_is_malformed() {
        for text in [
            "",
            "[]",
            "null",
            "{",
            r#"{"id_token":1}"#,
            r#"{"id_token":{"name":1}}"#,
            r#"{"id_token":{"sub":{"value":1}}}"#,
            r#"{"id_token":{},"id_token":{}}"#,
            r#"{"id_token":{"sub":{"value":"a"}},"userinfo":{"sub":{"value":"b"}}}"#,
        ] {
            assert_eq!(ClaimsRequest::parse(text), Err(InvalidClaims::Malformed), "{text}");
        }
        assert_eq!(ClaimsRequest::parse(&" ".repeat(5000)), Err(InvalidClaims::Malformed));
    }
}
