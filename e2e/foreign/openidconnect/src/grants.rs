//! What the crate can beyond an answer by query: an answer by form, and a token for the client itself.

use openidconnect::core::CoreResponseMode;
use openidconnect::{OAuth2TokenResponse as _, RequestTokenError, Scope, TokenResponse as _};
use serde_json::{Value, json};

use crate::{Failure, Flow};

impl Flow<'_> {
    pub fn grants(&self) -> Result<Value, Failure> {
        let by_form = self.authorize(None, Some(CoreResponseMode::FormPost))?;
        Ok(json!({
            "by_form": { "forms": by_form.forms, "response": by_form.response },
            "for_itself": self.for_itself()?,
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
