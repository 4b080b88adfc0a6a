//! Client credentials (RFC 6749 §4.4): a client asks for itself.

use crate::client::Authenticated;
use crate::error::{Error, ErrorCode};
use crate::grant::Granted;
use crate::rar::Details;
use crate::{ScopeSet, claims, scope};

/// `grant_type=client_credentials`, parsed.
#[derive(Debug)]
pub struct ClientCredentialsRequest {
    /// As asked; `None`: whatever the client may have for itself.
    pub scopes: Option<ScopeSet>,
    /// Audiences asked for.
    pub audiences: Vec<String>,
    /// `authorization_details`; whether the client may have them is checked against its tenant's types.
    pub details: Option<Details>,
}

impl ClientCredentialsRequest {
    /// Whether the client may have what it asks for. What speaks of a person has no meaning without one:
    /// `openid`, `offline_access` and the profile's scopes are refused by name, not dropped (the example in
    /// seeds/004 asks for `openid` here).
    pub fn judge(&self, client: &Authenticated, issuer: &str) -> Result<Granted, Error> {
        let personal = |name: &str| scope::BUILT_IN.contains(&name) && name != scope::ADMIN;
        let allowed = &client.metadata.scope;
        let scopes = match &self.scopes {
            Some(scopes) => scopes.clone(),
            None => allowed
                .iter()
                .filter(|name| personal(name))
                .fold(allowed.clone(), |set, name| set.without(name)),
        };
        if scopes.iter().any(personal) {
            let description = "a scope about a person has no meaning in this grant";
            return Err(Error::new(ErrorCode::InvalidScope, description));
        }
        if !scopes.is_subset(allowed) {
            let description = "the client may not ask for one of these scopes";
            return Err(Error::new(ErrorCode::InvalidScope, description));
        }
        if !self.audiences.iter().all(|asked| client.metadata.audiences.contains(asked)) {
            let description = "the client may not use this audience";
            return Err(Error::new(ErrorCode::InvalidTarget, description));
        }
        let mut audiences = claims::audiences(&self.audiences, &client.metadata.audiences, issuer);
        audiences.sort_unstable();
        audiences.dedup();
        Ok(Granted { scopes, audiences, details: self.details.clone() })
    }
}
