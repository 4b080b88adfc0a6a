//! HTTP/1.1 over TLS, one blocking connection at a time, with every byte in the test's hands.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// How long any one read or write may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// A response larger than this is a fault, not an answer.
const RESPONSE_MAX: usize = 16 * 1024 * 1024;
const HEADERS_MAX: usize = 128;

/// The authorities that a client believes.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
    pem: String,
}

impl Trust {
    /// Those in a file of PEM.
    pub fn in_file(path: &Path) -> Self {
        let pem = std::fs::read_to_string(path).unwrap();
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { config: Arc::new(config), pem }
    }

    /// The authority's certificate, for clients that are not ours.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

/// One TLS connection.
#[derive(Debug)]
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// Read from the peer and not yet part of an answer.
    ahead: Vec<u8>,
}

impl Connection {
    /// Connect to an address as `localhost`, shaking hands at once.
    ///
    /// # Errors
    /// When nothing listens there or the handshake fails.
    pub fn open(address: SocketAddr, trust: &Trust) -> std::io::Result<Self> {
        Self::begin(TcpStream::connect_timeout(&address, PATIENCE)?, trust)
    }

    /// The same, from an address of this machine.
    ///
    /// # Errors
    /// As [`Connection::open`], or when the machine does not have the address.
    pub fn open_from(
        source: Ipv4Addr,
        address: SocketAddr,
        trust: &Trust,
    ) -> std::io::Result<Self> {
        let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
        let tcp = TcpStream::from(socket_with(family, kind, SocketFlags::CLOEXEC, None)?);
        tcp.set_write_timeout(Some(PATIENCE))?;
        bind(&tcp, &SocketAddrV4::new(source, 0))?;
        connect(&tcp, &address)?;
        Self::begin(tcp, trust)
    }

    fn begin(mut tcp: TcpStream, trust: &Trust) -> std::io::Result<Self> {
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls =
            ClientConnection::new(trust.config.clone(), name).map_err(std::io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(Self { stream: StreamOwned::new(tls, tcp), ahead: Vec::new() })
    }

    /// The certificate that the server showed, in DER.
    pub fn certificate(&self) -> Vec<u8> {
        let chain = self.stream.conn.peer_certificates().unwrap_or_default();
        chain.first().expect("a server shows a certificate").to_vec()
    }

    /// Send bytes as they are.
    ///
    /// # Errors
    /// When the peer has closed.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Read one response; `head` when it answers HEAD and so has no body.
    ///
    /// # Errors
    /// When the connection ends before the response does, or what comes is not HTTP.
    pub fn receive(&mut self, head: bool) -> std::io::Result<Response> {
        loop {
            if let Some((mut response, used)) = Response::parse_head(&self.ahead)? {
                self.ahead.drain(..used);
                if response.status == 100 {
                    continue;
                }
                if !head && !matches!(response.status, 204 | 304) {
                    response.body = self.body(&response)?;
                }
                return Ok(response);
            }
            self.more()?;
        }
    }

    /// Read until the peer closes, for what may not be answered at all.
    ///
    /// # Errors
    /// When reading fails otherwise than by the end.
    pub fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    fn body(&mut self, response: &Response) -> std::io::Result<Vec<u8>> {
        if response.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            return self.chunks();
        }
        if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(std::io::Error::other)?;
            return self.exactly(length);
        }
        self.rest()
    }

    fn chunks(&mut self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(std::io::Error::other)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            self.exactly(2)?;
        }
    }

    fn line(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(self.ahead.split_at(end).0).into_owned();
                self.ahead.drain(..end + 2);
                return Ok(line);
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            self.more()?;
        }
        Ok(self.ahead.drain(..length).collect())
    }

    fn more(&mut self) -> std::io::Result<()> {
        if self.ahead.len() > RESPONSE_MAX {
            return Err(std::io::Error::other("the response is larger than any of ours"));
        }
        let mut buffer = [0_u8; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.ahead.extend(buffer.iter().take(count));
                Ok(())
            }
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// In the order of the wire, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, its transfer coding removed.
    pub body: Vec<u8>,
}

impl Response {
    fn parse_head(bytes: &[u8]) -> std::io::Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut headers);
        let used = match parsed.parse(bytes).map_err(std::io::Error::other)? {
            httparse::Status::Partial => return Ok(None),
            httparse::Status::Complete(used) => used,
        };
        let headers = parsed
            .headers
            .iter()
            .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
            .collect();
        let status = parsed.code.unwrap_or_default();
        Ok(Some((Self { status, headers, body: Vec::new() }, used)))
    }

    /// The value of a header that must not come twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        let value = values.next();
        assert!(values.next().is_none(), "`{name}` comes twice: {:?}", self.headers);
        value
    }

    /// Every value of a header.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// Whether the server closes the connection after this.
    pub fn ends_connection(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {} {}", self.status, self.text()))
    }

    /// Where a redirect goes.
    pub fn location(&self) -> &str {
        assert!((300..400).contains(&self.status), "no redirect: {} {}", self.status, self.text());
        self.header("location").expect("a redirect names its target")
    }

    /// The same response, if its status is the one that is expected.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{:?}\n{}", self.headers, self.text());
        self
    }
}
