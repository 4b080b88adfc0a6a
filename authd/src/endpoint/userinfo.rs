//! `/oauth/userinfo` (OIDC Core §5.3): any live access token of the issuer with `openid`.

use http::{Method, StatusCode};
use oauth::userinfo::{bearer, release};
use oauth::{Error, ErrorCode, Hashed};
use web::response::json;
use web::{Request, Response};

use super::authorization;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::routes::form;

pub(crate) async fn answer(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let body = body_token(request)?;
    let token = bearer(authorization(request)?, body.as_deref())?.ok_or(Failure::Bearer(None))?;
    let found = app.store.profile(app.issuer(), Hashed::of(token)).await?;
    let (sub, scopes, profile) = found.ok_or(Failure::Bearer(Some(Error::token())))?;
    let info = release(sub, profile, &scopes).map_err(|error| Failure::Bearer(Some(error)))?;
    Ok(json(StatusCode::OK, &info))
}

/// RFC 6750 §2.2: in a form body of a POST. The query is never read (§2.3), and refused so that nobody
/// comes to rely on it.
fn body_token(request: &Request) -> Result<Option<String>, Failure> {
    if request.query.as_deref().is_some_and(|query| !query.is_empty()) {
        return Err(
            Error::new(ErrorCode::InvalidRequest, "parameters do not belong in the query").into()
        );
    }
    if request.method != Method::POST || request.body.is_empty() {
        return Ok(None);
    }
    let form = form(request)?;
    if form.repeats() {
        return Err(Error::request("a parameter is repeated").into());
    }
    Ok(form.one("access_token").ok().flatten().map(str::to_owned))
}
