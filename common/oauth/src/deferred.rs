//! Requests that a person decides elsewhere: device authorization (RFC 8628) and CIBA (OpenID Connect
//! Client-Initiated Backchannel Authentication 1.0).
//!
//! Both have the same life: a client begins one and polls with a secret; a person decides with another. What a
//! poll hears is [`poll`] alone. How each begins is in [`device`] and [`ciba`].

pub mod ciba;
pub mod device;
mod user_code;

use crate::client::{Authenticated, GrantType};
use crate::error::{Error, ErrorCode};
use crate::ids::ClientKey;
use crate::rar::Details;
use crate::secret::{AuthReqId, DeviceCode, Plain};
use crate::{ScopeSet, Timestamp, scope};

pub use user_code::UserCode;

/// Seconds between polls that a client is told at first, unless a setting says otherwise (RFC 8628 §3.2: "If
/// no value is provided, clients MUST use 5 as the default").
pub const INTERVAL_S: u32 = 5;

/// Seconds since a person last proved who they are, after which they prove it again before deciding: whoever
/// holds a forgotten session must not be able to let another device in (RFC 10027; W58).
pub const FRESH_S: u32 = 300;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RFC 8628.
    Device,
    /// CIBA.
    Ciba,
}

impl Kind {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Ciba => "ciba",
        }
    }

    /// The grant that redeems it.
    pub const fn grant_type(self) -> GrantType {
        match self {
            Self::Device => GrantType::DeviceCode,
            Self::Ciba => GrantType::Ciba,
        }
    }
}

/// `grant_type=urn:ietf:params:oauth:grant-type:device_code`, parsed.
pub struct DeviceTokenRequest {
    /// `None`: its text cannot be one of ours.
    pub code: Option<Plain<DeviceCode>>,
    /// Audiences asked for.
    pub audiences: Vec<String>,
    /// Narrower `authorization_details`, if asked for.
    pub details: Option<Details>,
}

/// `grant_type=urn:openid:params:grant-type:ciba`, parsed.
pub struct CibaTokenRequest {
    /// `None`: its text cannot be one of ours.
    pub id: Option<Plain<AuthReqId>>,
    /// Audiences asked for.
    pub audiences: Vec<String>,
    /// Narrower `authorization_details`, if asked for.
    pub details: Option<Details>,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has decided.
    Undecided,
    /// Somebody said no.
    Declined,
    /// Somebody said yes.
    Approved,
    /// Its tokens were issued.
    Redeemed,
}

/// What a poll is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Who began it.
    pub client: ClientKey,
    /// How far it has come.
    pub state: State,
    /// Its end, decided or not.
    pub expires_at: Timestamp,
    /// The poll before this one.
    pub polled_at: Option<Timestamp>,
    /// Seconds that lie between polls.
    pub interval_s: u32,
}

/// Why a poll gets no tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is another client's.
    Foreign,
    /// Its tokens were issued already.
    Redeemed,
    /// Too late, whatever was decided.
    Expired,
    /// The person declined.
    Declined,
    /// Nobody has decided.
    Undecided,
    /// Nobody has decided, and the client asks before its interval has passed.
    TooSoon,
}

impl Refused {
    /// Whether the poll is noted: only while something may still become of it.
    pub const fn is_noted(self) -> bool {
        matches!(self, Self::Undecided | Self::TooSoon)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Foreign | Refused::Redeemed => Self::grant(),
            Refused::Expired => {
                Self::new(ErrorCode::ExpiredToken, "the request was not decided in time")
            }
            Refused::Declined => Self::new(ErrorCode::AccessDenied, "the request was declined"),
            Refused::Undecided => {
                Self::new(ErrorCode::AuthorizationPending, "the request is not decided yet")
            }
            Refused::TooSoon => Self::new(
                ErrorCode::SlowDown,
                "the request is not decided yet; wait five seconds longer between polls",
            ),
        }
    }
}

/// What a poll hears; `Ok`: it may redeem, and the gate asks once more.
///
/// `slow_down` is a variant of `authorization_pending` (RFC 8628 §3.5): once somebody has decided, a hasty
/// poll is answered like any other.
pub fn poll(stored: &Stored, client: &Authenticated, now: Timestamp) -> Result<(), Refused> {
    if stored.client != client.key {
        return Err(Refused::Foreign);
    }
    if stored.state == State::Redeemed {
        return Err(Refused::Redeemed);
    }
    if now >= stored.expires_at {
        return Err(Refused::Expired);
    }
    let hasty = stored.polled_at.is_some_and(|last| now < last.plus(stored.interval_s));
    match stored.state {
        State::Undecided if hasty => Err(Refused::TooSoon),
        State::Undecided => Err(Refused::Undecided),
        State::Declined => Err(Refused::Declined),
        State::Approved => Ok(()),
        State::Redeemed => Err(Refused::Redeemed),
    }
}

/// What no request decided elsewhere may ask for: whoever talks a person into approving a code must not
/// become an administrator, or the one who approves (W58: a ceiling).
fn below_ceiling(scopes: &ScopeSet) -> Result<(), Error> {
    if scopes.contains(scope::ADMIN) || scopes.contains(scope::CIBA) {
        return Err(Error::new(
            ErrorCode::InvalidScope,
            "this scope cannot be asked for on another device",
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "deferred/tests.rs"]
mod tests;
