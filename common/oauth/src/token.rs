//! The token endpoint's request and reply (RFC 6749 §3.2, §5.1).

use serde::Serialize;

use crate::ScopeSet;
use crate::client::GrantType;
use crate::code::CodeRequest;
use crate::deferred::{CibaTokenRequest, DeviceTokenRequest};
use crate::error::{Error, ErrorCode};
use crate::exchange::ExchangeRequest;
use crate::form::Form;
use crate::machine::ClientCredentialsRequest;
use crate::rar::Details;
use crate::refresh::RefreshRequest;
use crate::secret::Plain;

/// A token request of a grant that is served, every field parsed once.
pub enum TokenRequest {
    /// RFC 6749 §4.1.3.
    Code(CodeRequest),
    /// RFC 6749 §6.
    Refresh(RefreshRequest),
    /// RFC 6749 §4.4.
    ClientCredentials(ClientCredentialsRequest),
    /// RFC 8693.
    Exchange(ExchangeRequest),
    /// RFC 8628 §3.4.
    Device(DeviceTokenRequest),
    /// CIBA §10.1.
    Ciba(CibaTokenRequest),
}

impl TokenRequest {
    /// From a body without repeats.
    pub fn parse(form: &Form) -> Result<Self, Error> {
        if form.repeats() {
            return Err(Error::request("a parameter is repeated"));
        }
        let one = |name| form.one(name).ok().flatten();
        let word = one("grant_type").ok_or(Error::request("grant_type is missing"))?;
        let audiences =
            form.all("resource").chain(form.all("audience")).map(str::to_owned).collect();
        let details = one("authorization_details").map(Details::parse).transpose()?;
        match GrantType::parse(word) {
            Some(GrantType::AuthorizationCode) => {
                let code = one("code").ok_or(Error::request("code is missing"))?;
                Ok(Self::Code(CodeRequest {
                    code: Plain::parse(code),
                    redirect_uri: one("redirect_uri").map(str::to_owned),
                    verifier: one("code_verifier").map(str::to_owned),
                    audiences,
                    details,
                }))
            }
            Some(GrantType::RefreshToken) => {
                let token =
                    one("refresh_token").ok_or(Error::request("refresh_token is missing"))?;
                let scopes = scopes(one("scope"))?;
                Ok(Self::Refresh(RefreshRequest {
                    token: Plain::parse(token),
                    scopes,
                    audiences,
                    details,
                }))
            }
            Some(GrantType::ClientCredentials) => {
                let scopes = scopes(one("scope"))?;
                Ok(Self::ClientCredentials(ClientCredentialsRequest { scopes, audiences, details }))
            }
            Some(GrantType::TokenExchange) => {
                let scopes = scopes(one("scope"))?;
                Ok(Self::Exchange(ExchangeRequest::parse(form, scopes, audiences, details)?))
            }
            Some(GrantType::DeviceCode) => {
                let code = one("device_code").ok_or(Error::request("device_code is missing"))?;
                Ok(Self::Device(DeviceTokenRequest {
                    code: Plain::parse(code),
                    audiences,
                    details,
                }))
            }
            Some(GrantType::Ciba) => {
                let id = one("auth_req_id").ok_or(Error::request("auth_req_id is missing"))?;
                Ok(Self::Ciba(CibaTokenRequest { id: Plain::parse(id), audiences, details }))
            }
            None => {
                Err(Error::new(ErrorCode::UnsupportedGrantType, "this grant type is not supported"))
            }
        }
    }

    /// The grant it uses.
    pub const fn grant_type(&self) -> GrantType {
        match self {
            Self::Code(_) => GrantType::AuthorizationCode,
            Self::Refresh(_) => GrantType::RefreshToken,
            Self::ClientCredentials(_) => GrantType::ClientCredentials,
            Self::Exchange(_) => GrantType::TokenExchange,
            Self::Device(_) => GrantType::DeviceCode,
            Self::Ciba(_) => GrantType::Ciba,
        }
    }
}

fn scopes(text: Option<&str>) -> Result<Option<ScopeSet>, Error> {
    let malformed = |_| Error::new(ErrorCode::InvalidScope, "malformed scope");
    text.map(|text| text.parse().map_err(malformed)).transpose()
}

/// A successful answer (RFC 6749 §5.1). Made after the gate committed; released once.
#[derive(Serialize)]
pub struct TokenReply {
    /// What opens doors.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// Seconds.
    pub expires_in: u32,
    /// Rotates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// With `openid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// What was granted.
    pub scope: String,
    /// What was granted in detail, as JSON (RFC 9396 §7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_details: Option<Details>,
    /// What kind of token a token exchange made (RFC 8693 §2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<&'static str>,
}
