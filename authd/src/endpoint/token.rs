//! `/oauth/token`: read, decide, sign, gate, answer. Nothing is released before the commit; an outage of
//! keyd or PostgreSQL spends nothing. One module per grant; what they share is in [`issue`].

mod code;
mod deferred;
mod exchange;
mod issue;
mod machine;
mod refresh;

use http::StatusCode;
use oauth::token::TokenRequest;
use web::response::json;
use web::{Request, Response};

use super::{authenticate, presented};
use crate::failure::Failure;
use crate::issuer::Site;
use crate::routes::form;

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    // "the client MUST authenticate": who asks comes before what is asked (W38).
    let presented = presented(request, &form)?;
    let parsed = TokenRequest::parse(&form);
    let reply = match parsed {
        Ok(TokenRequest::Code(wanted)) => code::redeem(app, request, &presented, wanted).await?,
        Ok(TokenRequest::Refresh(wanted)) => {
            refresh::rotate(app, request, &presented, wanted).await?
        }
        Ok(TokenRequest::ClientCredentials(wanted)) => {
            machine::grant(app, request, &presented, &wanted).await?
        }
        Ok(TokenRequest::Exchange(wanted)) => {
            exchange::exchange(app, request, &presented, &wanted).await?
        }
        Ok(TokenRequest::Device(wanted)) => {
            deferred::redeem(app, request, &presented, wanted.into()).await?
        }
        Ok(TokenRequest::Ciba(wanted)) => {
            deferred::redeem(app, request, &presented, wanted.into()).await?
        }
        Err(error) => {
            let asker = app.store.asker(app.issuer(), presented.client_id()).await?;
            authenticate(app, request, asker, &presented).await?;
            return Err(error.into());
        }
    };
    Ok(json(StatusCode::OK, &reply))
}
