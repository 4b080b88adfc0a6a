//! The async client of keyd.
//!
//! One connection, shared by everybody who holds a [`Signer`]; requests are pipelined and answered in any
//! order. Signing comes before anything is committed, so a lost answer may be asked for again: reads,
//! `Sign`, `Load`, `Derive` and `SealAudit` are retried for two seconds, the length of a restart of keyd.
//! What changes a key is never sent twice.
#![warn(missing_docs)]

mod believed;
pub mod client_key;
mod courier;
mod keyset;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use wire::{
    Algorithm, Class, DeriveLabel, FRAME_MAX, KeyView, Kid, Purpose, Refused, Reply, Request,
    Sealed, Secret32, Sign,
};

use courier::Ask;

pub use believed::{Believed, Stated};
pub use keyset::{KeySet, NotOurs};

/// How long a request that may be repeated is tried for; also how long any request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the answer to a request that changes a key may take: a token may need long to make one.
const CHANGE_PATIENCE: Duration = Duration::from_secs(30);
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// Most requests that are on their way at once.
const PENDING_MAX: usize = 1024;

/// Why there is no answer, or a negative one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignerError {
    /// keyd or its token cannot be used now; it was tried for as long as is sensible.
    Unavailable,
    /// keyd said no.
    Refused(Refused),
    /// keyd answered something else, or the request does not fit into a frame.
    Protocol,
}

impl fmt::Display for SignerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str("keyd is not available"),
            Self::Refused(why) => write!(f, "keyd refused: {why:?}"),
            Self::Protocol => f.write_str("keyd and its client do not understand each other"),
        }
    }
}

impl std::error::Error for SignerError {}

/// The outcome of a change to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The new statement, to be stored verbatim.
    pub sealed: Sealed,
    /// What it says.
    pub view: KeyView,
}

/// keyd, as seen from here. Cheap to clone; every clone shares one connection. All calls are safe to cancel:
/// an answer that nobody waits for any more is dropped.
#[derive(Debug, Clone)]
pub struct Signer {
    asks: mpsc::Sender<Ask>,
    places: Arc<Semaphore>,
    next_id: Arc<AtomicU64>,
}

impl Signer {
    /// A client of the keyd at `path`, which must run as `keyd_uid`: a socket that somebody else has put
    /// there is not spoken to. Connects when first asked. Must be called inside a tokio runtime; the
    /// connection lives there until the last clone is dropped.
    pub fn new(path: impl Into<PathBuf>, keyd_uid: u32) -> Self {
        let (asks, queue) = mpsc::channel(PENDING_MAX);
        tokio::spawn(courier::run(path.into(), keyd_uid, queue));
        Self {
            asks,
            places: Arc::new(Semaphore::new(PENDING_MAX)),
            next_id: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Asks, and asks again if that is safe and may help. A [`Reply::Refused`] comes back as an error.
    pub async fn call(&self, request: Request) -> Result<Reply, SignerError> {
        let changes = changes_a_key(&request);
        let now = Instant::now();
        let send_by = now + PATIENCE;
        let answer_by = if changes { send_by + CHANGE_PATIENCE } else { send_by };
        let mut pause = PAUSE_FIRST;
        loop {
            let answer = timeout_at(answer_by, self.ask(&request, send_by)).await;
            match answer.unwrap_or(Err(SignerError::Unavailable)) {
                Ok(Reply::Refused(why)) if !why.is_transient() || changes => {
                    return Err(SignerError::Refused(why));
                }
                Ok(Reply::Refused(_)) => {}
                Ok(reply) => return Ok(reply),
                Err(error @ (SignerError::Protocol | SignerError::Refused(_))) => {
                    return Err(error);
                }
                Err(SignerError::Unavailable) if changes => return Err(SignerError::Unavailable),
                Err(SignerError::Unavailable) => {}
            }
            if Instant::now() + pause >= answer_by {
                return Err(SignerError::Unavailable);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn ask(&self, request: &Request, send_by: Instant) -> Result<Reply, SignerError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = wire::encode(id, request, FRAME_MAX).map_err(|_| SignerError::Protocol)?;
        let place = timeout_at(send_by, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| SignerError::Unavailable)?
            .map_err(|_| SignerError::Unavailable)?;
        let (answer, answered) = oneshot::channel();
        let ask = Ask { id, frame, send_by, answer, place };
        // There are as many places in the queue as in the semaphore, so it is never full.
        self.asks.send(ask).await.map_err(|_| SignerError::Unavailable)?;
        answered.await.map_err(|_| SignerError::Unavailable)
    }

    /// Signs claims for a purpose; a compact JWS.
    pub async fn sign(
        &self,
        kid: Kid,
        purpose: Purpose,
        claims: Vec<u8>,
    ) -> Result<String, SignerError> {
        let Reply::Signed(jws) = self.call(Request::Sign(Sign { kid, purpose, claims })).await?
        else {
            return Err(SignerError::Protocol);
        };
        Ok(jws)
    }

    /// Every key that keyd believes in.
    pub async fn public_keys(&self) -> Result<Vec<KeyView>, SignerError> {
        let Reply::PublicKeys(keys) = self.call(Request::PublicKeys).await? else {
            return Err(SignerError::Protocol);
        };
        Ok(keys)
    }

    /// A subkey of 32 bytes, the same at every call.
    pub async fn derive(&self, label: DeriveLabel) -> Result<Secret32, SignerError> {
        let Reply::Derived(subkey) = self.call(Request::Derive(label)).await? else {
            return Err(SignerError::Protocol);
        };
        Ok(subkey)
    }

    /// Makes a key; it is staged. Sent once: after `Unavailable` look at [`Self::public_keys`].
    pub async fn generate(
        &self,
        issuer: String,
        algorithm: Algorithm,
        class: Class,
    ) -> Result<Changed, SignerError> {
        self.change(Request::Generate { issuer, algorithm, class }).await
    }

    /// Lets a staged key sign. `first`: it is its group's first, so that no verifier can lack it.
    pub async fn activate(&self, kid: Kid, first: bool) -> Result<Changed, SignerError> {
        self.change(Request::Activate { kid, first }).await
    }

    /// Lets a key sign no more.
    pub async fn retire(&self, kid: Kid) -> Result<Changed, SignerError> {
        self.change(Request::Retire(kid)).await
    }

    /// Deletes a retired key.
    pub async fn destroy(&self, kid: Kid) -> Result<(), SignerError> {
        let Reply::Destroyed = self.call(Request::Destroy(kid)).await? else {
            return Err(SignerError::Protocol);
        };
        Ok(())
    }

    async fn change(&self, request: Request) -> Result<Changed, SignerError> {
        let Reply::Changed { sealed, view } = self.call(request).await? else {
            return Err(SignerError::Protocol);
        };
        Ok(Changed { sealed, view })
    }
}

/// Such a request is never sent twice.
const fn changes_a_key(request: &Request) -> bool {
    match request {
        Request::Generate { .. }
        | Request::Activate { .. }
        | Request::Retire(_)
        | Request::Destroy(_) => true,
        Request::Sign(_)
        | Request::PublicKeys
        | Request::Load(_)
        | Request::Derive(_)
        | Request::Health
        | Request::SealAudit(_)
        | Request::Status => false,
    }
}
