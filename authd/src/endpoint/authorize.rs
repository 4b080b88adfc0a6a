//! `/oauth/authorize`: from a client's request to an interaction, and from an interaction to the next step.

use http::Method;
use oauth::Plain;
use oauth::authorize::{self, Bound, PageError, Refusal, Step, Unbound};
use oauth::client::Client;
use oauth::form::{Form, FormError};
use oauth::ids::{GrantId, SessionId, UserId};
use oauth::secret::{Code, Interaction, Pushed};
use web::response::redirect_303;
use web::{Request, Response};
use wire::Class;

use super::details;
use crate::answer;
use crate::app::secret;
use crate::browser::{Cookies, with_cookie};
use crate::failure::{Failure, Problem};
use crate::issuer::Site;
use crate::routes::is_form;
use crate::store::{IssueCode, Visit};

/// Longest request that can be sent round as a GET, in bytes.
const QUERY_MAX: usize = 7 * 1024;
/// Seconds that a person has to finish signing in.
const INTERACTION_S: u32 = 900;

/// A client's request: parse, bind, check, store. "The authorization server MUST support the use of the HTTP
/// GET method … and MAY support … POST" (RFC 6749 §3.1); OIDC Core §3.1.2.1 demands both.
pub(crate) async fn begin(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    if request.method == Method::POST {
        return begin_again(app, request);
    }
    let unbound = Unbound::parse(request.query.as_deref().unwrap_or_default().as_bytes())?;
    let client = app.store.client(app.issuer(), unbound.client_id()).await?;
    let client = client.ok_or(PageError::Client)?;
    if let Some(pushed) = unbound.request_uri() {
        return begin_pushed(app, request, &client, &pushed?).await;
    }
    let bound = unbound.bind(&client)?;
    let hinted_sub = match bound.id_token_hint().map(|token| hinted(app, token)) {
        Some(None) => return answer::refuse(app, &bound.refuse_hint()),
        Some(sub) => sub,
        None => None,
    };
    let mut stored = match checked(app, bound, &client).await? {
        Ok(stored) => stored,
        Err(refusal) => return answer::refuse(app, &refusal),
    };
    stored.hinted_sub = hinted_sub.or(stored.hinted_sub);
    let mut cookies = Cookies::of(request);
    // A frame on another site brings no cookie of ours and keeps none: it would never find its interaction
    // again, and its application would wait for "an error, such as login_required" (OIDC Core §3.1.2.1) in vain.
    if cookies.session.is_none()
        && let Step::Refuse(code, description) = authorize::nobody(&stored)
    {
        return answer::refuse(app, &Refusal { code, description, back: stored.back });
    }
    app.admit_anonymous(request)?;
    let handle = secret::<Interaction>()?;
    let (browser, cookie) = cookies.browser_or_new()?;
    let hashes = (handle.hashed(), browser.hashed());
    app.store.insert_interaction(hashes, client.key, &stored, INTERACTION_S).await?;
    Ok(with_cookie(
        redirect_303(&app.path(&format!("/oauth/authorize/{}", handle.reveal()))),
        cookie,
    ))
}

/// The browser brings the name of a request that was pushed. The first browser to do so owns it; a reload there
/// goes on with the same interaction, and any other browser is turned away (W49).
async fn begin_pushed(
    app: &Site<'_>,
    request: &Request,
    client: &Client,
    pushed: &Plain<Pushed>,
) -> Result<Response, Failure> {
    let handle = secret::<Interaction>()?;
    let (browser, cookie) = Cookies::of(request).browser_or_new()?;
    let hashes = (handle.hashed(), browser.hashed());
    if !app.store.open_pushed(pushed.hashed(), hashes, client.key, INTERACTION_S).await? {
        return Err(PageError::RequestUri.into());
    }
    let next = app.path(&format!("/oauth/authorize/{}", handle.reveal()));
    Ok(with_cookie(redirect_303(&next), cookie))
}

/// The request with everything in it checked, against what its client's tenant defines.
pub(super) async fn checked(
    app: &Site<'_>,
    bound: Bound,
    client: &Client,
) -> Result<Result<authorize::Request, Refusal>, Failure> {
    let details = match bound.authorization_details() {
        None => None,
        Some(parameter) => match details::checked(app, client, parameter).await? {
            Ok(details) => Some(details),
            Err(error) => return Ok(Err(bound.refuse(error))),
        },
    };
    let defaults = app.store.default_scopes(client).await?;
    Ok(bound.check(client, &defaults).map(|request| authorize::Request { details, ..request }))
}

/// Whom an ID token of ours names; it may have expired (OIDC Core §3.1.2.1).
pub(super) fn hinted(app: &Site<'_>, token: &str) -> Option<String> {
    let claims = app.key_set().verify(token, Class::Token, "JWT").ok()?;
    claims.get("sub")?.as_str().map(str::to_owned)
}

/// A POST from a client's page comes without our cookies (SameSite=Lax): it is sent round once as a GET, which
/// brings them. Query and body are never merged (W8).
fn begin_again(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let malformed = || Failure::from(PageError::Malformed(FormError::Encoding));
    if request.query.as_deref().is_some_and(|query| !query.is_empty()) || !is_form(request) {
        return Err(malformed());
    }
    let query = Form::parse(&request.body).map_err(PageError::Malformed)?.to_query();
    if query.len() > QUERY_MAX {
        return Err(malformed());
    }
    Ok(redirect_303(&app.path(&format!("/oauth/authorize?{query}"))))
}

/// A visit to an interaction: one pure function says what comes next, and this performs it.
pub(crate) async fn resume(
    app: &Site<'_>,
    request: &Request,
    handle: &str,
) -> Result<Response, Failure> {
    let (handle, visit) = open(app, request, Some(handle)).await?;
    match oauth::authorize::next(&visit.request, &visit.client, &visit.facts, visit.now) {
        Step::Authenticate => {
            Ok(redirect_303(&app.path(&format!("/login?interaction={}", handle.reveal()))))
        }
        Step::Consent(_) => {
            Ok(redirect_303(&app.path(&format!("/consent?interaction={}", handle.reveal()))))
        }
        Step::Issue => issue(app, request, &handle, &visit).await,
        Step::Refuse(code, description) => {
            let id = request.id.as_str();
            if !app.store.refuse_interaction(handle.hashed(), None, &visit.client, id).await? {
                return Err(Failure::Page(Problem::Expired));
            }
            answer::refuse(app, &Refusal { code, description, back: visit.request.back })
        }
    }
}

/// An open interaction of this browser, or the page that says that it is over.
pub(crate) async fn open(
    app: &Site<'_>,
    request: &Request,
    handle: Option<&str>,
) -> Result<(Plain<Interaction>, Visit), Failure> {
    let expired = || Failure::Page(Problem::Expired);
    let handle = handle.and_then(Plain::<Interaction>::parse).ok_or_else(expired)?;
    let cookies = Cookies::of(request);
    let browser = cookies.browser()?.hashed();
    let visit = app
        .store
        .visit(
            app.issuer(),
            (handle.hashed(), browser),
            cookies.session,
            app.config.lifetimes.idle_s,
        )
        .await?
        .ok_or_else(expired)?;
    // What was registered when the request was made may be so no more.
    if visit.client.redirect_uri(visit.request.back.uri.as_str()).is_none() {
        return Err(expired());
    }
    if let Some(session) = visit.session {
        app.store.touch_session(session).await?;
    }
    Ok((handle, visit))
}

/// A code, once: the gate completes the interaction in the statement that makes the code.
async fn issue(
    app: &Site<'_>,
    request: &Request,
    handle: &Plain<Interaction>,
    visit: &Visit,
) -> Result<Response, Failure> {
    let (Some(session), Some(user)) = (visit.session, visit.user) else {
        return Err(Failure::internal("a code without a session"));
    };
    let code = secret::<Code>()?;
    let sub = match &visit.sub {
        Some(sub) => sub.clone(),
        None => app.store.name_subject(user, &visit.client, &subject()?).await?,
    };
    let issue = issue_of(app, request, (handle, visit), (session, user, &sub), &code)?;
    if !app.store.issue_code(&issue).await? {
        return Err(Failure::Page(Problem::Expired));
    }
    answer::code(app, &visit.request.back, code.reveal())
}

fn issue_of<'a>(
    app: &Site<'_>,
    request: &'a Request,
    (handle, visit): (&Plain<Interaction>, &'a Visit),
    (session, user, sub): (SessionId, UserId, &'a str),
    code: &Plain<Code>,
) -> Result<IssueCode<'a>, Failure> {
    let metadata = &visit.client.metadata;
    let lifetimes = &app.config.lifetimes;
    let cookies = Cookies::of(request);
    Ok(IssueCode {
        handle: handle.hashed(),
        browser: cookies.browser()?.hashed(),
        session,
        user,
        consented: visit.facts.consented_here || !visit.facts.remembered.is_empty(),
        client: &visit.client,
        request: &visit.request,
        code: code.hashed(),
        grant: GrantId(uuid::Uuid::now_v7()),
        sub,
        audiences: oauth::claims::audiences(
            &visit.request.audiences,
            &metadata.audiences,
            app.issuer(),
        ),
        code_lifetime_s: lifetimes.code_s,
        grant_lifetime_s: metadata.grant_s(&lifetimes.tokens, lifetimes.code_s),
        request_id: request.id.as_str(),
    })
}

/// A new `sub`, used if this person has none here yet: random, so that it says nothing and is never reused.
pub(super) fn subject() -> Result<String, Failure> {
    use base64::Engine as _;
    let bytes = crate::app::random()?;
    let (half, _) = bytes.split_at(16);
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(half))
}
