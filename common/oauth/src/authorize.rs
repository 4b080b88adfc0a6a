//! The authorization request, from bytes to a decision.
//!
//! [`Unbound`] → [`Unbound::bind`] → [`Bound`] → [`Bound::check`] → [`Request`]. Before a request is bound
//! to a registered client and redirect URI an error is a page of our own ([`PageError`]); only after it
//! may an error travel to the client ([`Refusal`]). The only maker of a `Refusal` owns a [`Registered`]
//! URI, so an unregistered URI cannot be redirected to.
//!
//! A checked request is stored as an *interaction*. Each visit to it asks [`next`] what to do, so sign-in
//! and consent never route to each other.

mod step;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::claims_request::{ClaimsRequest, InvalidClaims};
use crate::client::{Authenticated, Client, GrantType};
use crate::form::{Form, FormError};
use crate::ids::ClientId;
use crate::pkce::Challenge;
use crate::rar::Details;
use crate::secret::{Plain, Pushed};
use crate::{Error, ErrorCode, ScopeSet, scope};

pub use step::{Facts, SignedIn, Step, next, nobody};

/// What the name of a pushed request begins with (RFC 9126 §2.2).
pub const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";

/// Longest `state`, in bytes (W18).
const STATE_MAX: usize = 4096;
/// Longest `nonce`, in bytes.
const NONCE_MAX: usize = 255;
/// Longest `login_hint`, in bytes.
const HINT_MAX: usize = 254;

/// Told to the person at the browser, never redirected: we do not know yet whom a redirect would serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageError {
    /// The query is no form.
    Malformed(FormError),
    /// `client_id` is missing, repeated, malformed, unknown or disabled.
    Client,
    /// `redirect_uri` is missing, repeated, or not registered.
    RedirectUri,
    /// `request_uri` is unknown, expired, used, another client's or another browser's.
    RequestUri,
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(_) => "The request could not be read.",
            Self::Client => "The application that sent you here is not known to this server.",
            Self::RedirectUri => {
                "The application asked to send you to an address that it has not registered."
            }
            Self::RequestUri => {
                "The application's request was used already, took too long, or was begun in another browser."
            }
        })
    }
}

impl std::error::Error for PageError {}

/// A redirect URI that a request presented and its client has registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Registered(String);

impl Registered {
    /// The text, exactly as presented.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How the answer travels back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseMode {
    /// In the query of a redirect.
    Query,
    /// In a form that the browser posts (OAuth 2.0 Form Post Response Mode).
    FormPost,
}

/// Where and how an answer goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// Registered.
    pub uri: Registered,
    /// Query or form.
    pub mode: ResponseMode,
    /// Echoed as it came.
    pub state: Option<String>,
}

impl Return {
    /// The parameters of an error response (RFC 6749 §4.1.2.1), with `iss` (RFC 9207 §2).
    pub fn error(&self, issuer: &str, refusal: &Refusal) -> Vec<(&'static str, String)> {
        let mut parameters = vec![
            ("error", refusal.code.as_str().to_owned()),
            ("error_description", refusal.description.to_owned()),
        ];
        self.finish(issuer, &mut parameters);
        parameters
    }

    /// The parameters of a successful response (RFC 6749 §4.1.2), with `iss`.
    pub fn code(&self, issuer: &str, code: &str) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("code", code.to_owned())];
        self.finish(issuer, &mut parameters);
        parameters
    }

    fn finish(&self, issuer: &str, parameters: &mut Vec<(&'static str, String)>) {
        if let Some(state) = &self.state {
            parameters.push(("state", state.clone()));
        }
        parameters.push(("iss", issuer.to_owned()));
    }

    /// The `Location` of a query response. A query that the registered URI already has is retained
    /// (RFC 6749 §3.1.2).
    pub fn location(&self, parameters: &[(&'static str, String)]) -> String {
        let mut location = self.uri.0.clone();
        for (index, (name, value)) in parameters.iter().enumerate() {
            let first = index == 0 && !location.contains('?');
            location.push(if first { '?' } else { '&' });
            location.push_str(name);
            location.push('=');
            location.push_str(&crate::form::encode(value));
        }
        location
    }
}

/// The client may hear this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ErrorCode,
    /// Ours, constant.
    pub description: &'static str,
    /// Where it goes.
    pub back: Return,
}

/// A query that parsed; nothing in it is believed yet.
#[derive(Debug)]
pub struct Unbound {
    form: Form,
    client_id: ClientId,
    pushed: bool,
}

impl Unbound {
    /// Reads the query, and whom it claims to be from.
    pub fn parse(query: &[u8]) -> Result<Self, PageError> {
        let form = Form::parse(query).map_err(PageError::Malformed)?;
        let id = form.one("client_id").map_err(|_| PageError::Client)?.ok_or(PageError::Client)?;
        let client_id = id.parse().map_err(|_| PageError::Client)?;
        Ok(Self { form, client_id, pushed: false })
    }

    /// A request that its client pushed (RFC 9126 §2.1): the parameters of a body, from whoever has just
    /// authenticated.
    pub fn pushed(form: Form, client: &Authenticated) -> Result<Self, Error> {
        // "The request_uri parameter … MUST NOT be provided in this case."
        if form.one("request_uri").map_or(true, |uri| uri.is_some()) {
            return Err(Error::request("request_uri cannot be pushed"));
        }
        if form.repeats() {
            return Err(Error::request("a parameter is repeated"));
        }
        Ok(Self { form, client_id: client.id.clone(), pushed: true })
    }

    /// Whom to look up.
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// The pushed request that this one stands for. Beside `client_id` nothing else of it is read then (W51).
    pub fn request_uri(&self) -> Option<Result<Plain<Pushed>, PageError>> {
        let uri = match self.form.one("request_uri") {
            Ok(uri) => uri?,
            Err(_) => return Some(Err(PageError::RequestUri)),
        };
        // Any other scheme is a request object by reference, which is not served; its errors travel back.
        let ours = uri.strip_prefix(REQUEST_URI)?;
        Some(Plain::parse(ours).ok_or(PageError::RequestUri))
    }

    /// Binds the request to its client and a redirect URI of that client.
    pub fn bind(self, client: &Client) -> Result<Bound, PageError> {
        if client.id != self.client_id {
            return Err(PageError::Client);
        }
        let presented = self
            .form
            .one("redirect_uri")
            .map_err(|_| PageError::RedirectUri)?
            .ok_or(PageError::RedirectUri)?;
        client.redirect_uri(presented).ok_or(PageError::RedirectUri)?;
        let uri = Registered(presented.to_owned());
        // Until they are checked, errors go back in the safest way: by query, without a state that may
        // be oversized or repeated.
        let mode = match self.form.one("response_mode") {
            Ok(Some("form_post")) => ResponseMode::FormPost,
            _ => ResponseMode::Query,
        };
        let state = self.form.one("state").ok().flatten();
        let state = state.filter(|state| state.len() <= STATE_MAX).map(str::to_owned);
        let back = Return { uri, mode, state };
        Ok(Bound { form: self.form, back, pushed: self.pushed })
    }
}

/// A request whose answer has somewhere to go.
#[derive(Debug)]
pub struct Bound {
    form: Form,
    back: Return,
    pushed: bool,
}

/// What the client asks of the user's sign-in (OIDC Core §3.1.2.1 `prompt`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a set of four independent words of the standard"
)]
pub struct Prompt {
    /// No page may be shown.
    pub none: bool,
    /// Sign in again.
    pub login: bool,
    /// Ask for consent again.
    pub consent: bool,
    /// Let the user choose an account.
    pub select_account: bool,
}

/// A checked authorization request: what an interaction stores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Where the answer goes.
    pub back: Return,
    /// All of them the client's own.
    pub scopes: ScopeSet,
    /// All of them the client's own; empty: the client's default.
    pub audiences: Vec<String>,
    /// S256, if any.
    pub challenge: Option<Challenge>,
    /// Bound into the ID token.
    pub nonce: Option<String>,
    /// As asked.
    pub prompt: Prompt,
    /// Seconds.
    pub max_age: Option<u32>,
    /// Prefills the sign-in page.
    pub login_hint: Option<String>,
    /// The `sub` that a verified `id_token_hint` or the `claims` parameter names: nobody else's sign-in will do.
    pub hinted_sub: Option<String>,
    /// Claims that are wanted inside the ID token.
    #[serde(default)]
    pub id_token_claims: Vec<String>,
    /// RFC 9396 `authorization_details`.
    #[serde(default)]
    pub details: Option<Details>,
}

impl Bound {
    /// An ID token of ours, as a hint about the user; its signature is for whoever holds keys to check.
    pub fn id_token_hint(&self) -> Option<&str> {
        self.form.one("id_token_hint").ok().flatten()
    }

    /// RFC 9396 `authorization_details`; their types are for whoever knows the tenant to check.
    pub fn authorization_details(&self) -> Option<&str> {
        self.form.one("authorization_details").ok().flatten()
    }

    /// The answer to details that the client may not ask for.
    pub fn refuse(self, error: Error) -> Refusal {
        Refusal { code: error.code, description: error.description, back: self.back }
    }

    /// The answer to a hint that is not ours.
    pub fn refuse_hint(self) -> Refusal {
        let description = "id_token_hint is not an ID token of this issuer";
        Refusal { code: ErrorCode::InvalidRequest, description, back: self.back }
    }

    /// Checks everything else. `defaults`: the scopes that the tenant grants when none are asked for.
    pub fn check(self, client: &Client, defaults: &ScopeSet) -> Result<Request, Refusal> {
        let Self { form, back, pushed } = self;
        if client.metadata.require_pushed_authorization_requests && !pushed {
            let description = "the client must push its authorization requests";
            return Err(Refusal { code: ErrorCode::InvalidRequest, description, back });
        }
        match check(&form, client, defaults, &back) {
            Ok(request) => Ok(request),
            Err((code, description)) => Err(Refusal { code, description, back }),
        }
    }
}

pub(crate) type Problem = (ErrorCode, &'static str);

fn check(
    form: &Form,
    client: &Client,
    defaults: &ScopeSet,
    back: &Return,
) -> Result<Request, Problem> {
    use ErrorCode::{InvalidRequest, UnauthorizedClient, UnsupportedResponseType};

    if form.repeats() {
        return Err((InvalidRequest, "a parameter is repeated"));
    }
    let one = |name| form.one(name).ok().flatten();
    unsupported(form)?;
    if one("state").is_some_and(|state| state.len() > STATE_MAX) {
        return Err((InvalidRequest, "state is longer than 4096 bytes"));
    }
    match one("response_type") {
        None => return Err((InvalidRequest, "response_type is missing")),
        Some("code") => {}
        Some(_) => return Err((UnsupportedResponseType, "only response_type=code is supported")),
    }
    if !matches!(one("response_mode"), None | Some("query" | "form_post")) {
        return Err((InvalidRequest, "response_mode must be query or form_post"));
    }
    if !client.metadata.grant_types.contains(&GrantType::AuthorizationCode) {
        return Err((UnauthorizedClient, "the client may not use the authorization code grant"));
    }
    let scopes = requested_scopes(one("scope"), client, defaults)?;
    let nonce = one("nonce").map(str::to_owned);
    if nonce.as_ref().is_some_and(|nonce| nonce.len() > NONCE_MAX) {
        return Err((InvalidRequest, "nonce is longer than 255 bytes"));
    }
    let challenge = challenge(one("code_challenge"), one("code_challenge_method"))?;
    if challenge.is_none() {
        let downgrade =
            !client.metadata.require_pkce && scopes.contains(scope::OPENID) && nonce.is_some();
        if !downgrade {
            return Err((
                InvalidRequest,
                "code_challenge with code_challenge_method=S256 is required",
            ));
        }
    }
    let claims = claims(one("claims"))?;
    let login_hint = one("login_hint").filter(|hint| hint.len() <= HINT_MAX).map(str::to_owned);
    Ok(Request {
        back: back.clone(),
        scopes,
        audiences: requested_audiences(form, client)?,
        challenge,
        nonce,
        prompt: prompt(one("prompt"))?,
        max_age: max_age(one("max_age"))?,
        login_hint,
        hinted_sub: claims.sub,
        id_token_claims: claims.id_token,
        details: None,
    })
}

/// OIDC Core §6: what is not supported is answered by name, not ignored (W20).
fn unsupported(form: &Form) -> Result<(), Problem> {
    let present = |name| form.one(name).ok().flatten().is_some();
    if present("request") {
        return Err((ErrorCode::RequestNotSupported, "request objects are not supported"));
    }
    if present("request_uri") {
        return Err((ErrorCode::RequestUriNotSupported, "request_uri is not supported"));
    }
    if present("registration") {
        return Err((ErrorCode::RegistrationNotSupported, "registration is not supported"));
    }
    Ok(())
}

/// Every scope asked for must be the client's; nothing is silently widened or dropped (W13).
pub(crate) fn requested_scopes(
    text: Option<&str>,
    client: &Client,
    defaults: &ScopeSet,
) -> Result<ScopeSet, Problem> {
    let allowed = &client.metadata.scope;
    let scopes = match text {
        Some(text) => text.parse().map_err(|_| (ErrorCode::InvalidScope, "malformed scope"))?,
        None => defaults.intersection(allowed),
    };
    if scopes.is_empty() {
        return Err((
            ErrorCode::InvalidScope,
            "no scope was asked for and the client has no default",
        ));
    }
    if !scopes.is_subset(allowed) {
        return Err((ErrorCode::InvalidScope, "the client may not ask for one of these scopes"));
    }
    Ok(scopes)
}

/// RFC 8707 `resource` and OryxID's `audience` choose among the client's own audiences.
pub(crate) fn requested_audiences(form: &Form, client: &Client) -> Result<Vec<String>, Problem> {
    let mut chosen: Vec<String> = Vec::new();
    for audience in form.all("resource").chain(form.all("audience")) {
        if !client.metadata.audiences.iter().any(|own| own == audience) {
            return Err((ErrorCode::InvalidTarget, "the client may not use this audience"));
        }
        if !chosen.iter().any(|have| have == audience) {
            chosen.push(audience.to_owned());
        }
    }
    Ok(chosen)
}

/// "If … not present … defaults to 'plain'" (RFC 7636 §4.3): that default is refused, not followed (W12).
fn challenge(challenge: Option<&str>, method: Option<&str>) -> Result<Option<Challenge>, Problem> {
    match (challenge, method) {
        (None, None) => Ok(None),
        (Some(text), Some("S256")) => Challenge::parse(text).map(Some).map_err(|_| {
            (ErrorCode::InvalidRequest, "code_challenge must be 43 characters of base64url")
        }),
        (Some(_), _) => Err((ErrorCode::InvalidRequest, "code_challenge_method must be S256")),
        (None, Some(_)) => Err((ErrorCode::InvalidRequest, "code_challenge is missing")),
    }
}

fn claims(text: Option<&str>) -> Result<ClaimsRequest, Problem> {
    text.map_or(Ok(ClaimsRequest::default()), ClaimsRequest::parse).map_err(|error| match error {
        InvalidClaims::Malformed => (ErrorCode::InvalidRequest, "malformed claims parameter"),
        InvalidClaims::Unmet => (
            ErrorCode::UnmetAuthenticationRequirements,
            "no sign-in here has the acr that is demanded",
        ),
    })
}

fn prompt(text: Option<&str>) -> Result<Prompt, Problem> {
    let mut prompt = Prompt::default();
    for word in text.unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        match word {
            "none" => prompt.none = true,
            "login" => prompt.login = true,
            "consent" => prompt.consent = true,
            "select_account" => prompt.select_account = true,
            _ => return Err((ErrorCode::InvalidRequest, "unknown value in prompt")),
        }
    }
    // "If this parameter contains none with any other value, an error is returned" (OIDC Core §3.1.2.1).
    if prompt.none && (prompt.login || prompt.consent || prompt.select_account) {
        return Err((ErrorCode::InvalidRequest, "prompt=none excludes other values"));
    }
    Ok(prompt)
}

fn max_age(text: Option<&str>) -> Result<Option<u32>, Problem> {
    let Some(text) = text else { return Ok(None) };
    // Digits only: u32::from_str would take a plus sign (W16, W34).
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err((ErrorCode::InvalidRequest, "max_age must be a number of seconds"));
    }
    text.parse().map(Some).map_err(|_| (ErrorCode::InvalidRequest, "max_age is too large"))
}

#[cfg(test)]
#[path = "authorize_tests.rs"]
mod tests;
