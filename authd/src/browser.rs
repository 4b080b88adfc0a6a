//! What ties a browser to what it began: two host-only cookies, a token in every form, and the browser's own
//! word about where a request comes from.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use oauth::form::Form;
use oauth::secret::{Browser, Session};
use oauth::{Hashed, Plain, cookie};
use web::{Request, Response};

use crate::app::secret;
use crate::failure::Failure;
use crate::issuer::Site;

/// Session cookie. `__Host-`: set by this host, for this host, over TLS, for every path.
const SESSION: &str = "__Host-opentrusty_session";
/// Binds interactions and forms to the browser that they were made for, signed in or not.
const BROWSER: &str = "__Host-opentrusty_browser";
/// Seconds after the last sign-in for which a browser is known: the 90 days of `known_browsers`.
const KNOWN_S: u64 = 90 * 24 * 3600;

/// The cookies of a request. Two of a name are none: somebody else wrote one of them (W114).
pub(crate) struct Cookies {
    pub(crate) browser: Option<Plain<Browser>>,
    pub(crate) session: Option<Hashed<Session>>,
}

impl Cookies {
    pub(crate) fn of(request: &Request) -> Self {
        let headers: Vec<&str> =
            request.cookies().filter_map(|value| std::str::from_utf8(value).ok()).collect();
        let one = |name| cookie::find(headers.iter().copied(), name).ok().flatten();
        Self {
            browser: one(BROWSER).and_then(Plain::parse),
            session: one(SESSION).and_then(Plain::<Session>::parse).map(|plain| plain.hashed()),
        }
    }

    /// The browser's secret: the one that it brought, or a new one and the cookie that will carry it.
    pub(crate) fn browser_or_new(
        &mut self,
    ) -> Result<(Plain<Browser>, Option<HeaderValue>), Failure> {
        if let Some(known) = self.browser.take() {
            return Ok((known, None));
        }
        let fresh = secret::<Browser>()?;
        let cookie = set_browser(&fresh)?;
        Ok((fresh, Some(cookie)))
    }

    /// The browser's secret, or the page that says that cookies are needed.
    pub(crate) fn browser(&self) -> Result<&Plain<Browser>, Failure> {
        self.browser.as_ref().ok_or(Failure::Page(crate::failure::Problem::Expired))
    }
}

/// Kept as long as the server remembers a browser that somebody signed in with: closed and opened again, it is still
/// no stranger whom others' guesses could shut out (W132).
pub(crate) fn set_browser(secret: &Plain<Browser>) -> Result<HeaderValue, Failure> {
    web::cookie::set(BROWSER, secret.reveal(), Some(KNOWN_S))
        .map_err(|_| Failure::internal("cookie"))
}

/// A session cookie without Max-Age: it goes with the browser; the server's clock ends it sooner.
pub(crate) fn set_session(secret: &Plain<Session>) -> Result<HeaderValue, Failure> {
    web::cookie::set(SESSION, secret.reveal(), None).map_err(|_| Failure::internal("cookie"))
}

pub(crate) fn expire_session() -> Result<HeaderValue, Failure> {
    web::cookie::expire(SESSION).map_err(|_| Failure::internal("cookie"))
}

pub(crate) fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(http::header::SET_COOKIE, cookie);
    }
    response
}

/// What a form is for; its token fits no other form, interaction or person.
pub(crate) struct Purpose<'a> {
    pub(crate) form: &'static str,
    pub(crate) subject: &'a str,
}

/// The token of a form: a MAC over browser, form and subject under a key that only this installation has.
pub(crate) async fn form_token(
    app: &Site<'_>,
    browser: &Plain<Browser>,
    purpose: &Purpose<'_>,
) -> Result<String, Failure> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &app.csrf_key().await?.0);
    Ok(URL_SAFE_NO_PAD.encode(hmac::sign(&key, &message(browser, purpose)).as_ref()))
}

/// Whether a posted form is ours, from this browser, for this purpose (W112).
pub(crate) async fn check_form(
    app: &Site<'_>,
    request: &Request,
    form: &Form,
    purpose: &Purpose<'_>,
) -> Result<(), Failure> {
    let cookies = Cookies::of(request);
    let browser = cookies.browser.as_ref().ok_or(Failure::Forbidden)?;
    let token = form.one("csrf").ok().flatten().ok_or(Failure::Forbidden)?;
    let token = URL_SAFE_NO_PAD.decode(token).map_err(|_| Failure::Forbidden)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &app.csrf_key().await?.0);
    hmac::verify(&key, &message(browser, purpose), &token).map_err(|_| Failure::Forbidden)
}

fn message(browser: &Plain<Browser>, purpose: &Purpose<'_>) -> Vec<u8> {
    [browser.reveal(), purpose.form, purpose.subject].join("\n").into_bytes()
}

/// A browser that says where a form comes from must say: from here. One that says nothing is judged by the
/// token alone. `Origin: null` says nothing: browsers send it for our own forms, because of
/// `Referrer-Policy: no-referrer`.
pub(crate) fn same_origin(app: &Site<'_>, request: &Request) -> Result<(), Failure> {
    let header = |name| request.header(name).map_err(|_| Failure::Forbidden);
    if header("sec-fetch-site")?.is_some_and(|site| site != "same-origin") {
        return Err(Failure::Forbidden);
    }
    if header("origin")?.is_some_and(|origin| origin != "null" && origin != app.config.issuer) {
        return Err(Failure::Forbidden);
    }
    Ok(())
}
