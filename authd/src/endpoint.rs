//! One module per endpoint.

pub(crate) mod account;
pub(crate) mod authorize;
pub(crate) mod backchannel;
pub(crate) mod ciba;
pub(crate) mod completion;
pub(crate) mod consent;
pub(crate) mod decision;
pub(crate) mod details;
pub(crate) mod device;
pub(crate) mod device_authorization;
pub(crate) mod enroll;
pub(crate) mod introspect;
pub(crate) mod landing;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod metadata;
pub(crate) mod par;
pub(crate) mod reset;
pub(crate) mod revoke;
pub(crate) mod token;
pub(crate) mod userinfo;

use oauth::client::{Authenticated, Evidence, Presented, Unproven};
use oauth::form::Form;
use oauth::jwk::KeySet;
use oauth::throttle::{Door, at};
use web::Request;

use crate::failure::Failure;
use crate::issuer::Site;
use crate::store::{Admission, Asker};

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

/// Whoever was read for `presented` proves to be it, or is told what an unknown client is told. An assertion is
/// spent here, before anything is done for it (W75).
pub(crate) async fn authenticate(
    app: &Site<'_>,
    request: &Request,
    asker: Option<Asker>,
    presented: &Presented,
) -> Result<(Authenticated, oauth::Timestamp), Failure> {
    let Some(asker) = asker else { return Err(refuse(app, request, presented).await) };
    let now = asker.now;
    let fetched = asker.fetched_jwks.as_ref().and_then(|jwks| KeySet::published(jwks).ok());
    let endpoint = format!("{}{}", app.config.issuer, request.path);
    let evidence = Evidence {
        secrets: &asker.secrets,
        fetched: fetched.as_ref(),
        issuer: app.issuer(),
        endpoint: &endpoint,
        now,
    };
    let key = asker.client.key;
    match asker.client.authenticate(presented, &evidence, signer::client_key::verify) {
        Ok((client, None)) => Ok((client, now)),
        Ok((client, Some(proven))) => {
            if app.store.spend_assertion(key, &proven).await? {
                Ok((client, now))
            } else {
                Err(refuse(app, request, presented).await)
            }
        }
        Err(unproven) => {
            if unproven.wants_keys() {
                app.store.want_keys(key).await?;
            }
            match unproven {
                // Nothing can be said of the assertion until the courier has been there.
                Unproven::KeysMissing => Err(Failure::Unavailable),
                Unproven::KeyUnknown | Unproven::Refused => {
                    Err(refuse(app, request, presented).await)
                }
            }
        }
    }
}

/// A failed authentication counts, by client and network, and by the network whatever name it comes up with (W136).
/// Whoever has failed too often is told to wait; a right credential never is: it has 256 bits, and others behind the
/// same address may be the ones who guess.
async fn refuse(app: &Site<'_>, request: &Request, presented: &Presented) -> Failure {
    match count_failure(app, request, presented).await {
        Ok(Admission::Admitted) => {
            Failure::Client { basic: matches!(presented, Presented::Basic(..)) }
        }
        Ok(Admission::Wait(wait_s)) => Failure::TooMany(wait_s),
        Err(failure) => failure,
    }
}

async fn count_failure(
    app: &Site<'_>,
    request: &Request,
    presented: &Presented,
) -> Result<Admission, Failure> {
    let network = web::network(request.client);
    let keys = [
        app.throttle_key(Door::Client, &at(presented.client_id().as_str(), network)).await?,
        app.throttle_key(Door::ClientNetwork, &network.to_string()).await?,
    ];
    Ok(app.store.reserve(&keys).await?)
}

/// Reads and authenticates in one step, for the endpoints that need nothing else at the same time.
pub(crate) async fn client(
    app: &Site<'_>,
    request: &Request,
    form: &Form,
) -> Result<Authenticated, Failure> {
    let presented = presented(request, form)?;
    let asker = app.store.asker(app.issuer(), presented.client_id()).await?;
    Ok(authenticate(app, request, asker, &presented).await?.0)
}

/// The address that a request came from, as whoever decides about it is shown it.
pub(crate) fn origin(request: &Request) -> String {
    request.client.to_canonical().to_string()
}

fn client_failure(error: oauth::Error, header: Option<&str>) -> Failure {
    if error.code == oauth::ErrorCode::InvalidClient {
        let basic = header
            .is_some_and(|value| value.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("basic")));
        return Failure::Client { basic };
    }
    error.into()
}
