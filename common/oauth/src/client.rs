//! Clients: what may be registered (RFC 7591 metadata and a few fields of ours), and how one authenticates.
//!
//! admind and `opentrusty seed` write through [`Metadata`], authd reads through it: nobody can store what
//! authd cannot read.

mod authenticate;
mod metadata;
mod presented;

use crate::ids::{ClientId, ClientKey, TenantId};
use crate::secret::{Client as ClientSecret, Hashed};
use crate::uri::RedirectUri;
use crate::{Error, ErrorCode, Timestamp};

pub use authenticate::{Authenticated, Evidence, Unproven};
pub use metadata::{
    AuthMethod, Delivery, Draft, GrantType, InvalidMetadata, Keys, Metadata, display_name,
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

    /// The registered URI that `presented` matches.
    pub fn redirect_uri(&self, presented: &str) -> Option<&RedirectUri> {
        self.metadata.redirect_uris.iter().find(|uri| uri.matches(presented))
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
