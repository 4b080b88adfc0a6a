//! A relying party built on the `openidconnect` crate: the code flow, then the endpoints that a relying party uses
//! afterwards; with the word `grants`, what else the crate can. Prints one line of JSON saying what it saw.
//!
//! `RP_OWN_SCOPE` for `grants`, `RP_ISSUER RP_CA RP_CLIENT_ID RP_CLIENT_SECRET RP_REDIRECT_URI RP_POST_LOGOUT_URI RP_USER RP_PASSWORD`

mod grants;
mod pages;
mod transport;

use std::collections::HashMap;
use std::error::Error;

use openidconnect::core::{
    CoreAuthPrompt, CoreClient, CoreIdToken, CoreIdTokenClaims, CoreProviderMetadata, CoreResponseMode,
    CoreResponseType, CoreRevocableToken, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::url::Url;
use openidconnect::{
    AccessToken, AccessTokenHash, AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    DeviceAuthorizationUrl, EndSessionUrl, EndpointMaybeSet, EndpointSet, IntrospectionUrl, IssuerUrl, LogoutRequest,
    Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PostLogoutRedirectUrl, ProviderMetadataWithLogout, RedirectUrl,
    RefreshToken, RevocationUrl, Scope, TokenResponse as _,
};
use serde_json::{Value, json};

use pages::Person;
use transport::Transport;

type Failure = Box<dyn Error>;
type Party = CoreClient<EndpointSet, EndpointSet, EndpointSet, EndpointSet, EndpointMaybeSet, EndpointMaybeSet>;

/// What this program was told, by the names without `RP_`.
struct Given(HashMap<String, String>);

impl Given {
    fn get(&self, name: &str) -> Result<&str, Failure> {
        Ok(self.0.get(name).ok_or_else(|| format!("RP_{name} is missing"))?)
    }
}

struct Flow<'a> {
    given: &'a Given,
    party: Party,
    end_session: EndSessionUrl,
    transport: Transport,
    person: Person<'a>,
}

/// What came of one authorization.
struct Authorized {
    tokens: CoreTokenResponse,
    id_token: CoreIdToken,
    claims: CoreIdTokenClaims,
    forms: Vec<String>,
    response: Vec<String>,
}

fn main() -> Result<(), Failure> {
    let variables = std::env::vars().filter_map(|(name, value)| Some((name.strip_prefix("RP_")?.to_owned(), value)));
    let given = Given(variables.collect());
    let flow = Flow::discover(&given)?;
    let seen = if std::env::args().nth(1).as_deref() == Some("grants") { flow.grants()? } else { flow.run()? };
    println!("{seen}");
    Ok(())
}

impl<'a> Flow<'a> {
    /// The crate knows no introspection, revocation or device endpoint from discovery; they are taken from the document.
    fn discover(given: &'a Given) -> Result<Self, Failure> {
        let transport = Transport::new(given.get("CA")?)?;
        let issuer = IssuerUrl::new(given.get("ISSUER")?.to_owned())?;
        let http = |request| transport.call(request);
        let metadata = CoreProviderMetadata::discover(&issuer, &http)?;
        let with_logout = ProviderMetadataWithLogout::discover(&issuer, &http)?;
        let raw = transport.json(&issuer.join(".well-known/openid-configuration")?)?;
        let at = |name: &str| raw[name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name}"));
        let secret = ClientSecret::new(given.get("CLIENT_SECRET")?.to_owned());
        let client_id = ClientId::new(given.get("CLIENT_ID")?.to_owned());
        let party = CoreClient::from_provider_metadata(metadata, client_id, Some(secret))
            .set_device_authorization_url(DeviceAuthorizationUrl::new(at("device_authorization_endpoint")?)?)
            .set_redirect_uri(RedirectUrl::new(given.get("REDIRECT_URI")?.to_owned())?)
            .set_introspection_url(IntrospectionUrl::new(at("introspection_endpoint")?)?)
            .set_revocation_url(RevocationUrl::new(at("revocation_endpoint")?)?);
        let end_session =
            with_logout.additional_metadata().end_session_endpoint.clone().ok_or("no end_session_endpoint")?;
        let person =
            Person { agent: transport.browser(), username: given.get("USER")?, password: given.get("PASSWORD")? };
        Ok(Self { given, party, end_session, transport, person })
    }

    fn run(&self) -> Result<Value, Failure> {
        let first = self.authorize(None, None)?;
        let userinfo: CoreUserInfoClaims = self
            .party
            .user_info(first.tokens.access_token().clone(), Some(first.claims.subject().clone()))?
            .request(&self.http())?;
        let scopes: Vec<&str> = first.tokens.scopes().into_iter().flatten().map(|scope| scope.as_str()).collect();
        let old_refresh = first.tokens.refresh_token().ok_or("no refresh token")?;
        let (second, refresh) = self.refresh(&first, old_refresh)?;
        let before = self.introspect(second.access_token())?;
        self.revoke(second.access_token().clone().into())?;
        let after = self.introspect(second.access_token())?;
        let last_refresh = second.refresh_token().ok_or("no refresh token")?;
        self.revoke(last_refresh.clone().into())?;
        let revoked_refresh = self.refusal_of_refresh(last_refresh)?;
        let again = self.authorize(Some(CoreAuthPrompt::None), None)?;
        Ok(json!({
            "forms": first.forms,
            "response": first.response,
            "id_token": first.claims,
            "userinfo": userinfo,
            "scope": scopes.join(" "),
            "refresh": refresh,
            "introspection": { "before": before, "after": after },
            "revoked_refresh": revoked_refresh,
            "silent_forms": again.forms,
            "logout": self.log_out(&again.id_token)?,
        }))
    }

    fn http(
        &self,
    ) -> impl Fn(openidconnect::HttpRequest) -> Result<openidconnect::HttpResponse, transport::Broken> + '_ {
        |request| self.transport.call(request)
    }

    /// One authorization, from the request to the verified tokens.
    fn authorize(&self, prompt: Option<CoreAuthPrompt>, mode: Option<CoreResponseMode>) -> Result<Authorized, Failure> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = self
            .party
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(["profile", "email", "offline_access"].map(|name| Scope::new(name.to_owned())))
            .set_pkce_challenge(challenge);
        if let Some(prompt) = prompt {
            request = request.add_prompt(prompt);
        }
        if let Some(mode) = mode {
            request = request.add_extra_param("response_mode", mode.as_ref().to_owned());
        }
        let (url, state, nonce) = request.url();
        let (away, forms) = self.person.visit(&url)?;
        let answer: HashMap<String, String> = away.query_pairs().into_owned().collect();
        if let Some(error) = answer.get("error") {
            return Err(error.clone().into());
        }
        require(answer.get("state") == Some(state.secret()), "another state")?;
        // RFC 9207 §2.4, which the crate leaves to its user.
        require(answer.get("iss").map(String::as_str) == Some(self.given.get("ISSUER")?), "another issuer's response")?;
        let code = AuthorizationCode::new(answer.get("code").ok_or("no code")?.clone());
        let tokens = self.party.exchange_code(code)?.set_pkce_verifier(verifier).request(&self.http())?;
        let (id_token, claims) = self.verified(&tokens, &nonce)?;
        let mut response: Vec<String> = answer.into_keys().collect();
        response.sort();
        Ok(Authorized { tokens, id_token, claims, forms, response })
    }

    /// Issuer, audience, expiry, nonce, signature by the discovered keys, and `at_hash`.
    fn verified(&self, tokens: &CoreTokenResponse, nonce: &Nonce) -> Result<(CoreIdToken, CoreIdTokenClaims), Failure> {
        let id_token = tokens.id_token().ok_or("no ID token")?;
        let verifier = self.party.id_token_verifier();
        let claims = id_token.claims(&verifier, nonce)?;
        let signed = (id_token.signing_alg()?, id_token.signing_key(&verifier)?);
        let hash = AccessTokenHash::from_token(tokens.access_token(), signed.0, signed.1)?;
        require(claims.access_token_hash() == Some(&hash), "at_hash is of another token")?;
        Ok((id_token.clone(), claims.clone()))
    }

    fn refresh(&self, first: &Authorized, token: &RefreshToken) -> Result<(CoreTokenResponse, Value), Failure> {
        let second = self.party.exchange_refresh_token(token)?.request(&self.http())?;
        let id_token = second.id_token().ok_or("no ID token from a refresh")?;
        // OIDC Core §12.2: no nonce in an ID token of a refresh.
        let claims = id_token.claims(&self.party.id_token_verifier(), grants::no_nonce)?;
        let seen = json!({
            "rotated": second.refresh_token().map(RefreshToken::secret) != Some(token.secret()),
            "access_token_changed": second.access_token().secret() != first.tokens.access_token().secret(),
            "same_subject": claims.subject() == first.claims.subject(),
        });
        Ok((second, seen))
    }

    fn refusal_of_refresh(&self, token: &RefreshToken) -> Result<String, Failure> {
        match self.party.exchange_refresh_token(token)?.request(&self.http()) {
            Ok(_) => Ok("none".to_owned()),
            Err(openidconnect::RequestTokenError::ServerResponse(error)) => Ok(error.error().to_string()),
            Err(error) => Err(error.into()),
        }
    }

    fn introspect(&self, token: &AccessToken) -> Result<Value, Failure> {
        let answer = self.party.introspect(token).request(&self.http())?;
        let mut seen = serde_json::to_value(answer)?;
        if let Some(members) = seen.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
        Ok(seen)
    }

    fn revoke(&self, token: CoreRevocableToken) -> Result<(), Failure> {
        Ok(self.party.revoke_token(token)?.request(&self.http())?)
    }

    fn log_out(&self, hint: &CoreIdToken) -> Result<Value, Failure> {
        let state = CsrfToken::new_random();
        let target = PostLogoutRedirectUrl::new(self.given.get("POST_LOGOUT_URI")?.to_owned())?;
        let url = LogoutRequest::from(self.end_session.clone())
            .set_id_token_hint(hint)
            .set_post_logout_redirect_uri(target)
            .set_state(state.clone())
            .http_get_url();
        let (mut away, forms) = self.person.visit(&url)?;
        let returned = parameter(&away, "state");
        away.set_query(None);
        Ok(json!({
            "forms": forms,
            "state": returned.as_ref() == Some(state.secret()),
            "uri": away.as_str(),
            "silent": match self.authorize(Some(CoreAuthPrompt::None), None) {
                Ok(_) => "none".to_owned(),
                Err(error) => error.to_string(),
            },
        }))
    }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

fn require(condition: bool, failure: &str) -> Result<(), Failure> {
    if condition { Ok(()) } else { Err(failure.into()) }
}
