//! What admind does by itself: keeps keys, sweeps what has expired, makes audit partitions ahead, and lets in who
//! accepted an invitation.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use oauth::ids::UserId;
use signer::{Changed, KeySet, SignerError};
use sqlx::PgTransaction;
use store::audit::Event;
use uuid::Uuid;
use wire::{Algorithm, Class, KeyState, KeyView, Kid, Refused};

use crate::app::App;
use crate::failure::Failure;
use crate::schedule::{self, Row, Step};
use crate::store::{KeyChange, KeyRow, StoreError, destroyed, record};

/// How often keys are looked at, once everything needed is there; more often until then.
const KEYS: Duration = Duration::from_secs(10);
const EAGER: Duration = Duration::from_millis(250);
/// Most steps that are taken in one go.
const STEPS: usize = 32;
/// How often expired rows are swept, and how many at a time.
const SWEEP: Duration = Duration::from_secs(60);
const BATCH: i32 = 2000;
const BATCH_MIN: i32 = 50;
/// How often accepted invitations are looked for: a person waits. How many at a time.
const INVITED: Duration = Duration::from_secs(3);
const INVITED_BATCH: i32 = 100;
/// Most batches in one go.
const SWEEPS: usize = 100;
/// Months of audit partitions made ahead.
const MONTHS: i32 = 12;

/// Runs for the life of the process.
pub(crate) async fn keep_keys(app: Arc<App>) {
    let mut noted = HashSet::new();
    loop {
        if let Some(issuer) = app.issuer_row()
            && let Err(failure) = tend(&app, issuer, &mut noted).await
        {
            // Before the first success keyd may simply not be up yet; afterwards it should be.
            if app.keys().is_complete() {
                tracing::warn!(%failure, "signing keys could not be tended");
            } else {
                tracing::info!(%failure, "waiting for signing keys");
            }
        }
        tokio::time::sleep(if app.keys().is_complete() { KEYS } else { EAGER }).await;
    }
}

/// Runs for the life of the process.
pub(crate) async fn keep_house(app: Arc<App>) {
    loop {
        if app.issuer_row().is_some() {
            sweep(&app).await;
            if let Err(error) = app.store.partitions_ahead(MONTHS).await {
                tracing::warn!(%error, "audit partitions could not be made ahead");
            }
        }
        tokio::time::sleep(SWEEP).await;
    }
}

/// Runs for the life of the process. Any number of nodes may: each takes the rows that no other holds.
pub(crate) async fn keep_memberships(app: Arc<App>) {
    loop {
        if app.issuer_row().is_some() {
            let_in(&app).await;
        }
        tokio::time::sleep(INVITED).await;
    }
}

async fn let_in(app: &App) {
    for _ in 0..SWEEPS {
        match app.store.join_invited(INVITED_BATCH).await {
            Ok(0) => return,
            Ok(joined) => {
                tracing::info!(joined, "accepted invitations became memberships");
                if joined < i64::from(INVITED_BATCH) {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "accepted invitations could not become memberships");
                return;
            }
        }
    }
}

/// Batch after batch while batches come back full; a smaller one when one takes too long.
async fn sweep(app: &App) {
    let mut batch = BATCH;
    for _ in 0..SWEEPS {
        match app.store.sweep(batch).await {
            Ok(rows) if rows < i64::from(batch) => return,
            Ok(rows) => tracing::debug!(rows, "expired rows removed"),
            Err(error) if batch > BATCH_MIN => {
                tracing::warn!(%error, batch, "expired rows could not be removed; trying fewer");
                batch /= 4;
            }
            Err(error) => {
                tracing::warn!(%error, "expired rows could not be removed");
                return;
            }
        }
    }
}

/// What keyd believes after it was told what PostgreSQL holds.
pub(crate) struct Known {
    /// The keys of this issuer, in every class.
    pub(crate) keys: Vec<KeyView>,
    rows: Vec<Row>,
    planted: Vec<String>,
}

impl Known {
    fn plan(&self, app: &App) -> Vec<Step> {
        schedule::plan(&self.keys, &self.rows, host::clock::now_s(), app.config.rotation)
    }
}

/// Tells keyd what PostgreSQL holds, takes back what it believes, and takes the steps that are due: each under
/// the lock and in a transaction of its own, so that one that fails undoes no other.
async fn tend(app: &App, issuer: Uuid, noted: &mut HashSet<String>) -> Result<(), Failure> {
    let mut known = refresh(app, issuer).await?;
    for kid in &known.planted {
        tracing::error!(kid, "ALARM: a signing key row was not written by keyd; it is ignored");
        if !noted.contains(kid) {
            app.store.planted(kid).await?;
            noted.insert(kid.clone());
        }
    }
    let mut failed: Vec<Step> = Vec::new();
    for _ in 0..STEPS {
        if known.plan(app).iter().all(|step| failed.contains(step)) {
            break;
        }
        let Some(mut lock) = app.store.key_lock().await? else { break };
        // Another node may have acted between the plan and the lock: plan again from what is there now.
        known = refresh(app, issuer).await?;
        let Some(step) = known.plan(app).into_iter().find(|step| !failed.contains(step)) else {
            break;
        };
        match perform(app, &mut lock, issuer, step).await {
            Ok(()) => lock.commit().await.map_err(StoreError::from)?,
            Err(failure) => {
                tracing::warn!(%failure, ?step, "a step of a key's life could not be taken");
                failed.push(step);
            }
        }
        known = refresh(app, issuer).await?;
    }
    Ok(())
}

pub(crate) async fn refresh(app: &App, issuer: Uuid) -> Result<Known, Failure> {
    let rows = app.store.key_rows(issuer).await?;
    let loaded = app.signer.load(rows.iter().map(|row| row.sealed.clone()).collect()).await?;
    let mut keys = app.signer.public_keys().await?;
    // A keyd that restarted between the two calls knows nothing: plan nothing on that.
    if keys.is_empty() && loaded.accepted > 0 {
        return Err(Failure::Unavailable);
    }
    app.replace_keys(KeySet::new(&app.config.issuer, keys.clone()));
    keys.retain(|key| key.issuer == app.config.issuer);
    keys.sort_by_key(|key| (key.staged_at, key.kid));
    // Not recognised by keyd, or recognised as a statement about another key or another issuer.
    let known = |kid: &str| keys.iter().any(|key| key.kid.to_string() == kid);
    let planted = rows.iter().filter(|row| !known(&row.kid)).map(|row| row.kid.clone()).collect();
    let row = |row: &KeyRow| {
        let (kid, state) = (row.kid.parse().ok()?, row.state?);
        Some(Row { kid, state, retired_at: row.retired_at })
    };
    let rows = rows.iter().filter_map(row).collect();
    Ok(Known { keys, rows, planted })
}

async fn perform(
    app: &App,
    lock: &mut PgTransaction<'_>,
    issuer: Uuid,
    step: Step,
) -> Result<(), Failure> {
    match step {
        Step::Stage(class, algorithm) => {
            let outcome = stage(app, lock, issuer, None, (class, algorithm)).await;
            // Not every token makes every kind of key; what it cannot make it cannot be asked for.
            if let Err(Failure::Keyd(SignerError::Refused(Refused::Unsupported))) = outcome {
                tracing::warn!(?class, ?algorithm, "the token does not offer this kind of key");
                return Ok(());
            }
            outcome.map(drop)
        }
        Step::ActivateFirst(kid) => {
            let changed = app.signer.activate(kid, true).await?;
            save(lock, issuer, None, &changed, Event::KeyActivated).await
        }
        Step::Succeed { successor, former } => {
            succeed(app, lock, issuer, None, (successor, Some(former))).await
        }
        Step::Retire(kid) | Step::Restate(kid, KeyState::Retired) => {
            let changed = app.signer.retire(kid).await?;
            save(lock, issuer, None, &changed, Event::KeyRetired).await
        }
        // keyd repeats its last statement: asking again for what was done changes nothing there.
        Step::Restate(_, KeyState::Staged) => Ok(()),
        Step::Restate(kid, KeyState::Active) => {
            let changed = app.signer.activate(kid, false).await?;
            save(lock, issuer, None, &changed, Event::KeyActivated).await
        }
        Step::Forget(kid) => Ok(destroyed(lock, None, &kid.to_string()).await?),
        Step::Destroy(kid) => {
            app.signer.destroy(kid).await?;
            Ok(destroyed(lock, None, &kid.to_string()).await?)
        }
    }
}

/// A new key, public from now on.
pub(crate) async fn stage(
    app: &App,
    lock: &mut PgTransaction<'_>,
    issuer: Uuid,
    actor: Option<UserId>,
    (class, algorithm): (Class, Algorithm),
) -> Result<Changed, Failure> {
    let changed = app.signer.generate(app.config.issuer.clone(), algorithm, class).await?;
    save(lock, issuer, actor, &changed, Event::KeyStaged).await?;
    Ok(changed)
}

/// The successor signs from now on, the former no more. The former's row goes first: the database allows one
/// active key of a kind.
pub(crate) async fn succeed(
    app: &App,
    lock: &mut PgTransaction<'_>,
    issuer: Uuid,
    actor: Option<UserId>,
    (successor, former): (Kid, Option<Kid>),
) -> Result<(), Failure> {
    let activated = app.signer.activate(successor, false).await?;
    if let Some(former) = former {
        let retired = app.signer.retire(former).await?;
        save(lock, issuer, actor, &retired, Event::KeyRetired).await?;
    }
    save(lock, issuer, actor, &activated, Event::KeyActivated).await
}

async fn save(
    lock: &mut PgTransaction<'_>,
    issuer: Uuid,
    actor: Option<UserId>,
    changed: &Changed,
    event: Event,
) -> Result<(), Failure> {
    let change = KeyChange { sealed: &changed.sealed, view: &changed.view, event };
    Ok(record(lock, issuer, actor, &change).await?)
}
