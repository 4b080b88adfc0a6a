//! A client of the stands: cookies, forms, no redirect followed by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::http::{Connection, Response, Trust};

/// Form or query parameters, in order; a name may come twice.
pub type Form<'a> = &'a [(&'a str, &'a str)];

/// Parameters as a query string or a form body.
pub fn query(form: Form<'_>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

/// The header of HTTP Basic for a client, its parts form-encoded first (RFC 6749 §2.3.1).
pub fn basic(id: &str, secret: &str) -> (&'static str, String) {
    let part =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", part(id), part(secret));
    ("authorization", format!("Basic {}", STANDARD.encode(pair)))
}

/// The header of a bearer token.
pub fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

/// A user agent with cookies of its own.
#[derive(Clone, Debug)]
pub struct Client {
    trust: Trust,
    cookies: BTreeMap<String, String>,
    /// Names of those that outlive a closed browser.
    lasting: BTreeSet<String>,
    /// Which port to connect to when a URL names another: how a test picks a node.
    routes: HashMap<u16, u16>,
    /// Which address to connect from when not the usual one.
    source: Option<Ipv4Addr>,
    /// The connections that are kept; none of them unless asked.
    lines: Option<Lines>,
}

/// One connection per address, shared by the copies of a client.
type Lines = Arc<Mutex<HashMap<SocketAddr, Connection>>>;

impl Client {
    /// A client that trusts the stand's authority, without cookies.
    pub fn new(trust: &Trust) -> Self {
        Self {
            trust: trust.clone(),
            cookies: BTreeMap::new(),
            lasting: BTreeSet::new(),
            routes: HashMap::new(),
            source: None,
            lines: None,
        }
    }

    /// The same client, which keeps its connections from one request to the next.
    #[must_use]
    pub fn keeping(mut self) -> Self {
        self.lines = Some(Arc::default());
        self
    }

    /// The same client at another address of this machine, for new connections.
    #[must_use]
    pub fn at(mut self, source: Ipv4Addr) -> Self {
        self.source = Some(source);
        self
    }

    /// From now on, connect to `to` where a URL's port is `from`; `Host` stays as the URL says.
    pub fn route(&mut self, from: u16, to: u16) {
        self.routes.insert(from, to);
    }

    /// The cookies that would be sent.
    pub fn cookies(&self) -> &BTreeMap<String, String> {
        &self.cookies
    }

    /// Set or replace a cookie by hand.
    pub fn put_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// Forget the cookies that a browser forgets when it is closed.
    pub fn close(&mut self) {
        self.cookies.retain(|name, _| self.lasting.contains(name));
    }

    /// Forget every cookie.
    pub fn forget(&mut self) {
        self.cookies.clear();
    }

    /// GET a URL.
    pub fn get(&mut self, url: &str) -> Response {
        self.send("GET", url, &[], b"")
    }

    /// GET a URL with a header, such as [`bearer`].
    pub fn get_with(&mut self, url: &str, header: (&str, String)) -> Response {
        self.send("GET", url, &[header], b"")
    }

    /// POST a form.
    pub fn post(&mut self, url: &str, form: Form<'_>) -> Response {
        self.post_with(url, &[], form)
    }

    /// POST a form with further headers, such as [`basic`].
    pub fn post_with(&mut self, url: &str, headers: &[(&str, String)], form: Form<'_>) -> Response {
        let mut all = headers.to_vec();
        all.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
        self.send("POST", url, &all, query(form).as_bytes())
    }

    /// Send JSON.
    pub fn json(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, String)],
        body: &serde_json::Value,
    ) -> Response {
        let mut all = headers.to_vec();
        all.push(("content-type", "application/json".to_owned()));
        self.send(method, url, &all, body.to_string().as_bytes())
    }

    /// Send any request and keep the cookies that come back.
    pub fn send(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Response {
        self.try_send(method, url, headers, body)
            .unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }

    /// The same, for tests in which a server may be gone.
    ///
    /// # Errors
    /// When no complete response comes.
    pub fn try_send(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let target = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let address = self.address(&target);
        let response = if let Some(lines) = self.lines.clone() {
            let request = self.kept_bytes(method, &target, headers, body);
            self.over_a_line(&lines, address, &request, method)?
        } else {
            let request = self.bytes(method, &target, headers, body);
            ask(&mut self.open(address)?, &request, method)?
        };
        self.keep(&response);
        Ok(response)
    }

    fn open(&self, address: SocketAddr) -> std::io::Result<Connection> {
        match self.source {
            None => Connection::open(address, &self.trust),
            Some(source) => Connection::open_from(source, address, &self.trust),
        }
    }

    /// Over the connection that was kept, or over a new one when the server has closed it meanwhile.
    fn over_a_line(
        &self,
        lines: &Lines,
        address: SocketAddr,
        request: &[u8],
        method: &str,
    ) -> std::io::Result<Response> {
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = lines.remove(&address).and_then(|mut line| {
            let response = ask(&mut line, request, method).ok()?;
            Some((line, response))
        });
        let (line, response) = if let Some(answered) = kept {
            answered
        } else {
            let mut line = self.open(address)?;
            let response = ask(&mut line, request, method)?;
            (line, response)
        };
        if !response.ends_connection() {
            lines.insert(address, line);
        }
        Ok(response)
    }

    /// Where a request for this URL connects to.
    pub fn address(&self, url: &Url) -> SocketAddr {
        let port = url.port_or_known_default().unwrap();
        SocketAddr::from(([127, 0, 0, 1], self.routes.get(&port).copied().unwrap_or(port)))
    }

    /// The bytes of a request, cookies included, after whose answer the server closes; for races and for
    /// what no client would send.
    pub fn bytes(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Vec<u8> {
        let close = [("connection", "close".to_owned())];
        self.kept_bytes(method, url, &[headers, &close].concat(), body)
    }

    /// The same, after whose answer the connection may be used again.
    pub fn kept_bytes(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut target = url.path().to_owned();
        if let Some(query) = url.query() {
            target = format!("{target}?{query}");
        }
        let host = format!("{}:{}", url.host_str().unwrap(), url.port_or_known_default().unwrap());
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
            write!(head, "cookie: {}\r\n", pairs.join("; ")).unwrap();
        }
        if !body.is_empty() || !matches!(method, "GET" | "HEAD") {
            write!(head, "content-length: {}\r\n", body.len()).unwrap();
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    /// Take a response's cookies as a browser would.
    pub fn keep(&mut self, response: &Response) {
        for line in response.values("set-cookie") {
            let mut parts = line.split(';').map(str::trim);
            let (name, value) =
                parts.next().unwrap_or_default().split_once('=').unwrap_or_default();
            let attributes: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
            let has = |attribute: &str| attributes.iter().any(|a| a == attribute);
            // RFC 6265bis §4.1.3.2: a browser ignores a `__Host-` cookie that breaks its promise.
            let domain = attributes.iter().any(|a| a.starts_with("domain="));
            if name.starts_with("__Host-") && (!has("secure") || !has("path=/") || domain) {
                continue;
            }
            if has("max-age=0") || value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
            if attributes.iter().any(|a| a.starts_with("max-age=")) {
                self.lasting.insert(name.to_owned());
            } else {
                self.lasting.remove(name);
            }
        }
    }
}

/// One request and its answer.
fn ask(connection: &mut Connection, request: &[u8], method: &str) -> std::io::Result<Response> {
    connection.send(request)?;
    connection.receive(method == "HEAD")
}
