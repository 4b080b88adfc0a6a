//! The `UserInfo` endpoint (OIDC Core §5.3): what a scope releases, and nothing else.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode};
use crate::{ScopeSet, scope};

/// A person's profile, as stored.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// E-mail address.
    pub email: String,
    /// Whether somebody proved that it is theirs.
    pub email_verified: bool,
    /// Display name.
    pub name: Option<String>,
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// URL of a picture.
    pub picture: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
}

/// OIDC Core §5.1, §5.4.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct UserInfo {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
}

/// The claims that `scopes` release of `profile`; `insufficient_scope` without `openid` (W70).
pub fn release(sub: String, profile: Profile, scopes: &ScopeSet) -> Result<UserInfo, Error> {
    if !scopes.contains(scope::OPENID) {
        return Err(Error::new(
            ErrorCode::InsufficientScope,
            "the access token lacks the scope openid",
        ));
    }
    let of_profile = scopes.contains("profile");
    let of_email = scopes.contains("email");
    let when = |released: bool, value: Option<String>| value.filter(|_| released);
    Ok(UserInfo {
        sub,
        name: when(of_profile, profile.name),
        given_name: when(of_profile, profile.given_name),
        family_name: when(of_profile, profile.family_name),
        picture: when(of_profile, profile.picture),
        locale: when(of_profile, profile.locale),
        email: when(of_email, Some(profile.email)),
        email_verified: of_email.then_some(profile.email_verified),
    })
}

/// Of `names`, the claims that `scopes` release, for the ID token (OIDC Core §5.5).
pub fn released(profile: Profile, scopes: &ScopeSet, names: &[String]) -> Map<String, Value> {
    let Ok(info) = release(String::new(), profile, scopes) else { return Map::new() };
    let Ok(Value::Object(all)) = serde_json::to_value(info) else { return Map::new() };
    all.into_iter().filter(|(name, _)| name != "sub" && names.contains(name)).collect()
}

/// The one access token of a request: in the header or in the form body, never in the query (RFC 6750 §2).
///
/// `Ok(None)`: no token at all, so the challenge carries no error code (RFC 6750 §3.1).
pub fn bearer<'a>(
    authorization: Option<&'a str>,
    body: Option<&'a str>,
) -> Result<Option<&'a str>, Error> {
    let header = authorization.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    match (header, body) {
        // "Clients MUST NOT use more than one method to transmit the token in each request."
        (Some(_), Some(_)) => Err(Error::request("the access token was sent in two ways")),
        (Some(token), None) | (None, Some(token)) => Ok(Some(token)),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_releases_its_claims_and_no_others() {
        let profile = Profile {
            email: "ana@example.org".into(),
            email_verified: true,
            name: Some("Ana".into()),
            ..Profile::default()
        };
        let json = |scopes: &str| {
            let info = release("s".into(), profile.clone(), &scopes.parse().unwrap()).unwrap();
            serde_json::to_string(&info).unwrap()
        };
        assert_eq!(json("openid"), r#"{"sub":"s"}"#);
        assert_eq!(json("openid profile"), r#"{"sub":"s","name":"Ana"}"#);
        assert_eq!(
            json("openid email"),
            r#"{"sub":"s","email":"ana@example.org","email_verified":true}"#
        );
        let refused = release("s".into(), profile, &"profile".parse().unwrap());
        assert_eq!(refused.unwrap_err().code, ErrorCode::InsufficientScope);
    }

    #[test]
    fn w14_the_id_token_gets_what_was_asked_for_and_is_released_and_never_sub() {
        let profile = Profile { email: "ana@example.org".into(), ..Profile::default() };
        let names = ["email", "name", "sub", "iss"].map(str::to_owned);
        let got = |scopes: &str| released(profile.clone(), &scopes.parse().unwrap(), &names);
        assert_eq!(
            Value::Object(got("openid email")),
            serde_json::json!({"email": "ana@example.org"})
        );
        assert!(got("openid").is_empty() && got("email").is_empty());
    }

    #[test]
    fn w70_one_place_only() {
        assert_eq!(bearer(Some("Bearer t"), None), Ok(Some("t")));
        assert_eq!(bearer(None, Some("t")), Ok(Some("t")));
        assert_eq!(bearer(Some("Basic t"), None), Ok(None));
        assert!(bearer(Some("bearer t"), Some("t")).is_err());
    }
}
