//! Who is really asking, when proxies stand between. Only proxies that the operator named are believed.

use std::io;
use std::net::IpAddr;

use host::config::{ConfigError, Settings};
use http::{HeaderMap, HeaderName};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::networks::{Network, Networks};
use crate::proxy::{self, HEADER_MAX, Header};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// More proxies in a row than this are a loop, or somebody's try to keep us busy.
const HOPS_MAX: usize = 32;

/// Which proxies are believed, and how they say for whom they connect.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// What they say in `X-Forwarded-For` is believed.
    pub trusted: Networks,
    /// Their connections must begin with a PROXY header of version 2, before TLS.
    pub protocol: Networks,
}

impl Proxies {
    /// The settings `trusted_proxies` and `proxy_protocol`, each a list of addresses and networks.
    ///
    /// # Errors
    /// If an item is neither; names the key.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            trusted: networks(settings, "trusted_proxies")?,
            protocol: networks(settings, "proxy_protocol")?,
        })
    }

    /// For whom a request is, that arrived over a connection from `source` (by its PROXY header, if there was
    /// one). `X-Forwarded-For` is read from the right, each item being what the proxy to its right saw: the
    /// first that is no trusted proxy is the client, and what is left of it is the client's own invention.
    pub(crate) fn client(&self, source: IpAddr, headers: &HeaderMap) -> IpAddr {
        let source = source.to_canonical();
        if !self.trusted.contain(source) {
            return source;
        }
        let values = headers.get_all(FORWARDED_FOR).iter();
        let mut hops = values.rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        let mut client = source;
        for hop in hops.by_ref().take(HOPS_MAX) {
            let Some(address) = address(hop) else { return source };
            client = address;
            if !self.trusted.contain(address) {
                return client;
            }
        }
        if hops.next().is_some() { source } else { client }
    }
}

fn networks(settings: &Settings, key: &'static str) -> Result<Networks, ConfigError> {
    let network = |item: String| {
        item.trim().parse::<Network>().map_err(|problem| {
            let fix = "list addresses and networks, as in 10.0.0.0/8, 192.0.2.7";
            ConfigError::new(key, format!("{item:?} is not valid ({problem})"), fix)
        })
    };
    settings.list(key)?.into_iter().map(network).collect()
}

/// An item of the list: a bare address, no port, no brackets.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Reads a PROXY header and not one byte more. `None`: the proxy connects for itself.
///
/// # Errors
/// If there is none, or the connection ends.
pub(crate) async fn announced(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut bytes = [0; HEADER_MAX];
    let mut filled = 0;
    loop {
        let read = bytes.get(..filled).unwrap_or_default();
        let needs = match proxy::read(read) {
            Ok(Header::Whole { source, .. }) => return Ok(source),
            Ok(Header::Needs(needs)) => needs,
            Err(malformed) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, malformed.to_string()));
            }
        };
        let room = bytes.get_mut(filled..filled + needs).ok_or(io::ErrorKind::InvalidData)?;
        match stream.read(room).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(source: &str, forwarded_for: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8:a::/48"];
        let trusted = trusted.map(|text| text.parse::<Network>().unwrap()).into_iter().collect();
        let mut headers = HeaderMap::new();
        for value in forwarded_for {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append(FORWARDED_FOR, value);
        }
        let proxies = Proxies { trusted, protocol: Networks::default() };
        proxies.client(ip(source), &headers).to_string()
    }

    #[test]
    fn w103_a_stranger_is_who_it_is_whatever_it_says() {
        for said in ["198.51.100.1", "10.0.0.1", "127.0.0.1", "", "x"] {
            assert_eq!(client("203.0.113.9", &[said]), "203.0.113.9", "{said:?}");
        }
        assert_eq!(client("::ffff:203.0.113.9", &["10.0.0.1"]), "203.0.113.9");
    }

    #[test]
    fn w103_the_last_address_that_no_trusted_proxy_has_is_the_client() {
        for (said, expected) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["\t198.51.100.1 "], "198.51.100.1"),
            (&["198.51.100.1, 10.0.0.2,10.0.0.3"], "198.51.100.1"),
            // What the client wrote by itself stands to the left of what was seen.
            (&["127.0.0.1, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            (&["<script>, 198.51.100.1"], "198.51.100.1"),
            (&["192.0.2.1", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            (&["2001:db8::7, 2001:db8:a::1"], "2001:db8::7"),
            (&["::ffff:198.51.100.1, ::ffff:10.0.0.2"], "198.51.100.1"),
            // A client inside.
            (&["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", said), expected, "{said:?}");
            assert_eq!(client("::ffff:10.0.0.1", said), expected, "{said:?}");
        }
    }

    #[test]
    fn w103_what_a_trusted_proxy_garbles_counts_for_the_proxy() {
        let many = vec!["10.0.0.2"; HOPS_MAX + 1].join(",");
        for said in [
            "",
            ",",
            "198.51.100.1,",
            "198.51.100.1, ,10.0.0.2",
            "unknown",
            "198.51.100.1:443",
            "[2001:db8::7]",
            "198.51.100.1%0",
            "198.51.100.1\u{e9}",
            "for=198.51.100.1",
            "0xc6.51.100.1",
            "198.51.100.01",
            &many,
        ] {
            assert_eq!(client("10.0.0.1", &[said]), "10.0.0.1", "{said:?}");
        }
        let most = format!("198.51.100.1,{}", vec!["10.0.0.2"; HOPS_MAX - 1].join(","));
        assert_eq!(client("10.0.0.1", &[&most]), "198.51.100.1");
    }

    #[test]
    fn settings_name_networks_and_a_mistake_names_its_key() {
        const KEYS: &[host::config::Key] = &[
            host::config::Key { name: "trusted_proxies", aliases: &[] },
            host::config::Key { name: "proxy_protocol", aliases: &[] },
        ];
        let read = |text: &str| {
            Proxies::from_settings(&Settings::from_parts(text, |_| None, KEYS).unwrap())
        };
        let none = read("").unwrap();
        assert_eq!((none.trusted, none.protocol), Default::default());
        let some = read("trusted_proxies = \"10.0.0.0/8, 192.0.2.7\"\nproxy_protocol = [\"::1\"]")
            .unwrap();
        assert!(some.trusted.contain(ip("192.0.2.7")) && !some.trusted.contain(ip("192.0.2.8")));
        assert!(some.protocol.contain(ip("::1")) && !some.protocol.contain(ip("10.0.0.1")));
        for (text, key) in [
            ("trusted_proxies = \"10.0.0.0/8, proxy\"", "trusted_proxies"),
            ("proxy_protocol = \"10.0.0.1/8\"", "proxy_protocol"),
        ] {
            assert!(read(text).unwrap_err().to_string().contains(key), "{text}");
        }
    }
}
