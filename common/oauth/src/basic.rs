//! HTTP Basic as RFC 6749 §2.3.1 uses it: user and password are form-encoded before base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::form::decode_value;
use crate::ids::ClientId;

/// Longest header value that is looked at, in bytes.
const HEADER_MAX: usize = 1024;

/// A header that is not well-formed Basic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidBasic;

/// Parses the value of an `Authorization` header. `None`: another scheme.
pub fn parse(header: &str) -> Option<Result<(ClientId, SecretString), InvalidBasic>> {
    let (scheme, value) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    Some(credentials(value))
}

fn credentials(value: &str) -> Result<(ClientId, SecretString), InvalidBasic> {
    if value.len() > HEADER_MAX {
        return Err(InvalidBasic);
    }
    let bytes = Zeroizing::new(STANDARD.decode(value).map_err(|_| InvalidBasic)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| InvalidBasic)?;
    let (user, password) = text.split_once(':').ok_or(InvalidBasic)?;
    let client = decode_value(user).map_err(|_| InvalidBasic)?;
    let secret = decode_value(password).map_err(|_| InvalidBasic)?;
    if secret.is_empty() {
        return Err(InvalidBasic);
    }
    Ok((ClientId::try_from(client).map_err(|_| InvalidBasic)?, secret.into()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn header(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn both_halves_are_form_decoded() {
        let (client, secret) = parse(&header("my%3Aapp:p%2Bq+r%25")).unwrap().unwrap();
        assert_eq!(client.as_str(), "my:app");
        assert_eq!(secret.expose_secret(), "p+q r%");
    }

    #[test]
    fn w88_loose_encodings_are_refused() {
        for bad in [
            "Basic".to_owned(),
            "Basic ".to_owned(),
            "Basic !!!!".to_owned(),
            "Basic YQ".to_owned(),
            header("nocolon"),
            header(":secret"),
            header("app:"),
            header("app:%zz"),
            header("app:%00"),
            format!("Basic {}", STANDARD.encode(b"app:\xff")),
            format!("{} ", header("app:secret")),
            header(&format!("app:{}", "x".repeat(2000))),
        ] {
            assert!(matches!(parse(&bad), Some(Err(InvalidBasic))), "{bad}");
        }
        assert!(parse("Bearer abc").is_none());
        assert!(parse("bAsIc YTpi").unwrap().is_ok());
    }
}
