//! What the crate can beyond an answer by query: an answer by form, a token for the client itself, and one for a
//! device (RFC 8628).

use openidconnect::core::{CoreDeviceAuthorizationResponse, CoreResponseMode};
use openidconnect::url::Url;
use openidconnect::{Nonce, OAuth2TokenResponse as _, RequestTokenError, Scope, TokenResponse as _};
use serde_json::{Value, json};

use crate::{Failure, Flow};

impl Flow<'_> {
    pub fn grants(&self) -> Result<Value, Failure> {
        let by_form = self.authorize(None, Some(CoreResponseMode::FormPost))?;
        Ok(json!({
            "by_form": { "forms": by_form.forms, "response": by_form.response },
            "for_itself": self.for_itself()?,
            "device": self.device()?,
        }))
    }

    fn device(&self) -> Result<Value, Failure> {
        let scopes = ["profile", "email", "offline_access"].map(|name| Scope::new(name.to_owned()));
        let begun: CoreDeviceAuthorizationResponse =
            self.party.exchange_device_code().add_scopes(scopes).request(&self.http())?;
        let complete = begun.verification_uri_complete().ok_or("no verification_uri_complete")?;
        let forms = self.person.settle(&Url::parse(complete.secret())?)?;
        let tokens =
            self.party.exchange_device_access_token(&begun)?.request(&self.http(), std::thread::sleep, None)?;
        let id_token = tokens.id_token().ok_or("no ID token")?;
        let claims = id_token.claims(&self.party.id_token_verifier(), no_nonce)?;
        Ok(json!({
            "forms": forms,
            "audience": claims.audiences(),
            "introspection": self.introspect(tokens.access_token())?,
            "refresh_token": tokens.refresh_token().is_some(),
        }))
    }

    fn for_itself(&self) -> Result<Value, Failure> {
        let own = Scope::new(self.given.get("OWN_SCOPE")?.to_owned());
        let tokens = self.party.exchange_client_credentials()?.add_scope(own).request(&self.http())?;
        let before = self.introspect(tokens.access_token())?;
        self.revoke(tokens.access_token().clone().into())?;
        let after = self.introspect(tokens.access_token())?;
        let personal = self.party.exchange_client_credentials()?.add_scope(Scope::new("openid".to_owned()));
        let about_a_person = match personal.request(&self.http()) {
            Ok(_) => "none".to_owned(),
            Err(RequestTokenError::ServerResponse(error)) => error.error().to_string(),
            Err(error) => return Err(error.into()),
        };
        let mut members = vec!["access_token", "expires_in", "scope", "token_type"];
        if tokens.refresh_token().is_some() {
            members.push("refresh_token");
        }
        if tokens.id_token().is_some() {
            members.push("id_token");
        }
        Ok(json!({
            "members": members,
            "before": before,
            "after": after,
            "about_a_person": about_a_person,
        }))
    }
}

/// Nobody could have sent one.
pub fn no_nonce(nonce: Option<&Nonce>) -> Result<(), String> {
    nonce.map_or(Ok(()), |_| Err("a nonce nobody sent".to_owned()))
}
