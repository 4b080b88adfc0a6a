//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0): whose session, and where to afterwards.

use crate::client::Client;
use crate::form::{Form, encode};

/// A logout request, parsed. Nothing in it is believed yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogoutRequest {
    /// An ID token of ours, as a hint.
    pub id_token_hint: Option<String>,
    /// Who asks, by name.
    pub client_id: Option<String>,
    /// Where the browser would like to go.
    pub post_logout_redirect_uri: Option<String>,
    /// Echoed there.
    pub state: Option<String>,
}

/// Longest `state` that is echoed, in bytes.
const STATE_MAX: usize = 4096;

impl LogoutRequest {
    /// From a query or a body; `None`: a parameter is repeated or oversized.
    pub fn parse(form: &Form) -> Option<Self> {
        if form.repeats() {
            return None;
        }
        let one = |name| form.one(name).ok().flatten().map(str::to_owned);
        let request = Self {
            id_token_hint: one("id_token_hint"),
            client_id: one("client_id"),
            post_logout_redirect_uri: one("post_logout_redirect_uri"),
            state: one("state"),
        };
        (request.state.as_ref().is_none_or(|state| state.len() <= STATE_MAX)).then_some(request)
    }

    /// Where the browser goes afterwards: only to a URI registered for the client that the request names,
    /// byte for byte (W47).
    pub fn destination(&self, client: Option<&Client>) -> Option<String> {
        let wanted = self.post_logout_redirect_uri.as_deref()?;
        let registered = &client?.metadata.post_logout_redirect_uris;
        let uri = registered.iter().find(|uri| uri.as_str() == wanted)?.as_str();
        Some(match &self.state {
            None => uri.to_owned(),
            Some(state) => {
                let joint = if uri.contains('?') { '&' } else { '?' };
                format!("{uri}{joint}state={}", encode(state))
            }
        })
    }
}
