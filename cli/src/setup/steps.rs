//! What a run has done so far: a line for each step, and who has to be started anew because of it.

use std::collections::BTreeSet;

use super::files::Written;
use crate::appliance::{DAEMONS, Daemon};
use crate::failure::Failure;
use crate::output::say;

#[derive(Debug)]
pub(super) struct Steps {
    changed: bool,
    stale: BTreeSet<Daemon>,
}

impl Steps {
    /// Nothing yet; after a run that nobody knows the end of, everybody may have old settings.
    pub(super) fn since(unfinished: bool) -> Self {
        let stale = if unfinished { DAEMONS.into() } else { BTreeSet::new() };
        Self { changed: false, stale }
    }

    /// Something is new.
    pub(super) fn done(&mut self, what: &str) -> Result<(), Failure> {
        self.changed = true;
        say(format!("done  {what}"))
    }

    /// A file or folder, and who reads it.
    pub(super) fn wrote(
        &mut self,
        name: &str,
        written: Written,
        of: &[Daemon],
    ) -> Result<(), Failure> {
        let word = match written {
            Written::Unchanged => return same(name),
            Written::Kept => {
                return kept(&format!("{name}: edited since, and not what setup would write"));
            }
            Written::Made => "written",
            Written::Replaced => "replaced",
            Written::Corrected => "given its owner and mode",
        };
        self.stale.extend(of);
        self.done(&format!("{name}: {word}"))
    }

    /// Something that stays as it is, but for its owner and mode.
    pub(super) fn mended(&mut self, name: &str, written: Written) -> Result<(), Failure> {
        match written {
            Written::Unchanged => Ok(()),
            Written::Corrected | Written::Made | Written::Replaced | Written::Kept => {
                self.wrote(name, written, &[])
            }
        }
    }

    /// Whoever reads what has changed.
    pub(super) fn stale(&mut self, daemon: Daemon) {
        self.stale.insert(daemon);
    }

    pub(super) fn is_stale(&self, daemon: Daemon) -> bool {
        self.stale.contains(&daemon)
    }

    pub(super) const fn changed(&self) -> bool {
        self.changed
    }
}

/// It was so already.
pub(super) fn same(what: &str) -> Result<(), Failure> {
    say(format!("same  {what}"))
}

/// Somebody else's decision, which may not be ours.
fn kept(what: &str) -> Result<(), Failure> {
    say(format!("kept  {what}"))
}
