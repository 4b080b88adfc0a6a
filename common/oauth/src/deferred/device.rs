//! The device authorization request (RFC 8628 §3.1) and its response (§3.2).

use serde::Serialize;

use super::below_ceiling;
use crate::authorize::{requested_audiences, requested_scopes};
use crate::client::Client;
use crate::error::Error;
use crate::form::Form;
use crate::{ScopeSet, claims};

/// A checked request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// All of them the client's own.
    pub scopes: ScopeSet,
    /// What the access token will name; never empty.
    pub audiences: Vec<String>,
}

impl Request {
    /// From a body. `defaults`: the scopes that the tenant grants when none are asked for; `issuer`: the
    /// audience of a client that has none.
    pub fn parse(
        form: &Form,
        client: &Client,
        defaults: &ScopeSet,
        issuer: &str,
    ) -> Result<Self, Error> {
        if form.repeats() {
            return Err(Error::request("a parameter is repeated"));
        }
        let problem = |(code, description)| Error::new(code, description);
        let text = form.one("scope").ok().flatten();
        let scopes = requested_scopes(text, client, defaults).map_err(problem)?;
        below_ceiling(&scopes)?;
        let asked = requested_audiences(form, client).map_err(problem)?;
        let audiences = claims::audiences(&asked, &client.metadata.audiences, issuer);
        Ok(Self { scopes, audiences })
    }
}

/// RFC 8628 §3.2.
#[derive(Serialize)]
pub struct Reply<'a> {
    /// What the device polls with.
    pub device_code: &'a str,
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, for a QR code: it fills the field in and decides nothing.
    pub verification_uri_complete: String,
    /// Seconds.
    pub expires_in: u32,
    /// Seconds between polls.
    pub interval: u32,
}

impl<'a> Reply<'a> {
    /// The reply of `issuer`, whose page for codes is `/device`.
    pub fn new(
        issuer: &str,
        device_code: &'a str,
        user_code: super::UserCode,
        expires_in: u32,
    ) -> Self {
        let verification_uri = format!("{issuer}/device");
        Self {
            device_code,
            verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
            verification_uri,
            user_code: user_code.to_string(),
            expires_in,
            interval: super::INTERVAL_S,
        }
    }
}
