//! `grant_type=urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693).

use oauth::client::{GrantType, Presented};
use oauth::exchange::{ExchangeRequest, TokenType};
use oauth::grant::Granted;
use oauth::ids::GrantId;
use oauth::issue::{Draft, Form};
use oauth::token::TokenReply;
use oauth::{Error, Hashed};
use web::Request;

use super::authenticate;
use super::issue::{reply, sign};
use crate::failure::Failure;
use crate::issuer::Site;
use crate::store::Exchange;

pub(super) async fn exchange(
    app: &Site<'_>,
    request: &Request,
    presented: &Presented,
    wanted: &ExchangeRequest,
) -> Result<TokenReply, Failure> {
    let subject = Hashed::of(&wanted.subject.token);
    let actor = wanted.actor.as_ref().map(|actor| Hashed::of(&actor.token));
    let read = app.store.read_exchange(app.issuer(), presented.client_id(), subject, actor).await?;
    let (asker, found) = match read {
        Some(read) => (Some(read.asker), (read.subject, read.actor, read.policies)),
        None => (None, (None, None, Vec::new())),
    };
    let (client, now) = authenticate(app, request, asker, presented).await?;
    client.check_grant(GrantType::TokenExchange)?;
    let (found_subject, found_actor, policies) = found;
    let user = found_subject.as_ref().and_then(|party| party.user);
    let parties = (found_subject, found_actor);
    let exchanged = oauth::exchange::exchange(&client, wanted, parties, &policies)?;
    let draft = Draft {
        holder: &exchanged.holder,
        granted: Granted {
            scopes: exchanged.scopes.clone(),
            audiences: exchanged.audiences.clone(),
            details: exchanged.details.clone(),
        },
        nonce: None,
        released: None,
        ends_at: Some(exchanged.ends_at),
        form: Form::Exchanged { jwt: wanted.requested == Some(TokenType::Jwt) },
    };
    let signed = sign(app, &client, draft, now).await?;
    let gate = Exchange {
        grant: GrantId(uuid::Uuid::now_v7()),
        client: &client,
        exchanged: &exchanged,
        user,
        presented: std::iter::once(subject).chain(actor).collect(),
        access: &signed.record,
        request_id: request.id.as_str(),
    };
    if !app.store.exchange(&gate).await? {
        return Err(Error::request("the subject token cannot be exchanged").into());
    }
    let kind = wanted.requested.unwrap_or(TokenType::Access);
    Ok(TokenReply { issued_token_type: Some(kind.as_str()), ..reply(signed, None) })
}
