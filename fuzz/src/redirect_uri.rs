//! What may be registered as a redirect URI, and what matches it.

use oauth::uri::{RedirectUri, URI_MAX};
use url::Url;

use crate::text;

/// The first line is registered, the second is presented.
pub fn redirect_uri(bytes: &[u8]) -> bool {
    let Some((registered, presented)) = text::lines(bytes) else { return false };
    let Ok(uri) = RedirectUri::try_from(registered.to_owned()) else { return false };
    assert_eq!(uri.as_str(), registered);
    assert!((1..=URI_MAX).contains(&registered.len()));
    assert!(registered.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#'));
    let json = serde_json::to_string(&uri).expect("a text");
    assert_eq!(serde_json::from_str::<RedirectUri>(&json).expect("the same text"), uri);

    if !registered.starts_with("http://") && !registered.starts_with("https://") {
        private(&uri, presented);
        return true;
    }
    let Some(parsed) = read_alike(registered) else { return true };
    assert_eq!(uri.is_https(), parsed.scheme() == "https");
    assert!(uri.matches(registered));
    assert_eq!(uri.matches(presented), may_match(registered, &parsed, presented), "{presented}");
    ports(&uri, &parsed);
    policy_names(registered, &parsed);
    true
}

/// The operating system finds an application by the scheme alone (RFC 8252 §7.1): it cannot be one that
/// means something to a browser. What follows may be no URL, but if it is one it hides nothing.
fn private(uri: &RedirectUri, presented: &str) {
    let text = uri.as_str();
    let (scheme, _) = text.split_once(':').expect("a scheme");
    assert!(scheme.contains('.') && !scheme.contains(|c: char| c.is_ascii_uppercase()), "{text}");
    assert!(!uri.is_https() && uri.matches(text));
    assert_eq!(uri.matches(presented), presented == text, "{presented}");
    assert_eq!(RedirectUri::csp_source(text), format!("{scheme}:"));
    if let Ok(url) = Url::parse(text) {
        let hidden = (url.username(), url.password(), url.fragment());
        assert_eq!((url.scheme(), hidden), (scheme, ("", None, None)), "{text}");
    }
}

/// A browser must go where we believe it goes: to the same host, and with nothing that hides another. It
/// may refuse to go (`None`) only because a label that says `xn--` is no international name.
fn read_alike(text: &str) -> Option<Url> {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            assert!(authority(text).0.contains("xn--"), "{text} is no URL: {error}");
            return None;
        }
    };
    assert_eq!(text.split(':').next(), Some(url.scheme()));
    assert_eq!((url.username(), url.password(), url.fragment()), ("", None, None), "{text}");
    let (authority, tail) = authority(text);
    let (host, port) = host_and_port(authority);
    assert_eq!(url.host_str(), Some(host), "{text}");
    let default = if url.scheme() == "https" { 443 } else { 80 };
    assert_eq!(url.port_or_known_default(), port.or(Some(default)), "{text}");
    let path = tail.split('?').next().unwrap_or_default();
    assert_eq!(url.path(), if path.is_empty() { "/" } else { path }, "{text}");
    let local = ["127.0.0.1", "[::1]", "localhost"].contains(&host);
    assert!(url.scheme() == "https" || local, "clear text beyond this machine: {text}");
    Some(url)
}

/// Byte equality, or a literal loopback address of which a second parser says that only the port differs.
fn may_match(registered: &str, parsed: &Url, presented: &str) -> bool {
    if presented == registered {
        return true;
    }
    let host = parsed.host_str().unwrap_or_default();
    if parsed.scheme() != "http" || !["127.0.0.1", "[::1]"].contains(&host) {
        return false;
    }
    let tail = authority(registered).1;
    let Ok(other) = Url::parse(presented) else { return false };
    let port = other.port_or_known_default().unwrap_or_default();
    let same = other.scheme() == "http" && other.host_str() == Some(host) && port > 0;
    // The port has one spelling; it may be left out.
    let spelt = presented == format!("http://{host}:{port}{tail}");
    same && (spelt || presented == format!("http://{host}{tail}"))
}

/// RFC 8252 §7.3: any port for a literal loopback address, and for nothing else.
fn ports(uri: &RedirectUri, parsed: &Url) {
    let text = uri.as_str();
    let host = parsed.host_str().unwrap_or_default();
    let (scheme, tail) = (parsed.scheme(), authority(text).1);
    let free = scheme == "http" && ["127.0.0.1", "[::1]"].contains(&host);
    for port in ["1", "80", "443", "65535"] {
        let other = format!("{scheme}://{host}:{port}{tail}");
        assert_eq!(uri.matches(&other), free || other == text, "{text} and {other}");
    }
    for port in ["", "0", "080", "65536", "+80", "80:80", "80@evil.example"] {
        let other = format!("{scheme}://{host}:{port}{tail}");
        assert!(!uri.matches(&other), "{text} matches {other}");
    }
    for host in ["127.0.0.1.evil.example", "evil.example", "localhost.", "127.0.0.1@evil.example"] {
        let other = format!("{scheme}://{host}{tail}");
        assert!(!uri.matches(&other) || other == text, "{text} matches {other}");
    }
}

/// The source that a page's policy names covers the URI and is one source.
fn policy_names(text: &str, parsed: &Url) {
    let source = RedirectUri::csp_source(text);
    assert!(text.starts_with(&source), "{source} for {text}");
    assert!(!source.contains([' ', ';', ',', '\'', '*']), "{source:?} is more than a source");
    let url = Url::parse(&source).unwrap_or_else(|error| panic!("{source}: {error}"));
    assert_eq!(url.origin(), parsed.origin(), "{source} for {text}");
}

fn authority(text: &str) -> (&str, &str) {
    let (_, rest) = text.split_once("://").expect("http has an authority");
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse().expect("a port"))),
        _ => (authority, None),
    }
}
