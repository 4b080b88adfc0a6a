//! From a decision to signed tokens, and from signed tokens to an answer: the same for every grant.

use oauth::claims::{self, AccessToken, Holder, IdToken, Issued};
use oauth::client::{Authenticated, IdTokenAlg};
use oauth::ids::TokenId;
use oauth::rar::Details;
use oauth::secret::{OpaqueAccess, Refresh};
use oauth::token::TokenReply;
use oauth::{Error, ErrorCode, Hashed, Plain, ScopeSet, Timestamp, scope};
use serde_json::{Map, Value};
use wire::{Algorithm, Purpose};

use crate::app::{remaining_s, secret};
use crate::failure::Failure;
use crate::issuer::Site;
use crate::keys;
use crate::store::Access;

/// Longest life of a token for the admin API, in seconds. keyd holds the same ceiling.
const ADMIN_TOKEN_S: u32 = 300;

/// What tokens are made from.
pub(super) struct Draft<'a> {
    pub(super) holder: &'a Holder,
    pub(super) scopes: ScopeSet,
    pub(super) audiences: Vec<String>,
    pub(super) details: Option<Details>,
    pub(super) nonce: Option<&'a str>,
    /// Claims that the request wants in the ID token and its scopes release.
    pub(super) released: Option<Map<String, Value>>,
    /// What the access token may not outlive.
    pub(super) ends_at: Option<Timestamp>,
}

/// Tokens that nobody has seen yet: the gate decides whether anybody will.
pub(super) struct Signed {
    /// The access token as it will be recorded.
    pub(super) record: Access,
    access: String,
    id: Option<String>,
}

/// Which tokens are made, and in what form.
struct Form {
    /// An ID token too, if the scope has `openid` and a person is behind it.
    id_token: bool,
    /// A JWT, though the client usually gets random text.
    jwt: bool,
}

/// Signs before the gate: a signature that is never released harms nobody, a code spent for a signature
/// that never came does.
pub(super) async fn sign(
    app: &Site<'_>,
    client: &Authenticated,
    draft: Draft<'_>,
    now: Timestamp,
) -> Result<Signed, Failure> {
    make(app, client, draft, (now, Form { id_token: true, jwt: false })).await
}

/// The same for a token exchange, whose client is not the one that the person signed in to: an access token
/// alone, as a JWT if it asks for one.
pub(super) async fn sign_exchanged(
    app: &Site<'_>,
    client: &Authenticated,
    draft: Draft<'_>,
    (now, jwt): (Timestamp, bool),
) -> Result<Signed, Failure> {
    make(app, client, draft, (now, Form { id_token: false, jwt })).await
}

async fn make(
    app: &Site<'_>,
    client: &Authenticated,
    draft: Draft<'_>,
    (now, form): (Timestamp, Form),
) -> Result<Signed, Failure> {
    let purpose = purpose(app, client, &draft.audiences)?;
    let left = draft.ends_at.map_or(u32::MAX, |end| remaining_s(end, now));
    let lifetime_s = lifetime_s(app, client, purpose).min(left);
    if lifetime_s == 0 {
        return Err(Error::grant().into());
    }
    let issued = Issued { issuer: app.issuer(), holder: draft.holder, client: &client.id, now };
    let token = AccessToken {
        id: TokenId(uuid::Uuid::new_v4()),
        audiences: &draft.audiences,
        scopes: &draft.scopes,
        details: draft.details.as_ref(),
        lifetime_s,
    };
    // The admin API verifies signatures: its tokens are never opaque.
    let opaque = client.metadata.opaque_access_tokens && !form.jwt;
    let access = if opaque && purpose == Purpose::AccessToken {
        secret::<OpaqueAccess>()?.reveal().to_owned()
    } else {
        keys::sign(app, Algorithm::Es256, purpose, claims::access_token(&issued, &token)).await?
    };
    let openid = draft.scopes.contains(scope::OPENID) && draft.holder.authentication.is_some();
    let id = if form.id_token && openid {
        let token = IdToken {
            nonce: draft.nonce,
            access_token: Some(&access),
            released: draft.released.as_ref(),
            lifetime_s: app.config.lifetimes.id_s,
        };
        let algorithm = algorithm(client.metadata.id_token_alg);
        let claims = claims::id_token(&issued, &token);
        Some(keys::sign(app, algorithm, Purpose::IdToken, claims).await?)
    } else {
        None
    };
    let record = Access {
        id: token.id,
        hash: Hashed::of(&access),
        scopes: draft.scopes,
        audiences: draft.audiences,
        details: draft.details,
        issued_at: now,
        lifetime_s,
    };
    Ok(Signed { record, access, id })
}

fn algorithm(registered: IdTokenAlg) -> Algorithm {
    match registered {
        IdTokenAlg::Rs256 => Algorithm::Rs256,
        IdTokenAlg::Es256 => Algorithm::Es256,
        IdTokenAlg::Ps256 => Algorithm::Ps256,
        IdTokenAlg::Es384 => Algorithm::Es384,
        IdTokenAlg::EdDsa => Algorithm::EdDsa,
    }
}

/// A token for the admin API is of another class, for that audience alone, and for clients of the platform.
fn purpose(app: &Site<'_>, client: &Authenticated, audiences: &[String]) -> Result<Purpose, Error> {
    let admin = &app.config.admin_audience;
    if !audiences.contains(admin) {
        return Ok(Purpose::AccessToken);
    }
    if client.tenant.is_some() || audiences.len() > 1 {
        return Err(Error::new(
            ErrorCode::InvalidTarget,
            "the admin API shares a token with nothing else",
        ));
    }
    Ok(Purpose::AdminToken)
}

fn lifetime_s(app: &Site<'_>, client: &Authenticated, purpose: Purpose) -> u32 {
    let wanted = client.metadata.access_token_lifetime.unwrap_or(app.config.lifetimes.access_s);
    match purpose {
        Purpose::AdminToken => wanted.min(ADMIN_TOKEN_S),
        Purpose::AccessToken | Purpose::IdToken => wanted,
    }
}

/// The answer, once the gate has committed.
pub(super) fn reply(signed: Signed, refresh: Option<&Plain<Refresh>>) -> TokenReply {
    TokenReply {
        access_token: signed.access,
        token_type: "Bearer",
        expires_in: signed.record.lifetime_s,
        refresh_token: refresh.map(|token| token.reveal().to_owned()),
        id_token: signed.id,
        scope: signed.record.scopes.to_string(),
        authorization_details: signed.record.details,
        issued_token_type: None,
    }
}
