//! The issuers and their keys as this node knows them: statements from PostgreSQL, believed by keyd, kept in
//! memory.
//!
//! The JWKS is served from here with keyd or PostgreSQL gone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use oauth::ids::TenantId;
use signer::{Believed, KeySet, SignerError, Stated};
use tokio::sync::Mutex;
use wire::{Algorithm, Class, Kid, Purpose, Refused, Sealed};

use crate::app::App;
use crate::failure::Failure;
use crate::issuer::{Issuer, Issuers, Site};

/// How often the statements are read again: a staged key is in the JWKS this soon, while it may sign only
/// after verifiers' caches have expired.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often it is looked whether a tenant has got an issuer of its own.
const GLANCE: Duration = Duration::from_secs(1);
/// The same, while something that is needed is missing.
const EAGER: Duration = Duration::from_millis(250);

/// Seconds in which a key that was staged is surely in what every node serves: no copy of a key set that is older than
/// the rotation policy allows may outlive the wait of a staged key.
pub(crate) const PUBLISHED_S: u32 = 10;
/// A key set that was not refreshed for so long may lack a key that another node has staged.
const STALE: Duration = Duration::from_secs(PUBLISHED_S as u64);

pub(crate) struct Keys {
    current: RwLock<Arc<Issuers>>,
    refreshed: RwLock<Option<Instant>>,
    refreshing: Mutex<()>,
}

impl Keys {
    /// Before anything was read: the platform's issuer, without a key.
    pub(crate) fn unread(issuer: &str) -> Self {
        Self {
            current: RwLock::new(Arc::new(Issuers::unread(issuer))),
            refreshed: RwLock::default(),
            refreshing: Mutex::default(),
        }
    }

    pub(crate) fn current(&self) -> Arc<Issuers> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a verifier may keep what is served now for as long as the rotation policy says.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_younger_than(STALE)
    }

    fn is_younger_than(&self, age: Duration) -> bool {
        let refreshed = *self.refreshed.read().unwrap_or_else(PoisonError::into_inner);
        refreshed.is_some_and(|at| at.elapsed() < age)
    }

    fn replace(&self, issuers: Issuers) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(issuers);
        *self.refreshed.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Runs for the life of the process.
pub(crate) async fn keep_fresh(app: Arc<App>) {
    loop {
        let outcome = refresh(&app, None).await;
        let complete = app.keys.current().platform.is_ready();
        if let Err(failure) = outcome {
            tracing::debug!(%failure, "signing keys could not be refreshed");
        }
        if complete {
            pause(&app).await;
        } else {
            tokio::time::sleep(EAGER).await;
        }
    }
}

/// Until the next refresh is due; sooner when there is an issuer more or less, or one that waits for its keys.
async fn pause(app: &App) {
    let issuers = app.keys.current();
    let waiting = issuers.tenants.values().any(|issuer| !issuer.is_ready());
    let known = 1 + issuers.tenants.len();
    let until = Instant::now() + INTERVAL;
    while Instant::now() < until {
        tokio::time::sleep(GLANCE).await;
        let there = app.store.issuers_number().await;
        if waiting || there.is_ok_and(|there| there != known) {
            return;
        }
    }
}

/// An issuer as PostgreSQL has it, with the statements about its keys.
pub(crate) struct IssuerRow {
    pub(crate) url: String,
    pub(crate) tenant: Option<(TenantId, String)>,
    pub(crate) statements: Vec<(String, Sealed)>,
    pub(crate) detail_types: Vec<String>,
}

impl IssuerRow {
    fn stated(&self) -> impl Iterator<Item = Stated<'_>> {
        let issuer = &self.url;
        self.statements.iter().map(move |(kid, sealed)| Stated { issuer, kid, sealed })
    }
}

/// Hands every statement to keyd and takes back what it believes. With `seen`, only if nobody has done so
/// since: of a hundred requests that meet a restarted keyd one refreshes, and the others wait for it.
async fn refresh(app: &App, seen: Option<&Arc<Issuers>>) -> Result<(), Failure> {
    let _one_at_a_time = app.keys.refreshing.lock().await;
    if seen.is_some_and(|seen| !Arc::ptr_eq(seen, &app.keys.current())) {
        return Ok(());
    }
    let rows = app.store.issuers().await?;
    let stated: Vec<_> = rows.iter().flat_map(IssuerRow::stated).collect();
    let Believed { keys, planted } = app.signer.believed(&stated).await?;
    for row in planted.into_iter().filter_map(|at| stated.get(at)) {
        let kid = row.kid;
        tracing::error!(kid, "ALARM: a signing key row was not written by keyd; it is ignored");
    }
    let mut issuers = Issuers::unread(&app.config.issuer);
    let mut tenants = HashMap::new();
    for row in rows {
        let set = KeySet::new(&row.url, keys.clone());
        match row.tenant {
            None if row.url == app.config.issuer => {
                let base = String::new();
                let detail_types = row.detail_types;
                issuers.platform =
                    Arc::new(Issuer { url: row.url, base, tenant: None, keys: set, detail_types });
            }
            // Another installation's row: `admit` refuses to serve on it.
            None => {}
            Some((tenant, slug)) => {
                let base = format!("/t/{slug}");
                // Its address follows from ours; a row that says otherwise serves nobody.
                if row.url == format!("{}{base}", app.config.issuer) {
                    let issuer = Issuer {
                        url: row.url,
                        base,
                        tenant: Some(tenant),
                        keys: set,
                        detail_types: row.detail_types,
                    };
                    tenants.insert(slug, Arc::new(issuer));
                }
            }
        }
    }
    issuers.tenants = tenants;
    app.keys.replace(issuers);
    Ok(())
}

/// Signs claims with the key of this issuer that signs now. A keyd that has restarted knows no statements
/// until it is told them again, so a key that it does not know is worth one refresh. That nobody here knows a key for
/// the algorithm is worth one in a while: perhaps the token makes none, and then it is so at every request.
pub(crate) async fn sign(
    site: &Site<'_>,
    algorithm: Algorithm,
    purpose: Purpose,
    claims: Vec<u8>,
) -> Result<String, Failure> {
    let seen = site.keys.current();
    let is_old = match signing(site, algorithm, purpose) {
        Some(kid) => match site.signer.sign(kid, purpose, claims.clone()).await {
            Err(SignerError::Refused(Refused::UnknownKey | Refused::WrongKey)) => true,
            answered => return Ok(answered?),
        },
        None => !site.keys.is_younger_than(GLANCE),
    };
    if is_old {
        refresh(site, Some(&seen)).await?;
    }
    // `site` is what was known when the request came, right after a start nothing.
    let renewed = site.renewed().ok_or(Failure::NotFound)?;
    let unknown = SignerError::Refused(Refused::UnknownKey);
    let kid = signing(&renewed, algorithm, purpose).ok_or(unknown)?;
    Ok(site.signer.sign(kid, purpose, claims).await?)
}

fn signing(site: &Site<'_>, algorithm: Algorithm, purpose: Purpose) -> Option<Kid> {
    let class = match purpose {
        Purpose::AccessToken | Purpose::IdToken => Class::Token,
        Purpose::AdminToken => Class::Admin,
    };
    site.key_set().signing(class, algorithm)
}
