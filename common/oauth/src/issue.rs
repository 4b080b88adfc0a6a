//! Which tokens come of a grant: of what kind, in what form, for how long.

use serde_json::{Map, Value};
use wire::{Algorithm, Purpose};

use crate::claims::Holder;
use crate::client::Client;
use crate::grant::{Granted, Lifetimes};
use crate::{Error, ErrorCode, Timestamp, scope};

/// Longest life of a token for the admin API, in seconds. keyd has a ceiling of its own, as long by default.
const ADMIN_TOKEN_S: u32 = 300;

/// What is to be issued.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Whom it is about.
    pub holder: &'a Holder,
    /// What it carries.
    pub granted: Granted,
    /// Of the authentication request, for the ID token.
    pub nonce: Option<&'a str>,
    /// Claims that the request wants in the ID token and its scopes release.
    pub released: Option<Map<String, Value>>,
    /// What the access token may not outlive.
    pub ends_at: Option<Timestamp>,
    /// Which tokens, and how.
    pub form: Form,
}

/// Which tokens are made, and in what form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As the client is registered; an ID token too, if the scope has `openid` and a person is behind it.
    Registered,
    /// Of a token exchange, whose client is not the one that the person signed in to: an access token alone.
    Exchanged {
        /// Asked for as a JWT, though the client usually gets random text.
        jwt: bool,
    },
}

/// What the installation says of tokens.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The audience of the management API.
    pub admin_audience: &'a str,
    /// Defaults.
    pub lifetimes: &'a Lifetimes,
}

/// What is made of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What the access token is, to keyd.
    pub purpose: Purpose,
    /// Seconds that the access token lives; never zero.
    pub lifetime_s: u32,
    /// The access token is random text that introspection explains, and nothing is signed.
    pub opaque: bool,
    /// There is an ID token, signed so.
    pub id_token: Option<Algorithm>,
}

/// Decides what comes of `draft`.
pub fn plan(
    client: &Client,
    draft: &Draft<'_>,
    terms: &Terms<'_>,
    now: Timestamp,
) -> Result<Plan, Error> {
    let purpose = purpose(client, draft, terms)?;
    let wanted_s = client.metadata.access_s(terms.lifetimes);
    let most_s = match purpose {
        Purpose::AdminToken => wanted_s.min(ADMIN_TOKEN_S),
        Purpose::AccessToken | Purpose::IdToken => wanted_s,
    };
    let left_s = draft.ends_at.map_or(u64::from(u32::MAX), |end| end.since(now));
    let lifetime_s = u32::try_from(left_s).unwrap_or(u32::MAX).min(most_s);
    if lifetime_s == 0 {
        return Err(Error::grant());
    }
    let openid = draft.granted.scopes.contains(scope::OPENID);
    let (may_be_opaque, id_token) = match draft.form {
        Form::Registered => (true, openid && draft.holder.authentication.is_some()),
        Form::Exchanged { jwt } => (!jwt, false),
    };
    Ok(Plan {
        purpose,
        lifetime_s,
        // The admin API verifies signatures: its tokens are never opaque.
        opaque: client.metadata.opaque_access_tokens
            && may_be_opaque
            && purpose == Purpose::AccessToken,
        id_token: id_token.then_some(client.metadata.id_token_alg),
    })
}

/// A token for the admin API is of another class, for that audience alone, for clients of the platform, and of a
/// sign-in of its own.
fn purpose(client: &Client, draft: &Draft<'_>, terms: &Terms<'_>) -> Result<Purpose, Error> {
    let audiences = &draft.granted.audiences;
    if !audiences.iter().any(|audience| audience == terms.admin_audience) {
        return Ok(Purpose::AccessToken);
    }
    let refused = |why| Err(Error::new(ErrorCode::InvalidTarget, why));
    match draft.form {
        Form::Exchanged { .. } => refused("a token for the admin API is never exchanged for"),
        Form::Registered if client.tenant.is_some() || audiences.len() > 1 => {
            refused("the admin API shares a token with nothing else")
        }
        Form::Registered => Ok(Purpose::AdminToken),
    }
}

#[cfg(test)]
#[path = "issue_tests.rs"]
mod tests;
