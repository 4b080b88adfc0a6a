//! `/oauth/token`: read, decide, sign, gate, answer. Nothing is released before the commit; an outage of
//! keyd or PostgreSQL spends nothing.

use http::StatusCode;
use oauth::claims::{self, AccessToken, Authentication, Issued};
use oauth::client::{Authenticated, GrantType, IdTokenAlg, Presented};
use oauth::code::CodeRequest;
use oauth::ids::TokenId;
use oauth::refresh::{RefreshRequest, Refused};
use oauth::secret::Refresh;
use oauth::token::{TokenReply, TokenRequest};
use oauth::{Error, ErrorCode, Hashed, Plain, ScopeSet, Timestamp, scope};
use web::response::json;
use web::{Request, Response};
use wire::{Algorithm, Purpose};

use super::{authenticate, presented};
use crate::app::{App, remaining_s, secret};
use crate::failure::Failure;
use crate::keys;
use crate::routes::form;
use crate::store::{Access, CodeGrant, Outcome, Redeem, Rotate, Rotated};

/// Longest life of a token for the admin API, in seconds. keyd holds the same ceiling.
const ADMIN_TOKEN_S: u32 = 300;

pub(crate) async fn post(app: &App, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    // "the client MUST authenticate": who asks comes before what is asked (W38).
    let presented = presented(request, &form)?;
    let parsed = TokenRequest::parse(&form);
    let reply = match parsed {
        Ok(TokenRequest::Code(wanted)) => code(app, request, &presented, wanted).await?,
        Ok(TokenRequest::Refresh(wanted)) => refresh(app, request, &presented, wanted).await?,
        Err(error) => {
            let asker = app.store.asker(presented.client_id()).await?;
            authenticate(asker, &presented)?;
            return Err(error.into());
        }
    };
    Ok(json(StatusCode::OK, &reply))
}

fn check_grant(client: &Authenticated, grant: GrantType) -> Result<(), Error> {
    if client.metadata.grant_types.contains(&grant) {
        return Ok(());
    }
    Err(Error::new(ErrorCode::UnauthorizedClient, "the client may not use this grant type"))
}

async fn code(
    app: &App,
    request: &Request,
    presented: &Presented,
    wanted: CodeRequest,
) -> Result<TokenReply, Failure> {
    let hash = wanted.code.as_ref().map(Plain::hashed);
    let read = app.store.read_code(presented.client_id(), hash).await?;
    let (asker, found) = read.map_or((None, None), |read| (Some(read.asker), read.code));
    let (client, now) = authenticate(asker, presented)?;
    check_grant(&client, GrantType::AuthorizationCode)?;
    let (Some(hash), Some(found)) = (hash, found) else { return Err(Error::grant().into()) };
    // A code seen spent needs no signature to be refused; the burn sees to what was issued from it.
    let refused = match oauth::code::exchange(&found.stored, &wanted, &client) {
        Err(oauth::code::Refused::Ignore) => return Err(Error::grant().into()),
        Err(oauth::code::Refused::Burn) => Some(Error::grant()),
        Ok(()) => found.spent.then_some(Error::grant()),
    };
    let audiences = refused.map_or_else(|| code_audiences(app, &found, &wanted, &client), Err);
    let audiences = match audiences {
        Ok(audiences) => audiences,
        Err(error) => {
            app.store.burn(hash, &client.id, request.id.as_str()).await?;
            return Err(error.into());
        }
    };
    let authentication =
        Authentication { auth_time: found.auth_time, amr: found.amr, session: found.session };
    let draft = Draft {
        sub: &found.sub,
        scopes: found.scopes,
        audiences,
        nonce: found.nonce.as_deref(),
        ends_at: found.ends_at,
        authentication: &authentication,
    };
    let refresh = if client.metadata.grant_types.contains(&GrantType::RefreshToken) {
        Some(secret::<Refresh>()?)
    } else {
        None
    };
    let (access, signed) = sign(app, &client, draft, now).await?;
    let lifetime_s = access.lifetime_s;
    let granted = access.scopes.to_string();
    let gate = Redeem {
        code: hash,
        client: &client.id,
        access,
        refresh: refresh.as_ref().map(Plain::hashed),
        request_id: request.id.as_str(),
    };
    match app.store.redeem(&gate).await? {
        Outcome::Fresh => Ok(reply(signed, lifetime_s, granted, refresh.as_ref())),
        Outcome::Replayed | Outcome::Dead => Err(Error::grant().into()),
    }
}

/// The audiences that the code's token will name, and whether what was granted is still the client's.
fn code_audiences(
    app: &App,
    found: &CodeGrant,
    wanted: &CodeRequest,
    client: &Authenticated,
) -> Result<Vec<String>, Error> {
    let audiences = oauth::refresh::narrow_audiences(&found.audiences, &wanted.audiences)?;
    client.still_has(&found.scopes, &audiences, app.issuer())?;
    Ok(audiences)
}

async fn refresh(
    app: &App,
    request: &Request,
    presented: &Presented,
    wanted: RefreshRequest,
) -> Result<TokenReply, Failure> {
    let hash = wanted.token.as_ref().map(Plain::hashed);
    let read = app.store.read_refresh(presented.client_id(), hash).await?;
    let (asker, found) = read.map_or((None, None), |read| (Some(read.asker), read.grant));
    let (client, now) = authenticate(asker, presented)?;
    let (Some(hash), Some(found)) = (hash, found) else {
        check_grant(&client, GrantType::RefreshToken)?;
        return Err(Error::grant().into());
    };
    let narrowed = match oauth::refresh::narrow(&found.stored, &wanted, &client, app.issuer()) {
        Ok(narrowed) => narrowed,
        Err(Refused::Stolen) => {
            app.store.stolen(found.id, &client.id, request.id.as_str()).await?;
            return Err(Error::grant().into());
        }
        // A spent token is a replay whatever else is wrong with the request; the gate will say so.
        Err(Refused::Mistake(error)) if !found.spent || found.stored.client != client.key => {
            return Err(error.into());
        }
        Err(Refused::Mistake(_)) => oauth::refresh::Narrowed {
            scopes: found.stored.scopes.clone(),
            audiences: found.stored.audiences.clone(),
        },
    };
    check_grant(&client, GrantType::RefreshToken)?;
    let authentication =
        Authentication { auth_time: found.auth_time, amr: found.amr, session: found.session };
    let draft = Draft {
        sub: &found.sub,
        scopes: narrowed.scopes,
        audiences: narrowed.audiences,
        nonce: None,
        ends_at: found.ends_at,
        authentication: &authentication,
    };
    let successor = secret::<Refresh>()?;
    let (access, signed) = sign(app, &client, draft, now).await?;
    let lifetime_s = access.lifetime_s;
    let granted = access.scopes.to_string();
    let gate = Rotate {
        presented: hash,
        successor: successor.hashed(),
        grant: found.id,
        retry_s: client.metadata.refresh_retry_s,
        client: &client.id,
        access,
        request_id: request.id.as_str(),
    };
    match app.store.rotate(&gate).await? {
        Rotated::Fresh => Ok(reply(signed, lifetime_s, granted, Some(&successor))),
        Rotated::Reused | Rotated::Dead => Err(Error::grant().into()),
    }
}

/// What tokens are made from.
struct Draft<'a> {
    sub: &'a str,
    scopes: ScopeSet,
    audiences: Vec<String>,
    nonce: Option<&'a str>,
    ends_at: Timestamp,
    authentication: &'a Authentication,
}

struct Signed {
    access: String,
    id: Option<String>,
}

/// Signs before the gate: a signature that is never released harms nobody, a code spent for a signature
/// that never came does.
async fn sign(
    app: &App,
    client: &Authenticated,
    draft: Draft<'_>,
    now: Timestamp,
) -> Result<(Access, Signed), Failure> {
    let purpose = purpose(app, client, &draft.audiences)?;
    let lifetime_s = lifetime_s(app, client, purpose).min(remaining_s(draft.ends_at, now));
    if lifetime_s == 0 {
        return Err(Error::grant().into());
    }
    let issued = Issued {
        issuer: app.issuer(),
        sub: draft.sub,
        client: &client.id,
        now,
        authentication: draft.authentication,
    };
    let token = AccessToken {
        id: TokenId(uuid::Uuid::new_v4()),
        audiences: &draft.audiences,
        scopes: &draft.scopes,
        lifetime_s,
    };
    let claims = claims::access_token(&issued, &token);
    let access = keys::sign(app, Algorithm::Es256, purpose, claims).await?;
    let id = if draft.scopes.contains(scope::OPENID) {
        let claims = claims::id_token(&issued, draft.nonce, &access, app.config.lifetimes.id_s);
        let algorithm = match client.metadata.id_token_alg {
            IdTokenAlg::Rs256 => Algorithm::Rs256,
            IdTokenAlg::Es256 => Algorithm::Es256,
            IdTokenAlg::Ps256 | IdTokenAlg::Es384 | IdTokenAlg::EdDsa => {
                return Err(Failure::internal("an algorithm that no key here has"));
            }
        };
        Some(keys::sign(app, algorithm, Purpose::IdToken, claims).await?)
    } else {
        None
    };
    let record = Access {
        id: token.id,
        hash: Hashed::of(&access),
        scopes: draft.scopes,
        audiences: draft.audiences,
        lifetime_s,
    };
    Ok((record, Signed { access, id }))
}

/// A token for the admin API is of another class, for that audience alone, and for clients of the platform.
fn purpose(app: &App, client: &Authenticated, audiences: &[String]) -> Result<Purpose, Error> {
    let admin = &app.config.admin_audience;
    if !audiences.contains(admin) {
        return Ok(Purpose::AccessToken);
    }
    if client.tenant.is_some() || audiences.len() > 1 {
        return Err(Error::new(
            ErrorCode::InvalidTarget,
            "the admin API shares a token with nothing else",
        ));
    }
    Ok(Purpose::AdminToken)
}

fn lifetime_s(app: &App, client: &Authenticated, purpose: Purpose) -> u32 {
    let wanted = client.metadata.access_token_lifetime.unwrap_or(app.config.lifetimes.access_s);
    match purpose {
        Purpose::AdminToken => wanted.min(ADMIN_TOKEN_S),
        Purpose::AccessToken | Purpose::IdToken => wanted,
    }
}

fn reply(
    signed: Signed,
    lifetime_s: u32,
    granted: String,
    refresh: Option<&Plain<Refresh>>,
) -> TokenReply {
    TokenReply {
        access_token: signed.access,
        token_type: "Bearer",
        expires_in: lifetime_s,
        refresh_token: refresh.map(|token| token.reveal().to_owned()),
        id_token: signed.id,
        scope: granted,
    }
}
