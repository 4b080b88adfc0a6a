//! The one match. What is not here is 404; admind's routes are not here.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};
use oauth::form::Form;
use web::{Handler, Request, Response};

use crate::app::App;
use crate::endpoint::{
    account, authorize, backchannel, ciba, completion, consent, device, device_authorization,
    enroll, introspect, login, logout, metadata, par, reset, revoke, token, userinfo,
};
use crate::failure::{Failure, Reader, respond};
use crate::issuer::Site;

pub(crate) struct Routes(pub(crate) Arc<App>);

impl Handler for Routes {
    async fn handle(self: Arc<Self>, request: Request) -> Response {
        let target = Target::of(&request);
        let response = match route(&self.0, &request, &target).await {
            Ok(response) => response,
            Err(failure) => respond(&failure, target.reader(), &request.id),
        };
        cors(&self.0, &request, &target, response).await
    }
}

/// What a path names: an issuer, and what is asked of it.
struct Target<'a> {
    /// `None`: the platform's issuer.
    slug: Option<&'a str>,
    /// Empty for the front page; `None`: no path of ours.
    segments: Option<Vec<&'a str>>,
}

impl<'a> Target<'a> {
    fn of(request: &'a Request) -> Self {
        let Some(all) = request.segments() else { return Self { slug: None, segments: None } };
        let (slug, segments) = match all.as_slice() {
            // "inserting a well-known URI string … between the host component and the path component"
            // (RFC 8414 §3.1).
            [first @ ".well-known", second @ "oauth-authorization-server", "t", slug] => {
                (Some(*slug), vec![*first, *second])
            }
            ["t", slug, rest @ ..] => (Some(*slug), rest.to_vec()),
            _ => (None, all),
        };
        Self { slug, segments: Some(segments) }
    }

    fn segments(&self) -> &[&'a str] {
        self.segments.as_deref().unwrap_or_default()
    }

    /// Pages are for people; everything else is for programs.
    fn reader(&self) -> Reader {
        match self.segments() {
            [
                "oauth",
                "token"
                | "userinfo"
                | "introspect"
                | "revoke"
                | "par"
                | "device_authorization"
                | "bc-authorize",
                ..,
            ]
            | [".well-known", ..]
            | ["healthz" | "readyz"] => Reader::Machine,
            _ => Reader::Person,
        }
    }
}

async fn route(app: &App, request: &Request, target: &Target<'_>) -> Result<Response, Failure> {
    let segments = target.segments.as_deref().ok_or(Failure::NotFound)?;
    let site = &Site::of(app, target.slug).ok_or(Failure::NotFound)?;
    let get = request.method == Method::GET;
    // Only documents answer HEAD: nothing else may be touched by a method that is thought to do nothing (W102).
    let read = get || request.method == Method::HEAD;
    let post = request.method == Method::POST;
    let of_page = matches!(
        segments,
        ["login" | "consent" | "logout" | "enroll" | "reset" | "device" | "ciba"] | ["account", ..]
    );
    if post && of_page {
        crate::browser::same_origin(site, request)?;
    }
    // Where no mail is sent there is nothing to ask for.
    if matches!(segments, ["reset"]) && !app.config.password_reset {
        return Err(Failure::NotFound);
    }
    // What is the process's own is at no tenant's issuer.
    if target.slug.is_some() && matches!(segments, ["healthz" | "readyz" | "static", ..]) {
        return Err(Failure::NotFound);
    }
    match segments {
        ["healthz"] if read => Ok(web::response::empty(StatusCode::OK)),
        ["readyz"] if read => Ok(metadata::ready(app).await),
        [".well-known", "openid-configuration" | "oauth-authorization-server"] if read => {
            Ok(metadata::discovery(site))
        }
        [".well-known", "jwks.json"] if read => metadata::jwks(site, request),
        ["oauth", "authorize"] if get || post => authorize::begin(site, request).await,
        ["oauth", "authorize", handle] if get => authorize::resume(site, request, handle).await,
        ["oauth", "par"] if post => par::post(site, request).await,
        ["oauth", "token"] if post => token::post(site, request).await,
        ["oauth", "userinfo"] if get || post => userinfo::answer(site, request).await,
        ["oauth", "introspect"] if post => introspect::post(site, request).await,
        ["oauth", "revoke"] if post => revoke::post(site, request).await,
        ["oauth", "logout"] if get || post => logout::begin(site, request).await,
        ["oauth", "device_authorization"] if post => {
            device_authorization::post(site, request).await
        }
        ["oauth", "bc-authorize"] if post => backchannel::post(site, request).await,
        ["oauth", "bc-authorize", "complete"] if get => completion::list(site, request).await,
        ["oauth", "bc-authorize", "complete"] if post => completion::post(site, request).await,
        [] if get => Ok(web::response::redirect_303(&site.path("/login"))),
        ["login"] if get => login::show(site, request).await,
        ["login"] if post => login::post(site, request).await,
        ["consent"] if get => consent::show(site, request).await,
        ["consent"] if post => consent::post(site, request).await,
        ["logout"] if get => logout::show(site, request).await,
        ["logout"] if post => logout::post(site, request).await,
        ["enroll"] if get => enroll::show(site, request).await,
        ["enroll"] if post => enroll::post(site, request).await,
        ["reset"] if get => reset::show(site, request).await,
        ["reset"] if post => reset::post(site, request).await,
        ["account"] if get => account::show(site, request).await,
        ["account", "sessions", "end"] if post => account::end_sessions(site, request).await,
        ["account", "applications", "withdraw"] if post => account::withdraw(site, request).await,
        ["account", "password"] if post => account::change_password(site, request).await,
        ["account", "invitations"] if post => account::answer_invitation(site, request).await,
        ["ciba"] if get => ciba::show(site, request).await,
        ["ciba"] if post => ciba::post(site, request).await,
        ["device"] if get => device::show(site, request).await,
        ["device"] if post => device::post(site, request).await,
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
        | ["oauth", "bc-authorize", "complete"]
        | ["login" | "consent" | "logout" | "enroll" | "reset" | "device" | "ciba"] => {
            Some("GET, POST")
        }
        [] | ["account"] | ["oauth", "authorize", _] => Some("GET"),
        [
            "oauth",
            "token" | "introspect" | "revoke" | "par" | "device_authorization" | "bc-authorize",
        ]
        | ["account", "password" | "invitations"]
        | ["account", "sessions", "end"]
        | ["account", "applications", "withdraw"] => Some("POST"),
        _ => None,
    }
}

/// Endpoints that a script of another origin may call. Never the authorization endpoint or a page (W121).
fn is_cross_origin(segments: &[&str]) -> bool {
    matches!(segments, ["oauth", "token" | "userinfo" | "revoke"] | [".well-known", _])
}

/// Public documents for anybody; token, userinfo and revocation for the console's exact origin and for those
/// that public clients of this issuer are sent back to. Never with credentials, never by reflection.
async fn cors(
    app: &App,
    request: &Request,
    target: &Target<'_>,
    mut response: Response,
) -> Response {
    let segments = target.segments();
    if !is_cross_origin(segments) {
        return response;
    }
    let headers = response.headers_mut();
    let origin = if let [".well-known", ..] = segments {
        HeaderValue::from_static("*")
    } else {
        headers.append(http::header::VARY, HeaderValue::from_static("Origin"));
        let sent = request.header("origin").ok().flatten();
        let Some(sent) = sent else { return response };
        if !is_known_origin(app, target, sent).await {
            return response;
        }
        let Ok(value) = HeaderValue::from_str(sent) else { return response };
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

async fn is_known_origin(app: &App, target: &Target<'_>, origin: &str) -> bool {
    if app.config.console_origin.as_deref() == Some(origin) {
        return true;
    }
    let Some(site) = Site::of(app, target.slug) else { return false };
    // Without an answer there is no permission: the browser will try again.
    oauth::uri::is_https_origin(origin)
        && app.store.is_public_origin(site.issuer(), origin).await.unwrap_or(false)
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
