//! HTTP for the crate and for the person: ureq, believing one authority, following no redirect.

use std::fmt;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use openidconnect::http::{self, HeaderMap, HeaderValue};
use openidconnect::url::Url;
use openidconnect::{HttpRequest, HttpResponse};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::Failure;

const TIMEOUT: Duration = Duration::from_secs(15);
const BODY_MAX: u64 = 1 << 20;

pub struct Transport {
    tls: Arc<ClientConfig>,
    agent: ureq::Agent,
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Broken(String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

impl Transport {
    pub fn new(authority: &str) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority)?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = Arc::new(tls);
        Ok(Self { agent: agent(&tls), tls })
    }

    /// An agent with cookies of its own.
    pub fn browser(&self) -> ureq::Agent {
        agent(&self.tls)
    }

    /// What the crate calls. The crate's own adapter for ureq takes an OAuth error's 400 for a broken connection.
    pub fn call(&self, request: HttpRequest) -> Result<HttpResponse, Broken> {
        let (head, body) = request.into_parts();
        let mut call = self.agent.request(head.method.as_str(), &head.uri.to_string());
        for (name, value) in &head.headers {
            call = call.set(name.as_str(), value.to_str().map_err(broken)?);
        }
        let sent = if head.method == http::Method::GET { call.call() } else { call.send_bytes(&body) };
        let answer = match sent {
            Ok(answer) | Err(ureq::Error::Status(_, answer)) => answer,
            Err(error) => return Err(broken(error)),
        };
        let mut headers = HeaderMap::new();
        if let Some(kind) = answer.header("content-type") {
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_str(kind).map_err(broken)?);
        }
        let status = answer.status();
        let mut bytes = Vec::new();
        answer.into_reader().take(BODY_MAX).read_to_end(&mut bytes).map_err(broken)?;
        let mut response = HttpResponse::new(bytes);
        *response.status_mut() = http::StatusCode::from_u16(status).map_err(broken)?;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// A JSON document.
    pub fn json(&self, url: &Url) -> Result<Value, Failure> {
        Ok(serde_json::from_str(&self.agent.get(url.as_str()).call()?.into_string()?)?)
    }
}

fn agent(tls: &Arc<ClientConfig>) -> ureq::Agent {
    ureq::AgentBuilder::new().tls_config(tls.clone()).redirects(0).timeout(TIMEOUT).build()
}

fn broken(error: impl fmt::Display) -> Broken {
    Broken(error.to_string())
}
