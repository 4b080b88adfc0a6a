//! `/account`: what a person manages of their own. Each form is bound to what it is about and to the session that
//! was shown it, so that nobody sends it for whoever signs in next (W112, W113).

mod password;

use http::StatusCode;
use oauth::ids::{ClientId, SessionId, TenantId};
use web::response::{Csp, redirect_303};
use web::{Request, Response};

use super::consent::scope_in_words;
use super::landing::Landing;
use crate::browser::{Cookies, Purpose, check_form, form_token, with_cookie};
use crate::failure::Failure;
use crate::issuer::Site;
use crate::pages::{self, Account, ApplicationItem, InvitationItem, ScopeLine, SessionItem};
use crate::routes::form;
use crate::store::{Ending, SessionRow};

pub(crate) use password::post as change_password;

/// Seconds since the sign-in within which the password may be changed.
const FRESH_S: u32 = 300;

/// The session that ends all others.
const OTHERS: &str = "others";

pub(crate) async fn show(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    match current(app, request).await? {
        Some(session) => render(app, request, &session, None).await,
        None => Ok(sign_in(app)),
    }
}

async fn current(app: &Site<'_>, request: &Request) -> Result<Option<SessionRow>, Failure> {
    match Cookies::of(request).session {
        Some(secret) => Ok(app.store.session(secret, app.config.lifetimes.idle_s).await?),
        None => Ok(None),
    }
}

/// Whoever it is proves it, and comes back.
fn sign_in(app: &Site<'_>) -> Response {
    redirect_303(&app.path(&format!("/login?to={}", Landing::Account)))
}

/// The page shows what has become of it.
fn back(app: &Site<'_>) -> Response {
    redirect_303(&app.path(&Landing::Account.path()))
}

fn is_fresh(session: &SessionRow) -> bool {
    session.age_s < i64::from(FRESH_S)
}

/// What a form is bound to: the session that sees it, and its object.
fn subject(session: &SessionRow, object: &str) -> String {
    format!("{} {object}", session.id)
}

async fn token(
    app: &Site<'_>,
    cookies: &Cookies,
    form: &'static str,
    subject: String,
) -> Result<String, Failure> {
    form_token(app, cookies.browser()?, &Purpose { form, subject: &subject }).await
}

/// `problem`: why the password was not changed.
async fn render(
    app: &Site<'_>,
    request: &Request,
    session: &SessionRow,
    problem: Option<String>,
) -> Result<Response, Failure> {
    let mut cookies = Cookies::of(request);
    // A browser that has lost one of its two cookies gets another: forms need it.
    let (browser, cookie) = cookies.browser_or_new()?;
    cookies.browser = Some(browser);
    let page = Account {
        base: app.base(),
        email: &session.email,
        sessions: sessions(app, &cookies, session).await?,
        others_csrf: token(app, &cookies, "session-end", subject(session, OTHERS)).await?,
        applications: applications(app, &cookies, session).await?,
        invitations: invitations(app, &cookies, session).await?,
        password_csrf: token(app, &cookies, password::FORM, subject(session, "")).await?,
        fresh: is_fresh(session),
        problem,
    };
    Ok(with_cookie(pages::page(StatusCode::OK, &page, &Csp::default())?, cookie))
}

async fn sessions(
    app: &Site<'_>,
    cookies: &Cookies,
    own: &SessionRow,
) -> Result<Vec<SessionItem>, Failure> {
    let mut items = Vec::new();
    for line in app.store.sessions_of(own.user, app.config.lifetimes.idle_s).await? {
        let id = line.id.to_string();
        items.push(SessionItem {
            csrf: token(app, cookies, "session-end", subject(own, &id)).await?,
            is_this: line.id == own.id,
            id,
            line,
        });
    }
    Ok(items)
}

async fn applications(
    app: &Site<'_>,
    cookies: &Cookies,
    own: &SessionRow,
) -> Result<Vec<ApplicationItem>, Failure> {
    let lines = app.store.applications_of(own.user).await?;
    let tenants: Vec<TenantId> = lines.iter().filter_map(|line| line.tenant).collect();
    let described = app.store.scopes_in_words(&tenants).await?;
    let mut items = Vec::new();
    for line in lines {
        let words = |name: &String| ScopeLine {
            words: scope_in_words(
                name,
                described.iter().filter_map(|(tenant, own, words)| {
                    (Some(*tenant) == line.tenant).then_some((own.as_str(), words.as_str()))
                }),
            ),
            name: name.clone(),
            is_new: false,
        };
        items.push(ApplicationItem {
            csrf: token(app, cookies, "withdraw", subject(own, &line.client_id)).await?,
            scopes: line.scopes.iter().map(words).collect(),
            line,
        });
    }
    Ok(items)
}

async fn invitations(
    app: &Site<'_>,
    cookies: &Cookies,
    own: &SessionRow,
) -> Result<Vec<InvitationItem>, Failure> {
    let mut items = Vec::new();
    for line in app.store.invitations_of(own.user).await? {
        items.push(InvitationItem {
            csrf: token(app, cookies, "invitation", subject(own, &line.slug)).await?,
            roles: line.roles.iter().map(|role| role_in_words(role)).collect(),
            line,
        });
    }
    Ok(items)
}

/// A role as a person reads it.
fn role_in_words(role: &str) -> String {
    match role {
        "tenant_owner" => "owner".to_owned(),
        "tenant_admin" => "administrator".to_owned(),
        "tenant_member" => "member".to_owned(),
        other => other.replace('_', " "),
    }
}

/// `POST /account/sessions/end`: `session` is one of them, or the word `others`.
pub(crate) async fn end_sessions(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let Some(own) = current(app, request).await? else { return Ok(sign_in(app)) };
    let which = form.one("session").ok().flatten().ok_or(Failure::Forbidden)?;
    let purpose = Purpose { form: "session-end", subject: &subject(&own, which) };
    check_form(app, request, &form, &purpose).await?;
    let ending = match which {
        OTHERS => Ending::Others,
        id => Ending::One(id.parse::<SessionId>().map_err(|_| Failure::Forbidden)?),
    };
    app.store.end_sessions(&own, ending, request.id.as_str()).await?;
    Ok(back(app))
}

/// `POST /account/applications/withdraw`.
pub(crate) async fn withdraw(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let Some(own) = current(app, request).await? else { return Ok(sign_in(app)) };
    let client = form.one("client_id").ok().flatten().ok_or(Failure::Forbidden)?;
    let purpose = Purpose { form: "withdraw", subject: &subject(&own, client) };
    check_form(app, request, &form, &purpose).await?;
    let client: ClientId = client.parse().map_err(|_| Failure::Forbidden)?;
    app.store.withdraw(own.user, &client, request.id.as_str()).await?;
    Ok(back(app))
}

/// `POST /account/invitations`: `decision` is `accept` or `decline`.
pub(crate) async fn answer_invitation(
    app: &Site<'_>,
    request: &Request,
) -> Result<Response, Failure> {
    let form = form(request)?;
    let Some(own) = current(app, request).await? else { return Ok(sign_in(app)) };
    let tenant = form.one("tenant").ok().flatten().ok_or(Failure::Forbidden)?;
    let purpose = Purpose { form: "invitation", subject: &subject(&own, tenant) };
    check_form(app, request, &form, &purpose).await?;
    let accepted = match form.one("decision") {
        Ok(Some("accept")) => true,
        Ok(Some("decline")) => false,
        Ok(_) | Err(_) => return Err(Failure::Forbidden),
    };
    app.store.answer_invitation(own.user, tenant, accepted, request.id.as_str()).await?;
    Ok(back(app))
}
