//! `/login`: a person proves who they are. Records one fact and returns to the interaction.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use oauth::Plain;
use oauth::account::email_key;
use oauth::ids::{SessionId, UserId};
use oauth::password::BYTES_MAX;
use oauth::secret::{Browser, Interaction, Session};
use oauth::throttle::{Door, Key, at};
use secrecy::{ExposeSecret as _, SecretString};
use web::response::redirect_303;
use web::{Request, Response};

use super::authorize::open;
use super::landing::Landing;
use crate::app::secret;
use crate::browser::{
    Cookies, Purpose, check_form, form_token, set_browser, set_session, with_cookie,
};
use crate::failure::{Failure, Problem};
use crate::hasher::Verdict;
use crate::issuer::Site;
use crate::pages::{self, Login, Next};
use crate::routes::{form, query};
use crate::store::{Admission, NewSession, Visit};

/// Most characters of a browser's name that are kept.
const USER_AGENT_MAX: usize = 256;

pub(crate) async fn show(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let query = query(request)?;
    let one = |name| query.one(name).map_err(|_| Failure::Page(Problem::Expired));
    let Some(handle) = one("interaction")? else {
        return match Landing::of(&query) {
            Some(landing) => show_before(app, request, landing).await,
            None => show_alone(app, request).await,
        };
    };
    let (handle, visit) = open(app, request, Some(handle)).await?;
    let hint = visit.request.login_hint.clone().unwrap_or_default();
    let cookies = Cookies::of(request);
    render(
        app,
        cookies.browser()?,
        &Flow::Interaction(&handle, &visit),
        Attempt { username: &hint, failed: false },
    )
    .await
}

/// Without an interaction: somebody typed the address.
async fn show_alone(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let mut cookies = Cookies::of(request);
    if let Some(secret) = cookies.session
        && let Some(session) = app.store.session(secret, app.config.lifetimes.idle_s).await?
    {
        let text = format!("as {}.", session.email);
        return pages::message_then(app, Next::Account, "You are signed in", &text);
    }
    let (browser, cookie) = cookies.browser_or_new()?;
    let page =
        render(app, &browser, &Flow::Alone(None), Attempt { username: "", failed: false }).await?;
    Ok(with_cookie(page, cookie))
}

/// A page of ours wants to know who is there, now: whoever is signed in already proves it again.
async fn show_before(
    app: &Site<'_>,
    request: &Request,
    landing: Landing,
) -> Result<Response, Failure> {
    let (browser, cookie) = Cookies::of(request).browser_or_new()?;
    let flow = Flow::Alone(Some(landing));
    let page = render(app, &browser, &flow, Attempt { username: "", failed: false }).await?;
    Ok(with_cookie(page, cookie))
}

/// What a sign-in is for.
enum Flow<'a> {
    /// An application waits.
    Interaction(&'a Plain<Interaction>, &'a Visit),
    /// Nobody does; a page of ours may.
    Alone(Option<Landing>),
}

impl<'a> Flow<'a> {
    fn interaction(&self) -> Option<(&'a Plain<Interaction>, &'a Visit)> {
        match self {
            Self::Interaction(handle, visit) => Some((handle, visit)),
            Self::Alone(_) => None,
        }
    }

    fn landing(&self) -> Option<Landing> {
        match self {
            Self::Interaction(..) => None,
            Self::Alone(landing) => *landing,
        }
    }
}

struct Attempt<'a> {
    username: &'a str,
    failed: bool,
}

async fn render(
    app: &Site<'_>,
    browser: &Plain<Browser>,
    flow: &Flow<'_>,
    attempt: Attempt<'_>,
) -> Result<Response, Failure> {
    let waiting = flow.interaction();
    let interaction = waiting.map(|(handle, _)| handle.reveal());
    let csrf = form_token(app, browser, &purpose(interaction)).await?;
    let page = Login {
        base: app.base(),
        client: waiting.map(|(_, visit)| visit.client.metadata.client_name.as_str()),
        interaction,
        landing: flow.landing(),
        username: attempt.username,
        csrf: &csrf,
        failed: attempt.failed,
        reset: app.config.password_reset,
    };
    let csp = pages::csp(waiting.map(|(_, visit)| &visit.request.back.uri));
    pages::page(StatusCode::OK, &page, &csp)
}

fn purpose(interaction: Option<&str>) -> Purpose<'_> {
    Purpose { form: "login", subject: interaction.unwrap_or_default() }
}

/// Unknown account and wrong password do the same work, write the same row and get the same bytes (W128).
pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let one = |name| form.one(name).map_err(|_| Failure::Forbidden);
    let interaction = one("interaction")?;
    check_form(app, request, &form, &purpose(interaction)).await?;
    let opened = match interaction {
        Some(handle) => Some(open(app, request, Some(handle)).await?),
        None => None,
    };
    let flow = match &opened {
        Some((handle, visit)) => Flow::Interaction(handle, visit),
        None => Flow::Alone(Landing::of(&form)),
    };
    let typed = one("username")?.unwrap_or_default();
    let password = SecretString::from(one("password")?.unwrap_or_default());
    // Too long for any account: refused before anything is hashed (W134).
    if password.expose_secret().len() > BYTES_MAX {
        return Err(oauth::Error::request("password too long").into());
    }
    let cookies = Cookies::of(request);
    let Some((user, hash)) = verified(app, request, typed, password).await? else {
        let username: String = typed.chars().take(254).collect();
        let attempt = Attempt { username: &username, failed: true };
        return render(app, cookies.browser()?, &flow, attempt).await;
    };
    let secret = secret::<Session>()?;
    let session = NewSession {
        id: SessionId(uuid::Uuid::now_v7()),
        secret: secret.hashed(),
        previous: cookies.session,
        user,
        verified: &hash,
        lifetime_s: app.config.lifetimes.session_s,
        idle_s: app.config.lifetimes.idle_s,
        interaction: flow.interaction().map(|(handle, _)| handle.hashed()),
        browser: cookies.browser()?.hashed(),
        address: request.client.to_string(),
        user_agent: user_agent(request),
        request_id: request.id.as_str(),
    };
    if !app.store.sign_in(&session).await? {
        return Err(Failure::Page(Problem::Expired));
    }
    let next = match &flow {
        Flow::Interaction(handle, _) => app.path(&format!("/oauth/authorize/{}", handle.reveal())),
        Flow::Alone(Some(landing)) => app.path(&landing.path()),
        Flow::Alone(None) => app.path("/login"),
    };
    // Renewed, so that the browser stays known as long as the server knows it.
    let response = with_cookie(redirect_303(&next), Some(set_browser(cookies.browser()?)?));
    Ok(with_cookie(response, Some(set_session(&secret)?)))
}

/// What the browser says it is, cut to what the table holds.
fn user_agent(request: &Request) -> Option<String> {
    let said = request.header("user-agent").ok().flatten()?;
    let shown: String = said.chars().filter(|c| !c.is_control()).take(USER_AGENT_MAX).collect();
    Some(shown).filter(|shown| !shown.is_empty())
}

/// Who signed in, and the hash that says so. The attempt is taken from every counter before anything is verified
/// (W130), and given back when it was good.
pub(super) async fn verified(
    app: &Site<'_>,
    request: &Request,
    typed: &str,
    password: SecretString,
) -> Result<Option<(UserId, SecretString)>, Failure> {
    // A spelling that is no address is looked up all the same: the same work for every wrong answer.
    let key = email_key(typed).unwrap_or_else(|| "nobody".to_owned());
    let browser = Cookies::of(request).browser.map(|browser| browser.hashed());
    let found = app.store.credential(&key, browser).await?;
    let known = found.as_ref().is_some_and(|credential| credential.known);
    let counters = counters(app, request, &key, known).await?;
    if let Admission::Wait(wait_s) = app.store.reserve(&counters).await? {
        return Err(Failure::TooMany(wait_s));
    }
    let stored = found.as_ref().and_then(|credential| credential.password_hash.as_ref());
    let verdict = match app.hasher.verify(password, stored).await {
        Ok(verdict) => verdict,
        // Nobody has guessed anything: who is turned away in a flood must not be shut out after it.
        Err(overloaded) => {
            app.store.refund(&counters).await?;
            return Err(overloaded);
        }
    };
    let active = found.as_ref().filter(|credential| credential.active);
    if let (Some(credential), Some(old)) = (active, stored) {
        match verdict {
            Verdict::Right => {
                app.store.release(&counters).await?;
                return Ok(Some((credential.user, old.clone())));
            }
            Verdict::Outdated(new) => {
                app.store.release(&counters).await?;
                let (was, is) = (old.expose_secret(), new.expose_secret());
                app.store.rehash(credential.user, was, is).await?;
                return Ok(Some((credential.user, new)));
            }
            Verdict::Wrong => {}
        }
    }
    let user = found.as_ref().map(|credential| credential.user);
    app.store.sign_in_failed(user, request.id.as_str()).await?;
    Ok(None)
}

/// The counters of an attempt. A browser that has signed in to the account before has one of its own, which no
/// stranger's guesses can use up (W132); strangers share theirs by network, and all together by account.
async fn counters(
    app: &Site<'_>,
    request: &Request,
    account: &str,
    known: bool,
) -> Result<Vec<Key>, Failure> {
    let network = web::network(request.client);
    let of_network = app.throttle_key(Door::Address, &network.to_string()).await?;
    if known {
        let browser = Cookies::of(request).browser()?.hashed();
        let browser = URL_SAFE_NO_PAD.encode(browser.as_bytes());
        let own = app.throttle_key(Door::PasswordKnown, &format!("{browser} {account}")).await?;
        return Ok(vec![own, of_network]);
    }
    Ok(vec![
        app.throttle_key(Door::Password, &at(account, network)).await?,
        app.throttle_key(Door::Account, account).await?,
        of_network,
    ])
}
