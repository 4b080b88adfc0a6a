//! Which system calls each daemon may make.
//!
//! The lists are what `packaging/dev/syscalls` saw the daemons do after they had entered, over the whole test
//! suite, and a few that it cannot see there, each with its reason. Calls whose arguments matter are narrowed
//! in `seccomp.rs`.

use std::fmt;
use std::str::FromStr;

use nix::libc::{self, c_int, c_long};

/// A daemon's list.
#[derive(Debug)]
pub struct Calls {
    own: &'static [&'static [c_long]],
    /// More of them, where the daemon may use TCP.
    with_tcp: &'static [c_long],
    /// Address families besides Unix sockets, where it may.
    families: &'static [c_int],
}

/// One more call, for a PKCS#11 module that needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extra(c_long);

impl Extra {
    pub(super) fn number(self) -> c_long {
        self.0
    }
}

/// A call that no module is given.
#[derive(Debug, PartialEq, Eq)]
pub struct NotExtra;

impl fmt::Display for NotExtra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = EXTRA.iter().map(|(name, _)| *name).collect();
        write!(f, "use some of {}", names.join(", "))
    }
}

impl std::error::Error for NotExtra {}

impl FromStr for Extra {
    type Err = NotExtra;

    fn from_str(name: &str) -> Result<Self, NotExtra> {
        let found = EXTRA.iter().find(|(known, _)| *known == name);
        found.map(|(_, number)| Self(*number)).ok_or(NotExtra)
    }
}

impl Calls {
    pub(super) fn numbers(&self, tcp: bool) -> impl Iterator<Item = c_long> {
        let with_tcp = if tcp { self.with_tcp } else { &[] };
        let own = self.own.iter().copied().flatten();
        COMMON.iter().chain(own).chain(with_tcp).copied()
    }

    pub(super) fn families(&self, tcp: bool) -> impl Iterator<Item = c_int> {
        let families = if tcp { self.families } else { &[] };
        families.iter().copied().chain([libc::AF_UNIX])
    }
}

/// keyd: the module writes a token's files, and the signal to end is waited for. A network HSM's module may
/// connect (`module_tcp_ports`).
pub static KEYD: Calls = Calls { own: &[MODULE], with_tcp: NAMES, families: REMOTE };
/// authd.
pub static AUTHD: Calls = Calls { own: &[REACTOR, LISTENER], with_tcp: NAMES, families: REMOTE };
/// admind.
pub static ADMIND: Calls = Calls { own: &[REACTOR, LISTENER], with_tcp: NAMES, families: REMOTE };
/// The courier: no listener.
pub static COURIER: Calls = Calls { own: &[REACTOR], with_tcp: NAMES, families: REMOTE };

/// The resolver asks by netlink which addresses the machine has.
const REMOTE: &[c_int] = &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Memory, threads, time, files, sockets and the end. `clock_gettime` for a machine whose clock is no page in
/// user space, `restart_syscall` after a stop, `tgkill` for `abort()`, `sendmsg` for systemd, `fstat` for a C library
/// (glibc since 2.39) that asks for a file's length by it and no longer by `newfstatat`.
const COMMON: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_connect,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getdents64,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_socket,
    libc::SYS_statx,
    libc::SYS_tgkill,
    libc::SYS_write,
    libc::SYS_writev,
];

/// `SoftHSM` locks, writes and replaces the files of its objects.
const MODULE: &[c_long] = &[
    libc::SYS_accept4,
    libc::SYS_access,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_mkdir,
    libc::SYS_pread64,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_umask,
    libc::SYS_unlink,
];

/// tokio.
const REACTOR: &[c_long] = &[
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_getuid,
    libc::SYS_ioctl,
    libc::SYS_socketpair,
];

/// Who is let in.
const LISTENER: &[c_long] = &[libc::SYS_accept4];

/// Names to addresses, the C library's way.
const NAMES: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_ioctl,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_uname,
];

/// What modules of vendors use besides: files, waiting, and memory and semaphores that they share with a service of
/// theirs. None leads to another process, another program or more rights.
const EXTRA: &[(&str, c_long)] = &[
    ("epoll_create1", libc::SYS_epoll_create1),
    ("epoll_ctl", libc::SYS_epoll_ctl),
    ("epoll_wait", libc::SYS_epoll_wait),
    ("eventfd2", libc::SYS_eventfd2),
    ("flock", libc::SYS_flock),
    ("getcwd", libc::SYS_getcwd),
    ("geteuid", libc::SYS_geteuid),
    ("getgid", libc::SYS_getgid),
    ("getppid", libc::SYS_getppid),
    ("getuid", libc::SYS_getuid),
    ("ioctl", libc::SYS_ioctl),
    ("pipe2", libc::SYS_pipe2),
    ("pselect6", libc::SYS_pselect6),
    ("pwrite64", libc::SYS_pwrite64),
    ("readv", libc::SYS_readv),
    ("select", libc::SYS_select),
    ("semctl", libc::SYS_semctl),
    ("semget", libc::SYS_semget),
    ("semop", libc::SYS_semop),
    ("semtimedop", libc::SYS_semtimedop),
    ("shmat", libc::SYS_shmat),
    ("shmctl", libc::SYS_shmctl),
    ("shmdt", libc::SYS_shmdt),
    ("shmget", libc::SYS_shmget),
    ("sysinfo", libc::SYS_sysinfo),
    ("times", libc::SYS_times),
    ("uname", libc::SYS_uname),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w168_the_lists_are_short_and_without_ways_out() {
        let ways_out = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_kill,
            libc::SYS_tkill,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_setuid,
            libc::SYS_setresuid,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_memfd_create,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_seccomp,
        ];
        for (name, calls) in
            [("keyd", &KEYD), ("authd", &AUTHD), ("admind", &ADMIND), ("courier", &COURIER)]
        {
            let extra = EXTRA.iter().map(|(_, number)| *number);
            let mut all: Vec<c_long> = calls.numbers(true).chain(extra).collect();
            for call in ways_out {
                assert!(!all.contains(&call), "{name}: {call}");
            }
            all.sort_unstable();
            all.dedup();
            assert!(all.len() <= 120, "{name}: {}", all.len());
        }
    }

    #[test]
    fn w168_a_module_is_given_no_way_out_by_name() {
        assert_eq!("semop".parse(), Ok(Extra(libc::SYS_semop)));
        for name in ["execve", "ptrace", "fork", "kill", "socket", "SYS_semop", "", "Semop"] {
            assert_eq!(name.parse::<Extra>(), Err(NotExtra), "{name}");
        }
    }
}
