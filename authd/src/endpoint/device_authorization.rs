//! `/oauth/device_authorization` (RFC 8628 §3.1): a device asks for a code to show.

use std::net::IpAddr;

use http::StatusCode;
use oauth::Hashed;
use oauth::deferred::device::{Reply, Request as DeviceRequest};
use oauth::deferred::{INTERVAL_S, Kind, UserCode};
use oauth::ids::ClientKey;
use oauth::secret::DeviceCode;
use web::response::json;
use web::{Request, Response};

use super::{authenticate, presented};
use crate::app::{random, secret};
use crate::failure::Failure;
use crate::issuer::Site;
use crate::keyed;
use crate::routes::form;
use crate::store::{Begun, NewRequest};

/// Most undecided requests of one client from one network (W136).
const OPEN_MAX: u32 = 50;
/// Seconds after which a client that has too many of them may try again.
const RETRY_S: u32 = 60;
/// A code that is taken is made anew; with a million codes open that happens once in 25 000 times.
const TRIES: usize = 4;

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let presented = presented(request, &form)?;
    let read = app.store.asker_with_defaults(app.issuer(), presented.client_id()).await?;
    let (asker, defaults) = read.unzip();
    let (client, _) = authenticate(app, request, asker, &presented).await?;
    client.check_grant(Kind::Device.grant_type())?;
    let defaults = defaults.unwrap_or_default();
    let checked = DeviceRequest::parse(&form, &client, &defaults, app.issuer())?;
    let details = super::details::of_form(app, &client, &form).await?;
    if client.metadata.is_public() {
        app.admit_anonymous(request)?;
    }
    let code = secret::<DeviceCode>()?;
    let lifetime_s = app.config.lifetimes.device_s;
    let origin = super::origin(request);
    let quota = quota(client.key, web::network(request.client));
    for _ in 0..TRIES {
        let user_code =
            UserCode::from_random(&random()?).ok_or_else(|| Failure::internal("no randomness"))?;
        let new = NewRequest {
            kind: Kind::Device,
            poll: *code.hashed().as_bytes(),
            person: keyed::user_code(app, user_code).await?,
            client: &client,
            user: None,
            request_id: request.id.as_str(),
            scopes: &checked.scopes,
            audiences: &checked.audiences,
            details: details.as_ref(),
            binding_message: None,
            origin: &origin,
            quota: (quota, OPEN_MAX),
            ping: None,
            interval_s: INTERVAL_S,
            lifetime_s,
        };
        match app.store.begin_request(&new).await? {
            Begun::Waiting => {
                let reply = Reply::new(app.issuer(), code.reveal(), user_code, lifetime_s);
                return Ok(json(StatusCode::OK, &reply));
            }
            Begun::TooMany => return Err(Failure::TooMany(RETRY_S)),
            Begun::Collision => {}
        }
    }
    Err(Failure::internal("every user code is taken"))
}

fn quota(client: ClientKey, network: IpAddr) -> [u8; 32] {
    *Hashed::<DeviceCode>::of(&format!("device\n{client}\n{network}")).as_bytes()
}
