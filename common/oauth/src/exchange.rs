//! Token exchange (RFC 8693): who may act for whom, with what, towards whom.
//!
//! Nothing is allowed by default. A *policy* of the requesting client names the audience of tokens that it may
//! exchange, the audience that it may reach with them, and in which way: *delegation* keeps the subject and says
//! who acts (`act`), *impersonation* says only the subject. A policy of the second kind is the authorization
//! server's `may_act` (§4.4): there is no other way to it, and no way at all to a person who administers.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::claims::Holder;
use crate::client::Authenticated;
use crate::error::{Error, ErrorCode};
use crate::form::Form;
use crate::ids::{ClientId, ClientKey, GrantId, TenantId, UserId};
use crate::rar::Details;
use crate::{ScopeSet, Timestamp};

/// Most actors in one chain (W67).
pub const ACTORS_MAX: usize = 5;
/// Longest token that is looked at, in bytes.
const TOKEN_MAX: usize = 16 * 1024;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// What a token is said to be (§3). Those of ours that open doors are access tokens, as random text or as JWT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// An access token in whichever form.
    Access,
    /// An access token in the form of a JWT.
    Jwt,
}

impl TokenType {
    fn parse(text: &str) -> Option<Self> {
        match text {
            ACCESS_TOKEN => Some(Self::Access),
            JWT => Some(Self::Jwt),
            _ => None,
        }
    }

    /// The registered URN.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => ACCESS_TOKEN,
            Self::Jwt => JWT,
        }
    }

    /// Whether a token's text has the form that it is said to have. That it is one of ours is for the look-up.
    fn fits(self, token: &str) -> bool {
        self == Self::Access || token.split('.').count() == 3
    }
}

/// A token and what it is said to be.
pub struct Presented {
    /// The exact text.
    pub token: String,
    /// As said, and not contradicted by its form.
    pub kind: TokenType,
}

/// `grant_type=urn:ietf:params:oauth:grant-type:token-exchange`, parsed (§2.1).
pub struct ExchangeRequest {
    /// On whose behalf.
    pub subject: Presented,
    /// Who acts; `None`: the client itself.
    pub actor: Option<Presented>,
    /// What to issue; `None`: what the client usually gets.
    pub requested: Option<TokenType>,
    /// Narrower scopes, if asked for.
    pub scopes: Option<ScopeSet>,
    /// Towards whom; `resource` and `audience` alike.
    pub audiences: Vec<String>,
    /// Narrower `authorization_details`, if asked for.
    pub details: Option<Details>,
}

impl ExchangeRequest {
    /// From a body without repeats.
    pub fn parse(
        form: &Form,
        scopes: Option<ScopeSet>,
        audiences: Vec<String>,
        details: Option<Details>,
    ) -> Result<Self, Error> {
        let one = |name| form.one(name).ok().flatten();
        let subject = presented(
            one("subject_token").ok_or(Error::request("subject_token is missing"))?,
            one("subject_token_type").ok_or(Error::request("subject_token_type is missing"))?,
        )?;
        let actor = match (one("actor_token"), one("actor_token_type")) {
            (None, None) => None,
            (Some(token), Some(kind)) => Some(presented(token, kind)?),
            // "REQUIRED when the actor_token parameter is present … but MUST NOT be included otherwise."
            (Some(_), None) | (None, Some(_)) => {
                return Err(Error::request("actor_token and actor_token_type go together"));
            }
        };
        let requested = one("requested_token_type")
            .map(|text| {
                TokenType::parse(text)
                    .ok_or(Error::request("requested_token_type: an access token or a jwt"))
            })
            .transpose()?;
        Ok(Self { subject, actor, requested, scopes, audiences, details })
    }
}

fn presented(token: &str, kind: &str) -> Result<Presented, Error> {
    let kind = TokenType::parse(kind).ok_or(Error::request("the token type is not supported"))?;
    if token.len() > TOKEN_MAX || !kind.fits(token) {
        return Err(Error::request("the token is not what its type says"));
    }
    Ok(Presented { token: token.to_owned(), kind })
}

/// A live access token that was presented, as the database knows it.
#[derive(Debug, Clone)]
pub struct Party {
    /// To whom it was issued.
    pub client: ClientKey,
    /// Whose client that is; `None`: the platform's.
    pub tenant: Option<TenantId>,
    /// The person behind it, if any.
    pub user: Option<UserId>,
    /// Whether that person administers anything.
    pub administers: bool,
    /// Whom it is about, and who acts already.
    pub holder: Holder,
    /// `scope`.
    pub scopes: ScopeSet,
    /// `aud`.
    pub audiences: Vec<String>,
    /// RFC 9396 `authorization_details`.
    pub details: Option<Details>,
    /// `exp`.
    pub expires_at: Timestamp,
    /// What it hangs on: its grant, and what that descends from.
    pub grants: Vec<GrantId>,
}

/// What a policy allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The client, or the actor whose token it has, acts for the subject and says so.
    Delegation,
    /// The client appears as the subject.
    Impersonation,
}

impl Mode {
    /// For the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delegation => "delegation",
            Self::Impersonation => "impersonation",
        }
    }
}

/// One line of a client's policy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Policy {
    /// An audience of the tokens that may be exchanged.
    pub subject_audience: String,
    /// An audience that may be reached.
    pub target_audience: String,
    /// How.
    pub mode: Mode,
}

/// What an exchange may issue.
#[derive(Debug, Clone)]
pub struct Exchanged {
    /// Whom the new token is about, with everybody who acts.
    pub holder: Holder,
    /// A subset of the subject token's.
    pub scopes: ScopeSet,
    /// Allowed by the policy.
    pub audiences: Vec<String>,
    /// No more than the subject token's, and of those what concerns the audiences.
    pub details: Option<Details>,
    /// How.
    pub mode: Mode,
    /// What the new token may not outlive.
    pub ends_at: Timestamp,
    /// What it hangs on.
    pub ancestors: Vec<GrantId>,
}

/// Whether the client may have what it asks for. `subject` and `actor` are `None` when no live token has the
/// text that was presented; "the client's own identity" never stands in for either (W65).
pub fn exchange(
    client: &Authenticated,
    request: &ExchangeRequest,
    (subject, actor): (Option<Party>, Option<Party>),
    policies: &[Policy],
) -> Result<Exchanged, Error> {
    let bad = || Error::request("the subject token cannot be exchanged");
    let subject = subject.filter(|party| party.tenant == client.tenant).ok_or_else(bad)?;
    let actor = match &request.actor {
        None => None,
        Some(_) => Some(acting(client, actor)?),
    };
    let (audiences, mode) = reach(&subject, &request.audiences, actor.is_some(), policies)?;
    if mode == Mode::Impersonation && subject.administers {
        return Err(Error::new(
            ErrorCode::UnauthorizedClient,
            "nobody may be taken for a person who administers",
        ));
    }
    let scopes = narrowed(client, &subject.scopes, request.scopes.as_ref())?;
    // As with scopes: what the subject token has, of what the client is registered for (W64).
    let types = &client.metadata.authorization_details_types;
    let granted = subject.details.as_ref().map(|details| details.of_types(types));
    let details = Details::narrow_granted(granted.as_ref(), request.details.as_ref())?
        .map(|details| details.visible_to(&audiences))
        .filter(|details| !details.is_empty());
    let act = match mode {
        Mode::Impersonation => subject.holder.act.clone(),
        Mode::Delegation => Some(acts(&client.id, actor.as_ref(), subject.holder.act.as_ref())?),
    };
    let ends_at =
        actor.as_ref().map_or(subject.expires_at, |actor| subject.expires_at.min(actor.expires_at));
    let grants: BTreeSet<GrantId> = subject
        .grants
        .into_iter()
        .chain(actor.into_iter().flat_map(|actor| actor.grants))
        .collect();
    if grants.len() > 16 {
        return Err(Error::request("the subject token has been exchanged too often"));
    }
    let holder = Holder { act, ..subject.holder };
    let ancestors = grants.into_iter().collect();
    Ok(Exchanged { holder, scopes, audiences, details, mode, ends_at, ancestors })
}

/// An actor's token is good in the hands of the client that it was issued to, or that it was meant for.
fn acting(client: &Authenticated, actor: Option<Party>) -> Result<Party, Error> {
    let own = |actor: &Party| {
        let named = actor.audiences.iter().any(|audience| audience == client.id.as_str());
        actor.tenant == client.tenant && (actor.client == client.key || named)
    };
    actor.filter(own).ok_or(Error::request("the actor token cannot be used"))
}

/// The audiences, and the way in which the policy lets them be reached.
fn reach(
    subject: &Party,
    wanted: &[String],
    has_actor: bool,
    policies: &[Policy],
) -> Result<(Vec<String>, Mode), Error> {
    let applying: Vec<&Policy> = policies
        .iter()
        .filter(|policy| subject.audiences.contains(&policy.subject_audience))
        .collect();
    if applying.is_empty() {
        return Err(Error::new(
            ErrorCode::UnauthorizedClient,
            "the client may not exchange tokens for this audience",
        ));
    }
    // An actor's token says that somebody acts (§1.1); without one the client acts itself, or disappears.
    let modes: &[Mode] =
        if has_actor { &[Mode::Delegation] } else { &[Mode::Impersonation, Mode::Delegation] };
    for mode in modes {
        let allowed: BTreeSet<&String> = applying
            .iter()
            .filter(|policy| policy.mode == *mode)
            .map(|policy| &policy.target_audience)
            .collect();
        if wanted.is_empty() && !allowed.is_empty() {
            return Ok((allowed.into_iter().cloned().collect(), *mode));
        }
        if !wanted.is_empty() && wanted.iter().all(|target| allowed.contains(target)) {
            let unique: BTreeSet<&String> = wanted.iter().collect();
            return Ok((unique.into_iter().cloned().collect(), *mode));
        }
    }
    let description = "the client may not reach this audience with the subject token";
    Err(Error::new(ErrorCode::InvalidTarget, description))
}

/// The scope never widens: what the subject token has, of what the client is registered for.
fn narrowed(
    client: &Authenticated,
    granted: &ScopeSet,
    wanted: Option<&ScopeSet>,
) -> Result<ScopeSet, Error> {
    let allowed = granted.intersection(&client.metadata.scope);
    match wanted {
        None => Ok(allowed),
        Some(wanted) if wanted.is_subset(&allowed) => Ok(wanted.clone()),
        Some(_) => {
            Err(Error::new(ErrorCode::InvalidScope, "beyond the subject token or the client"))
        }
    }
}

/// "The act claim … can be nested" (§4.1): the newest actor outermost.
fn acts(client: &ClientId, actor: Option<&Party>, before: Option<&Value>) -> Result<Value, Error> {
    let mut act = Map::new();
    let sub = actor.map_or(client.as_str(), |actor| actor.holder.sub.as_str());
    act.insert("sub".to_owned(), json!(sub));
    act.insert("client_id".to_owned(), json!(client));
    let mut depth = 1;
    let mut rest = before;
    while let Some(actor) = rest {
        depth += 1;
        rest = actor.get("act");
    }
    if depth > ACTORS_MAX {
        return Err(Error::request("too many actors act for the subject"));
    }
    if let Some(before) = before {
        act.insert("act".to_owned(), before.clone());
    }
    Ok(Value::Object(act))
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
