//! Codes and tokens from a real installation: authorize, exchange, refresh, each over connections that
//! stay open.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use e2e::{Connection, Party, Pkce, Response, Stand, basic, query};
use serde_json::{Value, json};

use crate::load::Worker;

const PERSON: (&str, &str) = ("ana@bench.example", "velvet otter climbs quietly");
const SECRET: &str = "a client secret of enough characters";
const CALLBACK: &str = "https://app.bench.example/callback";

/// Clients, and the algorithm of their ID tokens: RS256 is what OpenID Connect expects by default.
const CLIENTS: [(&str, &str); 2] = [("es", "ES256"), ("rs", "RS256")];

/// One tenant, one person, both clients; nobody is asked for consent.
pub fn populate(stand: &Stand) {
    let client = |(id, algorithm): (&str, &str)| {
        json!({
            "tenant": "bench", "client_id": id, "client_name": id, "client_secret": SECRET,
            "redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid profile offline_access", "skip_authorization": true,
            "id_token_signed_response_alg": algorithm,
        })
    };
    stand.seed(&json!({
        "tenants": [{ "slug": "bench", "name": "Bench" }],
        "users": [{
            "email": PERSON.0, "password": PERSON.1, "email_verified": true,
            "memberships": [{ "tenant": "bench", "roles": ["tenant_member"] }],
        }],
        "clients": CLIENTS.map(client),
    }));
}

/// Codes that wait to be exchanged, shared by all workers.
pub type Codes = Arc<Mutex<Vec<String>>>;

/// How to ask one installation on behalf of one client.
#[derive(Debug, Clone)]
pub struct Door {
    address: SocketAddr,
    host: String,
    client: &'static str,
    authorize: String,
    cookies: String,
    verifier: String,
}

impl Door {
    /// Signs a person in, once; every request for a code comes from that browser.
    pub fn open(stand: &Stand, client: &'static str) -> Self {
        let party = Party {
            issuer: stand.issuer().to_owned(),
            client_id: client.to_owned(),
            secret: Some(SECRET.to_owned()),
            redirect_uri: CALLBACK.to_owned(),
            scope: "openid profile offline_access".to_owned(),
        };
        let mut browser = stand.browser();
        party.tokens(&mut browser, PERSON);
        let cookies = browser.client().cookies().iter();
        let cookies: Vec<String> = cookies.map(|(name, value)| format!("{name}={value}")).collect();
        let port = stand.nodes().first().expect("a node").port();
        let pkce = Pkce::new();
        let url = party.url(&pkce, &[]);
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            host: format!("localhost:{port}"),
            client,
            authorize: url.strip_prefix(stand.issuer()).expect("an URL of ours").to_owned(),
            cookies: cookies.join("; "),
            verifier: pkce.verifier,
        }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.address, e2e::bench::bench().trust()).unwrap()
    }

    fn get(&self, path: &str) -> Vec<u8> {
        let (host, cookies) = (&self.host, &self.cookies);
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookies}\r\n\r\n").into_bytes()
    }

    fn post(&self, form: &[(&str, &str)]) -> Vec<u8> {
        let body = query(form);
        let (name, value) = basic(self.client, SECRET);
        let kind = "content-type: application/x-www-form-urlencoded";
        format!(
            "POST /oauth/token HTTP/1.1\r\nhost: {}\r\n{name}: {value}\r\n{kind}\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )
        .into_bytes()
    }
}

fn exchange(connection: &mut Connection, request: &[u8]) -> Result<Response, String> {
    connection.send(request).map_err(|error| error.to_string())?;
    connection.receive(false).map_err(|error| error.to_string())
}

/// The refresh token in an answer of the token endpoint, which has an ID token or has none.
fn tokens(response: &Response, id_token: bool) -> Result<String, String> {
    let told = |what: &str| format!("{what}: {} {}", response.status, response.text());
    if response.status != 200 {
        return Err(told("no tokens"));
    }
    let tokens = response.json();
    let text = |name: &str| tokens.get(name).and_then(Value::as_str);
    match text("refresh_token") {
        Some(refresh)
            if text("access_token").is_some() && text("id_token").is_some() == id_token =>
        {
            Ok(refresh.to_owned())
        }
        Some(_) | None => Err(told("not the wanted tokens")),
    }
}

/// Somebody signed in who asks for codes: two requests for each.
#[derive(Debug)]
pub struct Asker {
    door: Door,
    connection: Connection,
    codes: Codes,
}

impl Asker {
    /// Connects.
    pub fn new(door: &Door, codes: &Codes) -> Self {
        Self { door: door.clone(), connection: door.connect(), codes: Arc::clone(codes) }
    }
}

impl Worker for Asker {
    fn step(&mut self) -> Result<bool, String> {
        let request = self.door.get(&self.door.authorize);
        let begun = exchange(&mut self.connection, &request)?;
        let told = |response: &Response| format!("{} {:?}", response.status, response.headers);
        let interaction = begun.header("location").ok_or_else(|| told(&begun))?;
        let resume = self.door.get(interaction);
        let sent = exchange(&mut self.connection, &resume)?;
        let location = sent.header("location").ok_or_else(|| told(&sent))?;
        let code = location
            .strip_prefix(CALLBACK)
            .and_then(|rest| rest.split(['?', '&']).find_map(|pair| pair.strip_prefix("code=")))
            .ok_or_else(|| told(&sent))?;
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).push(code.to_owned());
        Ok(true)
    }
}

/// Somebody who exchanges codes, and keeps the last refresh token.
#[derive(Debug)]
pub struct Redeemer {
    door: Door,
    connection: Connection,
    codes: Codes,
    refresh: Option<String>,
}

impl Redeemer {
    /// Connects.
    pub fn new(door: &Door, codes: &Codes) -> Self {
        let codes = Arc::clone(codes);
        Self { door: door.clone(), connection: door.connect(), codes, refresh: None }
    }

    /// The same connection from now on refreshes what it was given last.
    pub fn into_refresher(self) -> Refresher {
        let token = self.refresh.expect("every worker has exchanged a code");
        Refresher { door: self.door, connection: self.connection, token, id_token: true }
    }
}

impl Worker for Redeemer {
    fn step(&mut self) -> Result<bool, String> {
        let code = self.codes.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(code) = code else { return Ok(false) };
        let request = self.door.post(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", &self.door.verifier),
        ]);
        self.refresh = Some(tokens(&exchange(&mut self.connection, &request)?, true)?);
        Ok(true)
    }
}

/// Somebody who refreshes, each time with the token that came last.
#[derive(Debug)]
pub struct Refresher {
    door: Door,
    connection: Connection,
    token: String,
    id_token: bool,
}

impl Refresher {
    /// From now on asks for less than was granted: without `openid` there is no ID token.
    pub fn leave_out_openid(&mut self) {
        self.id_token = false;
    }
}

impl Worker for Refresher {
    fn step(&mut self) -> Result<bool, String> {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", &self.token)];
        if !self.id_token {
            form.push(("scope", "profile"));
        }
        let request = self.door.post(&form);
        self.token = tokens(&exchange(&mut self.connection, &request)?, self.id_token)?;
        Ok(true)
    }
}
