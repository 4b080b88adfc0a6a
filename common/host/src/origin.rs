//! https origins in settings: an issuer, the API, the console.

use crate::config::ConfigError;

/// `host` or `host:port` of an https origin: lower case, no path, no query, no trailing slash, a port that is
/// one and is not the default.
///
/// # Errors
/// If it is anything else; names `key`.
pub fn https_host(key: &'static str, url: &str) -> Result<String, ConfigError> {
    let fix = "use https://host or https://host:port, without a trailing slash";
    let wrong = |problem: &'static str| ConfigError::new(key, problem, fix);
    let authority = url.strip_prefix("https://").ok_or_else(|| wrong("is not an https URL"))?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) =
                rest.split_once(']').ok_or_else(|| wrong("has an open bracket"))?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(wrong("has no IPv6 address in its brackets"));
            }
            (address, port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let legal =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':');
    if host.is_empty() || !host.bytes().all(legal) {
        return Err(wrong("has a path, a query, upper case or no host"));
    }
    let number = port.strip_prefix(':');
    let is_port =
        |text: &str| !text.starts_with('0') && text.parse::<u16>().is_ok_and(|port| port != 443);
    if !(port.is_empty() || number.is_some_and(is_port)) {
        return Err(wrong("has no good port: 1 to 65535, and 443 is left out"));
    }
    Ok(authority.to_owned())
}

#[cfg(test)]
mod tests {
    use super::https_host;

    #[test]
    fn an_origin_is_written_in_one_way() {
        for good in [
            "https://auth.example.com",
            "https://localhost:8080",
            "https://[::1]:8443",
            "https://127.0.0.1",
        ] {
            assert_eq!(https_host("issuer", good).unwrap(), &good["https://".len()..]);
        }
        for bad in [
            "http://a",
            "https://",
            "https://:80",
            "https://a/",
            "https://a?x",
            "https://A",
            "https://a:",
            "https://a:0",
            "https://a:080",
            "https://a:65536",
            "https://a:443",
            "https://a:8080:8080",
            "https://[]",
            "https://[::1",
            "https://[::1]x",
            "https://a b",
            "https://u@a",
            "null",
            "*",
        ] {
            assert!(https_host("issuer", bad).is_err(), "{bad}");
        }
    }
}
