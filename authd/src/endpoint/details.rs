//! Rich authorization requests (RFC 9396) where they meet the tenant that defines their types.

use oauth::client::Client;
use oauth::form::Form;
use oauth::rar::{Details, Summary};
use oauth::{Error, ErrorCode};

use crate::failure::Failure;
use crate::issuer::Site;

/// `authorization_details` of a request by this client, checked against what its tenant defines.
pub(super) async fn checked(
    app: &Site<'_>,
    client: &Client,
    parameter: &str,
) -> Result<Result<Details, Error>, Failure> {
    let details = match Details::parse(parameter) {
        Ok(details) => details,
        Err(error) => return Ok(Err(error)),
    };
    let types = app.store.detail_types(client.tenant).await?;
    let allowed = &client.metadata.authorization_details_types;
    Ok(details.check(allowed, &types).map(|()| details))
}

/// The same for a request whose parameters come in a body; `None`: it has none.
pub(super) async fn of_form(
    app: &Site<'_>,
    client: &Client,
    form: &Form,
) -> Result<Option<Details>, Failure> {
    match form.one("authorization_details") {
        Ok(None) => Ok(None),
        Ok(Some(parameter)) => Ok(Some(checked(app, client, parameter).await??)),
        Err(_) => Err(Error::new(
            ErrorCode::InvalidAuthorizationDetails,
            "authorization_details is repeated",
        )
        .into()),
    }
}

/// Every element in words, for whoever decides.
pub(super) async fn in_words(
    app: &Site<'_>,
    client: &Client,
    details: Option<&Details>,
) -> Result<Vec<Summary>, Failure> {
    let Some(details) = details else { return Ok(Vec::new()) };
    Ok(details.describe(&app.store.detail_types(client.tenant).await?))
}
