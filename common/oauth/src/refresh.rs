//! Refreshing (RFC 6749 §6), with rotation and reuse detection (RFC 9700 §4.14.2).

use crate::client::{Authenticated, GrantType};
use crate::error::Error;
use crate::grant::{Granted, Wanted};
use crate::ids::ClientKey;
use crate::rar::Details;
use crate::secret::{Plain, Refresh};
use crate::{ScopeSet, scope};

/// `grant_type=refresh_token`, parsed.
pub struct RefreshRequest {
    /// The token; `None`: its text cannot be one of ours.
    pub token: Option<Plain<Refresh>>,
    /// Narrower scopes for the new access token, if asked for.
    pub scopes: Option<ScopeSet>,
    /// Audiences asked for.
    pub audiences: Vec<String>,
    /// Narrower `authorization_details`, if asked for.
    pub details: Option<Details>,
}

/// A refresh token, with the grant behind it.
#[derive(Debug, Clone)]
pub struct StoredRefresh {
    /// To whom it was issued.
    pub client: ClientKey,
    /// What the person agreed to.
    pub granted: Granted,
    /// It was rotated already.
    pub spent: bool,
}

/// What makes a refresh token end its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misuse {
    /// Another authenticated client presented it (W38).
    Stolen,
    /// It was spent before (W36).
    Reused,
}

/// What is to be done with a refresh token that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The gate may rotate it, for an access token that carries this; the grant stays as wide as it was. The gate
    /// alone knows whether a spent one comes within the client's retry window.
    Rotate(Granted),
    /// Its family dies.
    End(Misuse),
    /// A mistake of the right client: the token stays good (W39).
    Refuse(Error),
}

/// Decides it.
pub fn decide(
    stored: &StoredRefresh,
    request: &RefreshRequest,
    client: &Authenticated,
    issuer: &str,
) -> Verdict {
    if stored.client != client.key {
        // Anybody can call themselves a public client: its word about somebody else's token counts for nothing.
        let unproven = client.metadata.is_public();
        return if unproven {
            Verdict::Refuse(Error::grant())
        } else {
            Verdict::End(Misuse::Stolen)
        };
    }
    let wanted = Wanted {
        scopes: request.scopes.as_ref(),
        audiences: &request.audiences,
        details: request.details.as_ref(),
    };
    let narrowed = match client.narrow(&stored.granted, &wanted, issuer) {
        Ok(narrowed) => narrowed,
        // A spent token is a replay whatever else is wrong with the request.
        Err(_) if stored.spent => stored.granted.clone(),
        Err(error) => return Verdict::Refuse(error),
    };
    if let Err(error) = client.check_grant(GrantType::RefreshToken) {
        return Verdict::Refuse(error);
    }
    // A replay needs no signature to be one: it costs the token nothing, and ends the family although keyd is away.
    if stored.spent && client.metadata.refresh_retry_s == 0 {
        return Verdict::End(Misuse::Reused);
    }
    Verdict::Rotate(narrowed)
}

/// Whether a grant outlives the session that it was made in.
pub fn is_offline(scopes: &ScopeSet) -> bool {
    scopes.contains(scope::OFFLINE_ACCESS)
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
