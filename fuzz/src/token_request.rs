//! The token request: who asks, and for what.

use oauth::client::Presented;
use oauth::exchange::TokenType;
use oauth::form::Form;
use oauth::token::TokenRequest;
use oauth::{Error, ErrorCode};
use secrecy::ExposeSecret as _;

use crate::text;

/// The first line is the `Authorization` header (empty: none), the rest is the body. Whatever is taken out
/// of them stands in the body as another reader reads it; one client authentication, no repeats.
pub fn token_request(bytes: &[u8]) -> bool {
    let (header, body) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&[][..], bytes),
    };
    // The HTTP layer lets nothing else through in a header.
    let Some(header) = std::str::from_utf8(header).ok().filter(|h| !h.contains(char::is_control))
    else {
        return false;
    };
    let Ok(form) = Form::parse(body) else { return false };
    let sent = text::parameters(body);
    let known = client(Some(header).filter(|header| !header.is_empty()), &form, &sent);
    let request = match TokenRequest::parse(&form) {
        Ok(request) => request,
        Err(error) => {
            told(error);
            return false;
        }
    };
    assert!(!text::repeats(&sent), "a repeated parameter was accepted");
    let one = |name: &str| text::values(&sent, name).first().copied();
    assert_eq!(one("grant_type"), Some(request.grant_type().as_str()));
    let audiences = [text::values(&sent, "resource"), text::values(&sent, "audience")];
    match request {
        TokenRequest::Code(code) => {
            let text = one("code").expect("a code");
            assert_eq!(code.code.is_some(), is_secret(text, "otc_"), "{text}");
            assert!(code.code.is_none_or(|code| code.reveal() == text));
            assert_eq!(code.redirect_uri.as_deref(), one("redirect_uri"));
            assert_eq!(code.verifier.as_deref(), one("code_verifier"));
            assert_eq!(code.audiences, audiences.concat());
        }
        TokenRequest::Refresh(refresh) => {
            let text = one("refresh_token").expect("a refresh token");
            assert_eq!(refresh.token.is_some(), is_secret(text, "otr_"), "{text}");
            assert!(refresh.token.is_none_or(|token| token.reveal() == text));
            assert_eq!(refresh.scopes.is_some(), one("scope").is_some());
            assert_eq!(refresh.audiences, audiences.concat());
        }
        TokenRequest::ClientCredentials(credentials) => {
            assert_eq!(credentials.scopes.is_some(), one("scope").is_some());
            assert_eq!(credentials.audiences, audiences.concat());
        }
        TokenRequest::Exchange(exchange) => {
            assert_eq!(Some(exchange.subject.token.as_str()), one("subject_token"));
            assert_eq!(Some(exchange.subject.kind.as_str()), one("subject_token_type"));
            let actor = exchange.actor.as_ref();
            assert_eq!(actor.map(|actor| actor.token.as_str()), one("actor_token"));
            assert_eq!(actor.map(|actor| actor.kind.as_str()), one("actor_token_type"));
            assert_eq!(exchange.requested.map(TokenType::as_str), one("requested_token_type"));
            assert_eq!(exchange.scopes.is_some(), one("scope").is_some());
            assert_eq!(exchange.audiences, audiences.concat());
        }
        TokenRequest::Device(device) => {
            let text = one("device_code").expect("a device code");
            assert_eq!(device.code.is_some(), is_secret(text, "otd_"), "{text}");
            assert!(device.code.is_none_or(|code| code.reveal() == text));
            assert_eq!(device.audiences, audiences.concat());
        }
        TokenRequest::Ciba(ciba) => {
            let text = one("auth_req_id").expect("a request");
            assert_eq!(ciba.id.is_some(), is_secret(text, "otq_"), "{text}");
            assert!(ciba.id.is_none_or(|id| id.reveal() == text));
            assert_eq!(ciba.audiences, audiences.concat());
        }
    }
    known
}

/// "The client MUST NOT use more than one authentication method in each request" (RFC 6749 §2.3).
fn client(header: Option<&str>, form: &Form, sent: &[(String, String)]) -> bool {
    let basic = header.is_some_and(|header| {
        header.split(' ').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"))
    });
    let ways = [
        basic,
        !text::values(sent, "client_secret").is_empty(),
        !text::values(sent, "client_assertion").is_empty(),
    ];
    let ways = ways.into_iter().filter(|way| *way).count();
    let presented = match Presented::parse(header, form) {
        Ok(presented) => presented,
        Err(error) => {
            told(error);
            return false;
        }
    };
    assert!(ways <= 1, "{ways} ways to authenticate were accepted");
    let named = text::values(sent, "client_id");
    assert!(named.len() <= 1 && named.iter().all(|id| *id == presented.client_id().as_str()));
    match &presented {
        Presented::Basic(..) => assert!(basic),
        Presented::Post(_, secret) => {
            assert_eq!(text::values(sent, "client_secret"), [secret.expose_secret()]);
            assert_eq!(named.len(), 1);
        }
        Presented::Assertion(..) => {
            assert_eq!((ways, text::values(sent, "client_assertion").len(), header), (1, 1, None));
        }
        Presented::Nothing(_) => assert_eq!((ways, named.len(), header), (0, 1, None)),
    }
    true
}

/// RFC 6749 §5.2: what a description may be made of.
fn told(error: Error) {
    let legal = |b: u8| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    assert!(error.description.bytes().all(legal), "{error}");
    assert!(matches!(
        error.code,
        ErrorCode::InvalidRequest
            | ErrorCode::InvalidClient
            | ErrorCode::InvalidScope
            | ErrorCode::UnsupportedGrantType
    ));
}

/// The one spelling of 32 bytes behind a prefix: the last of 43 characters carries two bits of nothing.
fn is_secret(text: &str, prefix: &str) -> bool {
    let Some(body) = text.strip_prefix(prefix) else { return false };
    let letters = body.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    body.len() == 43 && letters && body.ends_with(|c| "AEIMQUYcgkosw048".contains(c))
}
