//! Redeeming an authorization code (RFC 6749 §4.1.3).
//!
//! Only facts that never change are judged here: client, redirect URI, PKCE. Whether the code is unused,
//! unexpired and its grant alive is the gate's question alone, asked in the one statement that spends it.

use crate::client::Authenticated;
use crate::ids::ClientKey;
use crate::pkce::Challenge;
use crate::rar::Details;
use crate::secret::{Code, Plain};

/// `grant_type=authorization_code`, parsed.
pub struct CodeRequest {
    /// The code; `None`: its text cannot be one of ours.
    pub code: Option<Plain<Code>>,
    /// As presented.
    pub redirect_uri: Option<String>,
    /// As presented.
    pub verifier: Option<String>,
    /// Audiences asked for.
    pub audiences: Vec<String>,
    /// Narrower `authorization_details`, if asked for (RFC 9396 §6).
    pub details: Option<Details>,
}

/// What was stored when the code was issued.
#[derive(Debug, Clone)]
pub struct StoredCode {
    /// To whom.
    pub client: ClientKey,
    /// Exactly as the authorization request presented it.
    pub redirect_uri: String,
    /// S256, if any.
    pub challenge: Option<Challenge>,
}

/// Why a redemption is refused before the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The code is spent with it: whoever holds it has shown a mistake or a theft (D6).
    Burn,
    /// The code stays good: anybody can call themselves a public client, and its word about somebody else's
    /// code counts for nothing.
    Ignore,
}

/// Whether this request may redeem this code.
pub fn exchange(
    stored: &StoredCode,
    request: &CodeRequest,
    client: &Authenticated,
) -> Result<(), Refused> {
    if stored.client != client.key {
        return Err(if client.metadata.is_public() { Refused::Ignore } else { Refused::Burn });
    }
    // "if the redirect_uri parameter was included in the initial authorization request … their values
    // MUST be identical" (RFC 6749 §4.1.3); here it always was.
    if request.redirect_uri.as_deref() != Some(stored.redirect_uri.as_str()) {
        return Err(Refused::Burn);
    }
    match (&stored.challenge, &request.verifier) {
        (Some(challenge), Some(verifier)) if challenge.is_met_by(verifier) => Ok(()),
        // A verifier without a challenge is a PKCE downgrade under way (RFC 9700 §2.1.1).
        (Some(_), _) | (None, Some(_)) => Err(Refused::Burn),
        (None, None) => Ok(()),
    }
}
