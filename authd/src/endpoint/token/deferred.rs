//! The grants that a person decided elsewhere: `urn:ietf:params:oauth:grant-type:device_code` (RFC 8628 §3.4)
//! and `urn:openid:params:grant-type:ciba` (CIBA §10.1).

use oauth::client::{GrantType, Presented};
use oauth::deferred::{self, CibaTokenRequest, DeviceTokenRequest, Kind, Refused};
use oauth::issue::{Draft, Form};
use oauth::rar::Details;
use oauth::secret::Refresh;
use oauth::token::TokenReply;
use oauth::{Error, ErrorCode, Plain};
use web::Request;

use super::authenticate;
use super::issue::{reply, sign};
use crate::app::secret;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::store::{RedeemDeferred, Redeemed};

/// What is asked for, whichever of the two it is.
pub(super) struct Wanted {
    kind: Kind,
    /// The hash of what the client polls with; `None`: its text cannot be one of ours.
    poll: Option<[u8; 32]>,
    audiences: Vec<String>,
    details: Option<Details>,
}

impl From<DeviceTokenRequest> for Wanted {
    fn from(request: DeviceTokenRequest) -> Self {
        let poll = request.code.map(|code| *code.hashed().as_bytes());
        Self { kind: Kind::Device, poll, audiences: request.audiences, details: request.details }
    }
}

impl From<CibaTokenRequest> for Wanted {
    fn from(request: CibaTokenRequest) -> Self {
        let poll = request.id.map(|id| *id.hashed().as_bytes());
        Self { kind: Kind::Ciba, poll, audiences: request.audiences, details: request.details }
    }
}

pub(super) async fn redeem(
    app: &Site<'_>,
    request: &Request,
    presented: &Presented,
    wanted: Wanted,
) -> Result<TokenReply, Failure> {
    let name = (wanted.kind, wanted.poll);
    let read = app.store.read_request(app.issuer(), presented.client_id(), name).await?;
    let (asker, found) = read.map_or((None, None), |read| (Some(read.asker), read.found));
    let (client, now) = authenticate(app, request, asker, presented).await?;
    client.check_grant(wanted.kind.grant_type())?;
    let (Some(poll), Some((stored, grant))) = (wanted.poll, found) else {
        return Err(Error::grant().into());
    };
    if let Err(refused) = deferred::poll(&stored, &client, now) {
        if refused.is_noted() {
            app.store.note_poll(poll, refused == Refused::TooSoon).await?;
        }
        return Err(Error::from(refused).into());
    }
    let grant = grant.ok_or_else(|| Failure::internal("approved without a grant"))?;
    let part = oauth::grant::Wanted {
        scopes: None,
        audiences: &wanted.audiences,
        details: wanted.details.as_ref(),
    };
    let draft = Draft {
        holder: &grant.holder,
        granted: client.narrow(&grant.granted, &part, app.issuer())?,
        nonce: None,
        released: None,
        ends_at: Some(grant.ends_at),
        form: Form::Registered,
    };
    let refresh = if client.metadata.grant_types.contains(&GrantType::RefreshToken) {
        Some(secret::<Refresh>()?)
    } else {
        None
    };
    let signed = sign(app, &client, draft, now).await?;
    let gate = RedeemDeferred {
        poll,
        client: &client.id,
        access: &signed.record,
        refresh: refresh.as_ref().map(Plain::hashed),
        request_id: request.id.as_str(),
    };
    match app.store.redeem_request(&gate).await? {
        Redeemed::Fresh => Ok(reply(signed, refresh.as_ref())),
        Redeemed::Lost => Err(Error::grant().into()),
        Redeemed::Dead => {
            let description = "what was approved is no longer allowed";
            Err(Error::new(ErrorCode::AccessDenied, description).into())
        }
    }
}
