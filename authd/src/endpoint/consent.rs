//! `/consent`: a person agrees or declines. Records one fact and returns to the interaction.

use http::StatusCode;
use oauth::authorize::Step;
use oauth::client::Client;
use oauth::consent::{Decision, built_in_description};
use oauth::ids::UserId;
use oauth::uri::RedirectUri;
use oauth::{ErrorCode, ScopeSet};
use web::response::redirect_303;
use web::{Request, Response};

use super::authorize::open;
use super::details;
use crate::answer;
use crate::browser::{Cookies, Purpose, check_form, form_token};
use crate::failure::{Failure, Problem};
use crate::issuer::Site;
use crate::pages::{self, Consent, ScopeLine};
use crate::routes::{form, query};

pub(crate) async fn show(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let query = query(request)?;
    let handle = query.one("interaction").map_err(|_| Failure::Page(Problem::Expired))?;
    let (handle, visit) = open(app, request, handle).await?;
    let step = oauth::authorize::next(&visit.request, &visit.client, &visit.facts, visit.now);
    let (Step::Consent(new), Some(user), Some(email)) = (step, visit.user, &visit.email) else {
        return Ok(redirect_303(&app.path(&format!("/oauth/authorize/{}", handle.reveal()))));
    };
    let cookies = Cookies::of(request);
    let csrf =
        form_token(app, cookies.browser()?, &purpose(&subject(handle.reveal(), user))).await?;
    let page = Consent {
        base: app.base(),
        client: &visit.client.metadata.client_name,
        email,
        scopes: lines(app, &visit.client, &visit.request.scopes, &new).await?,
        details: details::in_words(app, &visit.client, visit.request.details.as_ref()).await?,
        destination: &RedirectUri::csp_source(visit.request.back.uri.as_str()),
        csrf: &csrf,
        interaction: handle.reveal(),
    };
    pages::page(StatusCode::OK, &page, &pages::csp(Some(&visit.request.back.uri)))
}

/// Nothing of the decision comes from the form but the decision: scopes, redirect and client are the
/// interaction's, so a forged form has nothing to forge.
pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let handle = form.one("interaction").map_err(|_| Failure::Forbidden)?;
    let (handle, visit) = open(app, request, handle).await?;
    // Bound to the person who was shown the page: whoever signed in here since then decides anew.
    let user = visit.user.ok_or(Failure::Forbidden)?;
    check_form(app, request, &form, &purpose(&subject(handle.reveal(), user))).await?;
    let id = request.id.as_str();
    match Decision::parse(&form).ok_or(Failure::Forbidden)? {
        Decision::Approve => {
            app.store.record_consent(handle.hashed(), user, &visit, id).await?;
            Ok(redirect_303(&app.path(&format!("/oauth/authorize/{}", handle.reveal()))))
        }
        Decision::Deny => {
            if !app.store.refuse_interaction(handle.hashed(), Some(user), &visit.client, id).await?
            {
                return Err(Failure::Page(Problem::Expired));
            }
            answer::deny(app, &visit.request.back, ErrorCode::AccessDenied, "the user declined")
        }
    }
}

fn subject(handle: &str, user: UserId) -> String {
    format!("{handle} {user}")
}

fn purpose(subject: &str) -> Purpose<'_> {
    Purpose { form: "consent", subject }
}

/// Every scope in words: the built-in ones in ours, a tenant's own in its.
pub(super) async fn lines(
    app: &Site<'_>,
    client: &Client,
    scopes: &ScopeSet,
    new: &ScopeSet,
) -> Result<Vec<ScopeLine>, Failure> {
    let described = match client.tenant {
        Some(tenant) => app.store.scope_descriptions(tenant).await?,
        None => Vec::new(),
    };
    let own = || described.iter().map(|(name, words)| (name.as_str(), words.as_str()));
    let line = |name: &str| ScopeLine {
        name: name.to_owned(),
        words: scope_in_words(name, own()),
        is_new: new.contains(name) && new != scopes,
    };
    let mut lines: Vec<_> = scopes.iter().map(line).collect();
    // What every sign-in asks comes first, the rest in order.
    lines.sort_by_key(|line| line.name != oauth::scope::OPENID);
    Ok(lines)
}

/// A scope as a person reads it; `own` is what its tenant says of scopes: name, words.
pub(super) fn scope_in_words<'a>(
    name: &str,
    mut own: impl Iterator<Item = (&'a str, &'a str)>,
) -> String {
    built_in_description(name)
        .or_else(|| {
            own.find(|(own, words)| *own == name && !words.is_empty()).map(|(_, words)| words)
        })
        .map_or_else(|| format!("Use “{name}”"), str::to_owned)
}
