//! What a peer may hear: an RFC's error code and one of our own sentences.
//!
//! The texts are `&'static str`: nothing that arrived, and nothing of our insides, can leak into one.

use std::fmt;

/// An error code of RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1, OpenID Connect Core §3.1.2.6, RFC 8707, and of
/// the extensions that a variant names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The user or the server refused.
    AccessDenied,
    /// The user would have to choose an account.
    AccountSelectionRequired,
    /// Nobody has decided yet: ask again (RFC 8628 §3.5, CIBA §11).
    AuthorizationPending,
    /// The user would have to consent.
    ConsentRequired,
    /// The device code or `auth_req_id` is over: begin anew (RFC 8628 §3.5, CIBA §11).
    ExpiredToken,
    /// The user would have to do something (OIDC Core §3.1.2.6).
    InteractionRequired,
    /// `authorization_details` of an unknown type, not to its schema, or not this client's (RFC 9396 §5).
    InvalidAuthorizationDetails,
    /// `binding_message` cannot be shown (CIBA §13).
    InvalidBindingMessage,
    /// Client authentication failed.
    InvalidClient,
    /// The code or refresh token is no good.
    InvalidGrant,
    /// Missing, repeated or malformed parameter.
    InvalidRequest,
    /// The `request_uri` is unknown, used or over (RFC 9101 §7, OIDC Core §3.1.2.6).
    InvalidRequestUri,
    /// A scope that is unknown, malformed or not this client's.
    InvalidScope,
    /// An audience that is not this client's.
    InvalidTarget,
    /// The access token is no good.
    InvalidToken,
    /// The access token lacks a scope.
    InsufficientScope,
    /// The user would have to sign in.
    LoginRequired,
    /// `registration` is not served.
    RegistrationNotSupported,
    /// `request` is not served.
    RequestNotSupported,
    /// `request_uri` is not served.
    RequestUriNotSupported,
    /// Our own fault.
    ServerError,
    /// Asked too soon: five seconds more between requests from now on (RFC 8628 §3.5, CIBA §11).
    SlowDown,
    /// Out of order for the moment.
    TemporarilyUnavailable,
    /// The client may not use this grant.
    UnauthorizedClient,
    /// The hint names nobody who could be asked (CIBA §13).
    UnknownUserId,
    /// The user could not be authenticated as an essential `acr` demands (OIDC Core Unmet Authentication
    /// Requirements 1.0 §2).
    UnmetAuthenticationRequirements,
    /// No such grant here.
    UnsupportedGrantType,
    /// No such response type here.
    UnsupportedResponseType,
    /// This token type cannot be revoked here.
    UnsupportedTokenType,
}

impl ErrorCode {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::AccountSelectionRequired => "account_selection_required",
            Self::AuthorizationPending => "authorization_pending",
            Self::ConsentRequired => "consent_required",
            Self::ExpiredToken => "expired_token",
            Self::InteractionRequired => "interaction_required",
            Self::InvalidAuthorizationDetails => "invalid_authorization_details",
            Self::InvalidBindingMessage => "invalid_binding_message",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::LoginRequired => "login_required",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::ServerError => "server_error",
            Self::SlowDown => "slow_down",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnknownUserId => "unknown_user_id",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
        }
    }

    /// The status of a direct answer. RFC 6749 §5.2: 400, and 401 for `invalid_client`; RFC 6750 §3.1.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidClient | Self::InvalidToken => 401,
            Self::InsufficientScope => 403,
            Self::ServerError => 500,
            Self::TemporarilyUnavailable => 503,
            Self::AccessDenied
            | Self::AccountSelectionRequired
            | Self::AuthorizationPending
            | Self::ConsentRequired
            | Self::ExpiredToken
            | Self::InteractionRequired
            | Self::InvalidAuthorizationDetails
            | Self::InvalidBindingMessage
            | Self::InvalidGrant
            | Self::InvalidRequest
            | Self::InvalidRequestUri
            | Self::InvalidScope
            | Self::InvalidTarget
            | Self::LoginRequired
            | Self::RegistrationNotSupported
            | Self::RequestNotSupported
            | Self::RequestUriNotSupported
            | Self::SlowDown
            | Self::UnauthorizedClient
            | Self::UnknownUserId
            | Self::UnmetAuthenticationRequirements
            | Self::UnsupportedGrantType
            | Self::UnsupportedResponseType
            | Self::UnsupportedTokenType => 400,
        }
    }
}

/// The peer's fault, as the peer will read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error {
    /// The RFC's code.
    pub code: ErrorCode,
    /// `error_description`: ours, constant, printable ASCII without `"` and `\` (RFC 6749 §5.2).
    pub description: &'static str,
}

impl Error {
    /// A code with its sentence.
    pub const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description }
    }

    /// `invalid_request`.
    pub const fn request(description: &'static str) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }

    /// `invalid_grant`, with one text for every cause: a thief learns nothing from it.
    pub const fn grant() -> Self {
        Self::new(
            ErrorCode::InvalidGrant,
            "the grant is invalid, expired, revoked or was issued to another client",
        )
    }

    /// `invalid_client`, the same for an unknown client and a wrong credential (W129).
    pub const fn client() -> Self {
        Self::new(ErrorCode::InvalidClient, "client authentication failed")
    }

    /// `invalid_token` (RFC 6750 §3.1).
    pub const fn token() -> Self {
        Self::new(ErrorCode::InvalidToken, "the access token is invalid, expired or revoked")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.description)
    }
}

impl std::error::Error for Error {}
