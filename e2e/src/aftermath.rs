//! What must be true after a crash, of an installation that only a [`crate::crowd::Crowd`] has used, between the
//! ledger of the clients and what the installation says now. [`crate::whole`] looks at the database by itself.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::client::Client;
use crate::http::Response;
use crate::ledger::{Ask, Entry, Got};
use crate::party::Party;
use crate::pkce::Pkce;
use crate::tokens;

/// What was looked at, to tell a check of much from a check of nothing.
#[derive(Debug, Default)]
pub struct Settled {
    /// Codes that were acknowledged to be redeemed.
    pub sure: usize,
    /// Codes of which nobody knows.
    pub open: usize,
    /// Revocations that were acknowledged.
    pub revoked: usize,
    /// Sessions.
    pub sessions: usize,
    /// Signing keys that were added.
    pub keys: usize,
}

/// Who looks.
#[derive(Debug)]
pub struct Aftermath<'a> {
    /// A client without cookies.
    pub client: Client,
    /// Whose tokens the ledger is about.
    pub party: &'a Party,
    /// The published keys.
    pub keys: Value,
}

/// What the ledger knows of one code.
struct Told<'a> {
    code: &'a str,
    verifier: &'a str,
    redeemed: Option<(&'a str, &'a str)>,
    refreshed: Step<'a>,
    revoked: Step<'a>,
}

/// A request about a refresh token.
enum Step<'a> {
    Not,
    Unsure,
    Done(&'a Got),
}

impl Aftermath<'_> {
    /// I1, I2, I5, I6, I8: everything that a client holds is worth what it was told.
    ///
    /// # Panics
    /// When something is not.
    pub fn settle(&mut self, ledger: &[Entry]) -> Settled {
        let mut settled = Settled::default();
        for entry in ledger {
            match (&entry.what, entry.done()) {
                (_, Some(Got::Session { cookies })) => {
                    self.session(cookies);
                    settled.sessions += 1;
                }
                // Nobody verifies with the audit's key, so it is not published.
                (Ask::Stage { class, .. }, Some(Got::Key { kid })) if class != "audit" => {
                    self.published(kid);
                    settled.keys += 1;
                }
                _ => {}
            }
        }
        for told in codes(ledger) {
            self.code(&told, &mut settled);
        }
        settled
    }

    /// A key that the operator was told of is in the set, and its private half in the token: keyd publishes no other.
    fn published(&self, kid: &str) {
        let keys = self.keys.get("keys").and_then(Value::as_array).expect("a key set");
        let known = |key: &Value| key.get("kid").and_then(Value::as_str) == Some(kid);
        assert!(keys.iter().any(known), "an acknowledged key is gone: {kid}");
    }

    /// Whoever was told that they are signed in need not say again who they are.
    fn session(&self, cookies: &BTreeMap<String, String>) {
        let mut client = self.client.clone();
        for (name, value) in cookies {
            client.put_cookie(name, value);
        }
        let url = self.party.url(&Pkce::new(), &[("prompt", "none")]);
        let first = client.get(&url);
        let next = url::Url::parse(&self.party.issuer).unwrap().join(first.location()).unwrap();
        let away = if next.as_str().starts_with(&self.party.redirect_uri) {
            next.to_string()
        } else {
            client.get(next.as_str()).location().to_owned()
        };
        assert!(away.contains("code="), "an acknowledged session is gone: {away}");
    }

    fn code(&mut self, told: &Told<'_>, settled: &mut Settled) {
        let party = self.party;
        let pkce = Pkce { verifier: told.verifier.to_owned(), challenge: String::new() };
        let Some((access, refresh)) = told.redeemed else {
            settled.open += 1;
            // All or nothing: it is redeemed now, for the first time, or it was then.
            one_of(&party.redeem(&mut self.client, told.code, &pkce));
            return;
        };
        settled.sure += 1;
        let last = match told.refreshed {
            Step::Done(Got::Tokens { access, refresh }) => {
                Some((access.as_str(), refresh.as_str()))
            }
            Step::Done(_) | Step::Not | Step::Unsure => None,
        };
        let mut held = vec![access];
        held.extend(last.map(|(access, _)| access));
        let alive: Vec<bool> = held.iter().map(|access| self.active(access)).collect();
        let (_, current) = last.unwrap_or((access, refresh));
        match told.revoked {
            Step::Not => {
                assert!(alive.iter().all(|alive| *alive), "an acknowledged token is not active");
            }
            Step::Done(_) => {
                settled.revoked += 1;
                assert!(!alive.iter().any(|alive| *alive), "a token that was given back is active");
                party.refresh(&mut self.client, current).expect(400);
            }
            Step::Unsure => {
                assert!(alive.windows(2).all(|pair| pair.first() == pair.last()), "half revoked");
            }
        }
        let alive = alive.iter().all(|alive| *alive);
        match told.refreshed {
            Step::Unsure => one_of(&party.refresh(&mut self.client, refresh)),
            Step::Done(_) | Step::Not => {
                party.refresh(&mut self.client, current).expect(if alive { 200 } else { 400 });
            }
        }
        // And a code that was redeemed is never redeemed again.
        party.redeem(&mut self.client, told.code, &pkce).expect(400);
    }

    fn active(&mut self, token: &str) -> bool {
        let issuer = &self.party.issuer;
        tokens::verify(token, &self.keys, issuer, issuer).unwrap();
        self.party.introspect(&mut self.client, token).expect(200).json().get("active")
            == Some(&Value::Bool(true))
    }
}

#[track_caller]
fn one_of(response: &Response) {
    assert!(matches!(response.status, 200 | 400), "{} {}", response.status, response.text());
}

/// Every code that somebody tried to redeem, with what followed.
fn codes(ledger: &[Entry]) -> Vec<Told<'_>> {
    let mut refreshed = HashMap::new();
    let mut revoked = HashMap::new();
    for entry in ledger {
        let step = || entry.done().map_or(Step::Unsure, Step::Done);
        match &entry.what {
            Ask::Refresh { token } => drop(refreshed.insert(token.as_str(), step())),
            Ask::Revoke { token } => drop(revoked.insert(token.as_str(), step())),
            Ask::Page
            | Ask::SignIn
            | Ask::Code
            | Ask::Redeem { .. }
            | Ask::Trespass
            | Ask::Stage { .. }
            | Ask::Manage { .. } => {}
        }
    }
    let mut codes = Vec::new();
    for entry in ledger {
        let Ask::Redeem { code, verifier } = &entry.what else { continue };
        let redeemed = match entry.done() {
            Some(Got::Tokens { access, refresh }) => Some((access.as_str(), refresh.as_str())),
            _ => None,
        };
        let next = redeemed.and_then(|(_, refresh)| refreshed.remove(refresh));
        let next = next.unwrap_or(Step::Not);
        let last = match &next {
            Step::Done(Got::Tokens { refresh, .. }) => revoked.remove(refresh.as_str()),
            Step::Done(_) | Step::Not | Step::Unsure => None,
        };
        let revoked = last.unwrap_or(Step::Not);
        codes.push(Told { code, verifier, redeemed, refreshed: next, revoked });
    }
    codes
}
