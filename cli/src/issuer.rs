//! The issuer of an installation: its URL, and the row that fixes it.

use std::fmt;
use std::str::FromStr;

use sqlx::PgConnection;
use store::audit::Event;
use uuid::Uuid;

use crate::audit;
use crate::failure::Failure;

/// Longest issuer, bytes: a DNS name, a port and the scheme.
const ISSUER_MAX: usize = 280;

/// An `https` URL of a host and perhaps a port, "with no query or fragment components" (RFC 8414 §2) and
/// here without a path: paths beneath it belong to tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issuer(String);

/// Text that is no issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InvalidIssuer;

impl fmt::Display for InvalidIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "use https://host or https://host:port, in lower case, without a trailing slash",
        )
    }
}

impl std::error::Error for InvalidIssuer {}

impl FromStr for Issuer {
    type Err = InvalidIssuer;

    fn from_str(text: &str) -> Result<Self, InvalidIssuer> {
        let authority = text.strip_prefix("https://").ok_or(InvalidIssuer)?;
        let (host, port) = split(authority).ok_or(InvalidIssuer)?;
        let legal =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        let address = |inner: &str| inner.parse::<std::net::Ipv6Addr>().is_ok();
        let named = !host.is_empty() && host.bytes().all(legal);
        let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).is_some_and(address);
        let numbered = port.is_none_or(|port| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0)
        });
        if text.len() <= ISSUER_MAX && (named || literal) && numbered {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidIssuer)
        }
    }
}

/// Host and port; the brackets of an IPv6 address stay.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    let end = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(end)?;
    match rest {
        "" => Some((host, None)),
        rest => Some((host, Some(rest.strip_prefix(':')?))),
    }
}

impl Issuer {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this machine and no other, by name: nothing is resolved.
    pub(crate) fn is_loopback(&self) -> bool {
        let authority = self.0.strip_prefix("https://").unwrap_or_default();
        split(authority)
            .is_some_and(|(host, _)| matches!(host, "localhost" | "127.0.0.1" | "[::1]"))
    }

    /// For what serves development only.
    pub(crate) fn require_loopback(&self, what: &str) -> Result<(), Failure> {
        if self.is_loopback() {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "{what} is for development: the issuer must be https://localhost, 127.0.0.1 or [::1], not {self}"
        )))
    }

    /// The platform's row in `issuers`, made now if nobody has; another value there is refused.
    pub(crate) async fn fix(&self, transaction: &mut PgConnection) -> Result<Uuid, Failure> {
        let made = sqlx::query_scalar!(
            "INSERT INTO issuers (id, tenant_id, url) VALUES ($1, NULL, $2)
             ON CONFLICT (tenant_id) DO NOTHING RETURNING id",
            Uuid::now_v7(),
            self.as_str()
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(id) = made {
            let data = serde_json::json!({ "url": self.as_str() });
            audit::write(
                transaction,
                Event::IssuerCreated,
                Some(("issuer", &id.to_string())),
                &data,
            )
            .await?;
            return Ok(id);
        }
        let row = sqlx::query!("SELECT id, url FROM issuers WHERE tenant_id IS NULL")
            .fetch_one(transaction)
            .await?;
        if row.url == self.as_str() {
            return Ok(row.id);
        }
        Err(Failure::refused(format!(
            "the issuer of this database is {} and cannot become {self}: every token and every subject \
             depends on it",
            row.url
        )))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> Issuer {
        text.parse().unwrap_or_else(|_| panic!("{text} is an issuer"))
    }

    #[test]
    fn loopback_is_three_names_and_nothing_that_looks_like_them() {
        for text in [
            "https://localhost",
            "https://localhost:8080",
            "https://127.0.0.1:1",
            "https://[::1]",
            "https://[::1]:65535",
        ] {
            assert!(issuer(text).is_loopback(), "{text}");
        }
        for text in [
            "https://auth.example.com",
            "https://localhost.example.com",
            "https://127.0.0.1.example.com:8080",
            "https://127.0.0.2",
            "https://xlocalhost",
            "https://[::2]",
            "https://0.0.0.0:8080",
        ] {
            assert!(!issuer(text).is_loopback(), "{text}");
            assert!(issuer(text).require_loopback("seed").is_err(), "{text}");
        }
    }

    #[test]
    fn an_issuer_has_no_path_query_user_or_upper_case() {
        for text in [
            "",
            "http://localhost:8080",
            "https://",
            "https://localhost/",
            "https://localhost:8080/t/a",
            "https://localhost?x",
            "https://localhost#x",
            "https://localhost@evil.example",
            "https://localhost:80@evil.example",
            "https://localhost:",
            "https://localhost:0",
            "https://localhost:65536",
            "https://localhost:+80",
            "https://LOCALHOST",
            "https://[::1",
            "https://[::1]x:1",
            "https://[]",
            "https://[localhost]",
            "https:// localhost",
            "https://локальный",
        ] {
            assert_eq!(text.parse::<Issuer>(), Err(InvalidIssuer), "{text:?}");
        }
        assert!(format!("https://{}", "a".repeat(273)).parse::<Issuer>().is_err());
    }
}
