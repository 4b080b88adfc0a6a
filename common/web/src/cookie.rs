//! The `Set-Cookie` header. Reading `Cookie` is `oauth`'s, with the other parsers.
//!
//! Every cookie of ours is `__Host-`: RFC 6265bis §4.1.3.2, "the cookie will have been set with
//! a Secure attribute, a Path attribute with a value of /, and no Domain attribute". No other
//! host, sibling or plain-text page can set it over ours.

use std::fmt;

use http::HeaderValue;

/// A name or value that would not arrive as given.
#[derive(Debug, PartialEq, Eq)]
pub enum InvalidCookie {
    /// The name is not `__Host-` and at least one token character.
    Name,
    /// The value holds something that RFC 6265 does not allow in one.
    Value,
}

impl fmt::Display for InvalidCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the cookie's name is not __Host- and a token",
            Self::Value => "the cookie's value holds a character that cookies cannot",
        })
    }
}

impl std::error::Error for InvalidCookie {}

/// A `Set-Cookie` that lasts `max_age_s` seconds, or until the browser closes. With a request that another site
/// started it is sent when a person follows a link or redirect.
pub fn set(name: &str, value: &str, max_age_s: Option<u64>) -> Result<HeaderValue, InvalidCookie> {
    let token = name.strip_prefix("__Host-").ok_or(InvalidCookie::Name)?;
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return Err(InvalidCookie::Name);
    }
    if !value.bytes().all(is_octet) {
        return Err(InvalidCookie::Value);
    }
    let age = max_age_s.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}");
    let mut header = HeaderValue::try_from(text).map_err(|_| InvalidCookie::Value)?;
    // Keeps it out of HPACK's table and out of Debug.
    header.set_sensitive(true);
    Ok(header)
}

/// A `Set-Cookie` that removes the cookie of this name.
pub fn expire(name: &str) -> Result<HeaderValue, InvalidCookie> {
    set(name, "", Some(0))
}

/// `cookie-octet` of RFC 6265 §4.1.1.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_carries_every_attribute() {
        let cookie = set("__Host-session", "ab_-12", None).unwrap();
        let wanted = "__Host-session=ab_-12; Path=/; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(cookie.to_str().unwrap(), wanted);
        assert!(cookie.is_sensitive() && !format!("{cookie:?}").contains("ab_-12"));
        let cookie = set("__Host-csrf", "x", Some(60)).unwrap();
        assert!(cookie.to_str().unwrap().ends_with("; SameSite=Lax; Max-Age=60"));
        let gone = expire("__Host-session").unwrap();
        assert!(gone.to_str().unwrap().starts_with("__Host-session=; Path=/; Secure"));
        assert!(gone.to_str().unwrap().ends_with("; Max-Age=0"));
    }

    #[test]
    fn w106_nothing_in_a_cookie_can_end_it_early() {
        for value in ["a;b", "a\r\nSet-Cookie: x=y", "a b", "a,b", "\"a\"", "a\\b", "é", "\0"] {
            assert_eq!(set("__Host-a", value, None), Err(InvalidCookie::Value));
        }
        for name in ["session", "__Host-", "__Secure-a", "__Host-a=b", "__Host-a;", "__host-a"] {
            assert_eq!(set(name, "v", None), Err(InvalidCookie::Name), "{name}");
        }
    }
}
