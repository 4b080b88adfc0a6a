//! People and a relying party at work without pause, each request in a ledger: sign-in, codes, tokens,
//! refreshes, revocations, and an operator beside them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use crate::client::{Client, bearer, query};
use crate::html::field;
use crate::http::Response;
use crate::ledger::{Ask, Got, Ledger};
use crate::party::Party;
use crate::pkce::Pkce;

/// Codes that are asked for in one session.
const ROUNDS: usize = 10;
/// Each round of this number ends with the tokens given back.
const REVOKED: usize = 5;
/// Where nobody answers, asking again at once would only be noise.
const AFTER_FAULT: Duration = Duration::from_millis(5);
/// How often one token opens the management API before a new one is got.
const CALLS: usize = 40;
/// The keys that the operator adds, one with each new token: a kind has room for one successor.
const SUCCESSORS: [(&str, &str); 7] = [
    ("token", "ES256"),
    ("token", "EdDSA"),
    ("admin", "ES256"),
    ("token", "RS256"),
    ("token", "ES384"),
    ("audit", "ES256"),
    ("token", "PS256"),
];

/// The crowd.
#[derive(Debug)]
pub struct Crowd {
    /// A client without cookies, to begin with.
    pub client: Client,
    /// Whom the people go to; it must need no consent.
    pub party: Party,
    /// A client of another tenant, which must learn nothing of them.
    pub outsider: Party,
    /// Where everything is written down.
    pub ledger: Ledger,
    /// How long each of them waits between two rounds.
    pub pause: Duration,
    /// Set to end it.
    pub over: AtomicBool,
}

impl Crowd {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// One person, until it is over.
    pub fn person(&self, person: (&str, &str)) {
        while !self.is_over() {
            let Some(mut client) = self.sign_in(&self.party, person, kept) else {
                std::thread::park_timeout(AFTER_FAULT);
                continue;
            };
            for round in 1..=ROUNDS {
                if self.is_over() {
                    return;
                }
                if self.round(&mut client, round % REVOKED == 0).is_none() {
                    std::thread::park_timeout(AFTER_FAULT);
                }
                std::thread::park_timeout(self.pause);
            }
        }
    }

    /// One operator, until it is over.
    pub fn operator(&self, console: &Party, api: &str, person: (&str, &str)) {
        while !self.is_over() {
            if self.manage(console, api, person).is_none() {
                std::thread::park_timeout(AFTER_FAULT);
            }
        }
    }

    fn manage(&self, console: &Party, api: &str, person: (&str, &str)) -> Option<()> {
        let mut client = self.sign_in(console, person, |_| Got::Nothing)?;
        let (code, pkce) = self.code(&mut client, console)?;
        let manage = |path: &str| Ask::Manage { path: path.to_owned() };
        let send = || console.try_redeem(&mut client, &code, &pkce);
        let (access, _) = pair(&self.ledger.ask(manage("/oauth/token"), send, |_| Got::Nothing)?);
        self.add_key(api, &access)?;
        for path in ["/api/v1/me", "/api/v1/keys"].into_iter().cycle().take(CALLS) {
            if self.is_over() {
                return Some(());
            }
            if self.look(api, path, &access).is_none() {
                std::thread::park_timeout(AFTER_FAULT);
            }
            std::thread::park_timeout(self.pause);
        }
        Some(())
    }

    fn look(&self, api: &str, path: &str, access: &str) -> Option<Response> {
        let url = format!("{api}{path}");
        let mut client = self.client.clone();
        let send = || client.try_send("GET", &url, &[bearer(access)], b"");
        self.ledger.ask(Ask::Manage { path: path.to_owned() }, send, |_| Got::Nothing)
    }

    /// A successor to a kind of key that has none.
    fn add_key(&self, api: &str, access: &str) -> Option<()> {
        let known = self.look(api, "/api/v1/keys", access)?.json();
        let known = known.get("keys").and_then(Value::as_array).expect("a list of keys");
        let is_staged = |(class, algorithm): (&str, &str)| {
            let text =
                |key: &Value, name: &str| key.get(name).and_then(Value::as_str).map(str::to_owned);
            known.iter().any(|key| {
                text(key, "state").as_deref() == Some("staged")
                    && text(key, "class").as_deref() == Some(class)
                    && text(key, "algorithm").as_deref() == Some(algorithm)
            })
        };
        let Some((class, algorithm)) = SUCCESSORS.into_iter().find(|kind| !is_staged(*kind)) else {
            return Some(());
        };
        let url = format!("{api}/api/v1/keys");
        let body = json!({ "class": class, "algorithm": algorithm }).to_string();
        let headers = [bearer(access), ("content-type", "application/json".to_owned())];
        let mut client = self.client.clone();
        let send = || client.try_send("POST", &url, &headers, body.as_bytes());
        let ask = Ask::Stage { class: class.to_owned(), algorithm: algorithm.to_owned() };
        self.ledger.ask(ask, send, |answer| {
            let key = answer.json();
            let kid = key.get("kid").and_then(Value::as_str);
            Got::Key { kid: kid.unwrap_or_else(|| panic!("no kid in {key}")).to_owned() }
        })?;
        Some(())
    }

    /// I12: what this client learns of somebody else's token is that it is nothing.
    fn trespass(&self, access: &str) -> Option<()> {
        let mut stranger = self.client.clone();
        let form = [("token", access)];
        let send = || self.outsider.try_post(&mut stranger, "/oauth/introspect", &form);
        let answer = self.ledger.ask(Ask::Trespass, send, |_| Got::Nothing)?;
        assert_eq!(answer.json(), json!({ "active": false }), "another tenant's token");
        Some(())
    }

    fn round(&self, client: &mut Client, revoke: bool) -> Option<()> {
        let party = &self.party;
        let (code, pkce) = self.code(client, party)?;
        let mut backend = self.client.clone();
        let ask = Ask::Redeem { code: code.clone(), verifier: pkce.verifier.clone() };
        let send = || party.try_redeem(&mut backend, &code, &pkce);
        let (access, refresh) = pair(&self.ledger.ask(ask, send, tokens)?);
        self.trespass(&access)?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        let ask = Ask::Refresh { token: refresh.clone() };
        let send = || party.try_post(&mut backend, "/oauth/token", &form);
        let (_, refresh) = pair(&self.ledger.ask(ask, send, tokens)?);
        if revoke {
            let ask = Ask::Revoke { token: refresh.clone() };
            let send =
                || party.try_post(&mut backend, "/oauth/revoke", &[("token", refresh.as_str())]);
            self.ledger.ask(ask, send, |_| Got::Nothing)?;
        }
        Some(())
    }

    /// A client with a session, or nothing if something was in the way.
    fn sign_in(
        &self,
        party: &Party,
        person: (&str, &str),
        got: impl FnOnce(&Client) -> Got,
    ) -> Option<Client> {
        let mut client = self.client.clone();
        let (url, answer) = self.begin(&mut client, party, &Pkce::new())?;
        let login = Url::parse(&url).unwrap().join(answer.location()).unwrap();
        let page = self.page(&mut client, login.as_str(), Ask::Page)?;
        let (csrf, interaction) = (field(&page, "csrf"), field(&page, "interaction"));
        let form = [
            ("username", person.0),
            ("password", person.1),
            ("csrf", &csrf),
            ("interaction", &interaction),
        ];
        let body = query(&form);
        let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        let url = format!("{}/login", party.issuer);
        let mut after = client.clone();
        let send = || client.try_send("POST", &url, &headers, body.as_bytes());
        self.ledger.ask(Ask::SignIn, send, |answer| {
            after.keep(answer);
            got(&after)
        })?;
        Some(after)
    }

    /// The first redirect of an authorization request, and the interaction that it leads to, asked.
    fn begin(&self, client: &mut Client, party: &Party, pkce: &Pkce) -> Option<(String, Response)> {
        let first = self.page(client, &party.url(pkce, &[]), Ask::Page)?;
        let url = Url::parse(&party.issuer).unwrap().join(first.location()).unwrap().to_string();
        let second = self.page(client, &url, Ask::Code)?;
        Some((url, second))
    }

    fn code(&self, client: &mut Client, party: &Party) -> Option<(String, Pkce)> {
        let pkce = Pkce::new();
        let (_, answer) = self.begin(client, party, &pkce)?;
        let sent = Url::parse(answer.location()).ok()?;
        let (_, code) = sent.query_pairs().find(|(name, _)| name == "code")?;
        Some((code.into_owned(), pkce))
    }

    fn page(&self, client: &mut Client, url: &str, what: Ask) -> Option<Response> {
        self.ledger.ask(what, || client.try_send("GET", url, &[], b""), |_| Got::Nothing)
    }
}

fn kept(client: &Client) -> Got {
    Got::Session { cookies: client.cookies().clone() }
}

fn pair(response: &Response) -> (String, String) {
    let body = response.json();
    let text = |name: &str| match body.get(name).and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => panic!("no {name} in {body}"),
    };
    (text("access_token"), text("refresh_token"))
}

fn tokens(response: &Response) -> Got {
    let (access, refresh) = pair(response);
    Got::Tokens { access, refresh }
}
