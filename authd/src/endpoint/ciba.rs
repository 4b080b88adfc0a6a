//! `/ciba`: what applications ask of a person who is elsewhere, each with its own form.

use http::StatusCode;
use oauth::Plain;
use oauth::consent::Decision;
use oauth::deferred::Kind;
use oauth::ids::UserId;
use oauth::secret::ApprovalHandle;
use web::response::Csp;
use web::{Request, Response};

use super::decision::{asking, decide, everyone, sign_in, visitor};
use super::landing::Landing;
use crate::browser::{Cookies, Purpose, check_form, form_token, with_cookie};
use crate::failure::{Failure, Problem};
use crate::issuer::Site;
use crate::keyed;
use crate::pages::{self, Asked, Ciba};
use crate::routes::form;
use crate::store::Witness;

pub(crate) async fn show(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let Some((person, true)) = visitor(app, request).await? else {
        return Ok(sign_in(app, Landing::Ciba));
    };
    let (browser, cookie) = Cookies::of(request).browser_or_new()?;
    let mut requests = Vec::new();
    for waiting in app.store.waiting_for(&everyone(app), person.user).await? {
        let handle = keyed::approval_handle(app, &waiting.poll).await?;
        let subject = subject(person.user, &handle);
        let csrf = form_token(app, &browser, &purpose(&subject)).await?;
        let asking = asking(app, &waiting).await?;
        requests.push(Asked { asking, handle: handle.reveal().to_owned(), csrf });
    }
    let page = Ciba { base: app.base(), email: &person.email, requests };
    Ok(with_cookie(pages::page(StatusCode::OK, &page, &Csp::default())?, cookie))
}

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let (person, fresh) = visitor(app, request).await?.ok_or(Failure::Forbidden)?;
    let handle = form.one("handle").ok().flatten().and_then(Plain::<ApprovalHandle>::parse);
    let handle = handle.ok_or(Failure::Forbidden)?;
    check_form(app, request, &form, &purpose(&subject(person.user, &handle))).await?;
    let decision = Decision::parse(&form).ok_or(Failure::Forbidden)?;
    if !fresh {
        return Ok(sign_in(app, Landing::Ciba));
    }
    let name = *handle.hashed().as_bytes();
    let found = app.store.waiting(&everyone(app), (Kind::Ciba, name), person.user).await?;
    let waiting = found.ok_or(Failure::Page(Problem::Lapsed))?;
    let witness = Witness::Session(person.id);
    decide(app, request, (Kind::Ciba, name, &waiting), (person.user, witness), decision).await?;
    match decision {
        Decision::Approve => {
            pages::message("The request was approved", "The application goes on by itself.")
        }
        Decision::Deny => pages::message(
            "The request was declined",
            "The application gets nothing. If you did not expect it, tell your administrator.",
        ),
    }
}

/// Bound to the person who was shown the page, and to the request.
fn subject(user: UserId, handle: &Plain<ApprovalHandle>) -> String {
    format!("{} {user}", handle.reveal())
}

fn purpose(subject: &str) -> Purpose<'_> {
    Purpose { form: "ciba", subject }
}
