//! One request to somebody else's server, and what keeps it from reaching anything else (W137): https, a
//! checked port, a checked address that is then connected to exactly, the server's name proved by TLS, no
//! redirect, no proxy, and limits on size and time.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use host::config::ConfigError;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::{Block, is_public};
use super::target::{Forbidden, Target};

/// From the look-up of the name to the last byte.
const WHOLE: Duration = Duration::from_secs(3);
/// Longest body of an answer, and longest head, bytes.
const BODY_MAX: usize = 64 * 1024;
const HEAD_MAX: usize = 16 * 1024;
/// Most header fields of an answer.
const FIELDS_MAX: usize = 64;
/// Addresses of one name that are tried, in the resolver's order.
const ADDRESSES_MAX: usize = 4;

/// Why nothing came of a request. Without any text of the peer's, and for our log alone: a distinction that
/// is shown to whoever registered the URL would make a port scanner of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// The settings name no place for it.
    Nowhere,
    /// Not https, a port that is not allowed, or no URL of a registrable form.
    Forbidden,
    /// The name has no address.
    Unresolved,
    /// One of its addresses is special.
    Special,
    /// Nobody listens there.
    Unreachable,
    /// The server did not prove its name.
    Untrusted,
    /// It broke off, or spoke no HTTP.
    Broken,
    /// It answered more than we take.
    Long,
    /// It took longer than we wait.
    Slow,
    /// It answered, and not with success; a redirect is one of these.
    Status(StatusCode),
}

impl Failed {
    /// Whether the same request may fare better later. "4xx ⇒ no retry storm" (W63), and a redirect, a
    /// forbidden URL or a special address is what somebody set up so.
    pub(super) fn is_passing(self) -> bool {
        match self {
            Self::Nowhere | Self::Forbidden | Self::Special => false,
            Self::Status(status) => status.is_server_error(),
            Self::Unresolved
            | Self::Unreachable
            | Self::Untrusted
            | Self::Broken
            | Self::Long
            | Self::Slow => true,
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "the settings name no place for it",
            Self::Forbidden => "its URL may not be asked",
            Self::Unresolved => "the name has no address",
            Self::Special => "the name has a special address",
            Self::Unreachable => "nobody listens there",
            Self::Untrusted => "the server did not prove its name",
            Self::Broken => "the connection broke",
            Self::Long => "the answer is too long",
            Self::Slow => "there was no answer in time",
            Self::Status(status) => return write!(f, "status {}", status.as_u16()),
        })
    }
}

impl From<Forbidden> for Failed {
    fn from(Forbidden: Forbidden) -> Self {
        Self::Forbidden
    }
}

/// What requests are made with.
pub(super) struct Outbound {
    tls: TlsConnector,
    ports: Vec<u16>,
    allow: Vec<Block>,
}

impl Outbound {
    /// Trusts the web's authorities, or those of `ca` instead.
    pub(super) fn new(
        ca: Option<&Path>,
        ports: Vec<u16>,
        allow: Vec<Block>,
    ) -> Result<Self, ConfigError> {
        let refuse = |problem: String| {
            ConfigError::new("courier_ca", problem, "name a PEM file of certificates")
        };
        let mut roots = RootCertStore::empty();
        match ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let certificates = CertificateDer::pem_file_iter(path)
                    .map_err(|error| refuse(error.to_string()))?;
                for certificate in certificates {
                    let added = certificate
                        .map_err(|error| error.to_string())
                        .and_then(|one| roots.add(one).map_err(|error| error.to_string()));
                    added.map_err(refuse)?;
                }
            }
        }
        if roots.is_empty() {
            return Err(refuse("holds no certificate".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), ports, allow })
    }

    /// The body of a resource, which must answer 200.
    pub(super) async fn fetch(&self, url: &str) -> Result<Bytes, Failed> {
        let request = Request::new(Full::default());
        within(async {
            let target = Target::parse(url, &self.ports)?;
            let stream = self.open(&target).await?;
            exchange(stream, addressed(request, &target)?, async |response| {
                if response.status() != StatusCode::OK {
                    return Err(Failed::Status(response.status()));
                }
                let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
                body.map(http_body_util::Collected::to_bytes).map_err(|error| {
                    let long = error.is::<http_body_util::LengthLimitError>();
                    if long { Failed::Long } else { Failed::Broken }
                })
            })
            .await
        })
        .await
    }

    /// Sends a JSON text; any 2xx is success, and what it says is not read.
    pub(super) async fn post(
        &self,
        url: &str,
        bearer: Option<&SecretString>,
        json: String,
    ) -> Result<(), Failed> {
        let mut request = Request::new(Full::from(json));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(bearer) = bearer {
            let value = format!("Bearer {}", bearer.expose_secret());
            let mut value = HeaderValue::try_from(value).map_err(|_| Failed::Forbidden)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        within(async {
            let target = Target::parse(url, &self.ports)?;
            let stream = self.open(&target).await?;
            exchange(stream, addressed(request, &target)?, async |response| {
                let status = response.status();
                if status.is_success() { Ok(()) } else { Err(Failed::Status(status)) }
            })
            .await
        })
        .await
    }

    /// Resolves once and connects to what was judged: a name that changes its mind in between (rebinding)
    /// changes nothing.
    async fn open(&self, target: &Target) -> Result<TlsStream<TcpStream>, Failed> {
        let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
        let addresses: Vec<SocketAddr> = found.map_err(|_| Failed::Unresolved)?.collect();
        self.judge(&addresses)?;
        let name = ServerName::try_from(target.host.clone()).map_err(|_| Failed::Forbidden)?;
        for address in addresses.iter().take(ADDRESSES_MAX) {
            if let Ok(stream) = TcpStream::connect(address).await {
                return self.tls.connect(name, stream).await.map_err(|error| {
                    // rustls' own errors come wrapped; what is not wrapped is the connection's.
                    let of_tls = error
                        .get_ref()
                        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
                        .is_some();
                    if of_tls { Failed::Untrusted } else { Failed::Broken }
                });
            }
        }
        Err(Failed::Unreachable)
    }

    /// One special address among public ones is an attempt, or a mistake; either way none is used.
    fn judge(&self, addresses: &[SocketAddr]) -> Result<(), Failed> {
        if addresses.is_empty() {
            return Err(Failed::Unresolved);
        }
        let fit = |address: &SocketAddr| {
            is_public(address.ip()) || self.allow.iter().any(|block| block.contains(address.ip()))
        };
        if addresses.iter().all(fit) { Ok(()) } else { Err(Failed::Special) }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    tokio::time::timeout(WHOLE, work).await.unwrap_or(Err(Failed::Slow))
}

fn addressed(
    mut request: Request<Full<Bytes>>,
    target: &Target,
) -> Result<Request<Full<Bytes>>, Failed> {
    *request.uri_mut() = target.path.parse().map_err(|_| Failed::Forbidden)?;
    let authority = HeaderValue::from_str(&target.authority).map_err(|_| Failed::Forbidden)?;
    let headers = request.headers_mut();
    headers.insert(HOST, authority);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, application/jwk-set+json"));
    headers.insert(USER_AGENT, HeaderValue::from_static("opentrusty"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// Sends a request and reads the answer, with nothing that outlives either: dropped in between, the
/// connection is closed.
async fn exchange<T>(
    stream: TlsStream<TcpStream>,
    request: Request<Full<Bytes>>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let (mut sender, connection): (SendRequest<Full<Bytes>>, _) = Builder::new()
        .max_buf_size(HEAD_MAX)
        .max_headers(FIELDS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Failed::Broken)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(|_| Failed::Broken)?;
        read(response).await
    });
    tokio::select! {
        answered = &mut answer => answered,
        // The last of an answer may lie ready when its connection has ended.
        _ = &mut connection => answer.await,
    }
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
