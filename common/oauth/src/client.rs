//! Clients: what may be registered (RFC 7591 metadata and a few fields of ours), and how one authenticates.
//!
//! admind and `opentrusty seed` write through [`Metadata`], authd reads through it: nobody can store what
//! authd cannot read.

mod authenticate;
mod metadata;
mod presented;

use crate::ids::{ClientId, ClientKey, TenantId};
use crate::rar::Details;
use crate::secret::{Client as ClientSecret, Hashed};
use crate::uri::RedirectUri;
use crate::{Error, ErrorCode, ScopeSet, Timestamp};

pub use authenticate::{Authenticated, Evidence, Unproven};
pub use metadata::{
    AuthMethod, Delivery, Draft, GrantType, IdTokenAlg, InvalidMetadata, Keys, Metadata,
    display_name,
};
pub use presented::Presented;

/// Shortest secret that may be registered, in characters.
pub const SECRET_MIN: usize = 32;
/// Longest secret that may be registered, in bytes.
pub const SECRET_MAX: usize = 256;

/// A registered client, as authd loads it.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its row.
    pub key: ClientKey,
    /// Its public name.
    pub id: ClientId,
    /// Its tenant; `None`: the platform.
    pub tenant: Option<TenantId>,
    /// What it is registered for.
    pub metadata: Metadata,
}

/// A secret as stored.
#[derive(Debug, Clone)]
pub struct StoredSecret {
    /// Its hash.
    pub hash: Hashed<ClientSecret>,
    /// When it ends; `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl Client {
    /// Whether the client is registered for `grant` (W30).
    pub fn check_grant(&self, grant: GrantType) -> Result<(), Error> {
        if self.metadata.grant_types.contains(&grant) {
            return Ok(());
        }
        Err(Error::new(ErrorCode::UnauthorizedClient, "the client may not use this grant type"))
    }

    /// Whether what was granted once is still the client's: what it lost since then is not issued again, at
    /// any grant (W33).
    pub fn still_has(
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

    /// The same of `authorization_details`, by the types that the client may ask for.
    pub fn still_has_details(&self, details: Option<&Details>) -> Result<(), Error> {
        let allowed = &self.metadata.authorization_details_types;
        if details.is_none_or(|details| details.iter().all(|one| allowed.contains(one.kind()))) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::InvalidAuthorizationDetails,
            "the client may no longer ask for one of these types",
        ))
    }

    /// The registered URI that `presented` matches.
    pub fn redirect_uri(&self, presented: &str) -> Option<&RedirectUri> {
        self.metadata.redirect_uris.iter().find(|uri| uri.matches(presented))
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
