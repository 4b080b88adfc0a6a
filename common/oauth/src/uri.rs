//! Redirect URIs: what may be registered, and what matches.
//!
//! Matching is byte equality with a registered string (RFC 9700 §2.1), except the port of a literal
//! loopback address (RFC 8252 §7.3). There is no normalisation, so nothing that two parsers could read
//! differently may be registered in the first place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest URI that can be registered or presented, in bytes.
pub const URI_MAX: usize = 2000;

/// Text that may not be registered as a URI of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidUri {
    /// Longer than 2000 bytes, or empty.
    Length,
    /// A control, a space, a backslash, a quote, an angle bracket or a byte above ASCII.
    Character,
    /// `%00`, `%2e`, `%2f`, `%5c`, or `%` without two digits.
    Escape,
    /// Not `https`, nor `http` on loopback, nor a private-use scheme with a dot (RFC 8252 §7.1).
    Scheme,
    /// No host, user information, a name that is not lower-case ASCII, or a bad port.
    Authority,
    /// `.` or `..` as a path segment, or `;` beside dots.
    Path,
    /// "The endpoint URI MUST NOT include a fragment component" (RFC 6749 §3.1.2).
    Fragment,
}

impl fmt::Display for InvalidUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "URI: 1 to 2000 bytes",
            Self::Character => "URI: only printable ASCII without space, *, \\, \", <, >, ^, `, {, |, }",
            Self::Escape => "URI: malformed or ambiguous percent-encoding",
            Self::Scheme => {
                "URI: https, http on 127.0.0.1, [::1] or localhost, or a private-use scheme with a dot"
            }
            Self::Authority => "URI: lower-case ASCII host without user information, port 1 to 65535",
            Self::Path => "URI: no dot segments",
            Self::Fragment => "URI: no fragment",
        })
    }
}

impl std::error::Error for InvalidUri {}

/// What kind of application listens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `https://…`
    Web,
    /// `http://127.0.0.1…` or `http://[::1]…`: the port is free; byte offsets of the port's place.
    Loopback { host_end: usize, port_end: usize },
    /// `http://localhost…`: exact, port included.
    Localhost,
    /// `com.example.app:…`
    Private,
}

/// A registered redirect URI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri {
    text: String,
    shape: Shape,
}

impl RedirectUri {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what a request presents is this URI. Bytes, except a literal loopback address's port.
    pub fn matches(&self, presented: &str) -> bool {
        if self.text == presented {
            return true;
        }
        let Shape::Loopback { host_end, port_end } = self.shape else { return false };
        // "The authorization server MUST allow any port to be specified at the time of the request for
        // loopback IP redirect URIs" (RFC 8252 §7.3). Everything around the port stays exact.
        let (Some(before), Some(after)) = (self.text.get(..host_end), self.text.get(port_end..))
        else {
            return false;
        };
        let Some(middle) = presented.strip_prefix(before).and_then(|rest| rest.strip_suffix(after))
        else {
            return false;
        };
        middle.is_empty() || middle.strip_prefix(':').is_some_and(is_port)
    }

    /// Whether the browser can be sure who listens there. Others get an interactive page each time
    /// (RFC 8252 §8.6).
    pub fn is_https(&self) -> bool {
        self.shape == Shape::Web
    }

    /// What `form-action` must allow so that a form's redirect can reach it: an origin, or a scheme.
    pub fn csp_source(presented: &str) -> String {
        let (scheme, rest) = presented.split_once(':').unwrap_or((presented, ""));
        let Some(rest) = rest.strip_prefix("//").filter(|_| matches!(scheme, "http" | "https"))
        else {
            return format!("{scheme}:");
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        format!("{scheme}://{}", rest.get(..end).unwrap_or_default())
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = InvalidUri;

    fn try_from(text: String) -> Result<Self, InvalidUri> {
        let shape = shape(&text)?;
        Ok(Self { text, shape })
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.text
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether text is an https origin as a browser would send it (RFC 6454 §6.2): scheme, host and perhaps a port,
/// nothing after them.
pub fn is_https_origin(text: &str) -> bool {
    let end = text.strip_prefix("https://").map(|rest| rest.contains(['/', '?']));
    end == Some(false) && shape(text) == Ok(Shape::Web)
}

fn shape(text: &str) -> Result<Shape, InvalidUri> {
    if !(1..=URI_MAX).contains(&text.len()) {
        return Err(InvalidUri::Length);
    }
    let forbidden = |b: u8| {
        !b.is_ascii_graphic()
            || matches!(b, b'\\' | b'*' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    if text.bytes().any(forbidden) {
        return Err(InvalidUri::Character);
    }
    if text.contains('#') {
        return Err(InvalidUri::Fragment);
    }
    escapes(text)?;
    let (scheme, rest) = text.split_once(':').ok_or(InvalidUri::Scheme)?;
    match scheme {
        "https" => {
            let (host, _, path) = authority(rest)?;
            dots(path)?;
            if host.starts_with('[') { Err(InvalidUri::Authority) } else { Ok(Shape::Web) }
        }
        "http" => {
            let (host, port_len, path) = authority(rest)?;
            dots(path)?;
            let host_end = "http://".len() + host.len();
            match host {
                "127.0.0.1" | "[::1]" => {
                    Ok(Shape::Loopback { host_end, port_end: host_end + port_len })
                }
                "localhost" => Ok(Shape::Localhost),
                _ => Err(InvalidUri::Scheme),
            }
        }
        _ => private(scheme, rest),
    }
}

/// "private-use URI scheme … based on a domain name under their control, expressed in reverse order"
/// (RFC 8252 §7.1): the dot tells `com.example.app` from `javascript`.
fn private(scheme: &str, rest: &str) -> Result<Shape, InvalidUri> {
    let legal =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.');
    let labels = scheme.contains('.') && scheme.split('.').all(|label| !label.is_empty());
    let starts = scheme.starts_with(|c: char| c.is_ascii_lowercase());
    if !(labels && starts && scheme.bytes().all(legal)) {
        return Err(InvalidUri::Scheme);
    }
    if rest.contains('@') {
        return Err(InvalidUri::Authority);
    }
    dots(rest.split('?').next().unwrap_or_default())?;
    Ok(Shape::Private)
}

fn escapes(text: &str) -> Result<(), InvalidUri> {
    for (index, _) in text.match_indices('%') {
        let digits = text.get(index + 1..index + 3).ok_or(InvalidUri::Escape)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidUri::Escape);
        }
        if ["00", "2e", "2f", "5c", "25", "40"].contains(&digits.to_ascii_lowercase().as_str()) {
            return Err(InvalidUri::Escape);
        }
    }
    Ok(())
}

/// Splits `//host[:port]path?query`: the host, the length of `:port`, and the path.
fn authority(rest: &str) -> Result<(&str, usize, &str), InvalidUri> {
    let rest = rest.strip_prefix("//").ok_or(InvalidUri::Authority)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let path = tail.split('?').next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let close = inner.find(']').ok_or(InvalidUri::Authority)?;
            authority.split_at(close + 2)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
        return Err(InvalidUri::Authority);
    }
    if !(host == "[::1]" || is_host(host)) {
        return Err(InvalidUri::Authority);
    }
    Ok((host, port.len(), path))
}

/// An A-label whose payload cannot be Punycode of anything beyond ASCII is a trap (W6): a decoder would show a
/// plain name where another is meant. Punycode of a name with a character beyond ASCII needs at least two
/// characters for it, after the last hyphen.
fn is_a_label(label: &str) -> bool {
    let Some(payload) = label.strip_prefix("xn--") else { return true };
    payload.rsplit('-').next().is_some_and(|delta| delta.len() >= 2)
}

/// Dotted lower-case labels. A name whose last label is a number would be an IP address to a browser
/// ("0x7f.1", "2130706433"), so only a canonical dotted quad may end in one.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
            && is_a_label(label)
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return false;
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.starts_with(|c: char| c.is_ascii_digit())
        && last.bytes().all(|b| b.is_ascii_hexdigit() || b == b'x');
    !numeric || host.parse::<std::net::Ipv4Addr>().is_ok()
}

fn is_port(text: &str) -> bool {
    !text.starts_with('0')
        && text.len() <= 5
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse::<u16>().is_ok()
}

fn dots(path: &str) -> Result<(), InvalidUri> {
    // `..;` is a dot segment to servers that strip path parameters (W3).
    let is_dot = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    if path.split('/').any(is_dot) { Err(InvalidUri::Path) } else { Ok(()) }
}

#[cfg(test)]
#[path = "uri_tests.rs"]
mod tests;
