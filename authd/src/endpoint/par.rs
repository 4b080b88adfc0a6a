//! `/oauth/par` (RFC 9126): a client sends its authorization request ahead, authenticated, and gets a name for it.

use http::StatusCode;
use oauth::Error;
use oauth::authorize::{PageError, REQUEST_URI, Unbound};
use oauth::client::GrantType;
use oauth::secret::Pushed;
use serde_json::json;
use web::{Request, Response};

use super::authorize::{checked, hinted};
use super::client;
use crate::app::secret;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::routes::form;

/// Seconds in which a browser must bring the name; what comes then may take as long as any sign-in.
const EXPIRES_S: u32 = 90;

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let asker = client(app, request, &form).await?;
    asker.check_grant(GrantType::AuthorizationCode)?;
    // Whoever names a public client has proved nothing and leaves a row behind (W136).
    if asker.metadata.is_public() {
        app.admit_anonymous(request)?;
    }
    let unbound = Unbound::pushed(form, &asker)?;
    let bound = unbound.bind(&asker).map_err(|error| match error {
        PageError::RedirectUri => {
            Error::request("redirect_uri is missing or is not registered for the client")
        }
        PageError::Malformed(_) | PageError::Client | PageError::RequestUri => Error::client(),
    })?;
    let hinted_sub = match bound.id_token_hint().map(|token| hinted(app, token)) {
        Some(None) => return Err(Error::request("id_token_hint is not ours").into()),
        Some(sub) => sub,
        None => None,
    };
    let mut stored = match checked(app, bound, &asker).await? {
        Ok(stored) => stored,
        Err(refusal) => return Err(Error::new(refusal.code, refusal.description).into()),
    };
    stored.hinted_sub = hinted_sub.or(stored.hinted_sub);
    let name = secret::<Pushed>()?;
    app.store.insert_pushed(name.hashed(), asker.key, &stored, EXPIRES_S).await?;
    let uri = format!("{REQUEST_URI}{}", name.reveal());
    let body = json!({ "request_uri": uri, "expires_in": EXPIRES_S });
    Ok(web::response::json(StatusCode::CREATED, &body))
}
