//! The filters made of a [`Calls`] list.
//!
//! A call that is not on the list ends the process, so that whoever took it over learns nothing by trying. A few
//! calls are allowed for some arguments only, because what remains of them is a way out.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use super::syscalls::{Calls, Extra};

/// Not to wait, whether it is a terminal, and how much a datagram socket holds (the resolver's question).
const IOCTLS: [u64; 3] = [libc::FIONBIO, libc::TCGETS, libc::FIONREAD];

/// No rules: whatever the arguments.
type Rules = Vec<SeccompRule>;

/// Binds this thread and all that it starts.
pub(super) fn restrict(calls: &Calls, tcp: bool, extra: &[Extra]) -> Result<(), Error> {
    // Its flags are in memory, where a filter cannot look. Told that there is no such call, the C library
    // falls back to clone(), whose flags can be judged.
    let absent = BTreeMap::from([(libc::SYS_clone3, Rules::new())]);
    let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    apply_filter(&compiled(absent, SeccompAction::Allow, enosys)?)?;
    apply_filter(&compiled(
        allowed(calls, tcp, extra)?,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
    )?)
}

fn compiled(
    rules: BTreeMap<c_long, Rules>,
    otherwise: SeccompAction,
    action: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, otherwise, action, arch)?.try_into()
}

fn allowed(
    calls: &Calls,
    tcp: bool,
    extra: &[Extra],
) -> Result<BTreeMap<c_long, Rules>, BackendError> {
    let numbers = calls.numbers(tcp).chain(extra.iter().map(|one| one.number()));
    numbers.map(|number| Ok((number, rules(number, calls, tcp)?))).collect()
}

/// Under which conditions a call of the list is allowed; one of them is enough.
fn rules(number: c_long, calls: &Calls, tcp: bool) -> Result<Rules, BackendError> {
    match number {
        libc::SYS_socket => calls.families(tcp).map(first_is).collect(),
        libc::SYS_socketpair => Ok(vec![first_is(libc::AF_UNIX)?]),
        // Nothing becomes executable.
        libc::SYS_mmap | libc::SYS_mprotect => {
            Ok(vec![rule(2, SeccompCmpOp::MaskedEq(word(libc::PROT_EXEC)), 0)?])
        }
        // Threads, and no processes.
        libc::SYS_clone => {
            let thread = word(libc::CLONE_THREAD);
            Ok(vec![rule(0, SeccompCmpOp::MaskedEq(thread), thread)?])
        }
        // Names of threads and of memory, for whoever debugs.
        libc::SYS_prctl => Ok(vec![first_is(libc::PR_SET_NAME)?, first_is(libc::PR_SET_VMA)?]),
        libc::SYS_ioctl => {
            IOCTLS.iter().map(|request| rule(1, SeccompCmpOp::Eq, *request)).collect()
        }
        // What abort() does to its own process, and nobody to another.
        libc::SYS_tgkill => Ok(vec![rule(0, SeccompCmpOp::Eq, u64::from(std::process::id()))?]),
        _ => Ok(Rules::new()),
    }
}

fn first_is(value: i32) -> Result<SeccompRule, BackendError> {
    rule(0, SeccompCmpOp::Eq, word(value))
}

/// One condition on the low word of an argument, which is all that the kernel reads of these.
fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let word = SeccompCmpArgLen::Dword;
    SeccompRule::new(vec![SeccompCondition::new(argument, word, operator, value)?])
}

fn word(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}
