//! The only place where something that went wrong becomes bytes: problem details (RFC 9457), and one log
//! line of ours with the request's id.

use std::error::Error as StdError;
use std::fmt;

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};
use signer::SignerError;
use web::response::{problem, with_header};
use web::{RequestId, Response};
use wire::Refused;

use crate::operator::FRESH_S;
use crate::store::StoreError;

#[derive(Debug)]
pub(crate) enum Failure {
    /// No token, or none that opens anything here.
    Unauthenticated,
    /// The token lacks `opentrusty:admin`.
    InsufficientScope,
    /// The sign-in is too old for this.
    StepUp,
    /// The caller has no such permission.
    Forbidden,
    NotFound,
    /// The methods that would do.
    Method(&'static str),
    /// Not JSON.
    MediaType,
    /// Not well-formed JSON.
    Malformed,
    /// An unknown or invalid field.
    Invalid(&'static str),
    /// Not in this state.
    Conflict(&'static str),
    /// PostgreSQL is away.
    Unavailable,
    /// keyd said no, or nothing.
    Keyd(SignerError),
    /// Ours.
    Internal(Box<dyn StdError + Send + Sync>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Keyd(error) = self {
            return error.fmt(f);
        }
        let Self::Internal(error) = self else { return write!(f, "{self:?}") };
        write!(f, "{error}")?;
        let mut source = error.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if ::store::is_outage(&error.0) {
            tracing::warn!(error = %error.0, "the database is not available");
            return Self::Unavailable;
        }
        Self::Internal(Box::new(error))
    }
}

impl From<SignerError> for Failure {
    fn from(error: SignerError) -> Self {
        Self::Keyd(error)
    }
}

pub(crate) fn respond(failure: &Failure, id: &RequestId) -> Response {
    let (status, code, detail) = words(failure);
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(%failure, request_id = %id, "request failed");
    }
    let response = problem(status, code, detail, id);
    match header(failure, status) {
        Some((name, value)) => with_header(response, name, &value),
        None => response,
    }
}

/// What the answer must carry besides its body: a challenge (RFC 6750 §3, RFC 9470 §3), the methods, a time.
fn header(failure: &Failure, status: StatusCode) -> Option<(HeaderName, String)> {
    let challenge =
        |rest: &str| Some((WWW_AUTHENTICATE, format!("Bearer realm=\"OpenTrusty\", {rest}")));
    match failure {
        Failure::Unauthenticated => challenge("error=\"invalid_token\""),
        Failure::InsufficientScope => {
            challenge("error=\"insufficient_scope\", scope=\"opentrusty:admin\"")
        }
        Failure::StepUp => {
            challenge(&format!("error=\"insufficient_user_authentication\", max_age=\"{FRESH_S}\""))
        }
        Failure::Method(allow) => Some((ALLOW, (*allow).to_owned())),
        Failure::Keyd(_) | Failure::Unavailable if status == StatusCode::SERVICE_UNAVAILABLE => {
            Some((RETRY_AFTER, "1".to_owned()))
        }
        Failure::Forbidden
        | Failure::NotFound
        | Failure::MediaType
        | Failure::Malformed
        | Failure::Invalid(_)
        | Failure::Conflict(_)
        | Failure::Unavailable
        | Failure::Keyd(_)
        | Failure::Internal(_) => None,
    }
}

fn words(failure: &Failure) -> (StatusCode, &'static str, &'static str) {
    match failure {
        Failure::Unauthenticated => {
            (StatusCode::UNAUTHORIZED, "invalid_token", "an access token for this API is required")
        }
        Failure::InsufficientScope => (
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            "the token lacks the scope opentrusty:admin",
        ),
        Failure::StepUp => (
            StatusCode::UNAUTHORIZED,
            "insufficient_user_authentication",
            "sign in again to do this",
        ),
        Failure::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "your roles do not allow this"),
        Failure::NotFound => (StatusCode::NOT_FOUND, "not_found", "no such resource"),
        Failure::Method(_) => {
            (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the method is not allowed here")
        }
        Failure::MediaType => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body must be application/json",
        ),
        Failure::Malformed => {
            (StatusCode::BAD_REQUEST, "malformed", "the body is not well-formed JSON")
        }
        Failure::Invalid(detail) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail),
        Failure::Conflict(detail) => (StatusCode::CONFLICT, "conflict", detail),
        Failure::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again shortly")
        }
        Failure::Keyd(error) => keyd(*error),
        Failure::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error"),
    }
}

fn keyd(error: SignerError) -> (StatusCode, &'static str, &'static str) {
    match error {
        SignerError::Refused(Refused::TooEarly) => (
            StatusCode::CONFLICT,
            "too_early",
            "verifiers may still hold a key set without this key; it can sign once that has expired",
        ),
        SignerError::Refused(Refused::StillNeeded) => {
            (StatusCode::CONFLICT, "still_needed", "tokens signed by this key may still be alive")
        }
        SignerError::Refused(Refused::UnknownKey) => {
            (StatusCode::NOT_FOUND, "not_found", "no such key")
        }
        SignerError::Refused(Refused::WrongKey) => {
            (StatusCode::CONFLICT, "conflict", "the key is not in a state for this")
        }
        SignerError::Refused(Refused::Unsupported) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "unsupported", "the token does not offer this")
        }
        SignerError::Refused(Refused::Full) => {
            (StatusCode::CONFLICT, "conflict", "there is no room for another key")
        }
        SignerError::Unavailable
        | SignerError::Refused(Refused::Busy | Refused::Unavailable | Refused::Locked) => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the signing service is not available")
        }
        SignerError::Refused(_) | SignerError::Protocol => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error")
        }
    }
}
