//! What admind does by itself: keeps keys, sweeps what has expired, makes audit partitions ahead, and lets in who
//! accepted an invitation.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oauth::ids::UserId;
use signer::{Believed, Changed, KeySet, SignerError, Stated};
use sqlx::PgTransaction;
use store::audit::Event;
use uuid::Uuid;
use wire::{Algorithm, KeyState, KeyView, Kid, Refused};

use crate::app::App;
use crate::failure::Failure;
use crate::schedule::{self, Kind, OF_PLATFORM, OF_TENANT, Row, Step};
use crate::store::{Issuer, KeyChange, KeyRow, StoreError, destroyed, record};

/// How often keys are looked at, once everything needed is there; more often until then.
const KEYS: Duration = Duration::from_secs(10);
/// How often it is looked whether a tenant has got an issuer of its own.
const GLANCE: Duration = Duration::from_secs(1);
const EAGER: Duration = Duration::from_millis(250);
/// Most seconds between this machine's clock and PostgreSQL's.
const CLOCKS_S: u64 = 30;
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

/// What has been said once and is not said again.
#[derive(Default)]
struct Noted {
    planted: HashSet<String>,
    /// What the token does not offer. It is never asked for again: that is a property of the token.
    unsupported: HashSet<Algorithm>,
}

/// Runs for the life of the process.
pub(crate) async fn keep_keys(app: Arc<App>) {
    let mut noted = Noted::default();
    loop {
        if app.issuer_row().is_some()
            && let Err(failure) = tend(&app, &mut noted).await
        {
            // Before the first success keyd may simply not be up yet; afterwards it should be.
            if app.keys().is_complete() {
                tracing::warn!(%failure, "signing keys could not be tended");
            } else {
                tracing::info!(%failure, "waiting for signing keys");
            }
        }
        if app.keys().is_complete() {
            pause(&app).await;
        } else {
            tokio::time::sleep(EAGER).await;
        }
    }
}

/// Until keys are looked at again; sooner when a tenant has got an issuer of its own meanwhile.
async fn pause(app: &App) {
    let known = app.store.issuers_number().await.ok();
    let until = Instant::now() + KEYS;
    while Instant::now() < until {
        tokio::time::sleep(GLANCE).await;
        let there = app.store.issuers_number().await.ok();
        if there.is_some() && there != known {
            return;
        }
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
    /// The platform's first.
    pub(crate) issuers: Vec<Issuer>,
    /// The keys of these issuers, in every class.
    pub(crate) keys: Vec<KeyView>,
    /// Those of keyd's keys that PostgreSQL knows as destroyed.
    ended: Vec<KeyView>,
    rows: Vec<(Uuid, Row)>,
    planted: Vec<String>,
    /// Seconds since the epoch, by PostgreSQL's clock.
    now: u64,
}

impl Known {
    /// The keys of one issuer.
    pub(crate) fn of<'a>(&'a self, issuer: &'a Issuer) -> impl Iterator<Item = &'a KeyView> {
        self.keys.iter().filter(|key| key.issuer == issuer.url)
    }

    fn plan(&self, app: &App, issuer: &Issuer, noted: &Noted) -> Vec<Step> {
        let kinds: &[Kind] = if issuer.is_platform { &OF_PLATFORM } else { &OF_TENANT };
        let offered = |kind: &&Kind| !noted.unsupported.contains(&kind.1);
        let kinds: Vec<Kind> = kinds.iter().filter(offered).copied().collect();
        let keys: Vec<KeyView> = self.of(issuer).cloned().collect();
        let rows = self.rows.iter().filter(|(of, _)| *of == issuer.id).map(|(_, row)| *row);
        let rows: Vec<Row> = rows.collect();
        let mut steps = schedule::plan(&keys, &rows, &kinds, self.now, app.config.rotation);
        let ended: Vec<KeyView> =
            self.ended.iter().filter(|key| key.issuer == issuer.url).cloned().collect();
        steps.extend(schedule::spent(&ended, self.now));
        steps
    }
}

/// Tells keyd what PostgreSQL holds, takes back what it believes, and takes the steps that are due, issuer by
/// issuer: what fails for one is left for the next time and keeps no other waiting.
async fn tend(app: &App, noted: &mut Noted) -> Result<(), Failure> {
    let mut known = refresh(app).await?;
    for kid in &known.planted {
        tracing::error!(kid, "ALARM: a signing key row was not written by keyd; it is ignored");
        if !noted.planted.contains(kid) {
            app.store.planted(kid).await?;
            noted.planted.insert(kid.clone());
        }
    }
    // keyd's clock is this machine's. Nothing is begun or ended while it is not known what time it is: a key that was
    // staged in the future could not sign for as long, and one destroyed too soon takes tokens along (F21).
    let apart_s = known.now.abs_diff(host::clock::now_s());
    if apart_s > CLOCKS_S {
        tracing::error!(
            apart_s,
            "ALARM: this machine's clock differs from PostgreSQL's; keys are left as they are"
        );
        return Ok(());
    }
    for issuer in known.issuers.clone() {
        known = advance(app, &issuer, known, noted).await?;
    }
    Ok(())
}

/// Takes the steps that are due for one issuer: each under the lock and in a transaction of its own, so that
/// one that fails undoes no other. Fails only where the cause is nobody's own: the database or keyd is away.
async fn advance(
    app: &App,
    issuer: &Issuer,
    mut known: Known,
    noted: &mut Noted,
) -> Result<Known, Failure> {
    let mut failed: Vec<Step> = Vec::new();
    for _ in 0..STEPS {
        if known.plan(app, issuer, noted).iter().all(|step| failed.contains(step)) {
            break;
        }
        let Some(mut lock) = app.store.key_lock().await? else {
            tracing::info!("keys are being changed by another node, or by hand");
            break;
        };
        // Another node may have acted between the plan and the lock: plan again from what is there now.
        known = refresh(app).await?;
        let due = known.plan(app, issuer, noted);
        let Some(step) = due.into_iter().find(|step| !failed.contains(step)) else { break };
        let outcome = match perform(app, &mut lock, issuer, step).await {
            Ok(()) => lock.commit().await.map_err(|error| StoreError::from(error).into()),
            Err(failure) => {
                // Now, and not when the connection gets around to it: the next step wants the lock.
                lock.rollback().await.map_err(StoreError::from)?;
                Err(failure)
            }
        };
        match (outcome, step) {
            (Ok(()), _) => {}
            // Not every token makes every kind of key.
            (
                Err(Failure::Keyd(SignerError::Refused(Refused::Unsupported))),
                Step::Stage(_, algorithm),
            ) => {
                let algorithm_name = algorithm.name();
                tracing::warn!(algorithm = algorithm_name, "the token does not offer this");
                noted.unsupported.insert(algorithm);
            }
            (Err(failure), _) => {
                let issuer = &issuer.url;
                tracing::warn!(%failure, issuer, ?step, "a step of a key's life could not be taken");
                failed.push(step);
            }
        }
        known = refresh(app).await?;
    }
    Ok(known)
}

/// All of it, for every issuer: what a keyd that has just restarted knows of some must not pass for everything.
pub(crate) async fn refresh(app: &App) -> Result<Known, Failure> {
    let now = app.store.now().await?;
    let issuers = app.store.issuers().await?;
    let rows = app.store.key_rows().await?;
    let url = |id: Uuid| issuers.iter().find(|issuer| issuer.id == id).map(|issuer| &issuer.url);
    let stated: Vec<_> = rows
        .iter()
        .map(|row| Stated {
            issuer: url(row.issuer).map_or("", String::as_str),
            kid: &row.kid,
            sealed: &row.sealed,
        })
        .collect();
    let Believed { mut keys, planted } = app.signer.believed(&stated).await?;
    // Callers are verified with the platform's keys, whatever other issuers there are.
    app.replace_keys(KeySet::new(&app.config.issuer, keys.clone()));
    let planted =
        planted.into_iter().filter_map(|at| Some(stated.get(at)?.kid.to_owned())).collect();
    let rank = |key: &KeyView| issuers.iter().position(|issuer| issuer.url == key.issuer);
    keys.retain(|key| rank(key).is_some());
    // Destroyed by another node or by hand, and not heard of by this keyd: nothing is begun with such a key.
    let named = |key: &KeyView| rows.iter().any(|row| row.kid == key.kid.to_string());
    let unnamed: Vec<String> =
        keys.iter().filter(|key| !named(key)).map(|key| key.kid.to_string()).collect();
    let destroyed = app.store.destroyed_among(&unnamed).await?;
    let (ended, mut keys): (Vec<_>, Vec<_>) =
        keys.into_iter().partition(|key| destroyed.contains(&key.kid.to_string()));
    keys.sort_by_key(|key| (rank(key), key.staged_at, key.kid));
    let row = |row: &KeyRow| {
        let (kid, class, state) = (row.kid.parse().ok()?, row.class?, row.state?);
        Some((row.issuer, Row { kid, class, state, retired_at: row.retired_at }))
    };
    let rows = rows.iter().filter_map(row).collect();
    Ok(Known { issuers, keys, ended, rows, planted, now })
}

async fn perform(
    app: &App,
    lock: &mut PgTransaction<'_>,
    issuer: &Issuer,
    step: Step,
) -> Result<(), Failure> {
    match step {
        Step::Stage(class, algorithm) => {
            stage(app, lock, issuer, None, (class, algorithm)).await.map(drop)
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
    issuer: &Issuer,
    actor: Option<UserId>,
    (class, algorithm): Kind,
) -> Result<Changed, Failure> {
    let changed = app.signer.generate(issuer.url.clone(), algorithm, class).await?;
    save(lock, issuer, actor, &changed, Event::KeyStaged).await?;
    Ok(changed)
}

/// The successor signs from now on, the former no more. The former's row goes first: the database allows one
/// active key of a kind.
pub(crate) async fn succeed(
    app: &App,
    lock: &mut PgTransaction<'_>,
    issuer: &Issuer,
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

pub(crate) async fn save(
    lock: &mut PgTransaction<'_>,
    issuer: &Issuer,
    actor: Option<UserId>,
    changed: &Changed,
    event: Event,
) -> Result<(), Failure> {
    let change = KeyChange { sealed: &changed.sealed, view: &changed.view, event };
    if record(lock, issuer.id, actor, &change).await? {
        return Ok(());
    }
    Err(Failure::Conflict("the key has been destroyed"))
}
