//! A relying party and the person at its door: the ordinary way to a code and to tokens.

use serde_json::Value;

use crate::browser::Browser;
use crate::client::{Client, basic, query};
use crate::http::Response;
use crate::pkce::{Pkce, random};

/// A client that the installation knows.
#[derive(Clone, Debug)]
pub struct Party {
    /// The issuer's URL.
    pub issuer: String,
    /// Its registered name.
    pub client_id: String,
    /// Its secret; none for a public client.
    pub secret: Option<String>,
    /// One of its redirect URIs.
    pub redirect_uri: String,
    /// What it asks for.
    pub scope: String,
}

impl Party {
    /// The address of an authorization request, with further parameters.
    pub fn url(&self, pkce: &Pkce, extra: &[(&str, &str)]) -> String {
        let state = random();
        let mut form = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.scope),
            ("state", &state),
            ("code_challenge", &pkce.challenge),
            ("code_challenge_method", "S256"),
        ];
        form.extend_from_slice(extra);
        format!("{}/oauth/authorize?{}", self.issuer, query(&form))
    }

    /// Ask for a code; the person signs in and agrees where the pages ask for it.
    #[track_caller]
    pub fn code(&self, browser: &mut Browser, person: (&str, &str)) -> (String, Pkce) {
        let pkce = Pkce::new();
        browser.open(&self.url(&pkce, &[]));
        if browser.page().field("password").is_some() {
            browser.submit(&[("username", person.0), ("password", person.1)]);
        }
        if browser.page().away.is_none() {
            browser.submit(&[("decision", "approve")]);
        }
        let code = browser.page().away_parameter("code");
        (code.unwrap_or_else(|| panic!("no code: {}", browser.page().away())), pkce)
    }

    /// Exchange a code.
    pub fn redeem(&self, client: &mut Client, code: &str, pkce: &Pkce) -> Response {
        self.post(client, "/oauth/token", &self.redemption(code, pkce))
    }

    /// The same, where the server may be gone.
    ///
    /// # Errors
    /// When no complete response comes.
    pub fn try_redeem(
        &self,
        client: &mut Client,
        code: &str,
        pkce: &Pkce,
    ) -> std::io::Result<Response> {
        self.try_post(client, "/oauth/token", &self.redemption(code, pkce))
    }

    fn redemption<'a>(&'a self, code: &'a str, pkce: &'a Pkce) -> [(&'a str, &'a str); 4] {
        [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &pkce.verifier),
        ]
    }

    /// Exchange a refresh token.
    pub fn refresh(&self, client: &mut Client, token: &str) -> Response {
        self.post(
            client,
            "/oauth/token",
            &[("grant_type", "refresh_token"), ("refresh_token", token)],
        )
    }

    /// Ask what a token is worth.
    pub fn introspect(&self, client: &mut Client, token: &str) -> Response {
        self.post(client, "/oauth/introspect", &[("token", token)])
    }

    /// Give a token back.
    pub fn revoke(&self, client: &mut Client, token: &str) -> Response {
        self.post(client, "/oauth/revoke", &[("token", token)])
    }

    /// From nothing to tokens.
    #[track_caller]
    pub fn tokens(&self, browser: &mut Browser, person: (&str, &str)) -> Value {
        let (code, pkce) = self.code(browser, person);
        self.redeem(browser.client(), &code, &pkce).expect(200).json()
    }

    /// A form to an endpoint, the client authenticated as it is registered.
    pub fn post(&self, client: &mut Client, path: &str, form: &[(&str, &str)]) -> Response {
        let (headers, form) = self.authenticated(form);
        client.post_with(&format!("{}{path}", self.issuer), &headers, &form)
    }

    /// The same, where the server may be gone.
    ///
    /// # Errors
    /// When no complete response comes.
    pub fn try_post(
        &self,
        client: &mut Client,
        path: &str,
        form: &[(&str, &str)],
    ) -> std::io::Result<Response> {
        let (mut headers, form) = self.authenticated(form);
        headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
        client.try_send(
            "POST",
            &format!("{}{path}", self.issuer),
            &headers,
            query(&form).as_bytes(),
        )
    }

    #[expect(clippy::type_complexity, reason = "headers and form, as `Client` takes them")]
    fn authenticated<'a>(
        &'a self,
        form: &[(&'a str, &'a str)],
    ) -> (Vec<(&'static str, String)>, Vec<(&'a str, &'a str)>) {
        let mut form = form.to_vec();
        if let Some(secret) = &self.secret {
            return (vec![basic(&self.client_id, secret)], form);
        }
        form.push(("client_id", &self.client_id));
        (Vec::new(), form)
    }
}
