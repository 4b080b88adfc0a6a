//! Who may call: the first line of every endpoint.
//!
//! Checks are on permissions, never on role names; deny by default. OAuth scopes only let a token in here:
//! what it may do is read from the database at every request.

use oauth::jwt::TOKEN_MAX;
use oauth::scope;
use oauth::userinfo::bearer;
use serde_json::Value;
use web::Request;
use wire::Class;

use crate::app::App;
use crate::failure::Failure;
use crate::store::Caller;

/// Seconds within which a person must have signed in for what cannot be undone (RFC 9470, W158).
pub(crate) const FRESH_S: u32 = 300;

/// Something that a role allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    ManageKeys,
}

impl Permission {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ManageKeys => "platform:manage_keys",
        }
    }
}

/// The caller of a request, proven: a token signed by a key of the admin class, for this API alone, alive
/// in the database.
pub(crate) async fn caller(app: &App, request: &Request) -> Result<Caller, Failure> {
    let header = request.header("authorization").map_err(|_| Failure::Unauthenticated)?;
    let token = bearer(header, None).ok().flatten().ok_or(Failure::Unauthenticated)?;
    if token.len() > TOKEN_MAX {
        return Err(Failure::Unauthenticated);
    }
    let keys = app.first_keys().await.ok_or(Failure::Unavailable)?;
    let claims =
        keys.verify(token, Class::Admin, "at+jwt").map_err(|_| Failure::Unauthenticated)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("iss") != app.config.issuer || text("aud") != app.config.api {
        return Err(Failure::Unauthenticated);
    }
    if !text("scope").split(' ').any(|own| own == scope::ADMIN) {
        return Err(Failure::InsufficientScope);
    }
    let id = text("jti").parse().map_err(|_| Failure::Unauthenticated)?;
    // Expiry, revocation, client, person and session are the database's to judge, by its clock.
    app.store.caller(text("sub"), id).await?.ok_or(Failure::Unauthenticated)
}

/// The caller, if the platform allows them this.
pub(crate) async fn allowed(
    app: &App,
    request: &Request,
    permission: Permission,
) -> Result<Caller, Failure> {
    let caller = caller(app, request).await?;
    let granted = caller.assignments.iter().any(|assignment| {
        assignment.tenant.is_none()
            && assignment.permissions.iter().any(|own| own == permission.as_str())
    });
    if granted { Ok(caller) } else { Err(Failure::Forbidden) }
}

/// The caller, if they have signed in within the last five minutes.
pub(crate) fn fresh(caller: Caller) -> Result<Caller, Failure> {
    if caller.now.since(caller.auth_time) <= u64::from(FRESH_S) {
        Ok(caller)
    } else {
        Err(Failure::StepUp)
    }
}
