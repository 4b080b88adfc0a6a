//! `/oauth/authorize`: from a client's request to an interaction, and from an interaction to the next step.

use http::Method;
use oauth::Plain;
use oauth::authorize::{PageError, Refusal, Step, Unbound};
use oauth::ids::{GrantId, SessionId, UserId};
use oauth::secret::{Code, Interaction};
use web::response::redirect_303;
use web::{Request, Response};

use crate::answer;
use crate::app::{App, secret};
use crate::browser::{Cookies, with_cookie};
use crate::failure::{Failure, Problem};
use crate::routes::is_form;
use crate::store::{IssueCode, Visit};

/// Seconds that a person has to finish signing in.
const INTERACTION_S: u32 = 900;

/// A client's request: parse, bind, check, store. "The authorization server MUST support the use of the HTTP
/// GET method … and MAY support … POST" (RFC 6749 §3.1); OIDC Core §3.1.2.1 demands both.
pub(crate) async fn begin(app: &App, request: &Request) -> Result<Response, Failure> {
    let unbound = Unbound::parse(parameters(request)?)?;
    let found = app.store.client(unbound.client_id()).await?;
    let (client, defaults) = found.ok_or(PageError::Client)?;
    let checked = match unbound.bind(&client)?.check(&client, &defaults) {
        Ok(checked) => checked,
        Err(refusal) => return answer::refuse(app, &refusal),
    };
    let handle = secret::<Interaction>()?;
    let (browser, cookie) = Cookies::of(request).browser_or_new()?;
    let hashes = (handle.hashed(), browser.hashed());
    app.store.insert_interaction(hashes, client.key, &checked, INTERACTION_S).await?;
    Ok(with_cookie(redirect_303(&format!("/oauth/authorize/{}", handle.reveal())), cookie))
}

/// Query and body are never merged (W8).
fn parameters(request: &Request) -> Result<&[u8], Failure> {
    let query = request.query.as_deref().unwrap_or_default().as_bytes();
    if request.method != Method::POST {
        return Ok(query);
    }
    if !query.is_empty() || !is_form(request) {
        return Err(PageError::Malformed(oauth::form::FormError::Encoding).into());
    }
    Ok(&request.body)
}

/// A visit to an interaction: one pure function says what comes next, and this performs it.
pub(crate) async fn resume(
    app: &App,
    request: &Request,
    handle: &str,
) -> Result<Response, Failure> {
    let (handle, visit) = open(app, request, Some(handle)).await?;
    match oauth::authorize::next(&visit.request, &visit.client, &visit.facts, visit.now) {
        Step::Authenticate => Ok(redirect_303(&format!("/login?interaction={}", handle.reveal()))),
        Step::Consent(_) => Ok(redirect_303(&format!("/consent?interaction={}", handle.reveal()))),
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
    app: &App,
    request: &Request,
    handle: Option<&str>,
) -> Result<(Plain<Interaction>, Visit), Failure> {
    let expired = || Failure::Page(Problem::Expired);
    let handle = handle.and_then(Plain::<Interaction>::parse).ok_or_else(expired)?;
    let cookies = Cookies::of(request);
    let browser = cookies.browser()?.hashed();
    let visit = app
        .store
        .visit(handle.hashed(), browser, cookies.session, app.config.lifetimes.idle_s)
        .await?
        .ok_or_else(expired)?;
    if let Some(session) = visit.session {
        app.store.touch_session(session).await?;
    }
    Ok((handle, visit))
}

/// A code, once: the gate completes the interaction in the statement that makes the code.
async fn issue(
    app: &App,
    request: &Request,
    handle: &Plain<Interaction>,
    visit: &Visit,
) -> Result<Response, Failure> {
    let (Some(session), Some(user)) = (visit.session, visit.user) else {
        return Err(Failure::internal("a code without a session"));
    };
    let code = secret::<Code>()?;
    let issue = issue_of(app, request, (handle, visit), (session, user), &code)?;
    if !app.store.issue_code(&issue).await? {
        return Err(Failure::Page(Problem::Expired));
    }
    answer::code(app, &visit.request.back, code.reveal())
}

fn issue_of<'a>(
    app: &App,
    request: &'a Request,
    (handle, visit): (&Plain<Interaction>, &'a Visit),
    (session, user): (SessionId, UserId),
    code: &Plain<Code>,
) -> Result<IssueCode<'a>, Failure> {
    use oauth::client::GrantType;

    let metadata = &visit.client.metadata;
    let lifetimes = &app.config.lifetimes;
    let access_s = metadata.access_token_lifetime.unwrap_or(lifetimes.access_s);
    // A grant lives as long as the longest thing that can come of it.
    let grant_lifetime_s = if metadata.grant_types.contains(&GrantType::RefreshToken) {
        metadata.refresh_token_lifetime.unwrap_or(lifetimes.refresh_s)
    } else {
        access_s.saturating_add(lifetimes.code_s)
    };
    let cookies = Cookies::of(request);
    Ok(IssueCode {
        handle: handle.hashed(),
        browser: cookies.browser()?.hashed(),
        session,
        user,
        client: &visit.client,
        request: &visit.request,
        code: code.hashed(),
        grant: GrantId(uuid::Uuid::now_v7()),
        new_sub: subject()?,
        audiences: oauth::claims::audiences(
            &visit.request.audiences,
            &metadata.audiences,
            app.issuer(),
        ),
        code_lifetime_s: lifetimes.code_s,
        grant_lifetime_s,
        request_id: request.id.as_str(),
    })
}

/// A new `sub`, used if this person has none here yet: random, so that it says nothing and is never reused.
fn subject() -> Result<String, Failure> {
    use base64::Engine as _;
    let bytes = crate::app::random()?;
    let (half, _) = bytes.split_at(16);
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(half))
}
