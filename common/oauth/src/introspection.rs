//! Token introspection (RFC 7662): who may see what.

use serde::Serialize;
use serde_json::Value;

use crate::claims::{Authentication, Holder};
use crate::client::Authenticated;
use crate::ids::{ClientId, ClientKey, SessionId, TenantId, TokenId};
use crate::{ScopeSet, Timestamp, rar};

/// A live access or refresh token, as the database knows it.
#[derive(Debug, Clone)]
pub struct Live {
    /// To whom it was issued.
    pub client: ClientKey,
    /// The same, by name.
    pub client_id: ClientId,
    /// Whose client that is; `None`: the platform's.
    pub tenant: Option<TenantId>,
    /// `sub`, `auth_time`, `acr`, `amr`, `sid`, `act`.
    pub holder: Holder,
    /// `scope`.
    pub scopes: ScopeSet,
    /// `aud`.
    pub audiences: Vec<String>,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// RFC 9396 `authorization_details`.
    pub details: Option<rar::Details>,
    /// `jti`; `None`: it is a refresh token.
    pub token: Option<TokenId>,
}

/// RFC 7662 §2.2. Inactive is exactly one member.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Introspection {
    active: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
struct Details {
    iss: String,
    sub: String,
    client_id: ClientId,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Vec<String>>,
    iat: Timestamp,
    exp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amr: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "authorization_details")]
    rich: Option<rar::Details>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

impl Introspection {
    /// What `asker` may hear of `token`: the issuing client, and a client of the same tenant that is an
    /// audience of it (one whose `client_id` the token names). Everybody else hears that it is not active
    /// (W68). A refresh token is the issuing client's business alone.
    pub fn answer(issuer: &str, token: Option<&Live>, asker: &Authenticated) -> Self {
        let Some(token) = token else { return Self::inactive() };
        let own = token.client == asker.key;
        // A name is only a name within its tenant, and nobody is called like the issuer: that is the
        // audience of tokens that were asked for none.
        let named = token.token.is_some()
            && token.tenant == asker.tenant
            && asker.id.as_str() != issuer
            && token.audiences.iter().any(|aud| aud == asker.id.as_str());
        // A public client cannot prove that it is the one that the token was issued to.
        if asker.metadata.is_public() || !(own || named) {
            return Self::inactive();
        }
        let person = token.holder.authentication.as_ref();
        let details = Details {
            iss: issuer.to_owned(),
            sub: token.holder.sub.clone(),
            client_id: token.client_id.clone(),
            scope: token.scopes.to_string(),
            aud: token.token.map(|_| token.audiences.clone()),
            iat: token.issued_at,
            exp: token.expires_at,
            auth_time: person.map(|person| person.auth_time),
            acr: person.map(Authentication::acr),
            amr: person.map(|person| person.amr.clone()),
            act: token.holder.act.clone(),
            rich: seen(token, asker, own),
            jti: token.token,
            sid: person.and_then(|person| person.session),
            token_type: token.token.map(|_| "Bearer"),
        };
        Self { active: true, details: Some(details) }
    }

    /// `{"active":false}`.
    pub const fn inactive() -> Self {
        Self { active: false, details: None }
    }
}

/// The client that asked for them sees all details; a resource server "only … those … relevant" to it (RFC 9396
/// §9.2): by the name that the token has for it, and by its own audiences.
fn seen(token: &Live, asker: &Authenticated, own: bool) -> Option<rar::Details> {
    let details = token.details.as_ref()?;
    if own {
        return Some(details.clone());
    }
    let names: Vec<String> = std::iter::once(asker.id.as_str().to_owned())
        .chain(asker.metadata.audiences.iter().cloned())
        .collect();
    Some(details.visible_to(&names)).filter(|visible| !visible.is_empty())
}
