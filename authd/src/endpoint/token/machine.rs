//! `grant_type=client_credentials` (RFC 6749 §4.4).

use oauth::claims::Holder;
use oauth::client::{GrantType, Presented};
use oauth::ids::GrantId;
use oauth::issue::{Draft, Form};
use oauth::machine::ClientCredentialsRequest;
use oauth::token::TokenReply;
use oauth::{Error, ErrorCode};
use web::Request;

use super::authenticate;
use super::issue::{reply, sign};
use crate::failure::Failure;
use crate::issuer::Site;
use crate::store::MachineGrant;

pub(super) async fn grant(
    app: &Site<'_>,
    request: &Request,
    presented: &Presented,
    wanted: &ClientCredentialsRequest,
) -> Result<TokenReply, Failure> {
    let asker = app.store.asker(app.issuer(), presented.client_id()).await?;
    let (client, now) = authenticate(app, request, asker, presented).await?;
    client.check_grant(GrantType::ClientCredentials)?;
    let granted = wanted.judge(&client, app.issuer())?;
    if let Some(details) = &wanted.details {
        let types = app.store.detail_types(client.tenant).await?;
        details.check(&client.metadata.authorization_details_types, &types)?;
    }
    let holder = Holder { sub: client.id.as_str().to_owned(), authentication: None, act: None };
    let draft = Draft {
        holder: &holder,
        granted,
        nonce: None,
        released: None,
        ends_at: None,
        form: Form::Registered,
    };
    let signed = sign(app, &client, draft, now).await?;
    let gate = MachineGrant {
        grant: GrantId(uuid::Uuid::now_v7()),
        client: &client,
        access: &signed.record,
        request_id: request.id.as_str(),
    };
    if !app.store.grant_machine(&gate).await? {
        // Disabled since it was read; or somebody's `sub` is spelt like this client's id (W31).
        return Err(Error::new(
            ErrorCode::UnauthorizedClient,
            "the client may not be granted a token of its own",
        )
        .into());
    }
    Ok(reply(signed, None))
}
