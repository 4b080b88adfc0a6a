//! What was granted once, and how much of it a token gets: one rule for every grant type that issues from a grant.

use crate::client::{Client, GrantType, Metadata};
use crate::rar::Details;
use crate::{Error, ErrorCode, ScopeSet};

/// What a person agreed to, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// May be empty for a client's own grant: then the audience alone says what it is for.
    pub scopes: ScopeSet,
    /// Never empty.
    pub audiences: Vec<String>,
    /// RFC 9396 `authorization_details`.
    pub details: Option<Details>,
}

/// What a token request asks for; everything that was granted where it asks for nothing.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// `scope`.
    pub scopes: Option<&'a ScopeSet>,
    /// `resource` and `audience`.
    pub audiences: &'a [String],
    /// `authorization_details`.
    pub details: Option<&'a Details>,
}

/// Default lifetimes of tokens, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Access tokens.
    pub access_s: u32,
    /// Refresh tokens, from the sign-in on.
    pub refresh_s: u32,
    /// ID tokens.
    pub id_s: u32,
}

impl Metadata {
    /// Seconds that an access token of this client lives.
    pub fn access_s(&self, defaults: &Lifetimes) -> u32 {
        self.access_token_lifetime.unwrap_or(defaults.access_s)
    }

    /// Seconds that a grant lives which may be redeemed for `redeemable_s`: as long as the longest thing that can come
    /// of it.
    pub fn grant_s(&self, defaults: &Lifetimes, redeemable_s: u32) -> u32 {
        if self.grant_types.contains(&GrantType::RefreshToken) {
            return self.refresh_token_lifetime.unwrap_or(defaults.refresh_s);
        }
        self.access_s(defaults).saturating_add(redeemable_s)
    }
}

impl Client {
    /// The part of what was granted that is asked for, if it was granted and is still the client's: what it lost since
    /// then is not issued again, at any grant (W33).
    pub fn narrow(
        &self,
        granted: &Granted,
        wanted: &Wanted<'_>,
        issuer: &str,
    ) -> Result<Granted, Error> {
        let scopes = narrow_scopes(&granted.scopes, wanted.scopes)?;
        let audiences = narrow_audiences(&granted.audiences, wanted.audiences)?;
        self.still_has(&scopes, &audiences, issuer)?;
        let details = Details::narrow_granted(granted.details.as_ref(), wanted.details)?;
        self.still_has_details(details.as_ref())?;
        Ok(Granted { scopes, audiences, details })
    }

    fn still_has(
        &self,
        scopes: &ScopeSet,
        audiences: &[String],
        issuer: &str,
    ) -> Result<(), Error> {
        if !scopes.is_subset(&self.metadata.scope) {
            let lost = "the client may no longer ask for one of these scopes";
            return Err(Error::new(ErrorCode::InvalidScope, lost));
        }
        let own =
            |audience: &String| audience == issuer || self.metadata.audiences.contains(audience);
        if !audiences.iter().all(own) {
            return Err(Error::new(
                ErrorCode::InvalidTarget,
                "the client may no longer use one of these audiences",
            ));
        }
        Ok(())
    }

    fn still_has_details(&self, details: Option<&Details>) -> Result<(), Error> {
        let allowed = &self.metadata.authorization_details_types;
        if details.is_none_or(|details| details.iter().all(|one| allowed.contains(one.kind()))) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::InvalidAuthorizationDetails,
            "the client may no longer ask for one of these types",
        ))
    }
}

/// "The requested scope MUST NOT include any scope not originally granted by the resource owner" (RFC 6749 §6).
fn narrow_scopes(granted: &ScopeSet, wanted: Option<&ScopeSet>) -> Result<ScopeSet, Error> {
    match wanted {
        None => Ok(granted.clone()),
        Some(wanted) if !wanted.is_empty() && wanted.is_subset(granted) => Ok(wanted.clone()),
        Some(_) => Err(Error::new(ErrorCode::InvalidScope, "beyond what was granted")),
    }
}

/// "the client … can specify the desired resource" among those granted (RFC 8707 §2.2).
fn narrow_audiences(granted: &[String], wanted: &[String]) -> Result<Vec<String>, Error> {
    if wanted.iter().any(|wanted| !granted.contains(wanted)) {
        return Err(Error::new(ErrorCode::InvalidTarget, "beyond what was granted"));
    }
    Ok(if wanted.is_empty() { granted } else { wanted }.to_vec())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::client::Draft;
    use crate::ids::ClientKey;

    const ISSUER: &str = "https://as.example";

    fn client(registered: Value) -> Client {
        let draft: Draft = serde_json::from_value(registered).unwrap();
        Client {
            key: ClientKey(uuid::Uuid::from_u128(1)),
            id: "app".parse().unwrap(),
            tenant: None,
            metadata: Metadata::try_from(draft).unwrap(),
        }
    }

    fn registered(grant_types: &[&str]) -> Value {
        json!({
            "grant_types": grant_types, "redirect_uris": ["https://app.example/cb"],
            "scope": "openid read write", "audiences": ["https://api.example"],
            "authorization_details_types": ["payment"]
        })
    }

    fn granted() -> Granted {
        Granted {
            scopes: "openid read".parse().unwrap(),
            audiences: vec![ISSUER.to_owned(), "https://api.example".to_owned()],
            details: Details::parse(r#"[{"type":"payment","actions":["a","b"]}]"#).ok(),
        }
    }

    #[test]
    fn w39_nothing_beyond_what_was_granted_and_everything_when_nothing_is_asked() {
        let client = client(registered(&["authorization_code"]));
        let nothing = Wanted { scopes: None, audiences: &[], details: None };
        assert_eq!(client.narrow(&granted(), &nothing, ISSUER), Ok(granted()));
        for (scopes, works) in
            [("read", true), ("openid read", true), ("write", false), ("read write", false)]
        {
            let scopes: ScopeSet = scopes.parse().unwrap();
            let wanted = Wanted { scopes: Some(&scopes), ..nothing };
            let narrowed = client.narrow(&granted(), &wanted, ISSUER);
            assert_eq!(narrowed.map(|narrowed| narrowed.scopes).ok(), works.then_some(scopes));
        }
        let foreign = ["https://other.example".to_owned()];
        let wanted = Wanted { audiences: &foreign, ..nothing };
        assert_eq!(
            client.narrow(&granted(), &wanted, ISSUER).unwrap_err().code,
            ErrorCode::InvalidTarget
        );
        let more = Details::parse(r#"[{"type":"payment","actions":["a","c"]}]"#).unwrap();
        let wanted = Wanted { details: Some(&more), ..nothing };
        let refused = client.narrow(&granted(), &wanted, ISSUER).unwrap_err();
        assert_eq!(refused.code, ErrorCode::InvalidAuthorizationDetails);
    }

    #[test]
    fn w33_what_the_client_lost_is_not_issued_again() {
        let nothing = Wanted { scopes: None, audiences: &[], details: None };
        for (member, left, code) in [
            ("scope", json!("openid write"), ErrorCode::InvalidScope),
            ("audiences", json!([]), ErrorCode::InvalidTarget),
            ("authorization_details_types", json!([]), ErrorCode::InvalidAuthorizationDetails),
        ] {
            let mut registered = registered(&["authorization_code"]);
            registered[member] = left;
            let refused = client(registered).narrow(&granted(), &nothing, ISSUER).unwrap_err();
            assert_eq!(refused.code, code, "{member}");
        }
    }

    #[test]
    fn w34_a_grant_lives_as_long_as_the_longest_thing_that_comes_of_it() {
        let defaults = Lifetimes { access_s: 3600, refresh_s: 86_400, id_s: 300 };
        let code = client(registered(&["authorization_code"])).metadata;
        assert_eq!(code.grant_s(&defaults, 60), 3660);
        assert_eq!(code.grant_s(&defaults, u32::MAX), u32::MAX);
        let refresh = client(registered(&["authorization_code", "refresh_token"])).metadata;
        assert_eq!(refresh.grant_s(&defaults, 60), 86_400);
    }
}
