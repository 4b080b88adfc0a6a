//! `/oauth/revoke` (RFC 7009): access and refresh tokens.

use http::StatusCode;
use oauth::{Error, ErrorCode, Hashed};
use web::response::empty;
use web::{Request, Response};

use super::client;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::routes::form;
use crate::store::Revoked;

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let asker = client(app, request, &form).await?;
    if form.repeats() {
        return Err(Error::request("a parameter is repeated").into());
    }
    let token = form.one("token").ok().flatten().ok_or(Error::request("token is missing"))?;
    match app.store.revoke(Hashed::of(token), asker.key, &asker.id, request.id.as_str()).await? {
        // "invalid tokens do not cause an error response" (RFC 7009 §2.2).
        Revoked::Done => Ok(empty(StatusCode::OK)),
        Revoked::Foreign => {
            Err(Error::new(ErrorCode::UnauthorizedClient, "the token was issued to another client")
                .into())
        }
    }
}
