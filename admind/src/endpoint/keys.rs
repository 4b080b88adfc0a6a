//! `/api/v1/keys`: the life of signing keys. keyd performs, PostgreSQL remembers, this decides who may ask.

use http::StatusCode;
use oauth::ids::UserId;
use serde::{Deserialize, Serialize};
use sqlx::PgTransaction;
use store::audit::Event;
use uuid::Uuid;
use web::response::json;
use web::{Request, Response};
use wire::{Algorithm, Class, KeyState, KeyView, Kid};

use super::body;
use crate::app::App;
use crate::failure::Failure;
use crate::keeper;
use crate::operator::{Permission, allowed, fresh};
use crate::store::{KeyChange, StoreError, record};

/// A key as an operator sees it. Times are seconds since the epoch.
#[derive(Serialize)]
struct Key {
    kid: String,
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
    issuer: String,
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    class: String,
    algorithm: String,
}

pub(crate) async fn list(app: &App, request: &Request) -> Result<Response, Failure> {
    allowed(app, request, Permission::ManageKeys).await?;
    let issuer = app.issuer_row().ok_or(Failure::Unavailable)?;
    let keys = keeper::refresh(app, issuer).await?.keys.into_iter().map(Key::from).collect();
    Ok(json(StatusCode::OK, &Keys { issuer: app.config.issuer.clone(), keys }))
}

/// A new key, in the JWKS from now on. It signs when it is activated, no sooner than caches allow.
pub(crate) async fn stage(app: &App, request: &Request) -> Result<Response, Failure> {
    let actor = fresh(allowed(app, request, Permission::ManageKeys).await?)?.user;
    let wanted: Wanted = body(request)?;
    let class: Class =
        wanted.class.parse().map_err(|()| Failure::Invalid("class: token, admin or audit"))?;
    let algorithm: Algorithm =
        wanted.algorithm.parse().map_err(|()| Failure::Invalid("algorithm: ES256 or RS256"))?;
    if class != Class::Token && algorithm != Algorithm::Es256 {
        return Err(Failure::Invalid("keys of this class are ES256"));
    }
    let (issuer, mut lock, keys) = lock(app).await?;
    let same = |key: &KeyView| {
        key.class == class && key.algorithm == algorithm && key.state == KeyState::Staged
    };
    if keys.iter().any(same) {
        return Err(Failure::Conflict("a key of this kind is staged already"));
    }
    let changed = keeper::stage(app, &mut lock, issuer, Some(actor), (class, algorithm)).await?;
    commit(app, lock, issuer).await?;
    Ok(json(StatusCode::CREATED, &Key::from(changed.view)))
}

/// The key signs from now on; the one that it succeeds ends with the same act.
pub(crate) async fn activate(app: &App, request: &Request, kid: &str) -> Result<Response, Failure> {
    let actor = fresh(allowed(app, request, Permission::ManageKeys).await?)?.user;
    let (issuer, mut lock, keys) = lock(app).await?;
    let key = find(&keys, kid)?;
    if key.state != KeyState::Staged {
        return Err(Failure::Conflict("only a staged key can be activated"));
    }
    let former = keys
        .iter()
        .find(|other| {
            other.class == key.class
                && other.algorithm == key.algorithm
                && other.state == KeyState::Active
        })
        .map(|former| former.kid);
    keeper::succeed(app, &mut lock, issuer, Some(actor), (key.kid, former)).await?;
    let keys = commit(app, lock, issuer).await?;
    Ok(json(StatusCode::OK, &Key::from(find(&keys, kid)?)))
}

/// The key signs no more. The last one that signs for its kind stays: without it nobody could sign in.
pub(crate) async fn retire(app: &App, request: &Request, kid: &str) -> Result<Response, Failure> {
    let actor = fresh(allowed(app, request, Permission::ManageKeys).await?)?.user;
    let (issuer, mut lock, keys) = lock(app).await?;
    let key = find(&keys, kid)?;
    let another = keys.iter().any(|other| {
        other.kid != key.kid
            && other.class == key.class
            && other.algorithm == key.algorithm
            && other.state == KeyState::Active
    });
    match key.state {
        KeyState::Active if another => {}
        KeyState::Active => {
            return Err(Failure::Conflict(
                "the only signing key of its kind; activate a successor instead",
            ));
        }
        KeyState::Staged | KeyState::Retired => {
            return Err(Failure::Conflict("only an active key can be retired"));
        }
    }
    let changed = app.signer.retire(key.kid).await?;
    save_retired(&mut lock, issuer, actor, &changed).await?;
    commit(app, lock, issuer).await?;
    Ok(json(StatusCode::OK, &Key::from(changed.view)))
}

async fn save_retired(
    lock: &mut PgTransaction<'_>,
    issuer: Uuid,
    actor: UserId,
    changed: &signer::Changed,
) -> Result<(), Failure> {
    let change =
        KeyChange { sealed: &changed.sealed, view: &changed.view, event: Event::KeyRetired };
    Ok(record(lock, issuer, Some(actor), &change).await?)
}

/// The right to change keys, with keyd told first what PostgreSQL holds, and what it believes of that.
async fn lock(app: &App) -> Result<(Uuid, PgTransaction<'_>, Vec<KeyView>), Failure> {
    let issuer = app.issuer_row().ok_or(Failure::Unavailable)?;
    let lock = app
        .store
        .key_lock()
        .await?
        .ok_or(Failure::Conflict("keys are being changed; try again"))?;
    let keys = keeper::refresh(app, issuer).await?.keys;
    Ok((issuer, lock, keys))
}

async fn commit(app: &App, lock: PgTransaction<'_>, issuer: Uuid) -> Result<Vec<KeyView>, Failure> {
    lock.commit().await.map_err(StoreError::from)?;
    Ok(keeper::refresh(app, issuer).await?.keys)
}

fn find(keys: &[KeyView], kid: &str) -> Result<KeyView, Failure> {
    let kid: Kid = kid.parse().map_err(|_| Failure::NotFound)?;
    keys.iter().find(|key| key.kid == kid).cloned().ok_or(Failure::NotFound)
}
