//! Responses, and the headers that every one of them carries.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::request::RequestId;

/// A whole response.
pub type Response = http::Response<Full<Bytes>>;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const ALWAYS: [(HeaderName, HeaderValue); 6] = [
    // Two years, the least that browsers' preload lists accept.
    (STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000; includeSubDomains")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Adds what every response carries, whoever made it.
pub(crate) fn secure(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
}

/// What a page may load and where its forms may go: its own origin, and the origins named here.
///
/// Browsers apply `form-action` to the redirects that follow a form, so a login page names the
/// origin of the client that it will end at.
#[derive(Clone, Debug, Default)]
pub struct Csp {
    /// More places for `form-action`: origins, or schemes as `scheme:`.
    pub form_action: Vec<String>,
}

impl Csp {
    fn value(&self) -> Option<HeaderValue> {
        let mut text = String::from(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
             font-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
        );
        for place in &self.form_action {
            // A space or semicolon would begin something else.
            if place.is_empty() || !place.bytes().all(|b| b.is_ascii_graphic() && b != b';') {
                return None;
            }
            text.push(' ');
            text.push_str(place);
        }
        HeaderValue::try_from(text).ok()
    }
}

/// A JSON response; 500 if the value cannot be written as JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => json_bytes(status, bytes),
        Err(error) => {
            tracing::error!(%error, "a response could not be written as JSON");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// A JSON response whose bytes exist already.
pub fn json_bytes(status: StatusCode, bytes: impl Into<Bytes>) -> Response {
    with_type(status, HeaderValue::from_static("application/json"), bytes.into())
}

/// A page; 500 if the policy names a place that is none.
pub fn html(status: StatusCode, page: String, csp: &Csp) -> Response {
    let Some(policy) = csp.value() else {
        tracing::error!("a page's form-action names something that is no origin");
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let mut response = with_type(status, kind, page.into());
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// A redirect that the browser follows with GET; 500 if the location cannot be a header.
pub fn redirect_303(location: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        tracing::error!("a redirect's location is no header value");
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut response = empty(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, location);
    response
}

/// A response without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// An error as RFC 9457 has it, with a stable `code` for programs and the request's id for
/// whoever asks about it.
pub fn problem(status: StatusCode, code: &str, detail: &str, id: &RequestId) -> Response {
    let document = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
        "request_id": id.as_str(),
    });
    let kind = HeaderValue::from_static("application/problem+json");
    with_type(status, kind, document.to_string().into())
}

/// Adds a header whose value is only known at run time; 500 if it cannot be one.
#[must_use]
pub fn with_header(response: Response, name: HeaderName, value: &str) -> Response {
    let Ok(value) = HeaderValue::from_str(value) else {
        tracing::error!(%name, "a value cannot be put into this header");
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut response = response;
    response.headers_mut().append(name, value);
    response
}

fn with_type(status: StatusCode, kind: HeaderValue, bytes: Bytes) -> Response {
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w127_every_response_carries_the_headers_and_is_not_stored() {
        let mut response = empty(StatusCode::NO_CONTENT);
        secure(response.headers_mut());
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("strict-transport-security"), "max-age=63072000; includeSubDomains");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-store");
    }

    #[test]
    fn a_cache_policy_of_the_handler_stays() {
        let mut response = json_bytes(StatusCode::OK, "{}");
        let kept = HeaderValue::from_static("public, max-age=300");
        response.headers_mut().insert(CACHE_CONTROL, kept.clone());
        secure(response.headers_mut());
        assert_eq!(response.headers().get(CACHE_CONTROL), Some(&kept));
    }

    #[test]
    fn a_page_names_where_its_forms_may_go() {
        let csp =
            Csp { form_action: vec!["https://app.example".into(), "com.example.app:".into()] };
        let page = html(StatusCode::OK, "<p>".into(), &csp);
        let policy = page.headers().get(CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(
            policy.ends_with("form-action 'self' https://app.example com.example.app:"),
            "{policy}"
        );
    }

    #[test]
    fn w106_a_value_with_a_line_end_becomes_a_500_not_a_header() {
        let broken = "https://a.example/\r\nSet-Cookie: a=b";
        for response in [
            redirect_303(broken),
            redirect_303("https://a.example/\nx"),
            with_header(empty(StatusCode::OK), LOCATION, broken),
            html(StatusCode::OK, String::new(), &Csp { form_action: vec![broken.into()] }),
            html(StatusCode::OK, String::new(), &Csp { form_action: vec!["a; b".into()] }),
        ] {
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(response.headers().is_empty());
        }
    }

    #[test]
    fn a_value_that_is_no_json_is_a_500() {
        let value = std::collections::BTreeMap::from([(vec![1u8], 1u8)]);
        assert_eq!(json(StatusCode::OK, &value).status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(json(StatusCode::CREATED, &[1]).status(), StatusCode::CREATED);
    }
}
