//! What the pages have in common where a person decides about a request from elsewhere.

use oauth::consent::Decision;
use oauth::deferred::Kind;
use oauth::ids::{GrantId, UserId};
use web::{Request, Response};

use super::{authorize, consent, details};
use crate::browser::Cookies;
use crate::failure::{Failure, Problem};
use crate::issuer::Site;
use crate::pages::Asking;
use crate::store::{Decide, Reach, SessionRow, Waiting, Witness};

/// Whoever is signed in at this browser, and whether they proved who they are a moment ago.
pub(super) async fn visitor(
    app: &Site<'_>,
    request: &Request,
) -> Result<Option<(SessionRow, bool)>, Failure> {
    match Cookies::of(request).session {
        Some(secret) => Ok(app.store.deciding_session(secret, app.config.lifetimes.idle_s).await?),
        None => Ok(None),
    }
}

/// The way to the sign-in and back.
pub(super) fn sign_in(app: &Site<'_>, landing: super::landing::Landing) -> Response {
    web::response::redirect_303(&app.path(&landing.sign_in()))
}

/// Requests of every client of this issuer.
pub(super) fn everyone<'a>(app: &'a Site<'_>) -> Reach<'a> {
    Reach { issuer: app.issuer(), tenant: None }
}

/// A request in words.
pub(super) async fn asking(app: &Site<'_>, waiting: &Waiting) -> Result<Asking, Failure> {
    let scopes = &waiting.scopes;
    Ok(Asking {
        client: waiting.client.metadata.client_name.clone(),
        scopes: consent::lines(app, &waiting.client, scopes, scopes).await?,
        details: details::in_words(app, &waiting.client, waiting.details.as_ref()).await?,
        message: waiting.binding_message.clone(),
        origin: waiting.origin.clone(),
        age: age(waiting.age_s),
    })
}

fn age(seconds: u32) -> String {
    match seconds / 60 {
        0 => "less than a minute ago".to_owned(),
        1 => "a minute ago".to_owned(),
        minutes => format!("{minutes} minutes ago"),
    }
}

/// Decides, once. What was decided before, by whomever, stays (W55).
pub(super) async fn decide(
    app: &Site<'_>,
    request: &Request,
    (kind, person, waiting): (Kind, [u8; 32], &Waiting),
    (user, witness): (UserId, Witness),
    decision: Decision,
) -> Result<(), Failure> {
    if waiting.decided {
        return Err(Failure::Page(Problem::Decided));
    }
    let client = &waiting.client;
    let sub = match decision {
        Decision::Approve => {
            Some(app.store.name_subject(user, client, &authorize::subject()?).await?)
        }
        Decision::Deny => None,
    };
    let gate = Decide {
        kind,
        person,
        user,
        witness,
        client,
        sub: sub.as_deref(),
        grant: GrantId(uuid::Uuid::now_v7()),
        grant_lifetime_s: client.metadata.grant_s(&app.config.lifetimes.tokens, waiting.left_s),
        request_id: request.id.as_str(),
    };
    if app.store.decide(&gate).await? {
        return Ok(());
    }
    let now = app.store.waiting(&everyone(app), (kind, person), user).await?;
    let decided = now.is_some_and(|waiting| waiting.decided);
    Err(Failure::Page(if decided { Problem::Decided } else { Problem::Lapsed }))
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn an_age_is_in_words() {
        assert_eq!(age(59), "less than a minute ago");
        assert_eq!(age(60), "a minute ago");
        assert_eq!(age(1799), "29 minutes ago");
    }
}
