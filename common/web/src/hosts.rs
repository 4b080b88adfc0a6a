//! The host names that a listener serves.
//!
//! A request for any other name is answered 421: what a peer claims in `Host` decides nothing
//! else, and no link is ever built from it.

use std::fmt;

/// A set of canonical host names, each with its port unless that is 443.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<String>);

/// A name that is no host, or host and port.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidHost(String);

impl fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a host name, host:port, or https:// origin", self.0)
    }
}

impl std::error::Error for InvalidHost {}

impl Hosts {
    /// Takes names as `host`, `host:port` or `https://host[:port][/path]`.
    pub fn new<I>(names: I) -> Result<Self, InvalidHost>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let one = |name: I::Item| canonical(name.as_ref());
        names.into_iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether this `Host` or `:authority` is one of them.
    pub fn serves(&self, host: &str) -> bool {
        let host = without_default_port(host);
        self.0.iter().any(|known| known.eq_ignore_ascii_case(host))
    }
}

fn canonical(name: &str) -> Result<String, InvalidHost> {
    let host = match name.strip_prefix("https://") {
        Some(rest) => rest.split_once('/').map_or(rest, |(host, _)| host),
        None => name,
    };
    let parsed: Result<http::uri::Authority, _> = host.parse();
    let is_host = parsed.is_ok_and(|authority| !authority.host().is_empty());
    if !is_host || host.contains('@') || host.ends_with(':') {
        return Err(InvalidHost(name.to_owned()));
    }
    Ok(without_default_port(host).to_ascii_lowercase())
}

fn without_default_port(host: &str) -> &str {
    host.strip_suffix(":443").unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w103_only_the_canonical_names_are_served() {
        let hosts = Hosts::new(["https://Auth.example.com/t/x", "localhost:8080", "[::1]:8080"]);
        let hosts = hosts.unwrap();
        for host in ["auth.example.com", "AUTH.EXAMPLE.COM:443", "localhost:8080", "[::1]:8080"] {
            assert!(hosts.serves(host), "{host}");
        }
        for host in [
            "",
            "localhost",
            "localhost:443",
            "localhost:08080",
            "auth.example.com.",
            "auth.example.com:80",
            "user@auth.example.com",
            "auth.example.com:443:443",
            "auth.example.com, evil.example",
            "evil.example",
        ] {
            assert!(!hosts.serves(host), "{host:?}");
        }
    }

    #[test]
    fn what_is_no_host_cannot_be_served() {
        for name in ["", "https://", "http://a/", "a b", "u@h", "https://u:p@h/", "a,b/c d"] {
            assert!(Hosts::new([name]).is_err(), "{name:?}");
        }
    }
}
