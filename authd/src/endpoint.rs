//! One module per endpoint.

pub(crate) mod authorize;
pub(crate) mod backchannel;
pub(crate) mod ciba;
pub(crate) mod completion;
pub(crate) mod consent;
pub(crate) mod decision;
pub(crate) mod device;
pub(crate) mod device_authorization;
pub(crate) mod enroll;
pub(crate) mod introspect;
pub(crate) mod landing;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod metadata;
pub(crate) mod revoke;
pub(crate) mod token;
pub(crate) mod userinfo;

use oauth::client::{Authenticated, Presented};
use oauth::form::Form;
use web::Request;

use crate::failure::Failure;
use crate::issuer::Site;
use crate::store::Asker;

/// What a request presents to authenticate its client.
pub(crate) fn presented(request: &Request, form: &Form) -> Result<Presented, Failure> {
    let header = authorization(request)?;
    Presented::parse(header, form).map_err(|error| client_failure(error, header))
}

/// The one `Authorization` header; two are an invalid request (W88).
pub(crate) fn authorization(request: &Request) -> Result<Option<&str>, Failure> {
    let twice = oauth::Error::request("the Authorization header is repeated or malformed");
    request.header("authorization").map_err(|_| twice.into())
}

/// Whoever was read for `presented` proves to be it, or is told what an unknown client is told.
pub(crate) fn authenticate(
    asker: Option<Asker>,
    presented: &Presented,
) -> Result<(Authenticated, oauth::Timestamp), Failure> {
    let basic = matches!(presented, Presented::Basic(..));
    let asker = asker.ok_or(Failure::Client { basic })?;
    let now = asker.now;
    let client = asker
        .client
        .authenticate(presented, &asker.secrets, now)
        .map_err(|_| Failure::Client { basic })?;
    Ok((client, now))
}

/// Reads and authenticates in one step, for the endpoints that need nothing else at the same time.
pub(crate) async fn client(
    app: &Site<'_>,
    request: &Request,
    form: &Form,
) -> Result<Authenticated, Failure> {
    let presented = presented(request, form)?;
    let asker = app.store.asker(app.issuer(), presented.client_id()).await?;
    Ok(authenticate(asker, &presented)?.0)
}

/// The address that a request came from, as whoever decides about it is shown it.
pub(crate) fn origin(request: &Request) -> String {
    request.peer.ip().to_canonical().to_string()
}

fn client_failure(error: oauth::Error, header: Option<&str>) -> Failure {
    if error.code == oauth::ErrorCode::InvalidClient {
        let basic = header
            .is_some_and(|value| value.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("basic")));
        return Failure::Client { basic };
    }
    error.into()
}
