//! argon2id, bounded: so many hashes at once, so many waiting, and the rest are told to come back.
//!
//! Memory stays below permits × memory whatever arrives (F27), and tokens are not starved by a login flood.

mod place;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use argon2::Params;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::app::random;
use crate::config::Hashing;
use crate::failure::Failure;
use place::{Place, Places};

/// Sign-ins that may wait for a permit, per permit. At 20 ms a hash that is well under a second.
const WAITING_PER_PERMIT: u32 = 16;

pub(crate) struct Hasher {
    params: Params,
    places: Arc<Places>,
    permits: Arc<Semaphore>,
    waiting: AtomicU32,
    waiting_max: u32,
    /// Verified against when there is no account, so that both cases do the same work (W128).
    decoy: SecretString,
}

/// What a verification found.
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// Right, and the stored parameters are out of date: here is a new hash.
    Outdated(SecretString),
}

impl Hasher {
    pub(crate) fn new(hashing: Hashing) -> Result<Self, argon2::Error> {
        let params = Params::new(hashing.memory_kib, hashing.passes, 1, None)?;
        let places = Arc::new(Places::default());
        let salt = SaltString::encode_b64(&[0; 16]).map_err(|_| argon2::Error::SaltTooShort)?;
        let decoy = places.take(&params).hash_password(b"nobody", &salt);
        let decoy = decoy.map_err(|_| argon2::Error::AlgorithmInvalid)?.to_string();
        Ok(Self {
            permits: Arc::new(Semaphore::new(hashing.concurrency as usize)),
            waiting: AtomicU32::new(0),
            waiting_max: hashing.concurrency * WAITING_PER_PERMIT,
            decoy: decoy.into(),
            params,
            places,
        })
    }

    /// Verifies `password`; without a stored hash, against the decoy, at the same cost, and always wrong.
    pub(crate) async fn verify(
        &self,
        password: SecretString,
        stored: Option<&SecretString>,
    ) -> Result<Verdict, Failure> {
        let known = stored.is_some();
        let hash = stored.unwrap_or(&self.decoy).clone();
        self.bounded(move |place, ours| {
            let Ok(parsed) = PasswordHash::new(hash.expose_secret()) else {
                return Ok(Verdict::Wrong);
            };
            let right = place.verify_password(password.expose_secret().as_bytes(), &parsed).is_ok();
            if !(right && known) {
                return Ok(Verdict::Wrong);
            }
            let current = Params::try_from(&parsed).is_ok_and(|params| {
                params.m_cost() >= ours.m_cost() && params.t_cost() >= ours.t_cost()
            });
            if current {
                Ok(Verdict::Right)
            } else {
                hash_at(place, &password).map(Verdict::Outdated)
            }
        })
        .await
    }

    /// The hash of a new password.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<SecretString, Failure> {
        self.bounded(move |place, _| hash_at(place, &password)).await
    }

    async fn bounded<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Place<'_>, &Params) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.waiting_max {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(Failure::Overloaded);
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        let permit = permit.map_err(|_| Failure::internal("the hasher is closed"))?;
        let (places, params) = (Arc::clone(&self.places), self.params.clone());
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work(&places.take(&params), &params);
            // Not before the place is free again.
            drop(permit);
            outcome
        });
        done.await.map_err(|_| Failure::internal("a hash did not finish"))?
    }
}

fn hash_at(place: &Place<'_>, password: &SecretString) -> Result<SecretString, Failure> {
    let bytes = random()?;
    let (salt, _) = bytes.split_at(16);
    let salt = SaltString::encode_b64(salt).map_err(|_| Failure::internal("salt"))?;
    place
        .hash_password(password.expose_secret().as_bytes(), &salt)
        .map(|hash| hash.to_string().into())
        .map_err(|_| Failure::internal("argon2"))
}
