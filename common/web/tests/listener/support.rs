//! A listener with a certificate of its own, an application that does what tests need, and
//! clients that speak HTTP or whatever they like over TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use host::sandbox::syscalls::AUTHD;
use host::sandbox::{Policy, Sandbox, enter};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use web::{Handler, Hosts, Limits, Proxies, Request, Response, Server, Tls, response, serve};

/// Longer than anything here takes, shorter than a stuck test run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(crate) struct App {
    pub(crate) entered: Notify,
    pub(crate) release: Semaphore0,
    pub(crate) finished: AtomicU32,
    pub(crate) handled: AtomicU32,
}

/// A semaphore that starts closed.
pub(crate) struct Semaphore0(pub(crate) Semaphore);

impl Default for Semaphore0 {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Handler for App {
    async fn handle(self: Arc<Self>, request: Request) -> Response {
        self.handled.fetch_add(1, Ordering::SeqCst);
        let segments = request.segments();
        match (&request.method, segments.as_deref()) {
            (_, Some(["panic"])) => panic!("as asked"),
            (_, Some(["wait"])) => {
                self.entered.notify_one();
                self.release.0.acquire().await.unwrap().forget();
                self.finished.fetch_add(1, Ordering::SeqCst);
                response::json_bytes(StatusCode::OK, "\"waited\"")
            }
            (_, Some(["whoami"])) => response::json(
                StatusCode::OK,
                &format!("{} by {}", request.client, request.peer.ip()),
            ),
            (_, Some(["big"])) => response::json_bytes(StatusCode::OK, vec![b' '; 16 << 20]),
            (&Method::POST, Some(["echo"])) => response::json_bytes(StatusCode::OK, request.body),
            (_, Some(_)) => {
                let named = request.query.unwrap_or_default();
                response::json(StatusCode::OK, &format!("{} {}", request.path, named))
            }
            (_, None) => response::empty(StatusCode::NOT_FOUND),
        }
    }
}

pub(crate) struct Stand {
    pub(crate) app: Arc<App>,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<Tls>,
    pub(crate) folder: PathBuf,
    /// The certificates that clients accept.
    pub(crate) trusted: Mutex<Vec<CertificateDer<'static>>>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Stand {
    pub(crate) fn start(name: &str) -> Self {
        Self::with(name, Limits::default())
    }

    pub(crate) fn with(name: &str, limits: Limits) -> Self {
        Self::behind(name, limits, Proxies::default())
    }

    pub(crate) fn behind(name: &str, limits: Limits, proxies: Proxies) -> Self {
        let folder = std::env::temp_dir().join(format!("web-{name}-{}", std::process::id()));
        // Of a run that was cut off, by a process of the same number.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let first = Pair::make();
        first.write(&folder);
        let tls = Tls::load(&folder.join("cert.pem"), &folder.join("key.pem"), false).unwrap();
        let confined = enter(Sandbox::Off, &Policy::default()).unwrap();
        let entered = confined.seal(&AUTHD).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let hosts = Hosts::new(["https://localhost"]).unwrap();
        let server = Server { limits, hosts, proxies, tls: tls.clone() };
        let app = Arc::new(App::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(serve(entered, listener, server, app.clone(), stopped));
        let trusted = Mutex::new(vec![first.certificate]);
        Self { app, address, tls, folder, trusted, stop: Some(stop), serving }
    }

    /// Tells the server to stop.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for the server to have stopped.
    pub(crate) async fn stopped(self) {
        tokio::time::timeout(PATIENCE, self.serving).await.unwrap().unwrap().unwrap();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    pub(crate) async fn end(mut self) {
        self.stop();
        self.stopped().await;
    }

    pub(crate) async fn connect(&self, alpn: &[u8]) -> TlsStream<TcpStream> {
        self.try_connect(alpn).await.unwrap()
    }

    pub(crate) async fn try_connect(&self, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        self.secure(TcpStream::connect(self.address).await?, alpn).await
    }

    /// TLS over a connection that is there.
    pub(crate) async fn secure(
        &self,
        tcp: TcpStream,
        alpn: &[u8],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in self.trusted.lock().unwrap().iter() {
            roots.add(certificate.clone()).unwrap();
        }
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    pub(crate) async fn http_1(&self) -> Client {
        Self::http_1_over(self.connect(b"http/1.1").await).await
    }

    pub(crate) async fn http_1_over(stream: TlsStream<TcpStream>) -> Client {
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        Client {
            version: Sender::One(sender),
            driver: tokio::spawn(async { _ = connection.await }),
        }
    }

    pub(crate) async fn http_2(&self) -> Client {
        Self::http_2_over(self.connect(b"h2").await).await
    }

    pub(crate) async fn http_2_over(stream: TlsStream<TcpStream>) -> Client {
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(1 << 20)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        Client {
            version: Sender::Two(sender),
            driver: tokio::spawn(async { _ = connection.await }),
        }
    }

    /// Sends bytes over TLS, and reads until the server closes or says nothing for a while.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect(b"http/1.1").await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut stream).await
    }
}

/// Reads to the end of the stream, however it ends.
pub(crate) async fn read_all(stream: &mut TlsStream<TcpStream>) -> String {
    let mut said = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let reading = async {
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            said.extend_from_slice(&buffer[..count]);
        }
    };
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ended.is_ok(), "it was not closed: {said}");
    said
}

enum Sender {
    One(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Two(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

pub(crate) struct Client {
    version: Sender,
    pub(crate) driver: JoinHandle<()>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) async fn send(
        &mut self,
        request: http::Request<Full<Bytes>>,
    ) -> hyper::Result<Answer> {
        let response = match &mut self.version {
            Sender::One(sender) => sender.send_request(request).await?,
            Sender::Two(sender) => sender.send_request(request).await?,
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// A request in the form that this version of HTTP has.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> http::Request<Full<Bytes>> {
        let builder = http::Request::builder().method(method);
        let builder = match self.version {
            Sender::One(_) => builder.uri(path).header("host", "localhost"),
            Sender::Two(_) => builder.uri(format!("https://localhost{path}")),
        };
        builder.body(Full::new(body.into())).unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> hyper::Result<Answer> {
        self.send(self.request("GET", path, "")).await
    }

    pub(crate) async fn post(
        &mut self,
        path: &str,
        body: impl Into<Bytes>,
    ) -> hyper::Result<Answer> {
        self.send(self.request("POST", path, body)).await
    }
}

/// A client of each version of HTTP.
pub(crate) async fn both(stand: &Stand) -> [Client; 2] {
    [stand.http_1().await, stand.http_2().await]
}

/// A key and certificate for localhost.
pub(crate) struct Pair {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

impl Pair {
    pub(crate) fn make() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            certificate_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
        }
    }

    pub(crate) fn write(&self, folder: &Path) {
        write_secret(&folder.join("key.pem"), &self.key_pem);
        std::fs::write(folder.join("cert.pem"), &self.certificate_pem).unwrap();
    }
}

pub(crate) fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never: {what}");
}
