//! `/device`: a person types the code that a device shows, sees who asks for what, and decides
//! (RFC 8628 §3.3).
//!
//! A code in the address only fills the field in: it is looked up by a form of this browser alone, and is
//! decided about by another (§3.3.1, §5.4). What these pages do about people who are talked into approving
//! somebody else's device follows RFC 10027: fresh sign-in, who asks and from where and since when, no button
//! heavier than the other.

use http::StatusCode;
use oauth::consent::Decision;
use oauth::deferred::{Kind, UserCode};
use oauth::form::Form;
use oauth::ids::UserId;
use oauth::throttle::{Door, Key};
use web::response::Csp;
use web::{Request, Response};

use super::decision::{asking, decide, everyone, sign_in, visitor};
use super::landing::Landing;
use crate::browser::{Cookies, Purpose, check_form, form_token, with_cookie};
use crate::failure::{Failure, Problem};
use crate::issuer::Site;
use crate::keyed;
use crate::pages::{self, Device, DeviceConfirm};
use crate::routes::{form, query};
use crate::store::{Admission, SessionRow, Waiting, Witness};

/// Longest attempt that is shown again, in characters.
const SHOWN_MAX: usize = 32;

pub(crate) async fn show(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let code = code_of(&query(request)?);
    let Some((person, true)) = visitor(app, request).await? else {
        return Ok(sign_in(app, Landing::Device(code)));
    };
    let filled = code.map(|code| code.to_string()).unwrap_or_default();
    ask(app, request, &person, (&filled, false)).await
}

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let (person, fresh) = visitor(app, request).await?.ok_or(Failure::Forbidden)?;
    let code = code_of(&form);
    if let Some(decision) = Decision::parse(&form) {
        let code = code.ok_or(Failure::Forbidden)?;
        let subject = subject(person.user, code);
        check_form(app, request, &form, &to_decide(&subject)).await?;
        if !fresh {
            return Ok(sign_in(app, Landing::Device(Some(code))));
        }
        return decided(app, request, &person, code, decision).await;
    }
    check_form(app, request, &form, &to_enter(&person.user.to_string())).await?;
    if !fresh {
        return Ok(sign_in(app, Landing::Device(code)));
    }
    // No such code, one that is over, used, or not for this person: one answer (W57). The attempt is taken
    // before anything is looked up, and given back when it was good.
    let counters = counters(app, request, &person).await?;
    if let Admission::Wait(wait_s) = app.store.reserve(&counters).await? {
        return Err(Failure::TooMany(wait_s));
    }
    if let Some(code) = code
        && let Some(waiting) = find(app, &person, code).await?.filter(|waiting| !waiting.decided)
    {
        app.store.release(&counters).await?;
        return confirm(app, request, &person, code, &waiting).await;
    }
    let typed = form.one("user_code").ok().flatten().unwrap_or_default();
    let typed: String = typed.chars().take(SHOWN_MAX).collect();
    ask(app, request, &person, (&typed, true)).await
}

/// Codes are guessed by session, and by network whatever the session.
async fn counters(
    app: &Site<'_>,
    request: &Request,
    person: &SessionRow,
) -> Result<[Key; 2], Failure> {
    let network = web::network(request.client).to_string();
    Ok([
        app.throttle_key(Door::UserCode, &person.id.to_string()).await?,
        app.throttle_key(Door::UserCodeNetwork, &network).await?,
    ])
}

fn code_of(form: &Form) -> Option<UserCode> {
    form.one("user_code").ok().flatten().and_then(UserCode::parse)
}

async fn find(
    app: &Site<'_>,
    person: &SessionRow,
    code: UserCode,
) -> Result<Option<Waiting>, Failure> {
    let name = (Kind::Device, keyed::user_code(app, code).await?);
    Ok(app.store.waiting(&everyone(app), name, person.user).await?)
}

async fn ask(
    app: &Site<'_>,
    request: &Request,
    person: &SessionRow,
    (user_code, failed): (&str, bool),
) -> Result<Response, Failure> {
    let (browser, cookie) = Cookies::of(request).browser_or_new()?;
    let csrf = form_token(app, &browser, &to_enter(&person.user.to_string())).await?;
    let page = Device { base: app.base(), email: &person.email, user_code, csrf: &csrf, failed };
    Ok(with_cookie(pages::page(StatusCode::OK, &page, &Csp::default())?, cookie))
}

async fn confirm(
    app: &Site<'_>,
    request: &Request,
    person: &SessionRow,
    code: UserCode,
    waiting: &Waiting,
) -> Result<Response, Failure> {
    let (browser, cookie) = Cookies::of(request).browser_or_new()?;
    let subject = subject(person.user, code);
    let csrf = form_token(app, &browser, &to_decide(&subject)).await?;
    let page = DeviceConfirm {
        base: app.base(),
        email: &person.email,
        user_code: &code.to_string(),
        asking: asking(app, waiting).await?,
        csrf: &csrf,
    };
    Ok(with_cookie(pages::page(StatusCode::OK, &page, &Csp::default())?, cookie))
}

async fn decided(
    app: &Site<'_>,
    request: &Request,
    person: &SessionRow,
    code: UserCode,
    decision: Decision,
) -> Result<Response, Failure> {
    let waiting = find(app, person, code).await?.ok_or(Failure::Page(Problem::Lapsed))?;
    let name = keyed::user_code(app, code).await?;
    let witness = Witness::Session(person.id);
    decide(app, request, (Kind::Device, name, &waiting), (person.user, witness), decision).await?;
    match decision {
        Decision::Approve => {
            pages::message("Your device is connected", "You can close this page and go back to it.")
        }
        Decision::Deny => pages::message(
            "The device was declined",
            "It gets nothing. If somebody sent you the code, tell your administrator.",
        ),
    }
}

/// Bound to the person who was shown the page, and to the code that was shown on it.
fn subject(user: UserId, code: UserCode) -> String {
    format!("{code} {user}")
}

fn to_enter(user: &str) -> Purpose<'_> {
    Purpose { form: "device", subject: user }
}

fn to_decide(subject: &str) -> Purpose<'_> {
    Purpose { form: "device decision", subject }
}
