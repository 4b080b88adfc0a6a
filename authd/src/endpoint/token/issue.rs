//! From a decision to signed tokens, and from signed tokens to an answer: the same for every grant.

use oauth::claims::{self, AccessToken, IdToken, Issued};
use oauth::client::Authenticated;
use oauth::ids::TokenId;
use oauth::issue::{self, Draft, Terms};
use oauth::secret::{OpaqueAccess, Refresh};
use oauth::token::TokenReply;
use oauth::{Hashed, Plain, Timestamp};
use wire::{Algorithm, Purpose};

use crate::app::secret;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::keys;
use crate::store::Access;

/// Tokens that nobody has seen yet: the gate decides whether anybody will.
pub(super) struct Signed {
    /// The access token as it will be recorded.
    pub(super) record: Access,
    access: String,
    id: Option<String>,
}

/// Signs before the gate: a signature that is never released harms nobody, a code spent for a signature
/// that never came does.
pub(super) async fn sign(
    app: &Site<'_>,
    client: &Authenticated,
    draft: Draft<'_>,
    now: Timestamp,
) -> Result<Signed, Failure> {
    let lifetimes = &app.config.lifetimes.tokens;
    let terms = Terms { admin_audience: &app.config.admin_audience, lifetimes };
    let plan = issue::plan(client, &draft, &terms, now)?;
    let issued = Issued { issuer: app.issuer(), holder: draft.holder, client: &client.id, now };
    let token = AccessToken {
        id: TokenId(uuid::Uuid::new_v4()),
        audiences: &draft.granted.audiences,
        scopes: &draft.granted.scopes,
        details: draft.granted.details.as_ref(),
        lifetime_s: plan.lifetime_s,
    };
    let access = if plan.opaque {
        secret::<OpaqueAccess>()?.reveal().to_owned()
    } else {
        let claims = claims::access_token(&issued, &token);
        keys::sign(app, Algorithm::Es256, plan.purpose, claims).await?
    };
    let id = match plan.id_token {
        Some(algorithm) => {
            let token = IdToken {
                nonce: draft.nonce,
                access_token: Some(&access),
                released: draft.released.as_ref(),
                lifetime_s: lifetimes.id_s,
            };
            let claims = claims::id_token(&issued, &token);
            Some(keys::sign(app, algorithm, Purpose::IdToken, claims).await?)
        }
        None => None,
    };
    let record = Access {
        id: token.id,
        hash: Hashed::of(&access),
        scopes: draft.granted.scopes,
        audiences: draft.granted.audiences,
        details: draft.granted.details,
        issued_at: now,
        lifetime_s: plan.lifetime_s,
    };
    Ok(Signed { record, access, id })
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
