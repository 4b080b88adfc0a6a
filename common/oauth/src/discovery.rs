//! The discovery document (OIDC Discovery §3, RFC 8414 §2). It advertises exactly what works.

use serde_json::{Value, json};

use crate::claims::ACR_PASSWORD;
use crate::client::GrantType;
use crate::{claims_request, jwk, scope};

/// What differs from one issuer or moment to another.
#[derive(Debug, Clone, Default)]
pub struct Offered {
    /// JWS algorithms that a key of this issuer signs ID tokens with now.
    pub id_token_algorithms: Vec<&'static str>,
    /// Types of `authorization_details` that the issuer's tenant has defined (RFC 9396 §10).
    pub authorization_details_types: Vec<String>,
}

/// The path of the token endpoint, beneath an issuer.
pub(crate) const TOKEN_ENDPOINT: &str = "/oauth/token";
/// Ways in which a client proves who it is.
const METHODS: [&str; 4] = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
/// Those that prove anything.
const PROVING: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
/// Every grant that the token endpoint serves.
const GRANTS: [GrantType; 6] = [
    GrantType::AuthorizationCode,
    GrantType::RefreshToken,
    GrantType::ClientCredentials,
    GrantType::TokenExchange,
    GrantType::DeviceCode,
    GrantType::Ciba,
];

/// The document of `issuer` (no trailing slash).
pub fn document(issuer: &str, offered: &Offered) -> Value {
    let at = |path: &str| format!("{issuer}{path}");
    let assertions: Vec<&str> = jwk::Algorithm::ALL.iter().map(|one| one.as_str()).collect();
    let claims: Vec<&str> =
        ["iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "amr", "nonce", "at_hash", "sid"]
            .into_iter()
            .chain(claims_request::KNOWN)
            .collect();
    json!({
        "issuer": issuer,
        "authorization_endpoint": at("/oauth/authorize"),
        "pushed_authorization_request_endpoint": at("/oauth/par"),
        "token_endpoint": at(TOKEN_ENDPOINT),
        "userinfo_endpoint": at("/oauth/userinfo"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "introspection_endpoint": at("/oauth/introspect"),
        "revocation_endpoint": at("/oauth/revoke"),
        "end_session_endpoint": at("/oauth/logout"),
        "device_authorization_endpoint": at("/oauth/device_authorization"),
        "backchannel_authentication_endpoint": at("/oauth/bc-authorize"),
        "backchannel_token_delivery_modes_supported": ["poll", "ping"],
        "backchannel_user_code_parameter_supported": false,
        "scopes_supported": [scope::OPENID, "profile", "email", scope::OFFLINE_ACCESS],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": GRANTS.map(GrantType::as_str),
        "subject_types_supported": ["pairwise"],
        "acr_values_supported": [ACR_PASSWORD],
        "id_token_signing_alg_values_supported": offered.id_token_algorithms,
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": assertions,
        "introspection_endpoint_auth_methods_supported": PROVING,
        "introspection_endpoint_auth_signing_alg_values_supported": assertions,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": assertions,
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": claims,
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "require_pushed_authorization_requests": false,
        "authorization_details_types_supported": offered.authorization_details_types,
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "ui_locales_supported": ["en"],
    })
}
