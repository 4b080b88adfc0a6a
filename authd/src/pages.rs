//! Everything a person sees. Templates escape by themselves; nothing here is assembled by hand.

use askama::Template;
use http::StatusCode;
use oauth::authorize::Registered;
use oauth::rar::{Part, Summary};
use oauth::uri::RedirectUri;
use web::response::{Csp, html};
use web::{RequestId, Response};

use crate::endpoint::landing::Landing;
use crate::failure::{Failure, Problem, status};
use crate::issuer::Site;
use crate::store::{ApplicationLine, InvitationLine, SessionLine};

#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct Login<'a> {
    pub(crate) base: &'a str,
    pub(crate) client: Option<&'a str>,
    pub(crate) interaction: Option<&'a str>,
    /// Where to go afterwards, when no application waits.
    pub(crate) landing: Option<Landing>,
    pub(crate) username: &'a str,
    pub(crate) csrf: &'a str,
    pub(crate) failed: bool,
    /// A forgotten password can be replaced.
    pub(crate) reset: bool,
}

/// A scope in words.
pub(crate) struct ScopeLine {
    pub(crate) name: String,
    pub(crate) words: String,
    pub(crate) is_new: bool,
}

#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct Consent<'a> {
    pub(crate) base: &'a str,
    pub(crate) client: &'a str,
    pub(crate) email: &'a str,
    pub(crate) scopes: Vec<ScopeLine>,
    pub(crate) details: Vec<Summary>,
    pub(crate) destination: &'a str,
    pub(crate) csrf: &'a str,
    pub(crate) interaction: &'a str,
}

#[derive(Template)]
#[template(path = "form_post.html")]
pub(crate) struct FormPost<'a> {
    pub(crate) action: &'a str,
    pub(crate) parameters: &'a [(&'static str, String)],
}

#[derive(Template)]
#[template(path = "logout.html")]
pub(crate) struct Logout<'a> {
    pub(crate) base: &'a str,
    pub(crate) email: &'a str,
    pub(crate) csrf: &'a str,
    pub(crate) parameters: Vec<(&'static str, &'a str)>,
}

#[derive(Template)]
#[template(path = "enroll.html")]
pub(crate) struct Enroll<'a> {
    pub(crate) base: &'a str,
    pub(crate) email: &'a str,
    pub(crate) token: &'a str,
    pub(crate) csrf: &'a str,
    pub(crate) problem: Option<String>,
}

/// A session on `/account`.
pub(crate) struct SessionItem {
    pub(crate) id: String,
    pub(crate) line: SessionLine,
    pub(crate) is_this: bool,
    pub(crate) csrf: String,
}

/// An application there.
pub(crate) struct ApplicationItem {
    pub(crate) line: ApplicationLine,
    pub(crate) scopes: Vec<ScopeLine>,
    pub(crate) csrf: String,
}

/// An invitation there.
pub(crate) struct InvitationItem {
    pub(crate) line: InvitationLine,
    /// In words.
    pub(crate) roles: Vec<String>,
    pub(crate) csrf: String,
}

#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct Account<'a> {
    pub(crate) base: &'a str,
    pub(crate) email: &'a str,
    pub(crate) sessions: Vec<SessionItem>,
    pub(crate) others_csrf: String,
    pub(crate) applications: Vec<ApplicationItem>,
    pub(crate) invitations: Vec<InvitationItem>,
    pub(crate) password_csrf: String,
    /// The sign-in is recent enough to change the password.
    pub(crate) fresh: bool,
    pub(crate) problem: Option<String>,
}

/// Asks for the code that a device shows.
#[derive(Template)]
#[template(path = "device.html")]
pub(crate) struct Device<'a> {
    pub(crate) base: &'a str,
    pub(crate) email: &'a str,
    pub(crate) user_code: &'a str,
    pub(crate) csrf: &'a str,
    pub(crate) failed: bool,
}

/// Who asks from elsewhere, for what.
pub(crate) struct Asking {
    pub(crate) client: String,
    pub(crate) scopes: Vec<ScopeLine>,
    pub(crate) details: Vec<Summary>,
    pub(crate) message: Option<String>,
    pub(crate) origin: String,
    pub(crate) age: String,
}

/// Asks whether a device may be let in.
#[derive(Template)]
#[template(path = "device_confirm.html")]
pub(crate) struct DeviceConfirm<'a> {
    pub(crate) base: &'a str,
    pub(crate) email: &'a str,
    pub(crate) user_code: &'a str,
    pub(crate) asking: Asking,
    pub(crate) csrf: &'a str,
}

/// One of a list of requests, with the secrets of its form.
pub(crate) struct Asked {
    pub(crate) asking: Asking,
    pub(crate) handle: String,
    pub(crate) csrf: String,
}

/// What waits for a person.
#[derive(Template)]
#[template(path = "ciba.html")]
pub(crate) struct Ciba<'a> {
    pub(crate) base: &'a str,
    pub(crate) email: &'a str,
    pub(crate) requests: Vec<Asked>,
}

#[derive(Template)]
#[template(path = "reset.html")]
pub(crate) struct Reset<'a> {
    pub(crate) base: &'a str,
    pub(crate) csrf: &'a str,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    reference: Option<&'a str>,
    /// What comes next: its id, its words, and where it is.
    next: Option<(&'static str, &'static str, String)>,
}

/// What comes after a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Next {
    SignIn,
    Account,
}

/// Where the forms of a page may lead: here, and to the redirect that ends the flow.
pub(crate) fn csp(back: Option<&Registered>) -> Csp {
    Csp { form_action: back.map(|uri| RedirectUri::csp_source(uri.as_str())).into_iter().collect() }
}

pub(crate) fn page(
    status: StatusCode,
    template: &impl Template,
    csp: &Csp,
) -> Result<Response, Failure> {
    let text = template.render().map_err(|error| Failure::Internal(Box::new(error)))?;
    Ok(html(status, text, csp))
}

/// A page that only says something.
pub(crate) fn message(title: &str, text: &str) -> Result<Response, Failure> {
    page(StatusCode::OK, &Message { title, text, reference: None, next: None }, &Csp::default())
}

/// The same, with the way on.
pub(crate) fn message_then(
    site: &Site<'_>,
    next: Next,
    title: &str,
    text: &str,
) -> Result<Response, Failure> {
    let next = match next {
        Next::SignIn => ("sign-in", "Sign in", site.path("/login")),
        Next::Account => ("to-account", "Your account", site.path("/account")),
    };
    let message = Message { title, text, reference: None, next: Some(next) };
    page(StatusCode::OK, &message, &Csp::default())
}

/// A failure as a page. The request's id is the only thing of ours on it.
pub(crate) fn failure(failure: &Failure, id: &RequestId) -> Response {
    let (title, text) = words(failure);
    let message = Message { title, text: &text, reference: Some(id.as_str()), next: None };
    match message.render() {
        Ok(text) => html(status(failure), text, &Csp::default()),
        Err(_) => web::response::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn words(failure: &Failure) -> (&'static str, String) {
    let (title, text) = match failure {
        Failure::Page(Problem::Request(error)) => {
            return ("This link cannot be followed", error.to_string());
        }
        Failure::Page(Problem::Expired) => (
            "This sign-in is over",
            "It was finished, took too long, or was begun in another browser. Go back to the application and start again; cookies must be allowed.",
        ),
        Failure::Page(Problem::Link) => (
            "This link is no longer valid",
            "It was used already or has expired. Ask your administrator for a new one.",
        ),
        Failure::Page(Problem::Decided) => (
            "This request was answered already",
            "The first answer counts. If it was not yours, change your password and tell your administrator.",
        ),
        Failure::Page(Problem::Lapsed) => (
            "This request is over",
            "It took too long or was withdrawn. Start again on the device or in the application.",
        ),
        Failure::Page(Problem::Logout) => (
            "This sign-out cannot be followed",
            "The application sent something that does not belong to your session.",
        ),
        Failure::Forbidden => (
            "This form cannot be accepted",
            "It was not sent from this page in this browser. Go back, reload the page and try again.",
        ),
        Failure::NotFound => ("Nothing here", "There is no page at this address."),
        Failure::Method(_) => ("Not this way", "This address cannot be used like that."),
        Failure::MediaType | Failure::Peer(_) | Failure::Client { .. } | Failure::Bearer(_) => {
            ("The request could not be read", "Go back and try again.")
        }
        Failure::TooMany(_) => (
            "Too many attempts",
            "Please wait a few minutes before you try again. What you were doing elsewhere goes on.",
        ),
        Failure::Overloaded | Failure::Unavailable => (
            "Just a moment",
            "The service is busy or restarting. Please try again in a few seconds.",
        ),
        Failure::Internal(_) => (
            "Something went wrong",
            "It was noted. If it happens again, tell your administrator the reference below.",
        ),
    };
    (title, text.to_owned())
}
