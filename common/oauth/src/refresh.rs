//! Refreshing (RFC 6749 §6), with rotation and reuse detection (RFC 9700 §4.14.2).

use crate::client::Authenticated;
use crate::error::{Error, ErrorCode};
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

/// What was granted.
#[derive(Debug, Clone)]
pub struct StoredGrant {
    /// To whom.
    pub client: ClientKey,
    /// What the person agreed to.
    pub scopes: ScopeSet,
    /// For whom.
    pub audiences: Vec<String>,
    /// RFC 9396 `authorization_details`.
    pub details: Option<Details>,
}

/// What the new access token will carry; the grant itself stays as wide as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrowed {
    /// Subset of the grant's.
    pub scopes: ScopeSet,
    /// Subset of the grant's.
    pub audiences: Vec<String>,
    /// No more than the grant's.
    pub details: Option<Details>,
}

/// Why a refresh token is refused before the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Presented by a client that it was not issued to: a sign of theft, the family dies (W38).
    Stolen,
    /// A mistake of the right client; the token stays good (W39).
    Mistake(Error),
}

/// Whether this request may refresh, and what it will get. "The requested scope MUST NOT include any
/// scope not originally granted by the resource owner" (RFC 6749 §6).
pub fn narrow(
    stored: &StoredGrant,
    request: &RefreshRequest,
    client: &Authenticated,
    issuer: &str,
) -> Result<Narrowed, Refused> {
    if stored.client != client.key {
        // Anybody can call themselves a public client: its word about somebody else's token counts for nothing.
        let unproven = client.metadata.is_public();
        return Err(if unproven { Refused::Mistake(Error::grant()) } else { Refused::Stolen });
    }
    let scopes = request.scopes.clone().unwrap_or_else(|| stored.scopes.clone());
    if scopes.is_empty() || !scopes.is_subset(&stored.scopes) {
        return Err(Refused::Mistake(Error::new(
            ErrorCode::InvalidScope,
            "beyond what was granted",
        )));
    }
    let audiences =
        narrow_audiences(&stored.audiences, &request.audiences).map_err(Refused::Mistake)?;
    client.still_has(&scopes, &audiences, issuer).map_err(Refused::Mistake)?;
    let details = Details::narrow_granted(stored.details.as_ref(), request.details.as_ref())
        .map_err(Refused::Mistake)?;
    Ok(Narrowed { scopes, audiences, details })
}

/// "the client … can specify the desired resource" among those granted (RFC 8707 §2.2); all of them when it
/// names none.
pub fn narrow_audiences(granted: &[String], wanted: &[String]) -> Result<Vec<String>, Error> {
    if wanted.iter().any(|wanted| !granted.contains(wanted)) {
        return Err(Error::new(ErrorCode::InvalidTarget, "beyond what was granted"));
    }
    Ok(if wanted.is_empty() { granted } else { wanted }.to_vec())
}

/// Whether a grant gets a refresh token at all: the client must be registered for it. Without
/// `offline_access` the token dies with the session.
pub fn is_offline(scopes: &ScopeSet) -> bool {
    scopes.contains(scope::OFFLINE_ACCESS)
}
