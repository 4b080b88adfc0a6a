//! What each permitted request does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aws_lc_rs::hmac;
use host::clock;
use secrecy::{ExposeSecret as _, SecretString};
use wire::{
    Algorithm, AuditRoot, Class, DeriveLabel, Kid, Refused, Reply, Request, Sealed, Secret32, Sign,
    Statement, thumbprint,
};

use crate::hsm::{Hsm, Lane, MacKey};
use crate::keyring::{Fresh, Keyring};
use crate::permit::Peer;
use crate::policy::{Policy, Signed};
use crate::statements;

/// What the threads of keyd share.
pub struct App {
    /// The token.
    pub hsm: Arc<Hsm>,
    policy: Arc<Policy>,
    keyring: RwLock<Keyring>,
    /// Root of the subkeys, where it is not in the token.
    root: Option<SecretString>,
    signatures: AtomicU64,
    refusals: AtomicU64,
}

impl App {
    /// Without any key: whoever needs one hands its statement over.
    pub fn new(hsm: Arc<Hsm>, policy: Policy, root: Option<SecretString>) -> Self {
        let policy = Arc::new(policy);
        Self {
            hsm,
            keyring: RwLock::new(Keyring::new(Arc::clone(&policy))),
            policy,
            root,
            signatures: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    /// The answer to a request that needs no token; `None` for the others.
    pub fn at_once(&self, request: &Request) -> Option<Reply> {
        match request {
            Request::PublicKeys => Some(Reply::PublicKeys(self.keys().views(clock::now_s()))),
            Request::Health => Some(Reply::Health(self.hsm.state())),
            Request::Status => Some(Reply::Status {
                token: self.hsm.state(),
                keys: self.keys().views(clock::now_s()),
                signatures: self.signatures.load(Ordering::Relaxed),
                refusals: self.refusals.load(Ordering::Relaxed),
            }),
            Request::Sign(_)
            | Request::Load(_)
            | Request::Derive(_)
            | Request::Generate { .. }
            | Request::Activate { .. }
            | Request::Retire(_)
            | Request::Destroy(_)
            | Request::SealAudit(_) => None,
        }
    }

    /// Does what was asked, on a worker's lane.
    pub fn work(&self, lane: &mut Lane, peer: Peer, request: Request) -> Reply {
        let now = clock::now_s();
        let done = match request {
            Request::Sign(sign) => self.sign(lane, &sign, now),
            Request::Load(sealed) => self.load(lane, peer, &sealed),
            Request::Derive(label) => self.derive(lane, label),
            Request::Generate { issuer, algorithm, class } => {
                self.generate(lane, issuer, (algorithm, class), now)
            }
            Request::Activate { kid, first } => {
                let next = self.keys().activated(kid, first, now);
                next.and_then(|next| self.change(lane, "activate", next, now))
            }
            Request::Retire(kid) => {
                let next = self.keys().retired(kid, now);
                next.and_then(|next| self.change(lane, "retire", next, now))
            }
            Request::Destroy(kid) => self.destroy(lane, kid, now),
            Request::SealAudit(root) => self.seal_audit(lane, &root, now),
            Request::PublicKeys | Request::Health | Request::Status => {
                self.at_once(&request).ok_or(Refused::Internal)
            }
        };
        done.unwrap_or_else(|why| self.refuse(peer, why))
    }

    /// Counts and logs a refusal.
    pub fn refuse(&self, peer: Peer, why: Refused) -> Reply {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        if why.is_transient() {
            tracing::debug!(peer = peer.name(), ?why, "refused");
        } else {
            tracing::warn!(peer = peer.name(), ?why, "refused");
        }
        Reply::Refused(why)
    }

    fn sign(&self, lane: &mut Lane, sign: &Sign, now: u64) -> Result<Reply, Refused> {
        let statement = Arc::clone(self.keys().find(sign.kid)?);
        let prepared = self.policy.prepare(&statement, sign, now)?;
        match self.release(lane.sign(prepared)?, sign.kid, now) {
            Signed::Jws(jws) => {
                tracing::debug!(kid = %sign.kid, purpose = ?sign.purpose, "signed");
                Ok(Reply::Signed(jws))
            }
            Signed::Seal(_) => Err(Refused::Internal),
        }
    }

    fn seal_audit(&self, lane: &mut Lane, root: &AuditRoot, now: u64) -> Result<Reply, Refused> {
        let statement = Arc::clone(self.keys().audit_key(now).ok_or(Refused::UnknownKey)?);
        let prepared = self.policy.prepare_seal(&statement, root, now)?;
        match self.release(lane.sign(prepared)?, statement.kid, now) {
            Signed::Seal(signature) => {
                tracing::info!(kid = %statement.kid, "audit checkpoint sealed");
                Ok(Reply::AuditSealed { kid: statement.kid, signature })
            }
            Signed::Jws(_) => Err(Refused::Internal),
        }
    }

    fn release(&self, signed: Signed, kid: Kid, now: u64) -> Signed {
        self.signatures.fetch_add(1, Ordering::Relaxed);
        self.keys().count(kid, now);
        signed
    }

    /// Believes a statement for its MAC, and only while its key is in the token.
    fn load(&self, lane: &mut Lane, peer: Peer, rows: &[Sealed]) -> Result<Reply, Refused> {
        let (mut accepted, mut planted) = (0, Vec::new());
        for (position, sealed) in (0_u32..).zip(rows) {
            match self.believed(lane, sealed)? {
                Some(statement) => {
                    self.keys_mut().accept(statement)?;
                    accepted += 1;
                }
                None => planted.push(position),
            }
        }
        if !planted.is_empty() {
            tracing::error!(
                peer = peer.name(),
                ?planted,
                "ALARM: statements that keyd did not make, or whose key is not in the token"
            );
        }
        Ok(Reply::Loaded { accepted, planted })
    }

    fn believed(&self, lane: &mut Lane, sealed: &Sealed) -> Result<Option<Statement>, Refused> {
        let Some(input) = statements::mac_input(&sealed.body) else { return Ok(None) };
        if !lane.mac_matches(MacKey::Statements, &input, &sealed.mac)? {
            return Ok(None);
        }
        let Some(statement) = statements::decode(&sealed.body) else { return Ok(None) };
        if self.keys().find(statement.kid).is_ok_and(|known| **known == statement) {
            return Ok(Some(statement));
        }
        let public = lane.public(statement.kid, statement.algorithm)?;
        let same = public.is_some_and(|public| {
            thumbprint(&public) == statement.thumbprint && public == statement.public
        });
        Ok(same.then_some(statement))
    }

    fn derive(&self, lane: &mut Lane, label: DeriveLabel) -> Result<Reply, Refused> {
        let label: &[u8] = match label {
            DeriveLabel::Csrf => b"opentrusty subkey 1 csrf",
            DeriveLabel::Cursor => b"opentrusty subkey 1 cursor",
        };
        let subkey = match &self.root {
            None => lane.mac(MacKey::Derive, label)?,
            Some(root) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, root.expose_secret().as_bytes());
                let tag = hmac::sign(&key, label);
                tag.as_ref().try_into().map_err(|_| Refused::Internal)?
            }
        };
        Ok(Reply::Derived(Secret32(subkey)))
    }

    fn generate(
        &self,
        lane: &mut Lane,
        issuer: String,
        (algorithm, class): (Algorithm, Class),
        now: u64,
    ) -> Result<Reply, Refused> {
        self.keys().has_room_for(&issuer)?;
        let (kid, public) = lane.generate(algorithm)?;
        let staged = Fresh { kid, issuer, algorithm, class, public }.staged(now);
        let changed = self.change(lane, "generate", staged, now);
        if changed.is_err() {
            lane.abandon(kid);
        }
        changed
    }

    /// Seals the next statement about a key and puts it in force.
    fn change(
        &self,
        lane: &mut Lane,
        act: &'static str,
        next: Statement,
        now: u64,
    ) -> Result<Reply, Refused> {
        let body = statements::encode(&next).ok_or(Refused::Internal)?;
        let input = statements::mac_input(&body).ok_or(Refused::Internal)?;
        let mac = lane.mac(MacKey::Statements, &input)?;
        let (kid, class, algorithm) = (next.kid, next.class.name(), next.algorithm.name());
        tracing::info!(act, %kid, issuer = next.issuer, class, algorithm, "key");
        let mut keys = self.keys_mut();
        if !keys.accept(next)? {
            // Another node's newer statement was loaded in between.
            return Err(Refused::Busy);
        }
        Ok(Reply::Changed { sealed: Sealed { body, mac }, view: keys.view(kid, now)? })
    }

    fn destroy(&self, lane: &mut Lane, kid: Kid, now: u64) -> Result<Reply, Refused> {
        self.keys().may_destroy(kid, now)?;
        let statement = Arc::clone(self.keys().find(kid)?);
        lane.destroy(kid)?;
        self.keys_mut().forget(kid);
        let (class, issuer) = (statement.class.name(), &statement.issuer);
        tracing::info!(act = "destroy", %kid, issuer, class, "key");
        Ok(Reply::Destroyed)
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keyring> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys_mut(&self) -> RwLockWriteGuard<'_, Keyring> {
        self.keyring.write().unwrap_or_else(PoisonError::into_inner)
    }
}
