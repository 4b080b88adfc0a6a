//! `/api/v1/keys`: the life of signing keys. keyd performs, PostgreSQL remembers, this decides who may ask.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use sqlx::PgTransaction;
use store::audit::Event;
use web::response::json;
use web::{Request, Response};
use wire::{Algorithm, Class, KeyState, KeyView, Kid};

use super::body;
use crate::app::App;
use crate::failure::Failure;
use crate::keeper::{self, Known};
use crate::operator::{Permission, allowed, fresh};
use crate::schedule::Kind;
use crate::store::{Issuer, StoreError};

/// Admind itself and other nodes hold the lock for a moment each.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A key as an operator sees it. Times are seconds since the epoch.
#[derive(Serialize)]
struct Key {
    kid: String,
    /// The `iss` that it signs for.
    issuer: String,
    class: &'static str,
    algorithm: &'static str,
    state: KeyState,
    staged_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired_at: Option<u64>,
    /// By this keyd, since it started.
    signatures: u64,
}

impl From<KeyView> for Key {
    fn from(view: KeyView) -> Self {
        Self {
            kid: view.kid.to_string(),
            issuer: view.issuer,
            class: view.class.name(),
            algorithm: view.algorithm.name(),
            state: view.state,
            staged_at: view.staged_at,
            active_from: view.not_sign_before,
            retired_at: view.not_sign_after,
            signatures: view.signatures,
        }
    }
}

#[derive(Serialize)]
struct Keys {
    /// The platform's.
    issuer: String,
    /// Every issuer's, the platform's first.
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    class: String,
    algorithm: String,
    /// A URL; without it, the platform's.
    issuer: Option<String>,
}

pub(crate) async fn list(app: &App, request: &Request) -> Result<Response, Failure> {
    allowed(app, request, Permission::ManageKeys).await?;
    app.issuer_row().ok_or(Failure::Unavailable)?;
    let keys = keeper::refresh(app).await?.keys.into_iter().map(Key::from).collect();
    Ok(json(StatusCode::OK, &Keys { issuer: app.config.issuer.clone(), keys }))
}

/// A new key, in the JWKS from now on. It signs when it is activated, no sooner than caches allow.
pub(crate) async fn stage(app: &App, request: &Request) -> Result<Response, Failure> {
    let actor = fresh(allowed(app, request, Permission::ManageKeys).await?)?.user;
    let wanted: Wanted = body(request)?;
    let class: Class =
        wanted.class.parse().map_err(|()| Failure::Invalid("class: token, admin or audit"))?;
    let algorithm: Algorithm = wanted
        .algorithm
        .parse()
        .map_err(|()| Failure::Invalid("algorithm: ES256, RS256, PS256, ES384 or EdDSA"))?;
    if class != Class::Token && algorithm != Algorithm::Es256 {
        return Err(Failure::Invalid("keys of this class are ES256"));
    }
    let issuer = named(app, wanted.issuer.as_deref()).await?;
    if class != Class::Token && !issuer.is_platform {
        return Err(Failure::Invalid("keys of this class are the platform's"));
    }
    let (mut lock, known) = lock(app).await?;
    if alike(&known, &issuer, (class, algorithm)).any(|key| key.state == KeyState::Staged) {
        return Err(Failure::Conflict("a key of this kind is staged already"));
    }
    let kind = (class, algorithm);
    let changed = keeper::stage(app, &mut lock, &issuer, Some(actor), kind).await?;
    commit(app, lock).await?;
    Ok(json(StatusCode::CREATED, &Key::from(changed.view)))
}

/// The issuer of this URL; without one, the platform's.
async fn named(app: &App, url: Option<&str>) -> Result<Issuer, Failure> {
    let issuers = app.store.issuers().await?;
    let url = url.unwrap_or(&app.config.issuer);
    let found = issuers.into_iter().find(|issuer| issuer.url == url);
    found.ok_or(Failure::Invalid("issuer: the URL of one that exists"))
}

/// The keys of an issuer and a kind.
fn alike<'a>(
    known: &'a Known,
    issuer: &'a Issuer,
    (class, algorithm): Kind,
) -> impl Iterator<Item = &'a KeyView> {
    known.of(issuer).filter(move |key| key.class == class && key.algorithm == algorithm)
}

/// An act without parameters takes an empty object: a body that no form of another site can send (W160).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The key signs from now on; the one that it succeeds ends with the same act.
pub(crate) async fn activate(app: &App, request: &Request, kid: &str) -> Result<Response, Failure> {
    let actor = fresh(allowed(app, request, Permission::ManageKeys).await?)?.user;
    let Nothing {} = body(request)?;
    let (mut lock, known) = lock(app).await?;
    let (issuer, key) = find(&known, kid)?;
    if key.state != KeyState::Staged {
        return Err(Failure::Conflict("only a staged key can be activated"));
    }
    let former = alike(&known, issuer, (key.class, key.algorithm))
        .find(|other| other.state == KeyState::Active)
        .map(|former| former.kid);
    keeper::succeed(app, &mut lock, issuer, Some(actor), (key.kid, former)).await?;
    let known = commit(app, lock).await?;
    let (_, key) = find(&known, kid)?;
    Ok(json(StatusCode::OK, &Key::from(key.clone())))
}

/// The key signs no more, or never will. The last one that signs for its kind stays: without it nobody could sign in.
pub(crate) async fn retire(app: &App, request: &Request, kid: &str) -> Result<Response, Failure> {
    let actor = fresh(allowed(app, request, Permission::ManageKeys).await?)?.user;
    let Nothing {} = body(request)?;
    let (mut lock, known) = lock(app).await?;
    let (issuer, key) = find(&known, kid)?;
    let another = alike(&known, issuer, (key.class, key.algorithm))
        .any(|other| other.kid != key.kid && other.state == KeyState::Active);
    match key.state {
        // A key that was staged by mistake, or in the future, is in the way of the next.
        KeyState::Active | KeyState::Staged if another => {}
        KeyState::Active => {
            return Err(Failure::Conflict(
                "the only signing key of its kind; activate a successor instead",
            ));
        }
        KeyState::Staged | KeyState::Retired => {
            return Err(Failure::Conflict(
                "only an active key, or one staged beside it, can be retired",
            ));
        }
    }
    let changed = app.signer.retire(key.kid).await?;
    keeper::save(&mut lock, issuer, Some(actor), &changed, Event::KeyRetired).await?;
    commit(app, lock).await?;
    Ok(json(StatusCode::OK, &Key::from(changed.view)))
}

/// The right to change keys, after a second at the latest, with keyd told first what PostgreSQL holds, and what it believes of that.
async fn lock(app: &App) -> Result<(PgTransaction<'_>, Known), Failure> {
    app.issuer_row().ok_or(Failure::Unavailable)?;
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = app.store.key_lock().await? {
            return Ok((lock, keeper::refresh(app).await?));
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    Err(Failure::Conflict("keys are being changed; try again"))
}

async fn commit(app: &App, lock: PgTransaction<'_>) -> Result<Known, Failure> {
    lock.commit().await.map_err(StoreError::from)?;
    keeper::refresh(app).await
}

/// The key of this id, and whose it is.
fn find<'a>(known: &'a Known, kid: &str) -> Result<(&'a Issuer, &'a KeyView), Failure> {
    let kid: Kid = kid.parse().map_err(|_| Failure::NotFound)?;
    let key = known.keys.iter().find(|key| key.kid == kid).ok_or(Failure::NotFound)?;
    let issuer = known.issuers.iter().find(|issuer| issuer.url == key.issuer);
    Ok((issuer.ok_or(Failure::NotFound)?, key))
}
