//! Documents: discovery, keys, readiness, and the two static files of the pages.

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use oauth::discovery::Offered;
use web::response::{empty, json_bytes, with_header};
use web::{Request, Response};
use wire::Algorithm;

use crate::app::App;
use crate::failure::Failure;
use crate::issuer::Site;
use crate::keys::PUBLISHED_S;

const STYLE: &str = include_str!("../../static/style.css");
const FORM_POST: &str = include_str!("../../static/form-post.js");

pub(crate) fn discovery(app: &Site<'_>) -> Response {
    let offered = Offered {
        id_token_algorithms: app.id_token_algorithms().into_iter().map(Algorithm::name).collect(),
        authorization_details_types: app.detail_types().to_vec(),
    };
    let body = oauth::discovery::document(app.issuer(), &offered).to_string();
    with_header(json_bytes(StatusCode::OK, body), CACHE_CONTROL, "public, max-age=300")
}

/// Served from memory, with keyd or PostgreSQL gone too. A verifier may keep it for as long as a staged
/// key waits before it signs.
pub(crate) fn jwks(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let keys = app.key_set();
    // A verifier that kept a set without the first keys would refuse the first tokens.
    if !app.has_keys() {
        return Err(Failure::Unavailable);
    }
    let seen = request.header("if-none-match").ok().flatten();
    let response = if seen == Some(keys.etag()) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        json_bytes(StatusCode::OK, keys.jwks().to_vec())
    };
    let age = if app.keys.is_fresh() {
        format!(
            "public, max-age={}",
            app.config.lifetimes.jwks_s.saturating_sub(PUBLISHED_S).max(1)
        )
    } else {
        "no-cache".to_owned()
    };
    Ok(with_header(with_header(response, ETAG, keys.etag()), CACHE_CONTROL, &age))
}

/// Ready or not, without a word of detail.
pub(crate) async fn ready(app: &App) -> Response {
    empty(if app.is_ready().await { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE })
}

pub(crate) fn style() -> Response {
    document(STYLE, "text/css; charset=utf-8")
}

pub(crate) fn form_post_script() -> Response {
    document(FORM_POST, "text/javascript; charset=utf-8")
}

fn document(text: &'static str, kind: &str) -> Response {
    let response = json_bytes(StatusCode::OK, text.as_bytes());
    with_header(with_header(response, CONTENT_TYPE, kind), CACHE_CONTROL, "public, max-age=3600")
}
