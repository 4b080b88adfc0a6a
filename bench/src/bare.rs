//! The least that an HTTPS endpoint can cost here: hyper and rustls as authd uses them, and nothing behind.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use e2e::Connection;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::child::say;
use crate::load::Worker;

/// Bytes of a request's and of an answer's body: a token request with its answer is about as long.
const BODY: usize = 1024;

/// Where the endpoint listens.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listening {
    /// On 127.0.0.1.
    pub port: u16,
}

/// The part of the endpoint: serves until standard input ends, so it outlives nobody.
pub fn serve(certificate: &Path, key: &Path) {
    let config = tls(certificate, key);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.spawn(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        say(&Listening { port: listener.local_addr().unwrap().port() });
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                // The load goes away when it has finished; nothing is to be said about it.
                let _ = connection.await;
            });
        }
    });
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    Ok(Response::new(Full::new(body)))
}

fn tls(certificate: &Path, key: &Path) -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

/// The certificate and key that the stands' authd serves with.
pub fn pair() -> (PathBuf, PathBuf) {
    let folder = e2e::bench::bench().dir().join("tls/authd");
    (folder.join("certificate.pem"), folder.join("key.pem"))
}

/// Somebody who posts to the endpoint.
#[derive(Debug)]
pub struct Poster {
    connection: Connection,
    request: Vec<u8>,
}

impl Poster {
    /// Connects.
    pub fn new(port: u16) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let body = "x".repeat(BODY);
        let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n";
        Self {
            connection: Connection::open(address, e2e::bench::bench().trust()).unwrap(),
            request: format!("{head}content-length: {BODY}\r\n\r\n{body}").into_bytes(),
        }
    }
}

impl Worker for Poster {
    fn step(&mut self) -> Result<bool, String> {
        self.connection.send(&self.request).map_err(|error| error.to_string())?;
        let response = self.connection.receive(false).map_err(|error| error.to_string())?;
        if response.status != 200 || response.body.len() != BODY {
            return Err(format!("{} with {} bytes", response.status, response.body.len()));
        }
        Ok(true)
    }
}
