//! `grant_type=authorization_code` (RFC 6749 §4.1.3).

use oauth::client::{GrantType, Presented};
use oauth::code::CodeRequest;
use oauth::grant::Wanted;
use oauth::issue::{Draft, Form};
use oauth::secret::Refresh;
use oauth::token::TokenReply;
use oauth::{Error, Plain};
use web::Request;

use super::authenticate;
use super::issue::{reply, sign};
use crate::app::secret;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::store::{Outcome, Redeem};

pub(super) async fn redeem(
    app: &Site<'_>,
    request: &Request,
    presented: &Presented,
    wanted: CodeRequest,
) -> Result<TokenReply, Failure> {
    let hash = wanted.code.as_ref().map(Plain::hashed);
    let read = app.store.read_code(app.issuer(), presented.client_id(), hash).await?;
    let (asker, found) = read.map_or((None, None), |read| (Some(read.asker), read.code));
    let (client, now) = authenticate(app, request, asker, presented).await?;
    client.check_grant(GrantType::AuthorizationCode)?;
    let (Some(hash), Some(found)) = (hash, found) else { return Err(Error::grant().into()) };
    // A code seen spent needs no signature to be refused; the burn sees to what was issued from it.
    let refused = match oauth::code::exchange(&found.stored, &wanted, &client) {
        Err(oauth::code::Refused::Ignore) => return Err(Error::grant().into()),
        Err(oauth::code::Refused::Burn) => Some(Error::grant()),
        Ok(()) => found.spent.then_some(Error::grant()),
    };
    let part =
        Wanted { scopes: None, audiences: &wanted.audiences, details: wanted.details.as_ref() };
    let narrow = || client.narrow(&found.granted, &part, app.issuer());
    let granted = match refused.map_or_else(narrow, Err) {
        Ok(granted) => granted,
        Err(error) => {
            app.store.burn(hash, &client.id, request.id.as_str()).await?;
            return Err(error.into());
        }
    };
    let released = (!found.id_token_claims.is_empty())
        .then(|| oauth::userinfo::released(found.profile, &granted.scopes, &found.id_token_claims));
    let draft = Draft {
        holder: &found.holder,
        granted,
        nonce: found.nonce.as_deref(),
        released,
        ends_at: Some(found.ends_at),
        form: Form::Registered,
    };
    let refresh = if client.metadata.grant_types.contains(&GrantType::RefreshToken) {
        Some(secret::<Refresh>()?)
    } else {
        None
    };
    let signed = sign(app, &client, draft, now).await?;
    let gate = Redeem {
        code: hash,
        client: &client.id,
        access: &signed.record,
        refresh: refresh.as_ref().map(Plain::hashed),
        request_id: request.id.as_str(),
    };
    match app.store.redeem(&gate).await? {
        Outcome::Fresh => Ok(reply(signed, refresh.as_ref())),
        Outcome::Replayed | Outcome::Dead => Err(Error::grant().into()),
    }
}
