//! `POST /account/password`: another password, by whoever knows the one of now and has just signed in.

use oauth::password::BYTES_MAX;
use oauth::secret::Session;
use secrecy::{ExposeSecret as _, SecretString};
use web::{Request, Response};

use super::super::login::verified;
use super::{FRESH_S, current, is_fresh, render, sign_in, subject};
use crate::app::secret;
use crate::browser::{Cookies, Purpose, check_form, set_session, with_cookie};
use crate::failure::{Failure, Problem};
use crate::issuer::Site;
use crate::pages::{self, Next};
use crate::routes::form;
use crate::store::NewPassword;

/// What its form's token is for.
pub(super) const FORM: &str = "password";

pub(crate) async fn post(app: &Site<'_>, request: &Request) -> Result<Response, Failure> {
    let form = form(request)?;
    let Some(session) = current(app, request).await? else { return Ok(sign_in(app)) };
    let purpose = Purpose { form: FORM, subject: &subject(&session, "") };
    check_form(app, request, &form, &purpose).await?;
    if !is_fresh(&session) {
        return Ok(sign_in(app));
    }
    let one = |name| form.one(name).map_err(|_| Failure::Forbidden);
    let old = SecretString::from(one("current_password")?.unwrap_or_default());
    let new = SecretString::from(one("new_password")?.unwrap_or_default());
    // Too long for any account: refused before anything is hashed (W134).
    if old.expose_secret().len() > BYTES_MAX {
        return Err(oauth::Error::request("password too long").into());
    }
    // What can be said without a hash is said first.
    if let Err(weak) = oauth::password::check(&new, &session.email) {
        return render(app, request, &session, Some(weak.to_string())).await;
    }
    if old.expose_secret() == new.expose_secret() {
        let problem = "Choose a password that differs from the one you have.";
        return render(app, request, &session, Some(problem.to_owned())).await;
    }
    // Guesses count as they do at a sign-in.
    let Some((_, verified)) = verified(app, request, &session.email, old).await? else {
        let problem = "That is not your current password.";
        return render(app, request, &session, Some(problem.to_owned())).await;
    };
    let hash = app.hasher.hash(new).await?;
    let successor = secret::<Session>()?;
    let presented = Cookies::of(request).session.ok_or(Failure::Forbidden)?;
    let change = NewPassword {
        session: &session,
        presented,
        successor: successor.hashed(),
        verified: &verified,
        hash: &hash,
        fresh_s: FRESH_S,
        request_id: request.id.as_str(),
    };
    if !app.store.change_password(&change).await? {
        return Err(Failure::Page(Problem::Expired));
    }
    let text = "Every other session of yours has ended, and applications have to ask you to sign in again.";
    let page = pages::message_then(app, Next::Account, "Your password is changed", text)?;
    Ok(with_cookie(page, Some(set_session(&successor)?)))
}
