//! What a process of ours gives up, from inside, before it meets its first peer.
//!
//! The unit gives up more and earlier; this layer is for what the unit cannot know and for
//! machines whose systemd ignores half of it. Order: [`harden`], secrets and sockets,
//! [`enter`] and [`Confined::seal`] while there is one thread, then threads. No memory becomes
//! executable any more: the seccomp lists see to it, `PR_SET_MDWE` has no safe interface yet.

mod landlocked;
mod seccomp;
pub mod syscalls;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use rustix::thread::set_no_new_privs;

/// With less than this, locking would make ordinary allocations fail. A finite limit also caps
/// everything mapped later, so a unit that locks should say `LimitMEMLOCK=infinity`.
const MEMLOCK_MIN_BYTES: u64 = 64 * 1024 * 1024;

/// Whether memory is kept out of swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLock {
    /// Locked, or the process does not start.
    Required,
    /// Locked if the limit allows it; a log line otherwise.
    Try,
    /// Not locked.
    Off,
}

/// Whether Landlock and seccomp are entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sandbox {
    /// File rights of Landlock ABI 2 (Linux 5.19) and the list of system calls enforced, or the
    /// process does not start; newer restrictions where the kernel has them.
    Required,
    /// Whatever the kernel has; a warning at each start if that is less.
    Try,
    /// None; a warning at each start.
    Off,
}

/// A word that is none of `required`, `try`, `off`.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownMode;

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("use required, try or off")
    }
}

impl std::error::Error for UnknownMode {}

impl FromStr for MemoryLock {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        match word {
            "required" => Ok(Self::Required),
            "try" => Ok(Self::Try),
            "off" => Ok(Self::Off),
            _ => Err(UnknownMode),
        }
    }
}

impl FromStr for Sandbox {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        match word {
            "required" => Ok(Self::Required),
            "try" => Ok(Self::Try),
            "off" => Ok(Self::Off),
            _ => Err(UnknownMode),
        }
    }
}

/// What the process may still reach once it is inside. Nothing may be executed.
///
/// A folder stands for everything beneath it. Files that are replaced by renaming must be
/// given by their folder: a rule on a file stays with the file that it was made for.
/// Where the kernel can restrict TCP (ABI 4, Linux 6.7), ports not named here are closed;
/// sockets bound or accepted before, and accepting from them, are not affected. Connecting to
/// a Unix socket by its path needs no rule.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Files and folders to read.
    pub read: Vec<PathBuf>,
    /// Files and folders to read, write, make and remove.
    pub write: Vec<PathBuf>,
    /// TCP ports to bind.
    pub bind_tcp: Vec<u16>,
    /// TCP ports to connect to.
    pub connect_tcp: Vec<u16>,
    /// System calls beside the daemon's own.
    pub calls: Vec<syscalls::Extra>,
}

impl Policy {
    /// Both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.read.extend(other.read);
        self.write.extend(other.write);
        self.bind_tcp.extend(other.bind_tcp);
        self.connect_tcp.extend(other.connect_tcp);
        self.calls.extend(other.calls);
        self
    }
}

/// Inside Landlock, and not yet bound to a list of system calls.
#[derive(Debug)]
#[must_use = "seal it with the daemon's list of system calls"]
pub struct Confined {
    mode: Sandbox,
    tcp: bool,
    calls: Vec<syscalls::Extra>,
}

/// Proof that [`enter`] and [`Confined::seal`] ran; servers take it by value, so that none starts without it.
#[derive(Debug)]
#[must_use = "hand it to the server that may now start"]
pub struct Entered(());

/// Why the process could not give something up.
#[derive(Debug)]
pub enum SandboxError {
    /// The kernel refused the named step.
    Refused(&'static str, io::Error),
    /// `RLIMIT_MEMLOCK`, in bytes, is too small to lock memory.
    MemoryLimit(u64),
    /// A path of the policy is not there, or not reachable.
    Path(PathBuf, io::Error),
    /// There are already this many threads, and Landlock would bind only one.
    Threads(usize),
    /// Landlock could not be entered.
    Landlock(landlock::RulesetError),
    /// The kernel has no Landlock, or it is off, or older than ABI 2.
    Missing,
    /// The list of system calls could not be enforced.
    Seccomp(seccompiler::Error),
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(step, _) => write!(f, "the kernel refused to {step}"),
            Self::MemoryLimit(bytes) => {
                write!(f, "memory cannot be locked: RLIMIT_MEMLOCK is {bytes} bytes")
            }
            Self::Path(path, _) => {
                write!(f, "the sandbox cannot allow {}", path.display())
            }
            Self::Threads(count) => {
                write!(f, "the sandbox must be entered by one thread; there are {count}")
            }
            Self::Landlock(_) => f.write_str("Landlock could not be entered"),
            Self::Seccomp(_) => f.write_str("the list of system calls could not be enforced"),
            Self::Missing => {
                f.write_str("the kernel does not enforce Landlock ABI 2; ")?;
                f.write_str("`sandbox = \"try\"` starts with what there is")
            }
        }
    }
}

impl std::error::Error for SandboxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_, error) | Self::Path(_, error) => Some(error),
            Self::Landlock(error) => Some(error),
            Self::Seccomp(error) => Some(error),
            Self::MemoryLimit(_) | Self::Threads(_) | Self::Missing => None,
        }
    }
}

/// Gives up what needs no policy: core dumps, being traced by its own user, gaining privileges
/// by executing something; and keeps memory out of swap. Call it before reading any secret.
pub fn harden(lock: MemoryLock) -> Result<(), SandboxError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| SandboxError::Refused("make the process not dumpable", errno.into()))?;
    set_no_new_privs(true)
        .map_err(|errno| SandboxError::Refused("forbid new privileges", errno.into()))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .map_err(|errno| SandboxError::Refused("forbid core dumps", errno.into()))?;
    match (lock, lock_memory(lock)) {
        (_, Ok(())) => Ok(()),
        (MemoryLock::Required, Err(error)) => Err(error),
        (MemoryLock::Try | MemoryLock::Off, Err(error)) => {
            tracing::info!(%error, "memory is not locked: secrets may reach swap");
            Ok(())
        }
    }
}

fn lock_memory(lock: MemoryLock) -> Result<(), SandboxError> {
    if lock == MemoryLock::Off {
        return Ok(());
    }
    if let Some(bytes) = getrlimit(Resource::Memlock).current
        && bytes < MEMLOCK_MIN_BYTES
    {
        return Err(SandboxError::MemoryLimit(bytes));
    }
    // ONFAULT: lock what is used, not what is merely mapped.
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|errno| SandboxError::Refused("lock memory", errno.into()))
}

/// Enters Landlock for good: this thread, and all that it starts from now on.
pub fn enter(mode: Sandbox, policy: &Policy) -> Result<Confined, SandboxError> {
    let tcp = !(policy.bind_tcp.is_empty() && policy.connect_tcp.is_empty());
    let confined = Confined { mode, tcp, calls: policy.calls.clone() };
    if mode == Sandbox::Off {
        tracing::warn!("the in-process sandbox is off (setting `sandbox`)");
        return Ok(confined);
    }
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(|error| SandboxError::Refused("list the threads", error))?
        .count();
    if threads != 1 {
        return Err(SandboxError::Threads(threads));
    }
    landlocked::restrict(mode, policy)?;
    Ok(confined)
}

impl Confined {
    /// From here on any other system call than those of the list ends the process (`SIGSYS`): this thread's,
    /// and those of all that it starts.
    pub fn seal(self, calls: &syscalls::Calls) -> Result<Entered, SandboxError> {
        if self.mode == Sandbox::Off {
            return Ok(Entered(()));
        }
        match seccomp::restrict(calls, self.tcp, &self.calls) {
            Ok(()) => tracing::info!("bound to a list of system calls"),
            Err(error) if self.mode == Sandbox::Try => {
                tracing::warn!(%error, "system calls are not restricted");
            }
            Err(error) => return Err(SandboxError::Seccomp(error)),
        }
        Ok(Entered(()))
    }
}

/// The newest Landlock ABI of this kernel that we know of; 0 if it has none. Restricts nothing.
#[must_use]
pub fn landlock_abi() -> u8 {
    landlocked::abi()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_three_words() {
        assert_eq!("required".parse(), Ok(Sandbox::Required));
        assert_eq!("try".parse(), Ok(MemoryLock::Try));
        for word in ["", "Required", "on", "true", "disabled"] {
            assert_eq!(word.parse::<Sandbox>(), Err(UnknownMode));
            assert_eq!(word.parse::<MemoryLock>(), Err(UnknownMode));
        }
    }

    #[test]
    fn a_second_thread_keeps_the_sandbox_shut() {
        let (hold, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        let entered = enter(Sandbox::Required, &Policy::default());
        drop(hold);
        assert!(matches!(entered, Err(SandboxError::Threads(2..))), "{entered:?}");
        assert!(other.join().unwrap().is_err());
    }
}
