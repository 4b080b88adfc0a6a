//! The supervisor: notices that the token has gone, reopens it, and vouches to systemd that no call hangs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wire::{Algorithm, Kid, TokenState};

use super::fault::Brief;
use super::object::{self, Trouble};
use super::{Hsm, HsmError, LOST, READY};

const PROBE_EVERY: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A call that takes longer will not come back: some network modules block for ever.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Since when each lane has been inside the module.
pub(super) struct Calls {
    began: Instant,
    lanes: Mutex<Vec<Arc<AtomicU64>>>,
}

/// Marks one call; dropping it says that the call came back.
pub(super) struct Call(Arc<AtomicU64>);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Calls {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), lanes: Mutex::new(Vec::new()) }
    }

    pub(super) fn enrol(&self) -> Arc<AtomicU64> {
        let since = Arc::new(AtomicU64::new(0));
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&since));
        since
    }

    pub(super) fn begin(&self, since: &Arc<AtomicU64>) -> Call {
        since.store(self.now_ms(), Ordering::Relaxed);
        Call(Arc::clone(since))
    }

    /// Milliseconds since the process began, never 0: that stands for "not in a call".
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn is_any_older_than(&self, limit: Duration) -> bool {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let now = self.now_ms();
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes
            .iter()
            .map(|since| since.load(Ordering::Relaxed))
            .any(|since| since != 0 && now.saturating_sub(since) > limit)
    }
}

impl Hsm {
    /// The self-test: makes a key in a session for each algorithm that the token claims to offer, signs
    /// with it and verifies. From here on the token is ready. Done once per process, because every single
    /// signature is verified anyway; after a reopening the token is ready as it is.
    ///
    /// `Unsound` if no algorithm passes.
    pub fn prove(&self) -> Result<(), HsmError> {
        if self.state() != TokenState::Lost {
            return Ok(());
        }
        let gate = self.gate_open()?;
        let epoch = gate.as_ref().ok_or(HsmError::Lost)?;
        if self.offered.get().is_none() {
            let session =
                self.module.open_ro_session(epoch.slot).map_err(|error| self.blame(&error))?;
            let mut passed = Vec::new();
            for algorithm in Algorithm::ALL {
                if !object::needs(algorithm).iter().all(|one| epoch.mechanisms.contains(one)) {
                    continue;
                }
                let trial = object::random_id()
                    .and_then(|id| object::make_pair(&session, algorithm, Kid(id), false));
                match trial {
                    Ok(_) => passed.push(algorithm),
                    Err(Trouble::Call(error)) if !self.is_there(epoch) => {
                        return Err(self.blame(&error));
                    }
                    // A mechanism that is listed may still not know the curve.
                    Err(Trouble::Call(error)) => {
                        let (algorithm, error) = (algorithm.name(), Brief(&error));
                        tracing::warn!(algorithm, %error, "listed by the token, which cannot do it");
                    }
                    Err(trouble @ (Trouble::Missing | Trouble::Unsound)) => {
                        let algorithm = algorithm.name();
                        tracing::error!(algorithm, %trouble, "ALARM: the self-test failed");
                    }
                }
            }
            if passed.is_empty() {
                return Err(HsmError::Unsound);
            }
            tracing::info!(?passed, "self-test");
            // Only this thread proves, so nobody can have been faster.
            let _ = self.offered.set(passed);
        }
        let _ = self.state.compare_exchange(LOST, READY, Ordering::AcqRel, Ordering::Acquire);
        Ok(())
    }

    /// Returns when [`Self::dismiss`] was called. `alive` is called about once a second for as long as no call
    /// into the module hangs.
    pub fn supervise(&self, mut alive: impl FnMut()) {
        let mut pause = RETRY_FIRST;
        let mut next = Instant::now();
        loop {
            let is_lost = self.state() == TokenState::Lost;
            if !self.wait(if is_lost { pause.min(PROBE_EVERY) } else { PROBE_EVERY }) {
                return;
            }
            match self.state() {
                TokenState::Ready => self.probe(),
                TokenState::Locked => {}
                TokenState::Lost if Instant::now() < next => {}
                TokenState::Lost => {
                    if self.reopen().and_then(|()| self.prove()).is_ok() {
                        tracing::warn!("the token is back");
                        pause = RETRY_FIRST;
                    } else {
                        next = Instant::now() + pause;
                        pause = (pause * 2).min(RETRY_MAX);
                    }
                }
            }
            if self.calls.is_any_older_than(STUCK_AFTER) {
                tracing::error!("ALARM: a call into the module does not come back");
            } else {
                alive();
            }
        }
    }

    /// Ends the supervision: keyd is on its way out.
    pub fn dismiss(&self) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).dismissed = true;
        self.woken.notify_all();
    }

    /// Until there is news or the time is up; false once dismissed.
    fn wait(&self, at_most: Duration) -> bool {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut news, _) = self
            .woken
            .wait_timeout_while(news, at_most, |news| !(news.lost || news.dismissed))
            .unwrap_or_else(PoisonError::into_inner);
        news.lost = false;
        !news.dismissed
    }

    fn probe(&self) {
        let Ok(pass) = self.pass() else { return };
        let Some(epoch) = pass.as_ref() else { return };
        if !self.is_there(epoch) {
            let number = epoch.number;
            drop(pass);
            self.report_lost(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f18_a_call_that_does_not_return_is_noticed_and_one_that_did_is_not() {
        let calls = Calls::new();
        let since = calls.enrol();
        assert!(!calls.is_any_older_than(Duration::ZERO));
        let call = calls.begin(&since);
        while calls.now_ms() < since.load(Ordering::Relaxed) + 2 {
            std::hint::spin_loop();
        }
        assert!(calls.is_any_older_than(Duration::from_millis(1)));
        assert!(!calls.is_any_older_than(STUCK_AFTER));
        drop(call);
        assert!(!calls.is_any_older_than(Duration::ZERO));
    }
}
