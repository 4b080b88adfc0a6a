//! The PKCS#11 module: one per process, opened once, and opened anew when the token has gone and come back.
//!
//! Worker threads own a [`Lane`] each, with one session and cached handles. Everything that calls into the
//! module holds the gate for reading; whoever must `C_Finalize` takes it for writing, because finalizing
//! under a running call crashes some modules.

mod durable;
mod fault;
mod lane;
mod object;
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{
    Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, TryLockError,
};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use wire::{Algorithm, Refused, TokenState};

pub(crate) use durable::write_through;
pub use lane::{Lane, MacKey};
use watch::Calls;

/// Why the token did not do what was asked. Details are in the log, never in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HsmError {
    /// The token is not there; the supervisor is trying to reopen it.
    Lost,
    /// The token refused the PIN.
    Locked,
    /// The token is there but the object is not.
    Missing,
    /// The token's answer failed a check.
    Unsound,
    /// The token does not offer the algorithm.
    Unsupported,
    /// The token is there and refused the call.
    Device,
}

impl fmt::Display for HsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the token is not available",
            Self::Locked => "the token refused the PIN",
            Self::Missing => "the object is not in the token",
            Self::Unsound => "the token's answer failed a check",
            Self::Unsupported => "the token does not offer this",
            Self::Device => "the token refused the call",
        })
    }
}

impl std::error::Error for HsmError {}

impl From<HsmError> for Refused {
    fn from(error: HsmError) -> Self {
        match error {
            HsmError::Lost => Self::Unavailable,
            HsmError::Locked => Self::Locked,
            HsmError::Unsupported => Self::Unsupported,
            HsmError::Missing | HsmError::Unsound | HsmError::Device => Self::Internal,
        }
    }
}

/// The token between one `C_Initialize` and the next. Handles and sessions of another epoch mean nothing:
/// modules count them from 1 again, so an old one would name something new.
struct Epoch {
    number: u64,
    slot: Slot,
    mechanisms: Vec<MechanismType>,
}

/// What only the thread that opens the token needs.
struct Anchor {
    initialized: bool,
    epoch: u64,
    /// Holds the login; used for nothing else, and never closed.
    session: Option<Session>,
    /// Of the token that was opened first: another one under the same label is not ours.
    serial: Option<String>,
}

/// What the supervisor is woken for.
#[derive(Default)]
struct News {
    lost: bool,
    dismissed: bool,
}

/// Which of the module's tokens is ours.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its label.
    pub label: String,
    /// The slot that it must be in; without it, the label has to be unique.
    pub slot: Option<u64>,
    /// The folder that the module keeps it in, if it writes to one.
    pub folder: Option<PathBuf>,
}

/// The token.
pub struct Hsm {
    module: Pkcs11,
    wanted: Wanted,
    pin: AuthPin,
    state: AtomicU8,
    gate: RwLock<Option<Epoch>>,
    anchor: Mutex<Anchor>,
    /// Algorithms that passed their self-test.
    offered: OnceLock<Vec<Algorithm>>,
    news: Mutex<News>,
    woken: Condvar,
    calls: Calls,
}

/// How long the maker of a MAC key waits for another node's to appear.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(500);

const LOST: u8 = 0;
const READY: u8 = 1;
const LOCKED: u8 = 2;

impl Hsm {
    /// Loads the module and tries once to open the token. Fails only if there is no module: a token that
    /// is absent may come, and one that refused the PIN must not be asked again.
    pub fn open(
        module: &Path,
        wanted: Wanted,
        pin: AuthPin,
    ) -> Result<Arc<Self>, cryptoki::error::Error> {
        let anchor = Anchor { initialized: false, epoch: 0, session: None, serial: None };
        let hsm = Self {
            module: Pkcs11::new(module)?,
            wanted,
            pin,
            state: AtomicU8::new(LOST),
            gate: RwLock::new(None),
            anchor: Mutex::new(anchor),
            offered: OnceLock::new(),
            news: Mutex::default(),
            woken: Condvar::new(),
            calls: Calls::new(),
        };
        if let Err(error) = hsm.reopen() {
            tracing::error!(%error, "the token could not be opened at start");
        }
        Ok(Arc::new(hsm))
    }

    /// Whether signing works.
    pub fn state(&self) -> TokenState {
        match self.state.load(Ordering::Acquire) {
            READY => TokenState::Ready,
            LOCKED => TokenState::Locked,
            _ => TokenState::Lost,
        }
    }

    /// Algorithms that this token offers and that passed their self-test.
    pub fn offers(&self, algorithm: Algorithm) -> bool {
        self.offered.get().is_some_and(|offered| offered.contains(&algorithm))
    }

    /// Leave to call into the module. Never blocks: while the token is being reopened the answer is no.
    fn pass(&self) -> Result<RwLockReadGuard<'_, Option<Epoch>>, HsmError> {
        match self.state() {
            TokenState::Ready => self.gate_open(),
            TokenState::Lost => Err(HsmError::Lost),
            TokenState::Locked => Err(HsmError::Locked),
        }
    }

    fn gate_open(&self) -> Result<RwLockReadGuard<'_, Option<Epoch>>, HsmError> {
        match self.gate.try_read() {
            Ok(pass) => Ok(pass),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(HsmError::Lost),
        }
    }

    /// Says that the token of `epoch` is gone, and wakes the supervisor.
    fn report_lost(&self, epoch: u64) {
        let current = self.gate_open().ok().and_then(|gate| gate.as_ref().map(|one| one.number));
        if current != Some(epoch) {
            return;
        }
        if self.state.compare_exchange(READY, LOST, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            tracing::error!("ALARM: the token is lost");
            self.news.lock().unwrap_or_else(PoisonError::into_inner).lost = true;
            self.woken.notify_all();
        }
    }

    /// Whether the token of this epoch answers. `C_GetSessionInfo` would not do: `SoftHSM` answers it with the
    /// token gone.
    fn is_there(&self, epoch: &Epoch) -> bool {
        self.module.get_token_info(epoch.slot).is_ok()
    }

    /// Initializes the module (again), finds the token, logs in. One attempt.
    fn reopen(&self) -> Result<(), HsmError> {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gate = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        if self.state() == TokenState::Locked {
            return Err(HsmError::Locked);
        }
        *gate = None;
        // Not closed, only forgotten: after C_Finalize its number may belong to another session.
        anchor.session = None;
        if anchor.initialized
            && let Err(error) = self.module.clone().finalize()
        {
            tracing::warn!(error = %fault::Brief(&error), "the module was not closed");
        }
        anchor.initialized = false;
        let args = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        self.module.initialize(args).map_err(|error| self.blame(&error))?;
        anchor.initialized = true;
        let (slot, serial) = self.locate(anchor.serial.as_deref())?;
        let session =
            self.module.open_ro_session_no_drop(slot).map_err(|error| self.blame(&error))?;
        self.log_in(&session)?;
        let mechanisms =
            self.module.get_mechanism_list(slot).map_err(|error| self.blame(&error))?;
        if anchor.serial.is_none() {
            let made = self.make_mac_keys(slot)?;
            anchor.serial = Some(serial);
            if made {
                // Opened anew: SoftHSM can miss for good what another process wrote at the same instant.
                drop((gate, anchor));
                return self.reopen();
            }
        }
        anchor.session = Some(session);
        anchor.epoch += 1;
        *gate = Some(Epoch { number: anchor.epoch, slot, mechanisms });
        Ok(())
    }

    /// The slot whose token has our label, and that token's serial number.
    fn locate(&self, serial: Option<&str>) -> Result<(Slot, String), HsmError> {
        let slots =
            self.module.get_slots_with_initialized_token().map_err(|error| self.blame(&error))?;
        let mut found = slots.into_iter().filter_map(|slot| {
            let token = self.module.get_token_info(slot).ok()?;
            let ours = token.label() == self.wanted.label
                && self.wanted.slot.is_none_or(|number| number == slot.id())
                && serial.is_none_or(|serial| serial == token.serial_number());
            ours.then(|| (slot, token.serial_number().to_owned()))
        });
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => {
                tracing::warn!(label = self.wanted.label, "no token with this label");
                Err(HsmError::Lost)
            }
            (Some(_), Some(_)) => {
                tracing::error!(label = self.wanted.label, "two tokens have this label");
                Err(HsmError::Lost)
            }
        }
    }

    fn log_in(&self, session: &Session) -> Result<(), HsmError> {
        let Err(error) = session.login(UserType::User, Some(&self.pin)) else { return Ok(()) };
        if fault::is_logged_in(&error) {
            return Ok(());
        }
        if fault::is_about_pin(&error) {
            // A token locks itself after a few wrong PINs, and a restart would try again: stay up.
            self.state.store(LOCKED, Ordering::Release);
            tracing::error!(
                "ALARM: the token refused the PIN; it is not tried again before a restart"
            );
            return Err(HsmError::Locked);
        }
        Err(self.blame(&error))
    }

    /// Whether one was made.
    fn make_mac_keys(&self, slot: Slot) -> Result<bool, HsmError> {
        let session = self.module.open_rw_session(slot).map_err(|error| self.blame(&error))?;
        let mut made = false;
        for key in [MacKey::Statements, MacKey::Derive] {
            made |= object::ensure_mac_key(&session, key.label())
                .map_err(|trouble| self.blame_for("making a MAC key", &trouble))?;
        }
        // Also of an earlier keyd, which may have been ended in between.
        self.write_through().map_err(|error| self.blame_for("keeping a MAC key", &error))?;
        // Two nodes that first start together may each have found none. By the end of this wait each sees what
        // the other made, and both take the one that comes first.
        if made {
            std::thread::sleep(SETTLE);
        }
        Ok(made)
    }

    /// Returns once what the module has made would survive a power cut, as far as that is ours to see to.
    fn write_through(&self) -> std::io::Result<()> {
        self.wanted.folder.as_deref().map_or(Ok(()), write_through)
    }

    fn blame(&self, error: &cryptoki::error::Error) -> HsmError {
        self.blame_for("calling the module", &fault::Brief(error))
    }

    fn blame_for(&self, what: &str, error: &dyn fmt::Display) -> HsmError {
        tracing::warn!(label = self.wanted.label, %error, "the token cannot be opened: {what}");
        HsmError::Lost
    }
}
