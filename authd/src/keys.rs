//! The issuer's keys as this node knows them: statements from PostgreSQL, believed by keyd, kept in memory.
//!
//! The JWKS is served from here with keyd or PostgreSQL gone.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use signer::{KeySet, SignerError};
use tokio::sync::Mutex;
use wire::{Algorithm, Class, Purpose, Refused};

use crate::app::App;
use crate::failure::Failure;

/// How often the statements are read again: a staged key is in the JWKS this soon, while it may sign only
/// after verifiers' caches have expired.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same, while something that is needed is missing.
const EAGER: Duration = Duration::from_millis(250);

/// A key set that was not refreshed for this long may lack a key that another node has staged.
const STALE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(crate) struct Keys {
    current: RwLock<Arc<KeySet>>,
    refreshed: RwLock<Option<Instant>>,
    refreshing: Mutex<()>,
}

impl Keys {
    pub(crate) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a verifier may keep what is served now for as long as the rotation policy says.
    pub(crate) fn is_fresh(&self) -> bool {
        let refreshed = *self.refreshed.read().unwrap_or_else(PoisonError::into_inner);
        refreshed.is_some_and(|at| at.elapsed() < STALE)
    }

    fn replace(&self, set: KeySet) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        *self.refreshed.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Runs for the life of the process.
pub(crate) async fn keep_fresh(app: Arc<App>) {
    loop {
        let outcome = refresh(&app, None).await;
        let complete = app.keys.current().is_complete();
        if let Err(failure) = outcome {
            tracing::debug!(%failure, "signing keys could not be refreshed");
        }
        tokio::time::sleep(if complete { INTERVAL } else { EAGER }).await;
    }
}

/// Hands every statement to keyd and takes back what it believes. With `seen`, only if nobody has done so
/// since: of a hundred requests that meet a restarted keyd one refreshes, and the others wait for it.
async fn refresh(app: &App, seen: Option<&Arc<KeySet>>) -> Result<(), Failure> {
    let _one_at_a_time = app.keys.refreshing.lock().await;
    if seen.is_some_and(|seen| !Arc::ptr_eq(seen, &app.keys.current())) {
        return Ok(());
    }
    let (kids, sealed): (Vec<_>, Vec<_>) =
        app.store.key_statements(app.issuer()).await?.into_iter().unzip();
    let loaded = app.signer.load(sealed).await?;
    let keys = app.signer.public_keys().await?;
    // A keyd that restarted between the two calls knows nothing: an emptier key set must not be published.
    if keys.is_empty() && loaded.accepted > 0 {
        return Err(Failure::Unavailable);
    }
    // Not recognised by keyd, or recognised as a statement about another key or another issuer.
    let known = |kid: &String| {
        keys.iter().any(|key| key.issuer == app.issuer() && key.kid.to_string() == *kid)
    };
    for kid in kids.iter().filter(|kid| !known(kid)) {
        tracing::error!(kid, "ALARM: a signing key row was not written by keyd; it is ignored");
    }
    app.keys.replace(KeySet::new(app.issuer(), keys));
    Ok(())
}

/// Signs claims with the key that signs now. A keyd that has restarted knows no statements until it is told
/// them again, so an unknown key is worth one refresh.
pub(crate) async fn sign(
    app: &App,
    algorithm: Algorithm,
    purpose: Purpose,
    claims: Vec<u8>,
) -> Result<String, Failure> {
    let class = match purpose {
        Purpose::AccessToken | Purpose::IdToken => Class::Token,
        Purpose::AdminToken => Class::Admin,
    };
    let seen = app.keys.current();
    let first = attempt(app, &seen, (algorithm, purpose, class), &claims).await;
    if let Err(SignerError::Refused(Refused::UnknownKey | Refused::WrongKey)) = first {
        refresh(app, Some(&seen)).await?;
        return Ok(attempt(app, &app.keys.current(), (algorithm, purpose, class), &claims).await?);
    }
    Ok(first?)
}

async fn attempt(
    app: &App,
    keys: &KeySet,
    (algorithm, purpose, class): (Algorithm, Purpose, Class),
    claims: &[u8],
) -> Result<String, SignerError> {
    let kid = keys.signing(class, algorithm).ok_or(SignerError::Refused(Refused::UnknownKey))?;
    app.signer.sign(kid, purpose, claims.to_vec()).await
}
