//! Every path of the public plane with the methods that it has: what the matrices are made from.

use std::collections::BTreeSet;

/// A segment that stands for a `*` of the router.
const ANY: &str = "AAAA";

/// Held to the router by [`assert_complete`].
pub(crate) const ENDPOINTS: [(&str, &[&str]); 31] = [
    ("/healthz", &["GET", "HEAD"]),
    ("/readyz", &["GET", "HEAD"]),
    ("/.well-known/openid-configuration", &["GET", "HEAD"]),
    ("/.well-known/oauth-authorization-server", &["GET", "HEAD"]),
    ("/.well-known/jwks.json", &["GET", "HEAD"]),
    ("/static/style.css", &["GET", "HEAD"]),
    ("/static/form-post.js", &["GET", "HEAD"]),
    ("/oauth/authorize", &["GET", "POST"]),
    ("/oauth/authorize/AAAA", &["GET"]),
    ("/oauth/par", &["POST"]),
    ("/oauth/token", &["POST"]),
    ("/oauth/userinfo", &["GET", "POST"]),
    ("/oauth/introspect", &["POST"]),
    ("/oauth/revoke", &["POST"]),
    ("/oauth/logout", &["GET", "POST"]),
    ("/oauth/device_authorization", &["POST"]),
    ("/oauth/bc-authorize", &["POST"]),
    ("/oauth/bc-authorize/complete", &["GET", "POST"]),
    ("/", &["GET"]),
    ("/login", &["GET", "POST"]),
    ("/consent", &["GET", "POST"]),
    ("/logout", &["GET", "POST"]),
    ("/enroll", &["GET", "POST"]),
    ("/reset", &["GET", "POST"]),
    ("/account", &["GET"]),
    ("/account/sessions/end", &["POST"]),
    ("/account/applications/withdraw", &["POST"]),
    ("/account/password", &["POST"]),
    ("/account/invitations", &["POST"]),
    ("/device", &["GET", "POST"]),
    ("/ciba", &["GET", "POST"]),
];

/// The endpoints that take a form.
pub(crate) fn posted() -> BTreeSet<&'static str> {
    ENDPOINTS
        .iter()
        .filter(|(_, methods)| methods.contains(&"POST"))
        .map(|(path, _)| *path)
        .collect()
}

/// Those at which a client authenticates: who posts to the others is a person, a bearer, or nobody in particular.
pub(crate) fn client_doors() -> Vec<&'static str> {
    assert_complete();
    let others =
        ["/oauth/authorize", "/oauth/userinfo", "/oauth/logout", "/oauth/bc-authorize/complete"];
    let doors: Vec<&str> = posted()
        .into_iter()
        .filter(|path| path.starts_with("/oauth/") && !others.contains(path))
        .collect();
    assert!(doors.len() >= 6, "{doors:?}");
    doors
}

/// No route of authd's is missing here, and none is here that is no route.
#[track_caller]
pub(crate) fn assert_complete() {
    let listed: BTreeSet<String> =
        ENDPOINTS.iter().map(|(path, _)| path.replace(ANY, "*")).collect();
    assert_eq!(listed, e2e::routes("authd"), "a route without a row, or a row without a route");
}
