//! `/oauth/bc-authorize/complete`: a person's authenticator app lists what waits for them, and answers.
//!
//! The token is the person's own, issued to a first-party client for this very purpose; a relying party's token
//! never does (W61). A request is named by its approval handle, which no client is told.

use http::StatusCode;
use oauth::client::Client;
use oauth::consent::Decision;
use oauth::deferred::Kind;
use oauth::ids::ClientId;
use oauth::secret::ApprovalHandle;
use oauth::throttle::Door;
use oauth::userinfo::bearer;
use oauth::{Error, ErrorCode, Hashed, Plain, ScopeSet, scope};
use serde::Serialize;
use web::response::{empty, json};
use web::{Request, Response};

use super::authorization;
use super::decision::decide;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::keyed;
use crate::routes::form;
use crate::store::{Admission, Authenticator, Reach, Witness};

/// What waits for a person.
#[derive(Serialize)]
struct List {
    requests: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    handle: String,
    client_id: ClientId,
    client_name: String,
    scopes: ScopeSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding_message: Option<String>,
    /// The address that the client asked from.
    origin: String,
    /// Seconds since the epoch.
    created_at: i64,
    /// Seconds.
    expires_in: u32,
}

pub(crate) async fn list(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let who = authenticator(app, request).await?;
    let mut requests = Vec::new();
    for waiting in app.store.waiting_for(&reach(app, &who.client), who.user).await? {
        requests.push(Item {
            handle: keyed::approval_handle(app, &waiting.poll).await?.reveal().to_owned(),
            client_id: waiting.client.id,
            client_name: waiting.client.metadata.client_name,
            scopes: waiting.scopes,
            binding_message: waiting.binding_message,
            origin: waiting.origin,
            created_at: waiting.began_at.0,
            expires_in: waiting.left_s,
        });
    }
    Ok(json(StatusCode::OK, &List { requests }))
}

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let who = authenticator(app, request).await?;
    let form = form(request)?;
    if form.repeats() {
        return Err(Error::request("a parameter is repeated").into());
    }
    let handle = form.one("handle").ok().flatten().ok_or(Error::request("handle is missing"))?;
    let decision =
        Decision::parse(&form).ok_or(Error::request("decision must be approve or deny"))?;
    let Some(handle) = Plain::<ApprovalHandle>::parse(handle) else {
        return Err(missed(app, request).await?);
    };
    let name = *handle.hashed().as_bytes();
    // Somebody else's, or of a client out of reach: as if it were not there.
    let reach = reach(app, &who.client);
    let found = app.store.waiting(&reach, (Kind::Ciba, name), who.user).await?;
    let Some(waiting) = found else { return Err(missed(app, request).await?) };
    let witness = Witness::Token(who.token);
    decide(app, request, (Kind::Ciba, name, &waiting), (who.user, witness), decision).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A handle that names nothing counts, by network: an app lists before it answers.
async fn missed(app: &Site<'_>, request: &Request) -> Result<Failure, Failure> {
    let network = web::network(request.client).to_string();
    let counter = app.throttle_key(Door::Completion, &network).await?;
    Ok(match app.store.reserve(&[counter]).await? {
        Admission::Admitted => Failure::NotFound,
        Admission::Wait(wait_s) => Failure::TooMany(wait_s),
    })
}

/// Whose app shows a token that may be used for this.
async fn authenticator(app: &Site<'_>, request: &Request) -> Result<Authenticator, Failure> {
    if request.query.as_deref().is_some_and(|query| !query.is_empty()) {
        return Err(Error::request("parameters do not belong in the query").into());
    }
    let token = bearer(authorization(request)?, None)?.ok_or(Failure::Bearer(None))?;
    let found = app.store.authenticator(app.issuer(), Hashed::of(token)).await?;
    let who = found.ok_or(Failure::Bearer(Some(Error::token())))?;
    let metadata = &who.client.metadata;
    // Both still hold: the token was issued for it, and the client is still one that may have it.
    let may = metadata.skip_authorization && metadata.scope.contains(scope::CIBA);
    if !may || !who.scopes.contains(scope::CIBA) {
        let description = "the access token is not an authenticator's";
        let error = Error::new(ErrorCode::InsufficientScope, description);
        return Err(Failure::Bearer(Some(error)));
    }
    Ok(who)
}

/// An app of the platform answers requests of every client of the issuer, a tenant's own those of its tenant.
fn reach<'a>(app: &'a Site<'_>, client: &Client) -> Reach<'a> {
    Reach { issuer: app.issuer(), tenant: client.tenant }
}
