//! The management API as a signed-in person sees it: one request, its JSON, its problem in plain words.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::Full;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::args::Caller;
use crate::database::block_on;
use crate::failure::Failure;
use crate::http::Client;
use crate::settings::Place;
use crate::token::Token;

/// Sends `body` (`None`: nothing) to a path beneath `/api/v1` and reads the answer.
pub(crate) fn call(
    place: &Place,
    caller: &Caller,
    (method, path): (Method, &str),
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let token = Token::load(place)?;
    let client = Client::new(place.ca(caller.ca.as_deref())?.as_deref())?;
    let url = format!("{}/api/v1/{path}", token.api);
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.bearer.expose_secret()))
        .map_err(|_| Failure::refused("the token holds characters that no token has"))?;
    bearer.set_sensitive(true);
    let mut request = Request::builder()
        .method(method)
        .uri(&url)
        .header(AUTHORIZATION, bearer)
        .header(ACCEPT, "application/json, application/problem+json");
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let request =
        request.body(Full::new(body)).map_err(|error| Failure::value(&url, error.to_string()))?;
    let response = block_on(client.send(request))?;
    if !response.status().is_success() {
        return Err(Failure::refused(problem(&response)));
    }
    serde_json::from_slice(response.body()).map_err(|error| Failure::value(&url, error.to_string()))
}

/// Problem details (RFC 9457) in one line, with what to do about the two that signing in helps against.
fn problem(response: &Response<Bytes>) -> String {
    let document: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let detail = text("detail").or_else(|| text("title")).unwrap_or("no reason was given");
    let mut line = format!("the management API said no: {detail} ({})", response.status());
    match text("code") {
        Some("insufficient_user_authentication") => line.push_str("; run opentrusty login --fresh"),
        Some("invalid_token") => line.push_str("; run opentrusty login"),
        _ => {}
    }
    if let Some(id) = text("request_id") {
        line.push_str(", request ");
        line.push_str(id);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> String {
        problem(&Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap())
    }

    #[test]
    fn a_problem_is_said_with_its_remedy_and_the_id_to_ask_about() {
        let stale = said(
            401,
            r#"{"detail":"sign in again to do this","code":"insufficient_user_authentication","request_id":"r1"}"#,
        );
        assert!(
            stale.contains("sign in again") && stale.contains("login --fresh, request r1"),
            "{stale}"
        );
        let conflict =
            said(409, r#"{"title":"Conflict","detail":"a key of this kind is staged already"}"#);
        assert!(conflict.contains("staged already (409 Conflict)"), "{conflict}");
        assert!(said(502, "<html>").contains("no reason was given (502 Bad Gateway)"));
    }
}
