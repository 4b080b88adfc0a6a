//! The CIBA authentication request (CIBA §7.1) and its acknowledgement (§7.3).

use std::fmt;

use secrecy::SecretString;
use serde::Serialize;

use super::below_ceiling;
use crate::authorize::{requested_audiences, requested_scopes};
use crate::client::{Client, Delivery};
use crate::error::{Error, ErrorCode};
use crate::form::Form;
use crate::{ScopeSet, account, claims, scope, text};

/// Longest `login_hint`, in bytes.
const LOGIN_HINT_MAX: usize = 254;
/// Longest `id_token_hint`, in bytes.
const ID_TOKEN_MAX: usize = 8 * 1024;
/// Longest `binding_message`, in characters: it is to be "relatively short" (CIBA §7.1).
const MESSAGE_MAX: usize = 128;
/// Longest `requested_expiry`, in seconds.
const EXPIRY_MAX_S: u32 = 600;
/// "The length of the token MUST NOT exceed 1024 characters" (CIBA §7.1).
const TOKEN_MAX: usize = 1024;
/// "MUST contain sufficient entropy (a minimum of 128 bits …)" (CIBA §7.1): 22 characters of base64url.
const TOKEN_MIN: usize = 22;
/// Longest `acr_values`, in bytes.
const ACR_MAX: usize = 1024;

/// How the client says for whom it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The canonical key of an e-mail address.
    Email(String),
    /// What this client's tenant calls the person.
    Sub(String),
    /// An ID token; its signature is for whoever holds keys to check.
    IdToken(String),
}

/// A checked request.
pub struct Request {
    /// All of them the client's own; `openid` is among them.
    pub scopes: ScopeSet,
    /// What the access token will name; never empty.
    pub audiences: Vec<String>,
    /// For whom.
    pub hint: Hint,
    /// Shown on both devices, so that a person sees that they belong together.
    pub binding_message: Option<String>,
    /// Seconds, if the client wants another lifetime than ours.
    pub requested_expiry_s: Option<u32>,
    /// What a ping carries as bearer token; there exactly when the client is registered for pings.
    pub notification_token: Option<SecretString>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

impl Request {
    /// From a body. `issuer`: the audience of a client that has none.
    pub fn parse(form: &Form, client: &Client, issuer: &str) -> Result<Self, Error> {
        if form.repeats() {
            return Err(Error::request("a parameter is repeated"));
        }
        let one = |name| form.one(name).ok().flatten();
        // What is not served is answered by name, not ignored: a client that sends a user code believes that
        // it is checked (W20).
        if one("request").is_some() {
            return Err(Error::request("signed authentication requests are not supported"));
        }
        if one("user_code").is_some() {
            return Err(Error::request("user codes are not supported"));
        }
        if one("acr_values").is_some_and(|text| text.len() > ACR_MAX) {
            return Err(Error::request("acr_values is longer than 1024 bytes"));
        }
        let (scopes, audiences) = extent(form, client, issuer)?;
        Ok(Self {
            scopes,
            audiences,
            hint: hint(form)?,
            binding_message: binding_message(one("binding_message"))?,
            requested_expiry_s: requested_expiry(one("requested_expiry"))?,
            notification_token: match client.metadata.delivery {
                Delivery::Ping => Some(notification_token(one("client_notification_token"))?),
                Delivery::Poll => None,
            },
        })
    }
}

fn extent(form: &Form, client: &Client, issuer: &str) -> Result<(ScopeSet, Vec<String>), Error> {
    let problem = |(code, description)| Error::new(code, description);
    let text = form.one("scope").ok().flatten().ok_or(Error::request("scope is missing"))?;
    let scopes = requested_scopes(Some(text), client, &ScopeSet::default()).map_err(problem)?;
    // "CIBA authentication requests MUST therefore contain the openid scope value" (CIBA §7.1).
    if !scopes.contains(scope::OPENID) {
        return Err(Error::new(ErrorCode::InvalidScope, "openid is missing from scope"));
    }
    below_ceiling(&scopes)?;
    let asked = requested_audiences(form, client).map_err(problem)?;
    Ok((scopes, claims::audiences(&asked, &client.metadata.audiences, issuer)))
}

/// "it is REQUIRED that the Client provides one (and only one) of the hints" (CIBA §7.1).
fn hint(form: &Form) -> Result<Hint, Error> {
    let one = |name| form.one(name).ok().flatten();
    match (one("login_hint"), one("id_token_hint"), one("login_hint_token")) {
        (Some(hint), None, None) if hint.len() <= LOGIN_HINT_MAX => Ok(login_hint(hint)),
        (None, Some(token), None) if token.len() <= ID_TOKEN_MAX => {
            Ok(Hint::IdToken(token.to_owned()))
        }
        (Some(_), None, None) => Err(Error::request("login_hint is longer than 254 bytes")),
        (None, Some(_), None) => Err(Error::request("id_token_hint is longer than 8 KiB")),
        (None, None, Some(_)) => Err(Error::request("login_hint_token is not supported")),
        _ => Err(Error::request("exactly one of login_hint and id_token_hint is needed")),
    }
}

/// An e-mail address, or else a `sub`: none of ours has an at sign.
fn login_hint(hint: &str) -> Hint {
    account::email_key(hint).map_or_else(|| Hint::Sub(hint.to_owned()), Hint::Email)
}

fn binding_message(message: Option<&str>) -> Result<Option<String>, Error> {
    let Some(message) = message else { return Ok(None) };
    if message.chars().count() > MESSAGE_MAX || message.chars().any(text::deceives) {
        return Err(Error::new(
            ErrorCode::InvalidBindingMessage,
            "binding_message is for people: at most 128 characters without controls",
        ));
    }
    Ok(Some(message.to_owned()))
}

/// "A positive integer" (CIBA §7.1); digits only, since `u32::from_str` would take a plus sign.
fn requested_expiry(text: Option<&str>) -> Result<Option<u32>, Error> {
    let Some(text) = text else { return Ok(None) };
    let bad = Error::request("requested_expiry must be a number of seconds from 1 to 600");
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad);
    }
    match text.parse() {
        Ok(seconds) if (1..=EXPIRY_MAX_S).contains(&seconds) => Ok(Some(seconds)),
        Ok(_) | Err(_) => Err(bad),
    }
}

/// It will stand in an `Authorization: Bearer` header: `b64token` of RFC 6750 §2.1.
fn notification_token(text: Option<&str>) -> Result<SecretString, Error> {
    let text = text.ok_or(Error::request("client_notification_token is missing"))?;
    let body = text.trim_end_matches('=');
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    if text.len() > TOKEN_MAX || body.len() < TOKEN_MIN || !body.bytes().all(legal) {
        return Err(Error::request(
            "client_notification_token must be a bearer token of 22 to 1024 characters",
        ));
    }
    Ok(text.to_owned().into())
}

/// CIBA §7.3.
#[derive(Serialize)]
pub struct Reply<'a> {
    /// What the client polls with.
    pub auth_req_id: &'a str,
    /// Seconds.
    pub expires_in: u32,
    /// Seconds between polls.
    pub interval: u32,
}
