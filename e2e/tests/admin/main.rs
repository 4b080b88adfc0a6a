//! The management plane from outside: which tokens open it, to whom, for what, and what it makes of bad input.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support: a failure here is the failure of the test that asked"
)]

mod access;
mod body;
mod reserved;
mod roles;
mod routes;
mod tokens;

use std::sync::OnceLock;

use e2e::people::{PLATFORM_ADMIN, Person, console, populate};
use e2e::{Client, Options, Response, Stand, bearer};
use serde_json::Value;

/// An installation that tests of this binary share as long as they change nothing that others look at.
fn stand() -> &'static Stand {
    static STAND: OnceLock<Stand> = OnceLock::new();
    STAND.get_or_init(own_stand)
}

/// One of a test's own, to be changed at will.
fn own_stand() -> Stand {
    // Where no mail is sent there is no `/reset`, and every route is to be there.
    let set = vec![("authd.password_reset", "true")];
    let stand = Stand::start(&Options { set, ..Options::default() });
    populate(&stand);
    stand
}

fn owner(stand: &Stand, sql: &str) -> String {
    stand.psql("opentrusty_owner", sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// What the console gets when a person signs in.
fn signed_in(stand: &Stand, person: Person) -> Value {
    console(stand).tokens(&mut stand.browser(), person)
}

fn admin_token(stand: &Stand) -> String {
    text(&signed_in(stand, PLATFORM_ADMIN), "access_token").to_owned()
}

/// One call with a token, or with none.
fn call(
    stand: &Stand,
    token: Option<&str>,
    method: &str,
    path: &str,
    body: Option<&str>,
) -> Response {
    let mut headers: Vec<(&str, String)> = token.map(bearer).into_iter().collect();
    if body.is_some() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    let mut client: Client = stand.client();
    client.send(
        method,
        &format!("{}{path}", stand.api()),
        &headers,
        body.unwrap_or_default().as_bytes(),
    )
}

fn me(stand: &Stand, token: &str) -> Response {
    call(stand, Some(token), "GET", "/api/v1/me", None)
}

fn keys(stand: &Stand, token: &str) -> Response {
    call(stand, Some(token), "GET", "/api/v1/keys", None)
}

/// W155's `401B`: a problem document and a challenge, and not a word of why.
#[track_caller]
fn unauthenticated(response: &Response, what: &str) {
    assert_eq!(response.status, 401, "{what}: {}", response.text());
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{what}");
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.starts_with("Bearer ") && challenge.contains("invalid_token"),
        "{what}: {challenge}"
    );
    assert_eq!(text(&response.json(), "code"), "invalid_token", "{what}");
    assert!(response.values("set-cookie").next().is_none(), "{what} sets a cookie");
    discreet(response);
}

/// W164: nothing of the inside in an answer.
#[track_caller]
fn discreet(response: &Response) {
    let body = response.text().to_lowercase();
    for word in [
        "select ",
        "sqlx::",
        "postgres",
        "panicked",
        ".rs:",
        "/tmp/",
        "os error",
        "backtrace",
        "pkcs",
        "socket",
    ] {
        assert!(!body.contains(word), "{word:?} in {body}");
    }
}
