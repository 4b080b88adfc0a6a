//! The only place where something that went wrong becomes bytes.
//!
//! Three audiences: a client reads an RFC's code and a constant sentence; a person reads a page; we read one
//! log line with the whole chain of causes and the request's id, which is all that the other two see of it.

use std::error::Error as StdError;
use std::fmt;

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};
use oauth::authorize::PageError;
use oauth::{Error, ErrorCode};
use serde_json::json;
use signer::SignerError;
use web::response::{json, with_header};
use web::{RequestId, Response};
use wire::Refused;

use crate::pages;
use crate::store::StoreError;

/// What a person can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Before a redirect is safe.
    Request(PageError),
    /// The sign-in is unknown, over, or another browser's.
    Expired,
    /// The link is unknown, used or too old.
    Link,
    /// The request that waits was decided before; the first decision is final (W55).
    Decided,
    /// The request that waits is over.
    Lapsed,
    /// A logout that we cannot make sense of.
    Logout,
}

#[derive(Debug)]
pub(crate) enum Failure {
    /// The client's fault.
    Peer(Error),
    /// The client's fault at an endpoint where it authenticates; `basic`: it tried HTTP Basic.
    Client {
        basic: bool,
    },
    /// The bearer's fault; `None`: it presented no token.
    Bearer(Option<Error>),
    /// A person's browser brought something that cannot go on.
    Page(Problem),
    /// Another site's form, or a form that is not this browser's.
    Forbidden,
    NotFound,
    /// The methods that would do.
    Method(&'static str),
    /// Not `application/x-www-form-urlencoded`.
    MediaType,
    /// Too many attempts; the seconds until the next may be made.
    TooMany(u32),
    /// More sign-ins than can be hashed.
    Overloaded,
    /// keyd or PostgreSQL is away.
    Unavailable,
    /// Ours.
    Internal(Box<dyn StdError + Send + Sync>),
}

impl Failure {
    pub(crate) fn internal(what: &'static str) -> Self {
        Self::Internal(what.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Peer(error)
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        Self::Page(Problem::Request(error))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if let StoreError::Database(error) = &error
            && ::store::is_outage(error)
        {
            tracing::warn!(%error, "the database is not available");
            return Self::Unavailable;
        }
        Self::Internal(Box::new(error))
    }
}

impl From<SignerError> for Failure {
    fn from(error: SignerError) -> Self {
        match error {
            // The token is away, locked, or without the key that is needed; or a clock is wrong. Nothing that
            // the client sent, and nothing that will be different by asking for something else.
            SignerError::Unavailable
            | SignerError::Refused(
                Refused::Locked
                | Refused::UnknownKey
                | Refused::WrongKey
                | Refused::WrongIssueTime
                | Refused::Busy
                | Refused::Unavailable,
            ) => {
                tracing::warn!(%error, "keyd does not sign");
                Self::Unavailable
            }
            SignerError::Refused(Refused::WrongAudience) => Self::Peer(Error::new(
                ErrorCode::InvalidTarget,
                "a token for this audience cannot be issued to this client",
            )),
            SignerError::Refused(_) | SignerError::Protocol => Self::Internal(Box::new(error)),
        }
    }
}

/// Who reads the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Machine,
    Person,
}

/// Seconds after which a refused request may be tried again.
const RETRY_S: &str = "1";

pub(crate) fn respond(failure: &Failure, reader: Reader, id: &RequestId) -> Response {
    if let Failure::Internal(_) = failure {
        tracing::error!(%failure, request_id = %id, "request failed");
    }
    let response = match reader {
        Reader::Machine => machine(failure, id),
        Reader::Person => pages::failure(failure, id),
    };
    if let Failure::Method(allow) = failure {
        return with_header(response, ALLOW, allow);
    }
    if let Failure::TooMany(wait_s) = failure {
        return with_header(response, RETRY_AFTER, &wait_s.to_string());
    }
    if matches!(failure, Failure::Unavailable | Failure::Overloaded) {
        return with_header(response, RETRY_AFTER, RETRY_S);
    }
    response
}

pub(crate) fn status(failure: &Failure) -> StatusCode {
    let code = match failure {
        Failure::Peer(error) => error.code.status(),
        Failure::Client { .. } => 401,
        Failure::Bearer(error) => error.map_or(401, |error| error.code.status()),
        Failure::Page(Problem::Decided) => 409,
        Failure::Page(_) => 400,
        Failure::Forbidden => 403,
        Failure::NotFound => 404,
        Failure::Method(_) => 405,
        Failure::MediaType => 415,
        Failure::TooMany(_) => 429,
        Failure::Overloaded | Failure::Unavailable => 503,
        Failure::Internal(_) => 500,
    };
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn machine(failure: &Failure, id: &RequestId) -> Response {
    let error = match failure {
        Failure::Peer(error) => *error,
        Failure::Client { .. } => Error::client(),
        Failure::Bearer(error) => return bearer(failure, *error),
        Failure::Page(_) | Failure::Forbidden => Error::request("the request cannot be served"),
        Failure::NotFound => Error::request("no such resource"),
        Failure::Method(_) => Error::request("the method is not allowed here"),
        Failure::MediaType => Error::request("the body must be application/x-www-form-urlencoded"),
        Failure::TooMany(_) => {
            Error::new(ErrorCode::TemporarilyUnavailable, "too many attempts; try again later")
        }
        Failure::Overloaded | Failure::Unavailable => {
            Error::new(ErrorCode::TemporarilyUnavailable, "try again shortly")
        }
        Failure::Internal(_) => {
            let body = json!({ "error": "server_error", "error_description": "internal error", "request_id": id.as_str() });
            return json(StatusCode::INTERNAL_SERVER_ERROR, &body);
        }
    };
    let body = json!({ "error": error.code.as_str(), "error_description": error.description });
    let response = json(status(failure), &body);
    // "If the client attempted to authenticate via the Authorization request header field, the
    // authorization server MUST … include the WWW-Authenticate response header field" (RFC 6749 §5.2).
    if matches!(failure, Failure::Client { basic: true }) {
        return with_header(
            response,
            WWW_AUTHENTICATE,
            "Basic realm=\"OpenTrusty\", charset=\"UTF-8\"",
        );
    }
    response
}

/// RFC 6750 §3: the challenge carries the error, and no error at all when there was no token.
fn bearer(failure: &Failure, error: Option<Error>) -> Response {
    let (body, challenge) = match error {
        None => (json!({}), "Bearer realm=\"OpenTrusty\"".to_owned()),
        Some(error) => (
            json!({ "error": error.code.as_str(), "error_description": error.description }),
            format!(
                "Bearer realm=\"OpenTrusty\", error=\"{}\", error_description=\"{}\"",
                error.code.as_str(),
                error.description
            ),
        ),
    };
    let name: HeaderName = WWW_AUTHENTICATE;
    with_header(json(status(failure), &body), name, &challenge)
}
