//! `grant_type=refresh_token` (RFC 6749 §6).

use oauth::client::{GrantType, Presented};
use oauth::issue::{Draft, Form};
use oauth::refresh::{self, RefreshRequest, Verdict};
use oauth::secret::Refresh;
use oauth::token::TokenReply;
use oauth::{Error, Plain};
use web::Request;

use super::authenticate;
use super::issue::{reply, sign};
use crate::app::secret;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::store::{Rotate, Rotated};

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
    let granted = match refresh::decide(&found.stored, &wanted, &client, app.issuer()) {
        Verdict::Rotate(granted) => granted,
        Verdict::End(misuse) => {
            let id = request.id.as_str();
            app.store.end_family(found.id, misuse, &client.id, id).await?;
            return Err(Error::grant().into());
        }
        Verdict::Refuse(error) => return Err(error.into()),
    };
    let draft = Draft {
        holder: &found.holder,
        granted,
        nonce: None,
        released: None,
        ends_at: Some(found.ends_at),
        form: Form::Registered,
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
