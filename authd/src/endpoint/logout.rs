//! Signing out: `/logout` by a person, `/oauth/logout` begun by an application (RP-Initiated Logout 1.0).

use http::{Method, StatusCode};
use oauth::client::Client;
use oauth::logout::LogoutRequest;
use web::response::{Csp, redirect_303};
use web::{Request, Response};
use wire::Class;

use crate::browser::{Cookies, Purpose, check_form, expire_session, form_token, with_cookie};
use crate::failure::{Failure, Problem};
use crate::issuer::Site;
use crate::pages::{self, Logout};
use crate::routes::{form, query};
use crate::store::SessionRow;

/// Longest request that can be sent round as a GET, in bytes.
const QUERY_MAX: usize = 7 * 1024;
const PURPOSE: Purpose<'static> = Purpose { form: "logout", subject: "" };

/// What a hint has proved.
enum Hint {
    /// There was none.
    Absent,
    /// It is ours, and about this client; and it names the session that this browser holds.
    Session,
    /// It is ours, but this browser's session is over or another.
    Elsewhere,
}

/// An application begins. With a hint that names this very session it ends at once; otherwise the person is
/// asked: an image on a foreign page must not sign anybody out (W46).
pub(crate) async fn begin(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    // A POST from an application's page comes without our cookies (SameSite=Lax), so it could not end the
    // session that it is about: it is sent round once as a GET, which brings them.
    if request.method == Method::POST {
        let parameters = form(request)?.to_query();
        if parameters.len() > QUERY_MAX {
            return Err(Failure::Page(Problem::Logout));
        }
        return Ok(redirect_303(&app.path(&format!("/oauth/logout?{parameters}"))));
    }
    let parameters = query(request)?;
    let asked = LogoutRequest::parse(&parameters).ok_or(Failure::Page(Problem::Logout))?;
    let session = current(app, request).await?;
    let (client, hint) = judge(app, &asked, session.as_ref()).await?;
    let destination = asked.destination(client.as_ref());
    if asked.post_logout_redirect_uri.is_some() && destination.is_none() {
        return Err(Failure::Page(Problem::Logout));
    }
    match (hint, session) {
        (Hint::Session, Some(session)) => {
            app.store.end_session(&session, request.id.as_str()).await?;
            gone(destination.as_deref())
        }
        (Hint::Session | Hint::Elsewhere | Hint::Absent, None) => gone(destination.as_deref()),
        (Hint::Elsewhere | Hint::Absent, Some(session)) => {
            let csp = csp(destination.as_deref());
            ask(app, request, &session, &asked, &csp).await
        }
    }
}

/// The person asked for the page.
pub(crate) async fn show(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    match current(app, request).await? {
        Some(session) => {
            ask(app, request, &session, &LogoutRequest::default(), &Csp::default()).await
        }
        None => gone(None),
    }
}

/// The person pressed the button.
pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    check_form(app, request, &form, &PURPOSE).await?;
    let asked = LogoutRequest::parse(&form).ok_or(Failure::Page(Problem::Logout))?;
    let session = current(app, request).await?;
    let (client, _) = judge(app, &asked, session.as_ref()).await?;
    if let Some(session) = session {
        app.store.end_session(&session, request.id.as_str()).await?;
    }
    gone(asked.destination(client.as_ref()).as_deref())
}

async fn current(app: &Site<'_>, request: &Request) -> Result<Option<SessionRow>, Failure> {
    match Cookies::of(request).session {
        Some(secret) => Ok(app.store.session(secret, app.config.lifetimes.idle_s).await?),
        None => Ok(None),
    }
}

/// Whose request it is: by the hint, or by `client_id`; both must agree. A hint whose signature is ours is
/// good although it has expired: "the OP SHOULD accept ID Tokens when the RP identified by the ID Token's
/// aud claim and/or sid claim has a current session or had a recent session" (RP-Initiated Logout §2).
async fn judge(
    app: &Site<'_>,
    asked: &LogoutRequest,
    session: Option<&SessionRow>,
) -> Result<(Option<Client>, Hint), Failure> {
    let bad = || Failure::Page(Problem::Logout);
    let mut name = asked.client_id.clone();
    let mut hint = Hint::Absent;
    if let Some(token) = &asked.id_token_hint {
        let claims = app.key_set().verify(token, Class::Token, "JWT").map_err(|_| bad())?;
        let text = |member: &str| claims.get(member).and_then(serde_json::Value::as_str);
        let aud = text("aud").ok_or_else(bad)?;
        if name.as_deref().is_some_and(|named| named != aud) {
            return Err(bad());
        }
        name = Some(aud.to_owned());
        // Somebody else's hint at this person's browser (W46).
        if let (Some(session), Some(sub)) = (session, text("sub"))
            && app.store.user_of_subject(sub).await? != Some(session.user)
        {
            return Err(bad());
        }
        let here =
            session.is_some_and(|session| text("sid") == Some(session.id.to_string().as_str()));
        hint = if here { Hint::Session } else { Hint::Elsewhere };
    }
    let Some(name) = name else { return Ok((None, hint)) };
    let id = name.parse().map_err(|_| bad())?;
    let client = app.store.client(app.issuer(), &id).await?.ok_or_else(bad)?;
    Ok((Some(client), hint))
}

async fn ask(
    app: &Site<'_>,
    request: &Request,
    session: &SessionRow,
    asked: &LogoutRequest,
    csp: &Csp,
) -> Result<Response, Failure> {
    let (browser, cookie) = Cookies::of(request).browser_or_new()?;
    let csrf = form_token(app, &browser, &PURPOSE).await?;
    let parameters = [
        ("id_token_hint", &asked.id_token_hint),
        ("client_id", &asked.client_id),
        ("post_logout_redirect_uri", &asked.post_logout_redirect_uri),
        ("state", &asked.state),
    ];
    let page = Logout {
        base: app.base(),
        email: &session.email,
        csrf: &csrf,
        parameters: parameters
            .into_iter()
            .filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
            .collect(),
    };
    Ok(with_cookie(pages::page(StatusCode::OK, &page, csp)?, cookie))
}

fn csp(destination: Option<&str>) -> Csp {
    Csp { form_action: destination.map(oauth::uri::RedirectUri::csp_source).into_iter().collect() }
}

/// The row is gone first, then the cookie (W43).
fn gone(destination: Option<&str>) -> Result<Response, Failure> {
    let response = match destination {
        Some(uri) => redirect_303(uri),
        None => pages::message("You are signed out", "You can close this page.")?,
    };
    Ok(with_cookie(response, Some(expire_session()?)))
}
