//! `/oauth/introspect` (RFC 7662).

use http::StatusCode;
use oauth::introspection::Introspection;
use oauth::{Error, Hashed};
use web::response::json;
use web::{Request, Response};

use super::client;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::routes::form;

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let asker = client(app, request, &form).await?;
    // "to prevent token scanning attacks, the endpoint MUST also require some form of authorization"
    // (RFC 7662 §2.1): a public client's name is none.
    if asker.metadata.is_public() {
        return Err(Failure::Client { basic: false });
    }
    if form.repeats() {
        return Err(Error::request("a parameter is repeated").into());
    }
    let token = form.one("token").ok().flatten().ok_or(Error::request("token is missing"))?;
    let live = app.store.live_token(Hashed::of(token)).await?;
    Ok(json(StatusCode::OK, &Introspection::answer(app.issuer(), live.as_ref(), &asker)))
}
