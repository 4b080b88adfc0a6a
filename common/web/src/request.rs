//! A request as a handler sees it: complete, bounded, and for a host that is served here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Method};

/// Names one request in the log and to the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 16];
        // It is a name, not a secret: a kernel without random numbers does not stop the answer.
        let _ = getrandom::fill(&mut bytes);
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A header that has no single meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It is there more than once.
    Duplicate,
    /// It holds something other than visible ASCII and spaces.
    NotText,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "the header is there more than once",
            Self::NotText => "the header is not text",
        })
    }
}

impl std::error::Error for Malformed {}

/// A whole request. It came over TLS; there is no other way in.
///
/// No `Debug`: headers, query and body are where secrets are.
pub struct Request {
    /// One of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; others were answered 405.
    pub method: Method,
    /// The path as sent: nothing is decoded or resolved.
    pub path: String,
    /// What followed the first `?`, as sent.
    pub query: Option<String>,
    /// All headers, as sent.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// The other end of the TCP connection; a proxy's, if there is one.
    pub peer: SocketAddr,
    /// Who is asking, as far as trusted proxies and nobody else say: what limits, audit and pages use. Never an
    /// IPv4 address written as IPv6.
    pub client: IpAddr,
    /// This request's name.
    pub id: RequestId,
}

impl Request {
    /// The parts of the path, for routing. `None` if the path is written in a way that other
    /// software might read as another path: an escape, an empty or dot segment, a parameter, a
    /// slash at the end. Such a path is 404, never an alias.
    pub fn segments(&self) -> Option<Vec<&str>> {
        segments(&self.path)
    }

    /// A header that may be there at most once.
    ///
    /// # Errors
    /// If it is there twice, or is not text: answer 400.
    pub fn header(&self, name: &str) -> Result<Option<&str>, Malformed> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| Malformed::NotText),
            (Some(_), Some(_)) => Err(Malformed::Duplicate),
        }
    }

    /// Every `Cookie` header as sent; HTTP/2 clients may split theirs.
    pub fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        self.headers.get_all(http::header::COOKIE).iter().map(http::HeaderValue::as_bytes)
    }
}

fn segments(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix('/')?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let segments: Vec<&str> = rest.split('/').collect();
    let odd =
        |segment: &&str| matches!(*segment, "" | "." | "..") || segment.contains(['%', ';', '\\']);
    if segments.iter().any(odd) { None } else { Some(segments) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_its_segments() {
        assert_eq!(segments("/"), Some(vec![]));
        assert_eq!(segments("/oauth/token"), Some(vec!["oauth", "token"]));
        assert_eq!(segments("/.well-known/x"), Some(vec![".well-known", "x"]));
        assert_eq!(segments("/t/a~b_c-d.e"), Some(vec!["t", "a~b_c-d.e"]));
    }

    #[test]
    fn w105_a_path_that_could_be_read_as_another_has_no_segments() {
        for path in [
            "",
            "*",
            "token",
            "//token",
            "/./token",
            "/a/../token",
            "/token/",
            "/token//x",
            "/%74oken",
            "/token%00",
            "/token;x",
            "/a\\token",
            "/..",
        ] {
            assert_eq!(segments(path), None, "{path:?}");
        }
    }

    #[test]
    fn a_header_is_there_once_or_refused() {
        let mut request = Request {
            method: Method::GET,
            path: "/".into(),
            query: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            peer: ([127, 0, 0, 1], 1).into(),
            client: [127, 0, 0, 1].into(),
            id: RequestId::random(),
        };
        assert_eq!(request.header("x-a"), Ok(None));
        request.headers.append("x-a", "1".parse().unwrap());
        assert_eq!(request.header("X-A"), Ok(Some("1")));
        request.headers.append("x-a", "1".parse().unwrap());
        assert_eq!(request.header("x-a"), Err(Malformed::Duplicate));
        request.headers.insert("x-b", http::HeaderValue::from_bytes(b"\xe9").unwrap());
        assert_eq!(request.header("x-b"), Err(Malformed::NotText));
        request.headers.append("cookie", "a=1".parse().unwrap());
        request.headers.append("cookie", "b=2".parse().unwrap());
        assert_eq!(request.cookies().collect::<Vec<_>>(), [b"a=1", b"b=2"]);
    }
}
