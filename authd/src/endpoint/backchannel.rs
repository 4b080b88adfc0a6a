//! `/oauth/bc-authorize` (CIBA §7): a client asks for a person who is elsewhere.
//!
//! Whether the hint names anybody is not said: a request that nobody can approve waits like any other, and costs
//! the same statements (W62, W128).

use http::StatusCode;
use oauth::client::Client;
use oauth::deferred::Kind;
use oauth::deferred::ciba::{Hint, Reply, Request as CibaRequest};
use oauth::secret::AuthReqId;
use oauth::{Error, Hashed, Plain};
use web::response::json;
use web::{Request, Response};
use wire::Class;

use crate::app::secret;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::keyed;
use crate::routes::form;
use crate::store::{Begun, NewRequest};

/// Most undecided requests for one hint in one tenant, and for one person: whoever is asked without end says yes in
/// the end (W62).
const OPEN_MAX: u32 = 3;
/// Seconds after which a client that has asked too often may try again.
const RETRY_S: u32 = 30;

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let client = super::client(app, request, &form).await?;
    client.check_grant(Kind::Ciba.grant_type())?;
    let asked = CibaRequest::parse(&form, &client, app.issuer())?;
    let hint = named(app, &client, asked.hint)?;
    let (email, sub) = match &hint {
        Named::Email(key) => (Some(key.as_str()), None),
        Named::Sub(sub) => (None, Some(sub.as_str())),
    };
    let user = app.store.hinted_person(client.tenant, email, sub).await?;
    let details = super::details::of_form(app, &client, &form).await?;
    let id = secret::<AuthReqId>()?;
    let poll = *id.hashed().as_bytes();
    let handle = keyed::approval_handle(app, &poll).await?;
    let lifetimes = &app.config.lifetimes;
    let expires_in = asked.requested_expiry_s.unwrap_or(lifetimes.ciba_s);
    let new = NewRequest {
        kind: Kind::Ciba,
        poll,
        person: *handle.hashed().as_bytes(),
        client: &client,
        user,
        request_id: request.id.as_str(),
        scopes: &asked.scopes,
        audiences: &asked.audiences,
        details: details.as_ref(),
        binding_message: asked.binding_message.as_deref(),
        origin: &super::origin(request),
        quota: (quota(&client, &hint), OPEN_MAX),
        ping: asked.notification_token.as_ref().map(|token| (token, id.reveal())),
        interval_s: lifetimes.ciba_interval_s,
        lifetime_s: expires_in,
    };
    match app.store.begin_request(&new).await? {
        Begun::Waiting => Ok(reply(&id, expires_in, lifetimes.ciba_interval_s)),
        Begun::TooMany => Err(Failure::TooMany(RETRY_S)),
        Begun::Collision => Err(Failure::internal("a handle is taken")),
    }
}

fn reply(id: &Plain<AuthReqId>, expires_in: u32, interval: u32) -> Response {
    json(StatusCode::OK, &Reply { auth_req_id: id.reveal(), expires_in, interval })
}

/// A hint after its signature was checked, if it has one.
enum Named {
    Email(String),
    Sub(String),
}

/// "The OP MUST validate the signature and that it was the issuer of the ID Token … the OP SHOULD accept ID
/// Tokens … even when the exp time has passed" (CIBA §7.1, OIDC Core §3.1.2.1); and it must have been this
/// client's.
fn named(app: &Site<'_>, client: &Client, hint: Hint) -> Result<Named, Error> {
    let token = match hint {
        Hint::Email(key) => return Ok(Named::Email(key)),
        Hint::Sub(sub) => return Ok(Named::Sub(sub)),
        Hint::IdToken(token) => token,
    };
    let bad = || Error::request("id_token_hint is not an ID token of this client");
    let claims = app.key_set().verify(&token, Class::Token, "JWT").map_err(|_| bad())?;
    let text = |name: &str| claims.get(name).and_then(serde_json::Value::as_str);
    if text("aud") != Some(client.id.as_str()) {
        return Err(bad());
    }
    Ok(Named::Sub(text("sub").ok_or_else(bad)?.to_owned()))
}

/// By tenant and hint as it was given, so that being told to wait says nothing of who is meant: neither that somebody
/// is nor that two hints mean the same person (W62, W128).
fn quota(client: &Client, hint: &Named) -> [u8; 32] {
    let tenant = client.tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
    let subject = match hint {
        Named::Email(key) => format!("ciba address\n{tenant}\n{key}"),
        Named::Sub(sub) => format!("ciba sub\n{tenant}\n{sub}"),
    };
    *Hashed::<AuthReqId>::of(&subject).as_bytes()
}
