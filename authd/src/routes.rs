//! The one match. What is not here is 404; admind's routes are not here.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};
use oauth::form::Form;
use web::{Handler, Request, Response};

use crate::app::App;
use crate::endpoint::{
    authorize, consent, enroll, introspect, login, logout, metadata, revoke, token, userinfo,
};
use crate::failure::{Failure, Reader, respond};

pub(crate) struct Routes(pub(crate) Arc<App>);

impl Handler for Routes {
    async fn handle(self: Arc<Self>, request: Request) -> Response {
        let reader = reader(&request);
        let response = match route(&self.0, &request).await {
            Ok(response) => response,
            Err(failure) => respond(&failure, reader, &request.id),
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
    if post && matches!(segments.as_slice(), ["login" | "consent" | "logout" | "enroll"]) {
        crate::browser::same_origin(app, request)?;
    }
    match segments.as_slice() {
        ["healthz"] if read => Ok(web::response::empty(StatusCode::OK)),
        ["readyz"] if read => Ok(metadata::ready(app).await),
        [".well-known", "openid-configuration" | "oauth-authorization-server"] if read => {
            Ok(metadata::discovery(app))
        }
        [".well-known", "jwks.json"] if read => metadata::jwks(app, request),
        ["oauth", "authorize"] if get || post => authorize::begin(app, request).await,
        ["oauth", "authorize", handle] if get => authorize::resume(app, request, handle).await,
        ["oauth", "token"] if post => token::post(app, request).await,
        ["oauth", "userinfo"] if get || post => userinfo::answer(app, request).await,
        ["oauth", "introspect"] if post => introspect::post(app, request).await,
        ["oauth", "revoke"] if post => revoke::post(app, request).await,
        ["oauth", "logout"] if get || post => logout::begin(app, request).await,
        [] if get => Ok(web::response::redirect_303("/login")),
        ["login"] if get => login::show(app, request).await,
        ["login"] if post => login::post(app, request).await,
        ["consent"] if get => consent::show(app, request).await,
        ["consent"] if post => consent::post(app, request).await,
        ["logout"] if get => logout::show(app, request).await,
        ["logout"] if post => logout::post(app, request).await,
        ["enroll"] if get => enroll::show(app, request).await,
        ["enroll"] if post => enroll::post(app, request).await,
        ["static", "style.css"] if read => Ok(metadata::style()),
        ["static", "form-post.js"] if read => Ok(metadata::form_post_script()),
        other if request.method == Method::OPTIONS && is_cross_origin(other) => {
            Ok(web::response::empty(StatusCode::NO_CONTENT))
        }
        other => Err(allowed(other).map_or(Failure::NotFound, Failure::Method)),
    }
}

/// The methods of a path that exists.
fn allowed(segments: &[&str]) -> Option<&'static str> {
    match segments {
        ["healthz" | "readyz"]
        | [".well-known", "openid-configuration" | "oauth-authorization-server" | "jwks.json"]
        | ["static", "style.css" | "form-post.js"] => Some("GET, HEAD"),
        ["oauth", "authorize" | "userinfo" | "logout"]
        | ["login" | "consent" | "logout" | "enroll"] => Some("GET, POST"),
        [] | ["oauth", "authorize", _] => Some("GET"),
        ["oauth", "token" | "introspect" | "revoke"] => Some("POST"),
        _ => None,
    }
}

/// Pages are for people; everything else is for programs.
fn reader(request: &Request) -> Reader {
    let machine =
        ["/oauth/token", "/oauth/userinfo", "/oauth/introspect", "/oauth/revoke", "/.well-known/"];
    let probes = ["/healthz", "/readyz"];
    if machine.iter().any(|prefix| request.path.starts_with(prefix))
        || probes.contains(&&*request.path)
    {
        Reader::Machine
    } else {
        Reader::Person
    }
}

/// Endpoints that a script of another origin may call. Never the authorization endpoint or a page (W121).
fn is_cross_origin(segments: &[&str]) -> bool {
    matches!(segments, ["oauth", "token" | "userinfo" | "revoke"] | [".well-known", _])
}

/// Public documents for anybody; token, userinfo and revocation for the console's exact origin. Never with
/// credentials, never by reflection.
fn cors(app: &App, request: &Request, mut response: Response) -> Response {
    let segments = request.segments().unwrap_or_default();
    if !is_cross_origin(&segments) {
        return response;
    }
    let headers = response.headers_mut();
    let origin = if let [".well-known", ..] = segments.as_slice() {
        HeaderValue::from_static("*")
    } else {
        headers.append(http::header::VARY, HeaderValue::from_static("Origin"));
        let sent = request.header("origin").ok().flatten();
        let console = app.config.console_origin.as_deref().filter(|console| Some(*console) == sent);
        let Some(Ok(value)) = console.map(HeaderValue::from_str) else { return response };
        value
    };
    headers.insert(http::header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if request.method == Method::OPTIONS {
        let methods = HeaderValue::from_static("GET, POST");
        headers.insert(http::header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let names = HeaderValue::from_static("authorization, content-type");
        headers.insert(http::header::ACCESS_CONTROL_ALLOW_HEADERS, names);
        headers.insert(http::header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// A form body: the right type, no query beside it (W92, W93), decoded.
pub(crate) fn form(request: &Request) -> Result<Form, Failure> {
    if request.query.as_deref().is_some_and(|query| !query.is_empty()) {
        return Err(oauth::Error::request("parameters belong in the body, not in the query").into());
    }
    if !is_form(request) {
        return Err(Failure::MediaType);
    }
    Form::parse(&request.body).map_err(|_| oauth::Error::request("malformed form").into())
}

/// `application/x-www-form-urlencoded`, with no charset or UTF-8, once.
pub(crate) fn is_form(request: &Request) -> bool {
    let Ok(Some(kind)) = request.header("content-type") else { return false };
    let mut parts = kind.split(';').map(str::trim);
    let form = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
    form && parts.all(|parameter| parameter.eq_ignore_ascii_case("charset=utf-8"))
}

/// A query, decoded.
pub(crate) fn query(request: &Request) -> Result<Form, Failure> {
    Form::parse(request.query.as_deref().unwrap_or_default().as_bytes())
        .map_err(|_| oauth::Error::request("malformed query").into())
}
