//! The answers of `security.md` §2.0 as assertions.

use std::collections::BTreeMap;

use e2e::Response;
use serde_json::Value;
use url::Url;

use super::App;

/// What every answer keeps, whatever was asked: no fault of ours, no redirect that repeats a body, no
/// page that can be framed or loads what is not ours, nothing kept by a cache that carries a secret.
#[track_caller]
pub(crate) fn assert_always(what: &str, r: &Response) {
    let shown = || format!("{what}: {} {:?}\n{}", r.status, r.headers, r.text());
    assert!(r.status != 500, "W110: {}", shown());
    assert!(
        !(300..400).contains(&r.status) || [302, 303, 304].contains(&r.status),
        "W19: {}",
        shown()
    );
    let kind = r.header("content-type").unwrap_or_default();
    if kind.starts_with("text/html") {
        let csp = r.header("content-security-policy").unwrap_or_default();
        for part in ["frame-ancestors 'none'", "default-src 'none'", "base-uri 'none'"] {
            assert!(csp.contains(part), "W111, W118: {}", shown());
        }
        assert!(!csp.contains("unsafe") && !csp.contains('*'), "W118: {}", shown());
        assert_eq!(r.header("x-frame-options"), Some("DENY"), "W111: {}", shown());
        assert_eq!(r.header("referrer-policy"), Some("no-referrer"), "W119: {}", shown());
    }
    assert_eq!(r.header("x-content-type-options"), Some("nosniff"), "{}", shown());
    let path =
        what.split_once("://").map_or(what, |(_, rest)| &rest[rest.find('/').unwrap_or(0)..]);
    let public = ["/.well-known/", "/static/"].iter().any(|prefix| path.starts_with(prefix));
    if !public {
        let cache = r.header("cache-control").unwrap_or_default();
        assert!(cache.contains("no-store"), "W29: {}", shown());
    }
    // Nothing so short that a token could hold it by chance: a run of the tests sees a hundred million of a token's
    // characters.
    for banned in ["panicked", "sqlx::", "sqlx_core", "PgDatabase", "SELECT ", "/src/", ".rs:"] {
        assert!(!r.text().contains(banned), "W164 {banned:?}: {}", shown());
    }
}

/// `TOK(e)`.
#[track_caller]
pub(crate) fn assert_tok(r: &Response, error: &str) {
    r.expect(400);
    assert_error_body(r, error);
}

/// The JSON of an error at the token endpoint and its kin.
#[track_caller]
pub(crate) fn assert_error_body(r: &Response, error: &str) {
    assert_always("machine", r);
    let json = r.json();
    assert_eq!(json["error"], error, "{json}");
    let kind = r.header("content-type").unwrap();
    assert!(
        kind.eq_ignore_ascii_case("application/json") || kind.starts_with("application/json;"),
        "{kind}"
    );
    for member in json.as_object().unwrap().keys() {
        assert!(["error", "error_description", "error_uri"].contains(&member.as_str()), "{json}");
    }
    let description = json["error_description"].as_str().unwrap_or_default();
    assert!(!description.contains(['\r', '\n', '\t']), "{description:?}");
    assert!(r.header("set-cookie").is_none());
}

/// `401C`.
#[track_caller]
pub(crate) fn assert_client_refused(r: &Response, basic: bool) {
    r.expect(401);
    assert_error_body(r, "invalid_client");
    let challenge = r.header("www-authenticate");
    assert_eq!(challenge.is_some_and(|c| c.starts_with("Basic")), basic, "{challenge:?}");
}

/// `401B`.
#[track_caller]
pub(crate) fn assert_bearer_refused(r: &Response) {
    r.expect(401);
    assert_always("/oauth/userinfo", r);
    let challenge = r.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.starts_with("Bearer") && challenge.contains("error=\"invalid_token\""),
        "{challenge}"
    );
}

/// `PAGE`: a page of ours, nowhere to go.
#[track_caller]
pub(crate) fn assert_page(r: &Response) {
    assert_eq!(r.status, 400, "{:?}\n{}", r.headers, r.text());
    assert_own_page(r);
}

/// A page of ours with whatever error status.
#[track_caller]
pub(crate) fn assert_own_page(r: &Response) {
    assert_always("page", r);
    assert!(r.status >= 400, "{}", r.status);
    assert!(r.header("location").is_none(), "{:?}", r.headers);
    assert!(
        r.header("content-type").unwrap_or_default().starts_with("text/html"),
        "{:?}",
        r.headers
    );
}

/// The parameters of a redirect to a registered URI; panics if it goes anywhere else.
#[track_caller]
pub(crate) fn redirected(r: &Response, app: &App) -> BTreeMap<String, String> {
    r.expect(303);
    assert_always("redirect", r);
    let location = r.location();
    let joint = if app.redirect.contains('?') { "&" } else { "?" };
    let rest = location.strip_prefix(app.redirect).and_then(|rest| rest.strip_prefix(joint));
    assert!(rest.is_some(), "{location} does not continue {}", app.redirect);
    let pairs: Vec<(String, String)> =
        Url::parse(location).unwrap().query_pairs().into_owned().collect();
    let map: BTreeMap<String, String> = pairs.iter().cloned().collect();
    assert_eq!(map.len(), pairs.len(), "a parameter comes twice: {location}");
    map
}

/// `RED(e)`: with `iss`, and with the `state` that was sent.
#[track_caller]
pub(crate) fn assert_red(r: &Response, app: &App, error: &str, state: Option<&str>) {
    let map = redirected(r, app);
    assert_eq!(map.get("error").map(String::as_str), Some(error), "{map:?}");
    assert_eq!(map.get("state").map(String::as_str), state, "{map:?}");
    assert!(
        map.get("iss").is_some_and(|iss| iss.starts_with("https://localhost:")),
        "W10: {map:?}"
    );
    assert!(!map.contains_key("code"), "{map:?}");
}

/// An authorization request that was taken: on to our own next step, and nowhere else.
#[track_caller]
pub(crate) fn assert_accepted(r: &Response) {
    r.expect(303);
    assert!(r.location().starts_with("/oauth/authorize/"), "{}", r.location());
}

/// Exactly `{"active":false}`.
#[track_caller]
pub(crate) fn assert_inactive(r: &Response) {
    r.expect(200);
    assert_always("/oauth/introspect", r);
    assert_eq!(r.json(), serde_json::json!({ "active": false }));
}

/// No token in an answer, whatever its status.
#[track_caller]
pub(crate) fn assert_no_token(r: &Response) {
    let json: Value = serde_json::from_slice(&r.body).unwrap_or_default();
    for member in ["access_token", "refresh_token", "id_token"] {
        assert!(json.get(member).is_none(), "{json}");
    }
}
