//! `/reset`: somebody forgot a password. Whatever address is typed, the answer is the same to the byte and the
//! same statements are run (W128); a link goes to the account's own address, if there is such an account.

use http::StatusCode;
use oauth::account::email_key;
use oauth::secret::Enrolment;
use oauth::throttle::Door;
use secrecy::SecretString;
use web::response::Csp;
use web::{Request, Response};

use crate::app::secret;
use crate::browser::{Cookies, Purpose, check_form, form_token, with_cookie};
use crate::failure::Failure;
use crate::issuer::Site;
use crate::pages;
use crate::routes::form;
use crate::store::{Admission, Reset};

const PURPOSE: Purpose<'static> = Purpose { form: "reset", subject: "" };

pub(crate) async fn show(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let (browser, cookie) = Cookies::of(request).browser_or_new()?;
    let csrf = form_token(app, &browser, &PURPOSE).await?;
    let page = pages::Reset { base: app.base(), csrf: &csrf };
    Ok(with_cookie(pages::page(StatusCode::OK, &page, &Csp::default())?, cookie))
}

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    check_form(app, request, &form, &PURPOSE).await?;
    let typed = form.one("username").map_err(|_| Failure::Forbidden)?.unwrap_or_default();
    // A spelling that is no address is looked up all the same: the same work for every answer.
    let email_key = email_key(typed).unwrap_or_else(|| "nobody".to_owned());
    let network = web::network(request.client).to_string();
    let counters = [
        app.throttle_key(Door::Reset, &email_key).await?,
        app.throttle_key(Door::ResetNetwork, &network).await?,
    ];
    if let Admission::Wait(wait_s) = app.store.reserve(&counters).await? {
        return Err(Failure::TooMany(wait_s));
    }
    let token = secret::<Enrolment>()?;
    let link = SecretString::from(format!("{}/enroll?token={}", app.issuer(), token.reveal()));
    let reset = Reset {
        email_key: &email_key,
        token: token.hashed(),
        link: &link,
        request_id: request.id.as_str(),
    };
    app.store.ask_reset(&reset).await?;
    pages::message(
        "Look into your mail",
        "If there is an account with this address, a link to set a new password is on its way to it. The link works once, within an hour.",
    )
}
