//! The one match. What is not here is 404; authd's routes are not here.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};
use web::{Handler, Request, Response};

use crate::app::App;
use crate::endpoint::{keys, me};
use crate::failure::{Failure, respond};

pub(crate) struct Routes(pub(crate) Arc<App>);

impl Handler for Routes {
    async fn handle(self: Arc<Self>, request: Request) -> Response {
        let response = match route(&self.0, &request).await {
            Ok(response) => response,
            Err(failure) => respond(&failure, &request.id),
        };
        cors(&self.0, &request, response)
    }
}

async fn route(app: &App, request: &Request) -> Result<Response, Failure> {
    let segments = request.segments().ok_or(Failure::NotFound)?;
    let get = request.method == Method::GET;
    // Only documents answer HEAD: nothing else may be touched by a method that is thought to do nothing (W102).
    let read = get || request.method == Method::HEAD;
    let post = request.method == Method::POST;
    match segments.as_slice() {
        ["healthz"] if read => Ok(web::response::empty(StatusCode::OK)),
        ["readyz"] if read => Ok(ready(app).await),
        ["api", "v1", "me"] if get => me::show(app, request).await,
        ["api", "v1", "keys"] if get => keys::list(app, request).await,
        ["api", "v1", "keys"] if post => keys::stage(app, request).await,
        ["api", "v1", "keys", kid, "activate"] if post => keys::activate(app, request, kid).await,
        ["api", "v1", "keys", kid, "retire"] if post => keys::retire(app, request, kid).await,
        ["api", "v1", ..] if request.method == Method::OPTIONS => {
            Ok(web::response::empty(StatusCode::NO_CONTENT))
        }
        other => Err(allowed(other).map_or(Failure::NotFound, Failure::Method)),
    }
}

/// The methods of a path that exists.
fn allowed(segments: &[&str]) -> Option<&'static str> {
    match segments {
        ["healthz" | "readyz"] => Some("GET, HEAD"),
        ["api", "v1", "me"] => Some("GET"),
        ["api", "v1", "keys"] => Some("GET, POST"),
        ["api", "v1", "keys", _, "activate" | "retire"] => Some("POST"),
        _ => None,
    }
}

/// Ready or not, without a word of detail.
async fn ready(app: &App) -> Response {
    web::response::empty(if app.is_ready().await {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    })
}

/// The console's exact origin, without credentials: a bearer token in a header is all that counts here.
fn cors(app: &App, request: &Request, mut response: Response) -> Response {
    let (Some(console), Ok(Some(sent))) = (&app.config.console_origin, request.header("origin"))
    else {
        return response;
    };
    let headers = response.headers_mut();
    headers.append(http::header::VARY, HeaderValue::from_static("Origin"));
    let Ok(value) = HeaderValue::from_str(console) else { return response };
    if console != sent {
        return response;
    }
    headers.insert(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
    if request.method == Method::OPTIONS {
        let methods = HeaderValue::from_static("GET, POST, PATCH, DELETE");
        headers.insert(http::header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let names =
            HeaderValue::from_static("authorization, content-type, if-match, idempotency-key");
        headers.insert(http::header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        headers.insert(http::header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}
