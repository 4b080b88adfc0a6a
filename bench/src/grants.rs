//! Codes and tokens from a real installation: authorize, exchange, refresh, each over connections that
//! stay open.

use std::sync::{Arc, Mutex, PoisonError};

use e2e::{Connection, Pkce, Response, Stand};
use serde_json::Value;

use crate::load::Worker;
use crate::requests::{Place, exchange};
use crate::world::{CALLBACK, PERSON, party};

/// Codes that wait to be exchanged, shared by all workers.
pub type Codes = Arc<Mutex<Vec<String>>>;

/// How to ask one installation on behalf of one client.
#[derive(Debug, Clone)]
pub struct Door {
    place: Place,
    client: &'static str,
    authorize: String,
    cookies: String,
    verifier: String,
}

impl Door {
    /// Signs a person in, once; every request for a code comes from that browser.
    pub fn open(stand: &Stand, client: &'static str) -> Self {
        let party = party(stand, client);
        let mut browser = stand.browser();
        party.tokens(&mut browser, PERSON);
        let cookies = browser.client().cookies().iter();
        let cookies: Vec<String> = cookies.map(|(name, value)| format!("{name}={value}")).collect();
        let pkce = Pkce::new();
        let url = party.url(&pkce, &[]);
        Self {
            place: Place::of(stand),
            client,
            authorize: url.strip_prefix(stand.issuer()).expect("an URL of ours").to_owned(),
            cookies: cookies.join("; "),
            verifier: pkce.verifier,
        }
    }

    fn get(&self, path: &str) -> Vec<u8> {
        self.place.get(path, Some(("cookie", &self.cookies)))
    }

    fn post(&self, form: &[(&str, &str)]) -> Vec<u8> {
        self.place.post("/oauth/token", Some(self.client), form)
    }
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
        Self { door: door.clone(), connection: door.place.connect(), codes: Arc::clone(codes) }
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
        Self { door: door.clone(), connection: door.place.connect(), codes, refresh: None }
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
