//! What comes next in an interaction: one pure function of what was asked, what is known, and the time.

use super::Request;
use crate::client::{Client, GrantType};
use crate::{ErrorCode, ScopeSet, Timestamp};

/// Who is signed in at this browser, as far as this request is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedIn {
    /// When they last proved it.
    pub auth_time: Timestamp,
    /// Whether they may use this client: its tenant is theirs, or the client is the platform's.
    pub member: bool,
    /// Whether they are whom the request's hint names; true without a hint.
    pub as_hinted: bool,
}

/// What is known when an interaction is visited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `None`: nobody, or nobody whose session is alive.
    pub signed_in: Option<SignedIn>,
    /// The sign-in happened inside this interaction.
    pub authenticated_here: bool,
    /// The person signed in said yes inside this interaction.
    pub consented_here: bool,
    /// What that person agreed to before.
    pub remembered: ScopeSet,
}

/// What the server does now.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Show the sign-in page.
    Authenticate,
    /// Show the consent page; these scopes are new.
    Consent(ScopeSet),
    /// Issue a code.
    Issue,
    /// Tell the client no.
    Refuse(ErrorCode, &'static str),
}

/// The one function that orders sign-in, consent and issue. Pure; no order of visits issues without both.
pub fn next(request: &Request, client: &Client, facts: &Facts, now: Timestamp) -> Step {
    if let Some(refusal) = lost(request, client) {
        return refusal;
    }
    let Some(user) = facts.signed_in else { return nobody(request) };
    // "If the End-User identified by the ID Token is already logged in …, the Authorization Server returns a
    // positive response; otherwise, it MUST return an error, such as login_required" (OIDC Core §3.1.2.1).
    if !user.as_hinted {
        if facts.authenticated_here {
            return Step::Refuse(ErrorCode::LoginRequired, "another user signed in");
        }
        return prompt_or(
            request,
            ErrorCode::LoginRequired,
            "another user is signed in",
            Step::Authenticate,
        );
    }
    let again = request.prompt.login || request.prompt.select_account;
    if again && !facts.authenticated_here {
        return Step::Authenticate;
    }
    // max_age=0 and prompt=login both mean: within this interaction. "If the elapsed time is greater than
    // this value, the OP MUST attempt to actively re-authenticate the End-User" (OIDC Core §3.1.2.1).
    let too_old =
        request.max_age.is_some_and(|age| now.since(user.auth_time) > u64::from(age) || age == 0);
    if too_old && !facts.authenticated_here {
        return prompt_or(
            request,
            ErrorCode::LoginRequired,
            "the sign-in is too old",
            Step::Authenticate,
        );
    }
    if !user.member {
        return Step::Refuse(ErrorCode::AccessDenied, "the user may not use this application");
    }
    consent_step(request, client, facts)
}

/// What the client has lost since it made the request, or pushed it: nobody is asked for it, and no code is issued
/// that nobody could redeem (W33).
fn lost(request: &Request, client: &Client) -> Option<Step> {
    if !client.metadata.grant_types.contains(&GrantType::AuthorizationCode) {
        let description = "the client may no longer use the authorization code grant";
        return Some(Step::Refuse(ErrorCode::UnauthorizedClient, description));
    }
    if !request.scopes.is_subset(&client.metadata.scope) {
        let description = "the client may no longer ask for one of these scopes";
        return Some(Step::Refuse(ErrorCode::InvalidScope, description));
    }
    None
}

/// The step while nobody is signed in: of a browser that brings no session nothing else need be known.
pub fn nobody(request: &Request) -> Step {
    prompt_or(request, ErrorCode::LoginRequired, "the user is not signed in", Step::Authenticate)
}

fn consent_step(request: &Request, client: &Client, facts: &Facts) -> Step {
    let first_party = client.metadata.skip_authorization && !request.prompt.consent;
    let new = if facts.consented_here {
        ScopeSet::default()
    } else if request.prompt.consent {
        request.scopes.clone()
    } else if first_party {
        ScopeSet::default()
    } else {
        request.scopes.difference(&facts.remembered)
    };
    // Details are about this one occasion: whatever was agreed to before, and whoever's client it is, the person
    // is shown them (RFC 9396 §11).
    let detailed = request.details.is_some() && !facts.consented_here;
    if !new.is_empty() || detailed {
        let ask = Step::Consent(new);
        return prompt_or(request, ErrorCode::ConsentRequired, "the user has not consented", ask);
    }
    // RFC 8252 §8.6: a public client whose redirect does not identify it is not answered "automatically,
    // without user consent or interaction" (W15).
    let web = client
        .redirect_uri(request.back.uri.as_str())
        .is_some_and(crate::uri::RedirectUri::is_https);
    let seen = facts.authenticated_here || facts.consented_here;
    if client.metadata.is_public() && !web && !seen {
        let ask = Step::Consent(request.scopes.clone());
        return prompt_or(
            request,
            ErrorCode::ConsentRequired,
            "a native application needs interaction",
            ask,
        );
    }
    Step::Issue
}

fn prompt_or(request: &Request, code: ErrorCode, description: &'static str, step: Step) -> Step {
    if request.prompt.none { Step::Refuse(code, description) } else { step }
}
