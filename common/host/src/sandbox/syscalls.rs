//! Which system calls each daemon may make.
//!
//! The lists are what `packaging/dev/syscalls` saw the daemons do after they had entered, over the whole test
//! suite, and a few that it cannot see there, each with its reason. Calls whose arguments matter are narrowed
//! in `seccomp.rs`.

use nix::libc::{self, c_int, c_long};

/// A daemon's list.
#[derive(Debug)]
pub struct Calls {
    own: &'static [c_long],
    /// More of them, where the daemon may use TCP.
    with_tcp: &'static [c_long],
    /// Address families besides Unix sockets, where it may.
    families: &'static [c_int],
}

impl Calls {
    pub(super) fn numbers(&self, tcp: bool) -> impl Iterator<Item = c_long> {
        let with_tcp = if tcp { self.with_tcp } else { &[] };
        [COMMON, self.own, with_tcp].into_iter().flatten().copied()
    }

    pub(super) fn families(&self, tcp: bool) -> impl Iterator<Item = c_int> {
        let families = if tcp { self.families } else { &[] };
        families.iter().copied().chain([libc::AF_UNIX])
    }
}

/// keyd: the module writes a token's files, and the signal to end is waited for. A network HSM's module may
/// connect (`module_tcp_ports`).
pub static KEYD: Calls = Calls { own: MODULE, with_tcp: NAMES, families: REMOTE };
/// authd.
pub static AUTHD: Calls = Calls { own: SERVER, with_tcp: NAMES, families: REMOTE };
/// admind.
pub static ADMIND: Calls = Calls { own: SERVER, with_tcp: NAMES, families: REMOTE };
/// The courier: no listener.
pub static COURIER: Calls = Calls { own: REACTOR, with_tcp: NAMES, families: REMOTE };

/// The resolver asks by netlink which addresses the machine has.
const REMOTE: &[c_int] = &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Memory, threads, time, files, sockets and the end. `clock_gettime` for a machine whose clock is no page in
/// user space, `restart_syscall` after a stop, `tgkill` for abort(), `sendmsg` for systemd.
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
    libc::SYS_fstat,
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

/// tokio, and a listener.
const SERVER: &[c_long] = &[
    libc::SYS_accept4,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd2,
    libc::SYS_getuid,
    libc::SYS_ioctl,
    libc::SYS_socketpair,
];

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
            let mut all: Vec<c_long> = calls.numbers(true).collect();
            for call in ways_out {
                assert!(!all.contains(&call), "{name}: {call}");
            }
            all.sort_unstable();
            all.dedup();
            assert!(all.len() <= 120, "{name}: {}", all.len());
        }
    }
}
