//! `/enroll`: a one-time link sets a password. Looking spends nothing; the form does, once.

use http::StatusCode;
use oauth::Plain;
use oauth::secret::{Browser, Enrolment};
use secrecy::SecretString;
use web::response::Csp;
use web::{Request, Response};

use crate::browser::{Cookies, Purpose, check_form, form_token, with_cookie};
use crate::failure::{Failure, Problem};
use crate::issuer::Site;
use crate::pages::{self, Enroll, Next};
use crate::routes::{form, query};
use crate::store::Enrol;

pub(crate) async fn show(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let query = query(request)?;
    let (token, email) = link(app, query.one("token").ok().flatten()).await?;
    let (browser, cookie) = Cookies::of(request).browser_or_new()?;
    Ok(with_cookie(render(app, &browser, &token, &email, None).await?, cookie))
}

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let one = |name| form.one(name).map_err(|_| Failure::Forbidden);
    let (token, email) = link(app, one("token")?).await?;
    check_form(app, request, &form, &purpose(&token)).await?;
    let password = SecretString::from(one("password")?.unwrap_or_default());
    if let Err(weak) = oauth::password::check(&password, &email) {
        let cookies = Cookies::of(request);
        return render(app, cookies.browser()?, &token, &email, Some(weak.to_string())).await;
    }
    let hash = app.hasher.hash(password).await?;
    let browser = Cookies::of(request).browser()?.hashed();
    let enrolment = Enrol {
        token: token.hashed(),
        password_hash: &hash,
        browser,
        request_id: request.id.as_str(),
    };
    if !app.store.enrol(&enrolment).await? {
        return Err(Failure::Page(Problem::Link));
    }
    pages::message_then(app, Next::SignIn, "Your password is set", "You can use it from now on.")
}

async fn link(app: &Site<'_>, text: Option<&str>) -> Result<(Plain<Enrolment>, String), Failure> {
    let unknown = || Failure::Page(Problem::Link);
    let token = text.and_then(Plain::<Enrolment>::parse).ok_or_else(unknown)?;
    let email = app.store.enrolment(token.hashed()).await?.ok_or_else(unknown)?;
    Ok((token, email))
}

async fn render(
    app: &Site<'_>,
    browser: &Plain<Browser>,
    token: &Plain<Enrolment>,
    email: &str,
    problem: Option<String>,
) -> Result<Response, Failure> {
    let csrf = form_token(app, browser, &purpose(token)).await?;
    let page = Enroll { base: app.base(), email, token: token.reveal(), csrf: &csrf, problem };
    pages::page(StatusCode::OK, &page, &Csp::default())
}

fn purpose(token: &Plain<Enrolment>) -> Purpose<'_> {
    Purpose { form: "enroll", subject: token.reveal() }
}
