//! An HTTPS client for a few requests: one connection each, no redirects, everything bounded.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::failure::Failure;

/// Longest answer, bytes.
const BODY_MAX: usize = 1024 * 1024;
/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The body of a request.
pub(crate) fn body(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from_static(text.as_bytes()))
}

pub(crate) struct Client(TlsConnector);

impl Client {
    /// Trusts the public authorities and, if a file is named, the certificates in it.
    pub(crate) fn new(ca: Option<&Path>) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if let Some(path) = ca {
            let unusable = |problem: String| Failure::value(path.display().to_string(), problem);
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
            let before = roots.len();
            for certificate in certificates {
                let added = certificate
                    .map_err(|error| error.to_string())
                    .and_then(|one| roots.add(one).map_err(|error| error.to_string()));
                added.map_err(unusable)?;
            }
            if roots.len() == before {
                return Err(unusable("holds no certificate".to_owned()));
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::refused(format!("TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Sends one request to an `https` URL and reads the whole answer.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, Failure> {
        self.send_at(request, None).await
    }

    /// The same; the host is at this address, whatever its name means elsewhere.
    pub(crate) async fn send_at(
        &self,
        request: Request<Full<Bytes>>,
        address: Option<SocketAddr>,
    ) -> Result<Response<Bytes>, Failure> {
        let url = request.uri().clone();
        let answered = tokio::time::timeout(PATIENCE, self.exchange(request, &url, address)).await;
        answered.unwrap_or_else(|_| {
            Err(Failure::refused(format!("{url} did not answer in {} s", PATIENCE.as_secs())))
        })
    }

    async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
        url: &Uri,
        address: Option<SocketAddr>,
    ) -> Result<Response<Bytes>, Failure> {
        let target = Target::of(url)?;
        let unreachable = || format!("{} cannot be reached", target.authority);
        let stream = match address {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((target.host, target.port)).await,
        };
        let stream = stream.map_err(Failure::io(unreachable()))?;
        let name = ServerName::try_from(target.host.to_owned())
            .map_err(|_| Failure::value(url.to_string(), "no host that TLS can name"))?;
        let stream = self.0.connect(name, stream).await.map_err(Failure::io(unreachable()))?;

        *request.uri_mut() =
            target.path.parse().map_err(|_| Failure::value(url.to_string(), "no URL"))?;
        let host = HeaderValue::from_str(target.authority)
            .map_err(|_| Failure::value(url.to_string(), "no host"))?;
        request.headers_mut().insert(HOST, host);
        let agent = HeaderValue::from_static(concat!("opentrusty/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);

        let broken = |error: hyper::Error| Failure::Io(unreachable(), std::io::Error::other(error));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the connection, whose errors the request reports.
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(broken)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await;
        let body =
            body.map_err(|error| Failure::refused(format!("the answer of {url}: {error}")))?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

/// The parts of an `https` URL.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    host: &'a str,
    port: u16,
    authority: &'a str,
    path: &'a str,
}

impl<'a> Target<'a> {
    fn of(url: &'a Uri) -> Result<Self, Failure> {
        let authority = url.authority().filter(|_| url.scheme_str() == Some("https"));
        let authority = authority
            .filter(|authority| !authority.as_str().contains('@'))
            .ok_or_else(|| Failure::value(url.to_string(), "not an https URL"))?;
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(443),
            authority: authority.as_str(),
            path: url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_spoken_and_to_the_host_that_is_named() {
        let of = |text: &str| {
            let url: Uri = text.parse().unwrap();
            Target::of(&url)
                .map(|target| (target.host.to_owned(), target.port, target.path.to_owned()))
        };
        assert_eq!(
            of("https://localhost:8081/api?x=1").unwrap(),
            ("localhost".into(), 8081, "/api?x=1".into())
        );
        assert_eq!(of("https://[::1]").unwrap(), ("::1".into(), 443, "/".into()));
        for bad in [
            "http://localhost/",
            "ftp://localhost/",
            "/relative",
            "localhost",
            "https://user@host/",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_no_trust() {
        let path = std::env::temp_dir().join(format!("opentrusty-ca-{}", std::process::id()));
        std::fs::write(&path, "nothing here\n").unwrap();
        let refused = Client::new(Some(&path)).err().map(|failure| failure.to_string());
        std::fs::remove_file(&path).unwrap();
        assert!(refused.unwrap().contains("holds no certificate"));
        assert!(Client::new(Some(&path)).is_err(), "a file that is not there");
    }
}
