//! One worker's way into the token: a session of its own and the handles it has looked up.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use wire::{Algorithm, Jwk, Kid, Statement};

use super::fault::{Fault, fault};
use super::object::{self, Trouble};
use super::{Epoch, Hsm, HsmError};
use crate::jws::{self, Verifier};
use crate::keyring::KEYS_MAX;
use crate::policy::{Prepared, Signed};

/// More handles than keys: then forget them all rather than grow.
const HANDLES_MAX: usize = 2 * KEYS_MAX;
/// Ids of unfinished keys that are remembered; what is forgotten is litter in the token, and nothing more.
const UNFINISHED_MAX: usize = 16;
/// How often at most an unknown MAC makes us look for MAC keys that another node has made.
const MAC_SEARCH_EVERY: Duration = Duration::from_secs(1);

/// A MAC key in the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacKey {
    /// Over binding statements.
    Statements,
    /// For subkeys.
    Derive,
}

impl MacKey {
    /// Its `CKA_LABEL`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Statements => "opentrusty-statements",
            Self::Derive => "opentrusty-derive",
        }
    }
}

/// One session, for one thread.
pub struct Lane {
    hsm: Arc<Hsm>,
    writes: bool,
    open: Option<Open>,
    since: Arc<AtomicU64>,
    /// Keys that the module did not finish, a half of which may be in the token.
    unfinished: VecDeque<Unfinished>,
}

/// A key that the module did not finish, and whether something of it was deleted already.
struct Unfinished {
    kid: Kid,
    found: bool,
}

struct Open {
    epoch: u64,
    session: Session,
    keys: HashMap<Kid, Key>,
    statements: Vec<ObjectHandle>,
    derive: Vec<ObjectHandle>,
    searched: Option<Instant>,
}

struct Key {
    handle: ObjectHandle,
    verifier: Verifier,
}

impl Lane {
    /// `writes`: whether it makes and deletes keys.
    pub fn new(hsm: &Arc<Hsm>, writes: bool) -> Self {
        let since = hsm.calls.enrol();
        Self { hsm: Arc::clone(hsm), writes, open: None, since, unfinished: VecDeque::new() }
    }

    /// Signs what the policy has prepared. The signature is verified before anybody sees it.
    pub fn sign(&mut self, prepared: Prepared) -> Result<Signed, HsmError> {
        let algorithm = prepared.algorithm();
        self.offered(algorithm)?;
        let input = jws::to_be_signed(algorithm, prepared.message());
        let signature = self.attempt(2, |open| {
            open.resolve(prepared.statement())?;
            let key = open.keys.get(&prepared.kid()).ok_or(Trouble::Missing)?;
            let signature = open.session.sign(&object::signs(algorithm), key.handle, &input)?;
            if key.verifier.accepts(prepared.message(), &signature) {
                return Ok(signature);
            }
            tracing::error!(kid = %prepared.kid(), "ALARM: the token made a signature that does not verify");
            Err(Trouble::Unsound)
        })?;
        Ok(prepared.finish(signature))
    }

    /// Makes a key pair in the token. Never tried twice: the first attempt may have succeeded unseen.
    pub fn generate(&mut self, algorithm: Algorithm) -> Result<(Kid, Jwk), HsmError> {
        self.offered(algorithm)?;
        self.clear_up();
        let kid = Kid(object::random_id().map_err(|_| HsmError::Unsound)?);
        let made = self.attempt(1, |open| object::make_pair(&open.session, algorithm, kid, true));
        let kept = made.and_then(|public| self.kept().map(|()| public));
        if kept.is_err() {
            self.abandon(kid);
        }
        Ok((kid, kept?))
    }

    fn kept(&self) -> Result<(), HsmError> {
        self.hsm.write_through().map_err(|error| {
            tracing::error!(%error, "a key may not survive a power cut");
            HsmError::Device
        })
    }

    /// Deletes a key that nobody will ever name again, now or before the next one is made.
    pub fn abandon(&mut self, kid: Kid) {
        if self.unfinished.len() == UNFINISHED_MAX {
            self.unfinished.pop_front();
        }
        self.unfinished.push_back(Unfinished { kid, found: false });
        self.clear_up();
    }

    /// Deletes what is left of keys that were not finished. `SoftHSM` loses sight of an object that it makes
    /// while another process makes one too: it fails, leaves a half behind and may not see it before the
    /// next key is made. So an id is kept until both halves were found under it, or one and then nothing more.
    fn clear_up(&mut self) {
        for Unfinished { kid, found } in std::mem::take(&mut self.unfinished) {
            let deleted = self.attempt(1, |open| Ok(object::destroy_all(&open.session, kid)?));
            match deleted {
                Ok(2..) => {}
                Ok(0) if found => {}
                Ok(deleted) => {
                    self.unfinished.push_back(Unfinished { kid, found: found || deleted > 0 });
                }
                Err(_) => self.unfinished.push_back(Unfinished { kid, found }),
            }
        }
    }

    /// A token that has not been opened yet has offered nothing; that is not the answer of one that has.
    fn offered(&self, algorithm: Algorithm) -> Result<(), HsmError> {
        let known = self.hsm.offered.get().is_some();
        if known && !self.hsm.offers(algorithm) { Err(HsmError::Unsupported) } else { Ok(()) }
    }

    /// Deletes both halves of a key. What is gone already counts as deleted.
    pub fn destroy(&mut self, kid: Kid) -> Result<(), HsmError> {
        self.attempt(1, |open| {
            open.keys.remove(&kid);
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
                match object::find(&open.session, class, kid) {
                    Ok(handle) => open.session.destroy_object(handle)?,
                    Err(Trouble::Missing) => {}
                    Err(trouble) => return Err(trouble),
                }
            }
            Ok(())
        })?;
        self.kept()
    }

    /// The public half of a key whose private half is in the token; `None` if either is not there.
    pub fn public(&mut self, kid: Kid, algorithm: Algorithm) -> Result<Option<Jwk>, HsmError> {
        let found = self.attempt(2, |open| {
            object::find(&open.session, ObjectClass::PRIVATE_KEY, kid)?;
            let public = object::find(&open.session, ObjectClass::PUBLIC_KEY, kid)?;
            object::read_public(&open.session, algorithm, public)
        });
        match found {
            Ok(public) => Ok(Some(public)),
            Err(HsmError::Missing | HsmError::Unsound) => Ok(None),
            Err(
                error @ (HsmError::Lost
                | HsmError::Locked
                | HsmError::Unsupported
                | HsmError::Device),
            ) => Err(error),
        }
    }

    /// HMAC-SHA-256.
    pub fn mac(&mut self, key: MacKey, data: &[u8]) -> Result<[u8; 32], HsmError> {
        self.attempt(2, |open| {
            // Searched for each time, which is seldom: another node that first started together with this one
            // may have made a key that comes first.
            open.mac_handles(key).clear();
            let handle = *open.mac_keys(key)?.first().ok_or(Trouble::Missing)?;
            hmac(&open.session, handle, data)
        })
    }

    /// Whether `tag` is a MAC by any MAC key of this label that was made in the token.
    pub fn mac_matches(
        &mut self,
        key: MacKey,
        data: &[u8],
        tag: &[u8; 32],
    ) -> Result<bool, HsmError> {
        self.attempt(2, |open| {
            if open.any_mac_matches(key, data, tag)? {
                return Ok(true);
            }
            if open.searched.is_some_and(|at| at.elapsed() < MAC_SEARCH_EVERY) {
                return Ok(false);
            }
            open.mac_handles(key).clear();
            open.any_mac_matches(key, data, tag)
        })
    }

    /// Runs `act` with a session of the current epoch, up to `tries` times, going back as far as the error
    /// demands in between. A token that is gone is reported, and the answer is `Lost` at once.
    fn attempt<T>(
        &mut self,
        tries: u32,
        mut act: impl FnMut(&mut Open) -> Result<T, Trouble>,
    ) -> Result<T, HsmError> {
        let hsm = Arc::clone(&self.hsm);
        let pass = hsm.pass()?;
        let epoch = pass.as_ref().ok_or(HsmError::Lost)?;
        let _call = hsm.calls.begin(&self.since);
        for left in (0..tries).rev() {
            let trouble = match self.session(epoch).map_err(Trouble::from).and_then(&mut act) {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble,
            };
            if self.step_back(&trouble) == Fault::Token {
                break;
            }
            if matches!(trouble, Trouble::Unsound) {
                return Err(HsmError::Unsound);
            }
            if left == 0 {
                if !hsm.is_there(epoch) {
                    break;
                }
                tracing::warn!(%trouble, "the token did not do what was asked");
                let missing = matches!(trouble, Trouble::Missing);
                return Err(if missing { HsmError::Missing } else { HsmError::Device });
            }
        }
        let number = epoch.number;
        drop(pass);
        hsm.report_lost(number);
        Err(HsmError::Lost)
    }

    fn session(&mut self, epoch: &Epoch) -> Result<&mut Open, cryptoki::error::Error> {
        if self.open.as_ref().is_some_and(|open| open.epoch != epoch.number) {
            // Forgotten, not closed: its number may belong to another session by now.
            self.open = None;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => Open {
                epoch: epoch.number,
                session: if self.writes {
                    self.hsm.module.open_rw_session_no_drop(epoch.slot)?
                } else {
                    self.hsm.module.open_ro_session_no_drop(epoch.slot)?
                },
                keys: HashMap::new(),
                statements: Vec::new(),
                derive: Vec::new(),
                searched: None,
            },
        };
        Ok(self.open.insert(open))
    }

    fn step_back(&mut self, trouble: &Trouble) -> Fault {
        let how_far = match trouble {
            Trouble::Call(error) => fault(error),
            Trouble::Missing | Trouble::Unsound => Fault::Handle,
        };
        match how_far {
            Fault::Handle | Fault::Unclear => {
                if let Some(open) = &mut self.open {
                    open.forget_handles();
                }
            }
            Fault::Session => {
                if let Some(open) = self.open.take() {
                    // It is broken already; whether the module can still close it makes no difference.
                    let _ = open.session.close();
                }
            }
            Fault::Token => {}
        }
        how_far
    }
}

impl Open {
    fn resolve(&mut self, statement: &Statement) -> Result<(), Trouble> {
        if self.keys.contains_key(&statement.kid) {
            return Ok(());
        }
        if self.keys.len() >= HANDLES_MAX {
            self.keys.clear();
        }
        let handle = object::find(&self.session, ObjectClass::PRIVATE_KEY, statement.kid)?;
        let verifier = Verifier::new(statement.algorithm, &statement.public);
        let verifier = verifier.ok_or(Trouble::Unsound)?;
        self.keys.insert(statement.kid, Key { handle, verifier });
        Ok(())
    }

    fn mac_handles(&mut self, key: MacKey) -> &mut Vec<ObjectHandle> {
        match key {
            MacKey::Statements => &mut self.statements,
            MacKey::Derive => &mut self.derive,
        }
    }

    fn mac_keys(&mut self, key: MacKey) -> Result<&[ObjectHandle], Trouble> {
        if self.mac_handles(key).is_empty() {
            *self.mac_handles(key) = object::mac_keys(&self.session, key.label())?;
            self.searched = Some(Instant::now());
        }
        Ok(self.mac_handles(key))
    }

    fn any_mac_matches(
        &mut self,
        key: MacKey,
        data: &[u8],
        tag: &[u8; 32],
    ) -> Result<bool, Trouble> {
        let handles = self.mac_keys(key)?.to_vec();
        if handles.is_empty() {
            return Err(Trouble::Missing);
        }
        for handle in handles {
            let expected = hmac(&self.session, handle, data)?;
            if verify_slices_are_equal(&expected, tag).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn forget_handles(&mut self) {
        self.keys.clear();
        self.statements.clear();
        self.derive.clear();
    }
}

fn hmac(session: &Session, key: ObjectHandle, data: &[u8]) -> Result<[u8; 32], Trouble> {
    let tag = session.sign(&Mechanism::Sha256Hmac, key, data)?;
    tag.try_into().map_err(|_| Trouble::Unsound)
}
