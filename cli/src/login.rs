//! `opentrusty login`: the authorization code flow with PKCE over a loopback redirect (RFC 8252).

mod callback;
mod id_token;

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use host::clock;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use oauth::form::{Form, encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::args::Login;
use crate::bootstrap::SCOPE;
use crate::clients::CLI;
use crate::database::block_on;
use crate::failure::Failure;
use crate::http::Client;
use crate::output::{say, warn};
use crate::password::random;
use crate::settings::Place;
use crate::token::{self, Token};
use callback::Callback;

/// What is needed of the issuer's metadata (RFC 8414 §2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
}

/// A token response (RFC 6749 §5.1).
#[derive(Deserialize)]
struct Tokens {
    access_token: SecretString,
    token_type: String,
    expires_in: u64,
    id_token: SecretString,
}

/// What is asked for, and what nobody but us knows until it comes back.
struct Attempt {
    redirect_uri: String,
    verifier: SecretString,
    state: String,
    nonce: String,
}

pub(crate) fn run(place: &Place, args: &Login) -> Result<(), Failure> {
    let issuer = args.issuer.clone().map_or_else(|| place.issuer(), Ok)?;
    let api = place.api()?;
    let client = Client::new(place.ca(args.caller.ca.as_deref())?.as_deref())?;
    let tokens = block_on(sign_in(&client, issuer.as_str(), args))?;
    if args.print {
        return say(tokens.access_token.expose_secret());
    }
    let expires_at = clock::now_s().saturating_add(tokens.expires_in);
    let path = token::path(place)?;
    Token { api, bearer: tokens.access_token, expires_at }.save(&path)?;
    say(format!(
        "signed in for {} minutes; the token is in {}",
        tokens.expires_in.div_ceil(60),
        path.display()
    ))
}

async fn sign_in(client: &Client, issuer: &str, args: &Login) -> Result<Tokens, Failure> {
    let metadata: Metadata =
        get(client, &format!("{issuer}/.well-known/openid-configuration")).await?;
    // "The issuer value returned MUST be identical to" the one it was asked of (RFC 8414 §3.3).
    if metadata.issuer != issuer {
        return Err(Failure::refused(format!("{issuer} calls itself {}", metadata.issuer)));
    }
    let callback = Callback::bind().await?;
    let attempt = Attempt::new(callback.redirect_uri())?;
    let url = attempt.url(&metadata.authorization_endpoint, args.fresh);
    // On standard error, so that --print prints nothing but the token.
    warn(&format!("open this address in a browser on this machine to sign in:\n\n  {url}\n"));
    if args.open {
        open(&url);
    }
    let answer = callback.wait(&attempt.state).await?;
    let code = code_of(&answer, issuer)?;
    let tokens = attempt.redeem(client, &metadata.token_endpoint, &code).await?;
    let keys: Value = get(client, &metadata.jwks_uri).await?;
    id_token::check(tokens.id_token.expose_secret(), keys, issuer, &attempt.nonce)?;
    Ok(tokens)
}

impl Attempt {
    fn new(redirect_uri: String) -> Result<Self, Failure> {
        let secret = || Ok::<_, Failure>(URL_SAFE_NO_PAD.encode(random::<32>()?));
        Ok(Self { redirect_uri, verifier: secret()?.into(), state: secret()?, nonce: secret()? })
    }

    fn url(&self, endpoint: &str, fresh: bool) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose_secret()));
        let mut url = endpoint.to_owned();
        for (index, (name, value)) in [
            ("response_type", "code"),
            ("client_id", CLI),
            ("redirect_uri", &self.redirect_uri),
            ("scope", SCOPE),
            ("state", &self.state),
            ("nonce", &self.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]
        .into_iter()
        .enumerate()
        {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.push_str(&encode(value));
        }
        if fresh {
            url.push_str("&prompt=login");
        }
        url
    }

    async fn redeem(&self, client: &Client, endpoint: &str, code: &str) -> Result<Tokens, Failure> {
        let body = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("client_id", CLI),
            ("code_verifier", self.verifier.expose_secret()),
        ]
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .join("&");
        let request = Request::builder()
            .method(Method::POST)
            .uri(endpoint)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::value(endpoint, error.to_string()))?;
        let response = client.send(request).await?;
        if response.status() != StatusCode::OK {
            let error = serde_json::from_slice::<Value>(response.body()).unwrap_or_default();
            return Err(Failure::refused(format!(
                "the code was not exchanged: {} {}",
                response.status(),
                words(&error)
            )));
        }
        let tokens: Tokens = read(endpoint, response.body())?;
        // "The client MUST NOT use an access token if it does not understand the token type" (RFC 6749 §7.1).
        if !tokens.token_type.eq_ignore_ascii_case("Bearer") {
            return Err(Failure::value(endpoint, "the token is not a bearer token"));
        }
        Ok(tokens)
    }
}

/// The code in an answer that is from this issuer. That it belongs to this attempt, its `state` has shown.
fn code_of(answer: &Form, issuer: &str) -> Result<String, Failure> {
    let one = |name: &str| {
        answer.one(name).map_err(|_| Failure::value("the answer", format!("{name} is repeated")))
    };
    // "If the value does not match the expected issuer identifier, clients MUST reject the authorization
    // response" (RFC 9207 §2.4), errors included.
    if one("iss")? != Some(issuer) {
        return Err(Failure::refused(format!("the answer did not come from {issuer}")));
    }
    if let Some(error) = one("error")? {
        let description = one("error_description")?.unwrap_or_default();
        return Err(Failure::refused(format!("nobody signed in: {error} {description}")));
    }
    let code = one("code")?.ok_or_else(|| Failure::value("the answer", "no code"))?;
    Ok(code.to_owned())
}

/// `error` and `error_description` of an OAuth error (RFC 6749 §5.2).
fn words(error: &Value) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{} {}", text("error"), text("error_description"))
}

async fn get<T: DeserializeOwned>(client: &Client, url: &str) -> Result<T, Failure> {
    let request = Request::builder()
        .uri(url)
        .header(ACCEPT, "application/json")
        .body(Full::default())
        .map_err(|error| Failure::value(url, error.to_string()))?;
    let response = client.send(request).await?;
    if response.status() != StatusCode::OK {
        return Err(Failure::refused(format!("{url} answered {}", response.status())));
    }
    read(url, response.body())
}

fn read<T: DeserializeOwned>(url: &str, body: &[u8]) -> Result<T, Failure> {
    // Not serde's words: they may repeat a token.
    serde_json::from_slice(body)
        .map_err(|_| Failure::value(url, "the answer is not what it should be"))
}

fn open(url: &str) {
    let started = std::process::Command::new("xdg-open")
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = started {
        warn(&format!("xdg-open cannot be started: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://localhost:8080";

    #[test]
    fn the_request_asks_for_a_code_with_pkce_and_gives_the_verifier_away_to_nobody() {
        let attempt = Attempt::new("http://127.0.0.1:49152/callback".into()).unwrap();
        let url = attempt.url("https://localhost:8080/oauth/authorize", false);
        let (endpoint, query) = url.split_once('?').unwrap();
        assert_eq!(endpoint, "https://localhost:8080/oauth/authorize");
        let form = Form::parse(query.as_bytes()).unwrap();
        let one = |name| form.one(name).unwrap().unwrap_or_default();
        assert_eq!((one("response_type"), one("client_id")), ("code", "opentrusty-cli"));
        assert_eq!(one("redirect_uri"), "http://127.0.0.1:49152/callback");
        assert_eq!((one("state"), one("nonce")), (attempt.state.as_str(), attempt.nonce.as_str()));
        let challenge = oauth::pkce::Challenge::parse(one("code_challenge")).unwrap();
        assert!(challenge.is_met_by(attempt.verifier.expose_secret()));
        assert!(!url.contains(attempt.verifier.expose_secret()));
        assert_eq!(form.one("prompt"), Ok(None));
        assert!(attempt.url(endpoint, true).ends_with("&prompt=login"));
        let other = Attempt::new(String::new()).unwrap();
        assert!(other.state != attempt.state && other.nonce != attempt.nonce);
    }

    #[test]
    fn an_answer_of_another_issuer_is_refused_even_when_it_is_an_error() {
        let code = |query: &str| code_of(&Form::parse(query.as_bytes()).unwrap(), ISSUER);
        assert_eq!(code("code=x&iss=https%3A%2F%2Flocalhost%3A8080").unwrap(), "x");
        for query in [
            "code=x",
            "code=x&iss=https%3A%2F%2Fevil.example",
            "code=x&iss=https%3A%2F%2Flocalhost%3A8080%2F",
            "error=access_denied&iss=https%3A%2F%2Fevil.example",
            "iss=https%3A%2F%2Flocalhost%3A8080",
            "code=x&code=y&iss=https%3A%2F%2Flocalhost%3A8080",
        ] {
            assert!(code(query).is_err(), "{query}");
        }
        let denied = code("error=access_denied&iss=https%3A%2F%2Flocalhost%3A8080").unwrap_err();
        assert!(denied.to_string().contains("access_denied"), "{denied}");
    }
}
