//! Requests that are the same each time, or nearly: who sends them, over one connection that stays open.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use e2e::{Connection, Pkce, Response, Stand, basic, bearer, query};

use crate::assertion::ClientKey;
use crate::load::Worker;
use crate::world::{BROKER, CALLBACK, EXCHANGE, KEYED, SCOPE, SECRET, STOCK};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Where an installation is reached.
#[derive(Debug, Clone)]
pub struct Place {
    address: SocketAddr,
    host: String,
}

impl Place {
    /// The first node of a stand.
    pub fn of(stand: &Stand) -> Self {
        let port = stand.nodes().first().expect("a node").port();
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            host: format!("localhost:{port}"),
        }
    }

    /// Shakes hands.
    pub fn connect(&self) -> Connection {
        Connection::open(self.address, e2e::bench::bench().trust()).unwrap()
    }

    /// The bytes of a GET.
    pub fn get(&self, path: &str, header: Option<(&str, &str)>) -> Vec<u8> {
        let header =
            header.map_or_else(String::new, |(name, value)| format!("{name}: {value}\r\n"));
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{header}\r\n", self.host).into_bytes()
    }

    /// The bytes of a form; a client with a secret sends it by HTTP Basic.
    pub fn post(&self, path: &str, client: Option<&str>, form: &[(&str, &str)]) -> Vec<u8> {
        let body = query(form);
        let proof = client.map_or_else(String::new, |client| {
            let (name, value) = basic(client, SECRET);
            format!("{name}: {value}\r\n")
        });
        format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\n{proof}content-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )
        .into_bytes()
    }
}

/// Asks, and hears the answer.
///
/// # Errors
/// When no complete answer comes.
pub fn exchange(connection: &mut Connection, request: &[u8]) -> Result<Response, String> {
    connection.send(request).map_err(|error| error.to_string())?;
    connection.receive(false).map_err(|error| error.to_string())
}

/// Somebody who asks the same again and again.
pub struct Repeater {
    connection: Connection,
    request: Box<dyn FnMut() -> Vec<u8> + Send>,
    status: u16,
    holds: &'static str,
}

impl Worker for Repeater {
    fn step(&mut self) -> Result<bool, String> {
        let answer = exchange(&mut self.connection, &(self.request)())?;
        let text = answer.text();
        if answer.status != self.status || !text.contains(self.holds) {
            return Err(format!("{} without {}: {text}", answer.status, self.holds));
        }
        Ok(true)
    }
}

/// Makes workers by the dozen.
pub struct Repeaters<'a> {
    place: &'a Place,
    workers: usize,
}

impl<'a> Repeaters<'a> {
    /// So many at a time.
    pub fn new(place: &'a Place, workers: usize) -> Self {
        Self { place, workers }
    }

    fn same(&self, request: &[u8], status: u16, holds: &'static str) -> Vec<Repeater> {
        let worker = |_| {
            let request = request.to_vec();
            let request = Box::new(move || request.clone());
            Repeater { connection: self.place.connect(), request, status, holds }
        };
        (0..self.workers).map(worker).collect()
    }

    /// Client credentials of a client with a secret.
    pub fn own(&self, client: &str) -> Vec<Repeater> {
        let form = [("grant_type", "client_credentials")];
        let request = self.place.post("/oauth/token", Some(client), &form);
        self.same(&request, 200, r#""access_token""#)
    }

    /// Client credentials, every time with another assertion.
    pub fn asserted(&self, key: &Arc<ClientKey>, issuer: &str) -> Vec<Repeater> {
        let worker = |_| {
            let (place, key, issuer) = (self.place.clone(), Arc::clone(key), issuer.to_owned());
            let request = Box::new(move || {
                let assertion = key.assertion(KEYED, &issuer);
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_assertion_type", ASSERTION),
                    ("client_assertion", &assertion),
                ];
                place.post("/oauth/token", None, &form)
            });
            let connection = self.place.connect();
            Repeater { connection, request, status: 200, holds: r#""access_token""# }
        };
        (0..self.workers).map(worker).collect()
    }

    /// The broker acts for whoever `subject` is about.
    pub fn exchanged(&self, subject: &str) -> Vec<Repeater> {
        let form = [
            ("grant_type", EXCHANGE),
            ("subject_token", subject),
            ("subject_token_type", ACCESS_TOKEN),
            ("audience", STOCK),
        ];
        let request = self.place.post("/oauth/token", Some(BROKER), &form);
        self.same(&request, 200, r#""issued_token_type""#)
    }

    /// A client asks what its token is worth.
    pub fn introspected(&self, client: &str, token: &str) -> Vec<Repeater> {
        let request = self.place.post("/oauth/introspect", Some(client), &[("token", token)]);
        self.same(&request, 200, r#""active":true"#)
    }

    /// Whom a token is about.
    pub fn told_of(&self, token: &str) -> Vec<Repeater> {
        let (name, value) = bearer(token);
        let request = self.place.get("/oauth/userinfo", Some((name, &value)));
        self.same(&request, 200, r#""sub""#)
    }

    /// An authorization request sent ahead.
    pub fn pushed(&self, client: &str) -> Vec<Repeater> {
        let pkce = Pkce::new();
        let form = [
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", CALLBACK),
            ("scope", SCOPE),
            ("state", "0123456789abcdef"),
            ("code_challenge", &pkce.challenge),
            ("code_challenge_method", "S256"),
        ];
        let request = self.place.post("/oauth/par", Some(client), &form);
        self.same(&request, 201, r#""request_uri""#)
    }

    /// The metadata of the issuer.
    pub fn discovery(&self) -> Vec<Repeater> {
        let request = self.place.get("/.well-known/openid-configuration", None);
        self.same(&request, 200, r#""token_endpoint""#)
    }
}
