//! `grant_type=refresh_token` (RFC 6749 §6).

use oauth::client::{GrantType, Presented};
use oauth::refresh::{RefreshRequest, Refused};
use oauth::secret::Refresh;
use oauth::token::TokenReply;
use oauth::{Error, Plain};
use web::Request;

use super::authenticate;
use super::issue::{Draft, reply, sign};
use crate::app::secret;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::store::{Misuse, Rotate, Rotated};

pub(super) async fn rotate(
    app: &Site<'_>,
    request: &Request,
    presented: &Presented,
    wanted: RefreshRequest,
) -> Result<TokenReply, Failure> {
    let hash = wanted.token.as_ref().map(Plain::hashed);
    let read = app.store.read_refresh(app.issuer(), presented.client_id(), hash).await?;
    let (asker, found) = read.map_or((None, None), |read| (Some(read.asker), read.grant));
    let (client, now) = authenticate(app, request, asker, presented).await?;
    let (Some(hash), Some(found)) = (hash, found) else {
        client.check_grant(GrantType::RefreshToken)?;
        return Err(Error::grant().into());
    };
    let narrowed = match oauth::refresh::narrow(&found.stored, &wanted, &client, app.issuer()) {
        Ok(narrowed) => narrowed,
        Err(Refused::Stolen) => {
            let id = request.id.as_str();
            app.store.end_family(found.id, Misuse::Stolen, &client.id, id).await?;
            return Err(Error::grant().into());
        }
        // A spent token is a replay whatever else is wrong with the request; the gate will say so.
        Err(Refused::Mistake(error)) if !found.spent || found.stored.client != client.key => {
            return Err(error.into());
        }
        Err(Refused::Mistake(_)) => oauth::refresh::Narrowed {
            scopes: found.stored.scopes.clone(),
            audiences: found.stored.audiences.clone(),
            details: found.stored.details.clone(),
        },
    };
    client.check_grant(GrantType::RefreshToken)?;
    // A replay needs no signature to be one: it costs the token nothing, and ends the family although keyd is away.
    if found.spent && client.metadata.refresh_retry_s == 0 {
        let id = request.id.as_str();
        app.store.end_family(found.id, Misuse::Reused, &client.id, id).await?;
        return Err(Error::grant().into());
    }
    let draft = Draft {
        holder: &found.holder,
        scopes: narrowed.scopes,
        audiences: narrowed.audiences,
        details: narrowed.details,
        nonce: None,
        released: None,
        ends_at: Some(found.ends_at),
    };
    let successor = secret::<Refresh>()?;
    let signed = sign(app, &client, draft, now).await?;
    let gate = Rotate {
        presented: hash,
        successor: successor.hashed(),
        grant: found.id,
        retry_s: client.metadata.refresh_retry_s,
        client: &client.id,
        access: &signed.record,
        request_id: request.id.as_str(),
    };
    match app.store.rotate(&gate).await? {
        Rotated::Fresh => Ok(reply(signed, Some(&successor))),
        Rotated::Reused | Rotated::Dead => Err(Error::grant().into()),
    }
}
