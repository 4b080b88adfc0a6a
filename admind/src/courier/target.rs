//! Where a request goes: an https URL taken apart, before anything is resolved.

use http::Uri;
use oauth::uri::RedirectUri;

/// The port of https, always allowed.
pub(super) const HTTPS: u16 = 443;

/// An `https` URL on a port that requests may go to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// A name or an IPv4 address, for the resolver and for TLS.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and, if given, port, as the `Host` header says it.
    pub(super) authority: String,
    /// Path and query, as registered: nothing that a request of somebody's said enters it (W140).
    pub(super) path: String,
}

/// A URL that is never asked, whoever registered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forbidden;

impl Target {
    /// `https` alone, port 443 unless the settings list others (W137). The grammar is that of registered
    /// redirect URIs: no user information, no fragment, no number that only looks like a name.
    pub(super) fn parse(url: &str, ports: &[u16]) -> Result<Self, Forbidden> {
        let registered = RedirectUri::try_from(url.to_owned()).map_err(|_| Forbidden)?;
        if !registered.is_https() {
            return Err(Forbidden);
        }
        let uri: Uri = url.parse().map_err(|_| Forbidden)?;
        let authority = uri.authority().ok_or(Forbidden)?;
        let port = authority.port_u16().unwrap_or(HTTPS);
        if port != HTTPS && !ports.contains(&port) {
            return Err(Forbidden);
        }
        Ok(Self {
            host: authority.host().to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_https_url_is_taken_apart_as_it_was_registered() {
        let target = Target::parse("https://rp.example/keys?set=1", &[]).unwrap();
        assert_eq!((target.host.as_str(), target.port), ("rp.example", 443));
        assert_eq!(
            (target.authority.as_str(), target.path.as_str()),
            ("rp.example", "/keys?set=1")
        );
        let target = Target::parse("https://rp.example:8443", &[8443]).unwrap();
        assert_eq!((target.port, target.path.as_str()), (8443, "/"));
        assert_eq!(target.authority, "rp.example:8443");
        assert_eq!(Target::parse("https://rp.example:443/", &[8443]).unwrap().port, 443);
        assert_eq!(Target::parse("https://8.8.8.8/", &[]).unwrap().host, "8.8.8.8");
    }

    #[test]
    fn w137_other_schemes_ports_and_spellings_are_not_asked() {
        for url in [
            "",
            "http://rp.example/keys",
            "http://127.0.0.1/keys",
            "http://localhost/",
            "HTTPS://rp.example/",
            "ftp://rp.example/",
            "file:///etc/passwd",
            "com.example.app:/keys",
            "//rp.example/",
            "https://rp.example:444/",
            "https://rp.example:8443/",
            "https://rp.example:0/",
            "https://rp.example:/",
            "https://user@rp.example/",
            "https://user:pass@rp.example/",
            "https://rp.example@127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://rp.example/#keys",
            "https://rp.example/../x",
            "https://rp.example/a b",
            "https://rp.example/\r\nHost: x",
            "https://rp.example\\@127.0.0.1/",
            "https://rp.example%40127.0.0.1/",
            "https:///keys",
        ] {
            assert_eq!(Target::parse(url, &[9443]), Err(Forbidden), "{url:?}");
        }
    }
}
