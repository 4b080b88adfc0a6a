//! Being asked to end, for a daemon without an event loop.

use std::io;

use nix::sys::signal::{SigSet, Signal};

use crate::systemd;

/// SIGTERM and SIGINT, held back.
#[derive(Debug)]
#[must_use = "a process that nobody can end"]
pub struct Ending(SigSet);

/// Holds back SIGTERM and SIGINT from this thread and all that it starts: call it while there is one. One that
/// comes before [`Ending::wait`] is kept for it.
pub fn hold() -> io::Result<Ending> {
    let set: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    set.thread_block()?;
    Ok(Ending(set))
}

impl Ending {
    /// Returns when the process is asked to end. systemd hears of it.
    pub fn wait(self) -> io::Result<()> {
        self.0.wait()?;
        systemd::stopping();
        Ok(())
    }
}
