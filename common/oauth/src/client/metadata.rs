//! Client metadata: RFC 7591 names and a few fields of ours, as somebody wrote them ([`Draft`]) and as they
//! hold together ([`Metadata`]).

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::Algorithm;

use crate::ids::TenantId;
use crate::jwk::KeySet;
use crate::uri::RedirectUri;
use crate::words::words;
use crate::{ScopeSet, scope, text};

/// Most redirect URIs, post-logout URIs, or audiences of one client.
const LIST_MAX: usize = 50;

/// Client metadata as somebody wrote it; nothing is checked but the JSON types and the names.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "registered members, independent of each other")]
pub struct Draft {
    /// RFC 7591 `client_name`.
    pub client_name: Option<String>,
    /// RFC 7591 `redirect_uris`.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// OpenID Connect RP-Initiated Logout `post_logout_redirect_uris`.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// RFC 7591 `grant_types`; default `authorization_code`.
    pub grant_types: Option<Vec<String>>,
    /// RFC 7591 `response_types`; default `code`.
    pub response_types: Option<Vec<String>>,
    /// RFC 7591 `token_endpoint_auth_method`; default `client_secret_basic`.
    pub token_endpoint_auth_method: Option<String>,
    /// RFC 7591 `jwks`: the client's public keys.
    pub jwks: Option<Value>,
    /// RFC 7591 `jwks_uri`: where they are published instead.
    pub jwks_uri: Option<String>,
    /// A downgrade for old libraries: `aud` of an assertion may be the URL of the endpoint that it is sent to, or
    /// of the token endpoint, and an array of one.
    #[serde(default)]
    pub assertion_audience_endpoint: bool,
    /// RFC 7591 `scope`: what the client may ask for; default `openid`.
    pub scope: Option<String>,
    /// Identifiers of the audiences that its access tokens may name.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// First-party: no consent page.
    #[serde(default)]
    pub skip_authorization: bool,
    /// Default true; false is a downgrade for old confidential clients.
    pub require_pkce: Option<bool>,
    /// Seconds in which a lost refresh response may be asked for again; default 0, at most 30.
    pub refresh_retry_s: Option<u32>,
    /// Seconds; default: the server's.
    pub access_token_lifetime: Option<u32>,
    /// Seconds from the first refresh token to the end of its family; default: the server's.
    pub refresh_token_lifetime: Option<u32>,
    /// OpenID Connect Registration `id_token_signed_response_alg`; default `RS256`.
    pub id_token_signed_response_alg: Option<String>,
    /// RFC 9396 §10 `authorization_details_types`: the types that it may ask for; default none.
    #[serde(default)]
    pub authorization_details_types: Vec<String>,
    /// Access tokens are random texts instead of JWTs.
    #[serde(default)]
    pub opaque_access_tokens: bool,
    /// RFC 9126 §6: an authorization request must have been pushed.
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
    /// CIBA §4 `backchannel_token_delivery_mode`: `poll` or `ping`; default `poll`.
    pub backchannel_token_delivery_mode: Option<String>,
    /// CIBA §4 `backchannel_client_notification_endpoint`: where a `ping` goes.
    pub backchannel_client_notification_endpoint: Option<String>,
}

/// Which field may not be registered as it was, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMetadata {
    /// The field's registered name.
    pub field: &'static str,
    /// What is wrong with it, for whoever wrote it.
    pub problem: String,
}

impl fmt::Display for InvalidMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

impl std::error::Error for InvalidMetadata {}

fn invalid(field: &'static str, problem: impl Into<String>) -> InvalidMetadata {
    InvalidMetadata { field, problem: problem.into() }
}

words! {
    /// A grant that a client may be registered for. Implicit, hybrid and password have no representation.
    GrantType {
        /// RFC 6749 §4.1.
        AuthorizationCode = "authorization_code",
        /// RFC 6749 §6.
        RefreshToken = "refresh_token",
        /// RFC 6749 §4.4.
        ClientCredentials = "client_credentials",
        /// RFC 8628.
        DeviceCode = "urn:ietf:params:oauth:grant-type:device_code",
        /// RFC 8693.
        TokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange",
        /// OpenID Connect CIBA.
        Ciba = "urn:openid:params:grant-type:ciba",
    }
}

words! {
    /// How a client proves who it is.
    AuthMethod {
        /// HTTP Basic.
        ClientSecretBasic = "client_secret_basic",
        /// In the body.
        ClientSecretPost = "client_secret_post",
        /// By a signature (RFC 7523 §2.2).
        PrivateKeyJwt = "private_key_jwt",
        /// It cannot: a public client, held by PKCE.
        None = "none",
    }
}

words! {
    /// How a client learns that a CIBA request was decided.
    Delivery {
        /// It asks.
        Poll = "poll",
        /// It is told to ask.
        Ping = "ping",
    }
}

/// Where the keys of a client are that proves one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// Registered.
    Inline(KeySet),
    /// Published by the client; the courier fetches them.
    At(RedirectUri),
}

/// Client metadata that holds together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "registered members, independent of each other")]
pub struct Metadata {
    /// Shown to people.
    pub client_name: String,
    /// Where codes may go.
    pub redirect_uris: Vec<RedirectUri>,
    /// Where a browser may go after logout.
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// What it may use at the token endpoint.
    pub grant_types: BTreeSet<GrantType>,
    /// How it authenticates, and in no other way.
    pub auth_method: AuthMethod,
    /// Its public keys; there if `auth_method` is `PrivateKeyJwt`.
    pub keys: Option<Keys>,
    /// Its assertions may name the endpoint that they are sent to, or the token endpoint, instead of the issuer.
    pub assertion_audience_endpoint: bool,
    /// What it may ask for.
    pub scope: ScopeSet,
    /// What its access tokens may name as audience.
    pub audiences: Vec<String>,
    /// First-party: no consent page.
    pub skip_authorization: bool,
    /// False: an old confidential client may come without PKCE, with `openid` and a `nonce`.
    pub require_pkce: bool,
    /// Seconds in which a lost refresh response may be asked for again.
    pub refresh_retry_s: u32,
    /// Seconds; `None`: the server's default.
    pub access_token_lifetime: Option<u32>,
    /// Seconds; `None`: the server's default.
    pub refresh_token_lifetime: Option<u32>,
    /// The algorithm of its ID tokens.
    pub id_token_alg: Algorithm,
    /// The types of `authorization_details` that it may ask for.
    pub authorization_details_types: BTreeSet<String>,
    /// Access tokens are random texts instead of JWTs.
    pub opaque_access_tokens: bool,
    /// An authorization request must have been pushed.
    pub require_pushed_authorization_requests: bool,
    /// How it learns that a CIBA request was decided.
    pub delivery: Delivery,
    /// Where a ping goes; there if `delivery` is `Ping`.
    pub notification_endpoint: Option<RedirectUri>,
}

impl TryFrom<Draft> for Metadata {
    type Error = InvalidMetadata;

    fn try_from(draft: Draft) -> Result<Self, InvalidMetadata> {
        let auth_method = auth_method(draft.token_endpoint_auth_method.as_deref())?;
        let metadata = Self {
            client_name: display_name(draft.client_name.as_deref().unwrap_or("Application"))?,
            redirect_uris: uris("redirect_uris", draft.redirect_uris)?,
            post_logout_redirect_uris: uris(
                "post_logout_redirect_uris",
                draft.post_logout_redirect_uris,
            )?,
            grant_types: grant_types(draft.grant_types)?,
            auth_method,
            keys: keys(draft.jwks.as_ref(), draft.jwks_uri)?,
            assertion_audience_endpoint: draft.assertion_audience_endpoint,
            scope: draft
                .scope
                .as_deref()
                .unwrap_or(scope::OPENID)
                .parse()
                .map_err(|error| invalid("scope", format!("{error}")))?,
            audiences: audiences(draft.audiences)?,
            skip_authorization: draft.skip_authorization,
            require_pkce: draft.require_pkce.unwrap_or(true),
            refresh_retry_s: bounded("refresh_retry_s", draft.refresh_retry_s, 0, 30)?.unwrap_or(0),
            access_token_lifetime: bounded(
                "access_token_lifetime",
                draft.access_token_lifetime,
                30,
                86_400,
            )?,
            refresh_token_lifetime: bounded(
                "refresh_token_lifetime",
                draft.refresh_token_lifetime,
                60,
                31_536_000,
            )?,
            id_token_alg: id_token_alg(draft.id_token_signed_response_alg.as_deref())?,
            authorization_details_types: detail_types(draft.authorization_details_types)?,
            opaque_access_tokens: draft.opaque_access_tokens,
            require_pushed_authorization_requests: draft.require_pushed_authorization_requests,
            delivery: delivery(draft.backchannel_token_delivery_mode.as_deref())?,
            notification_endpoint: draft
                .backchannel_client_notification_endpoint
                .map(|text| https("backchannel_client_notification_endpoint", text))
                .transpose()?,
        };
        metadata.consistent(draft.response_types)
    }
}

impl Metadata {
    fn consistent(self, response_types: Option<Vec<String>>) -> Result<Self, InvalidMetadata> {
        let code = self.grant_types.contains(&GrantType::AuthorizationCode);
        if response_types.is_some_and(|list| list.iter().any(|word| word != "code")) {
            return Err(invalid("response_types", "only code"));
        }
        if code && self.redirect_uris.is_empty() {
            return Err(invalid(
                "redirect_uris",
                "the authorization_code grant needs at least one",
            ));
        }
        let signs = self.auth_method == AuthMethod::PrivateKeyJwt;
        if signs != self.keys.is_some() {
            return Err(invalid(
                if matches!(self.keys, Some(Keys::At(_))) { "jwks_uri" } else { "jwks" },
                "jwks or jwks_uri goes with private_key_jwt, and only with it",
            ));
        }
        if self.assertion_audience_endpoint && !signs {
            return Err(invalid("assertion_audience_endpoint", "only with private_key_jwt"));
        }
        if self.is_public() && !self.require_pkce {
            return Err(invalid("require_pkce", "a public client has nothing but PKCE"));
        }
        if self.is_public() && self.grant_types.contains(&GrantType::ClientCredentials) {
            return Err(invalid("grant_types", "a public client has no credentials to grant on"));
        }
        // CIBA §7.1: "the client … MUST authenticate".
        if self.is_public() && self.grant_types.contains(&GrantType::Ciba) {
            return Err(invalid("grant_types", "a public client cannot ask for another device"));
        }
        if self.is_public() && self.grant_types.contains(&GrantType::TokenExchange) {
            return Err(invalid("grant_types", "a public client cannot prove for whom it acts"));
        }
        if self.scope.contains(scope::CIBA) && !self.skip_authorization {
            let problem = "opentrusty:ciba is reserved for first-party clients";
            return Err(invalid("scope", problem));
        }
        if (self.delivery == Delivery::Ping) != self.notification_endpoint.is_some() {
            return Err(invalid(
                "backchannel_client_notification_endpoint",
                "goes with backchannel_token_delivery_mode ping, and only with it",
            ));
        }
        Ok(self)
    }

    /// Whether a client with this metadata may belong to `tenant` (`None`: the platform).
    /// `opentrusty:admin` is for first-party clients of the platform only.
    pub fn check_owner(&self, tenant: Option<TenantId>) -> Result<(), InvalidMetadata> {
        if tenant.is_some() && self.scope.contains(scope::ADMIN) {
            return Err(invalid(
                "scope",
                "opentrusty:admin is reserved for clients of the platform",
            ));
        }
        Ok(())
    }

    /// No credential of its own.
    pub fn is_public(&self) -> bool {
        self.auth_method == AuthMethod::None
    }

    /// Whether it proves itself by a secret that we hold a hash of.
    pub fn has_secret(&self) -> bool {
        match self.auth_method {
            AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => true,
            AuthMethod::PrivateKeyJwt | AuthMethod::None => false,
        }
    }

    /// Back to the registered names, for the `metadata` column.
    pub fn to_draft(&self) -> Draft {
        let texts = |uris: &[RedirectUri]| uris.iter().map(ToString::to_string).collect();
        let (jwks, jwks_uri) = match &self.keys {
            Some(Keys::Inline(keys)) => (Some(keys.to_json()), None),
            Some(Keys::At(uri)) => (None, Some(uri.to_string())),
            None => (None, None),
        };
        Draft {
            client_name: Some(self.client_name.clone()),
            redirect_uris: texts(&self.redirect_uris),
            post_logout_redirect_uris: texts(&self.post_logout_redirect_uris),
            grant_types: Some(self.grant_types.iter().map(|g| g.as_str().to_owned()).collect()),
            response_types: None,
            token_endpoint_auth_method: Some(self.auth_method.as_str().to_owned()),
            jwks,
            jwks_uri,
            assertion_audience_endpoint: self.assertion_audience_endpoint,
            scope: Some(self.scope.to_string()),
            audiences: self.audiences.clone(),
            skip_authorization: self.skip_authorization,
            require_pkce: Some(self.require_pkce),
            refresh_retry_s: Some(self.refresh_retry_s),
            access_token_lifetime: self.access_token_lifetime,
            refresh_token_lifetime: self.refresh_token_lifetime,
            id_token_signed_response_alg: Some(self.id_token_alg.name().to_owned()),
            authorization_details_types: self.authorization_details_types.iter().cloned().collect(),
            opaque_access_tokens: self.opaque_access_tokens,
            require_pushed_authorization_requests: self.require_pushed_authorization_requests,
            backchannel_token_delivery_mode: Some(self.delivery.as_str().to_owned()),
            backchannel_client_notification_endpoint: self
                .notification_endpoint
                .as_ref()
                .map(ToString::to_string),
        }
    }
}

fn auth_method(word: Option<&str>) -> Result<AuthMethod, InvalidMetadata> {
    AuthMethod::parse(word.unwrap_or("client_secret_basic")).ok_or_else(|| {
        invalid(
            "token_endpoint_auth_method",
            "client_secret_basic, client_secret_post, private_key_jwt or none",
        )
    })
}

/// "The `jwks_uri` and `jwks` parameters MUST NOT both be present in the same request" (RFC 7591 §2).
fn keys(jwks: Option<&Value>, uri: Option<String>) -> Result<Option<Keys>, InvalidMetadata> {
    match (jwks, uri) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(invalid("jwks_uri", "not beside jwks")),
        (Some(value), None) => KeySet::parse(value)
            .map(|keys| Some(Keys::Inline(keys)))
            .map_err(|error| invalid("jwks", error.to_string())),
        (None, Some(text)) => Ok(Some(Keys::At(https("jwks_uri", text)?))),
    }
}

/// A name people will see on the consent page: no controls and nothing that reorders text (W123).
pub fn display_name(name: &str) -> Result<String, InvalidMetadata> {
    let name = name.trim();
    if !(1..=100).contains(&name.chars().count()) {
        return Err(invalid("client_name", "1 to 100 characters"));
    }
    if name.chars().any(text::deceives) {
        return Err(invalid("client_name", "no control or direction characters"));
    }
    Ok(name.to_owned())
}

fn uris(field: &'static str, list: Vec<String>) -> Result<Vec<RedirectUri>, InvalidMetadata> {
    if list.len() > LIST_MAX {
        return Err(invalid(field, "at most 50"));
    }
    list.into_iter()
        .map(|text| RedirectUri::try_from(text).map_err(|error| invalid(field, format!("{error}"))))
        .collect()
}

fn grant_types(list: Option<Vec<String>>) -> Result<BTreeSet<GrantType>, InvalidMetadata> {
    let Some(list) = list else { return Ok(BTreeSet::from([GrantType::AuthorizationCode])) };
    list.iter()
        .map(|word| {
            GrantType::parse(word)
                .ok_or_else(|| invalid("grant_types", "unknown or unsupported grant"))
        })
        .collect()
}

fn audiences(list: Vec<String>) -> Result<Vec<String>, InvalidMetadata> {
    let legal = |text: &String| {
        (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
    };
    if list.len() > LIST_MAX || !list.iter().all(legal) {
        return Err(invalid("audiences", "at most 50, each 1 to 255 printable ASCII characters"));
    }
    Ok(list)
}

fn bounded(
    field: &'static str,
    value: Option<u32>,
    min: u32,
    max: u32,
) -> Result<Option<u32>, InvalidMetadata> {
    match value {
        Some(value) if !(min..=max).contains(&value) => {
            Err(invalid(field, format!("{min} to {max} seconds")))
        }
        other => Ok(other),
    }
}

fn id_token_alg(word: Option<&str>) -> Result<Algorithm, InvalidMetadata> {
    // What OpenID Connect expects by default (OIDC Registration §2).
    let word = word.unwrap_or("RS256");
    Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == word).ok_or_else(|| {
        invalid("id_token_signed_response_alg", "RS256, ES256, PS256, ES384 or EdDSA")
    })
}

fn detail_types(list: Vec<String>) -> Result<BTreeSet<String>, InvalidMetadata> {
    let legal = |text: &String| (1..=255).contains(&text.len()) && !text.contains(char::is_control);
    if list.len() > LIST_MAX || !list.iter().all(legal) {
        return Err(invalid("authorization_details_types", "at most 50, each 1 to 255 characters"));
    }
    Ok(list.into_iter().collect())
}

fn delivery(word: Option<&str>) -> Result<Delivery, InvalidMetadata> {
    Delivery::parse(word.unwrap_or("poll"))
        .ok_or_else(|| invalid("backchannel_token_delivery_mode", "poll or ping"))
}

/// Where the courier goes: https alone, whatever a browser may be sent to.
fn https(field: &'static str, text: String) -> Result<RedirectUri, InvalidMetadata> {
    let uri = RedirectUri::try_from(text).map_err(|error| invalid(field, format!("{error}")))?;
    if uri.is_https() { Ok(uri) } else { Err(invalid(field, "an https URI")) }
}
