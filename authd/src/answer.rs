//! Answering an authorization request: back to the client, in the way that it asked for.

use http::StatusCode;
use oauth::ErrorCode;
use oauth::authorize::{Refusal, ResponseMode, Return};
use web::Response;
use web::response::redirect_303;

use crate::failure::Failure;
use crate::issuer::Site;
use crate::pages::{self, FormPost};

/// The client hears no.
pub(crate) fn refuse(app: &Site<'_>, refusal: &Refusal) -> Result<Response, Failure> {
    send(&refusal.back, &refusal.back.error(app.issuer(), refusal))
}

/// The client hears no, for a reason found while the interaction was under way.
pub(crate) fn deny(
    app: &Site<'_>,
    back: &Return,
    code: ErrorCode,
    description: &'static str,
) -> Result<Response, Failure> {
    refuse(app, &Refusal { code, description, back: back.clone() })
}

/// The client gets its code.
pub(crate) fn code(app: &Site<'_>, back: &Return, code: &str) -> Result<Response, Failure> {
    send(back, &back.code(app.issuer(), code))
}

/// Always 303 or a page of our own: a browser never posts a password on (W19).
fn send(back: &Return, parameters: &[(&'static str, String)]) -> Result<Response, Failure> {
    match back.mode {
        ResponseMode::Query => Ok(redirect_303(&back.location(parameters))),
        ResponseMode::FormPost => {
            let page = FormPost { action: back.uri.as_str(), parameters };
            pages::page(StatusCode::OK, &page, &pages::csp(Some(&back.uri)))
        }
    }
}
