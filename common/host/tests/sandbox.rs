//! The sandbox, entered for real. It cannot be left and binds one thread, so each case runs in a
//! process of its own that has no other: `main` starts this executable again, with the name of
//! the case in the environment, and reports like any test executable.
#![expect(clippy::unwrap_used, reason = "a test: a failed step is a failed case")]

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use host::sandbox::syscalls::AUTHD;
use host::sandbox::{MemoryLock, Policy, Sandbox, SandboxError, enter, harden};
use rustix::net::SocketType;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, setrlimit,
};

/// What the kernel ends a process with that makes a call that is not on its list.
const SIGSYS: i32 = 31;
const MARKER: &str = "HOST_TEST_CASE";

type Case = (&'static str, fn());

/// What a sealed process cannot even try: each of these ends it.
const FATAL: &[Case] = &[
    ("w168_sealed_a_tcp_socket_is_fatal", a_tcp_socket),
    ("w168_sealed_a_netlink_socket_is_fatal", a_netlink_socket),
    ("w168_sealed_another_process_is_fatal", another_process),
    ("w168_sealed_another_program_is_fatal", another_program),
    ("w168_sealed_a_signal_is_fatal", a_signal),
    ("w168_sealed_executable_memory_is_fatal", executable_memory),
    ("w168_sealed_a_namespace_is_fatal", a_namespace),
    ("w168_sealed_another_user_is_fatal", another_user),
    ("w168_sealed_on_a_thread_started_later_too", on_a_thread),
];

const CASES: &[Case] = &[
    (
        "a_thread_started_later_cannot_open_what_is_not_allowed",
        a_thread_started_later_cannot_open_what_is_not_allowed,
    ),
    (
        "a_writable_folder_takes_files_but_no_links_and_nothing_runs",
        a_writable_folder_takes_files_but_no_links_and_nothing_runs,
    ),
    ("a_rule_on_one_file_allows_that_file_only", a_rule_on_one_file_allows_that_file_only),
    ("ports_that_are_not_allowed_are_closed", ports_that_are_not_allowed_are_closed),
    (
        "abstract_sockets_are_out_of_reach_and_path_sockets_are_not",
        abstract_sockets_are_out_of_reach_and_path_sockets_are_not,
    ),
    ("a_path_that_is_missing_is_named", a_path_that_is_missing_is_named),
    (
        "off_lets_everything_through_and_still_proves_that_it_was_asked",
        off_lets_everything_through_and_still_proves_that_it_was_asked,
    ),
    (
        "a_sealed_process_has_threads_files_and_unix_sockets",
        a_sealed_process_has_threads_files_and_unix_sockets,
    ),
    (
        "w168_a_hardened_process_leaves_no_core_and_cannot_be_traced",
        w168_a_hardened_process_leaves_no_core_and_cannot_be_traced,
    ),
    (
        "memory_is_locked_exactly_when_the_limit_allows_it",
        memory_is_locked_exactly_when_the_limit_allows_it,
    ),
];

fn main() -> ExitCode {
    if let Some(wanted) = std::env::var_os(MARKER) {
        return match CASES.iter().chain(FATAL).find(|(name, _)| wanted == *name) {
            Some((_, case)) => {
                case();
                ExitCode::SUCCESS
            }
            None => ExitCode::FAILURE,
        };
    }
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let all = CASES.iter().chain(FATAL);
    let chosen: Vec<&Case> = all.filter(|(name, _)| name.contains(&filter)).collect();
    let mut out = std::io::stdout();
    writeln!(out, "\nrunning {} tests", chosen.len()).unwrap();
    let mut failed = 0;
    for (name, _) in &chosen {
        let folder = std::env::temp_dir().join(format!("host-{name}-{}", std::process::id()));
        // Of a run that was cut off, by a process of the same number.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let mut me = Command::new(std::env::current_exe().unwrap());
        let output = me.env(MARKER, name).current_dir(&folder).output().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let is_fatal = FATAL.iter().any(|(fatal, _)| fatal == name);
        let good = match output.status.signal() {
            Some(signal) => is_fatal && signal == SIGSYS,
            None => !is_fatal && output.status.success(),
        };
        let verdict = if good { "ok" } else { "FAILED" };
        writeln!(out, "test {name} ... {verdict}").unwrap();
        if !good {
            writeln!(out, "{name} ended with {}", output.status).unwrap();
            failed += 1;
            out.write_all(&output.stderr).unwrap();
        }
    }
    let (verdict, passed) = (if failed == 0 { "ok" } else { "FAILED" }, chosen.len() - failed);
    let rest = "0 ignored; 0 measured; 0 filtered out";
    writeln!(out, "\ntest result: {verdict}. {passed} passed; {failed} failed; {rest}").unwrap();
    ExitCode::from(u8::from(failed != 0))
}

/// A folder of this case's own; `main` removes it.
fn folder() -> PathBuf {
    std::env::current_dir().unwrap()
}

fn inside(policy: &Policy) {
    harden(MemoryLock::Try).unwrap();
    let _confined = enter(Sandbox::Required, policy).unwrap();
}

fn sealed() {
    harden(MemoryLock::Off).unwrap();
    let confined = enter(Sandbox::Required, &Policy::default()).unwrap();
    let _entered = confined.seal(&AUTHD).unwrap();
}

fn a_tcp_socket() {
    sealed();
    drop(TcpListener::bind("127.0.0.1:0"));
}

fn a_netlink_socket() {
    sealed();
    drop(rustix::net::socket(rustix::net::AddressFamily::NETLINK, SocketType::RAW, None));
}

fn another_process() {
    sealed();
    drop(Command::new("/bin/true").status());
}

fn another_program() {
    sealed();
    drop(Command::new("/bin/true").exec());
}

fn a_signal() {
    sealed();
    let _ = rustix::process::test_kill_process(rustix::process::getppid().unwrap());
}

fn executable_memory() {
    let page = memmap2::MmapMut::map_anon(4096).unwrap();
    sealed();
    drop(page.make_exec());
}

fn a_namespace() {
    sealed();
    let _ = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
}

fn another_user() {
    sealed();
    let _ = nix::unistd::setuid(nix::unistd::getuid());
}

fn on_a_thread() {
    sealed();
    on_a_new_thread(a_tcp_socket_here);
}

fn a_tcp_socket_here() {
    drop(TcpListener::bind("127.0.0.1:0"));
}

/// What daemons do all the time, and what of the same kind is refused without ending anything.
fn a_sealed_process_has_threads_files_and_unix_sockets() {
    let folder = folder();
    harden(MemoryLock::Off).unwrap();
    let policy = Policy { read: vec![folder.clone()], ..Policy::default() };
    let _entered = enter(Sandbox::Required, &policy).unwrap().seal(&AUTHD).unwrap();
    on_a_new_thread(move || {
        assert!(std::fs::read_dir(&folder).is_ok());
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"x").unwrap();
        theirs.set_nonblocking(true).unwrap();
        assert_eq!(
            std::fs::read_to_string("/etc/hostname").unwrap_err().kind(),
            ErrorKind::PermissionDenied
        );
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    });
}

fn denied<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

fn on_a_new_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(f).join().unwrap()
}

fn a_thread_started_later_cannot_open_what_is_not_allowed() {
    let folder = folder();
    std::fs::write(folder.join("a"), "a").unwrap();
    let secret = File::open("/etc/passwd").map(|_| ());
    assert!(secret.is_ok(), "readable before");
    inside(&Policy { read: vec![folder.clone()], ..Policy::default() });
    on_a_new_thread(move || {
        assert!(denied(File::open("/etc/passwd")));
        assert!(denied(std::fs::read_dir("/etc")));
        assert_eq!(std::fs::read_to_string(folder.join("a")).unwrap(), "a");
        assert!(denied(File::create(folder.join("b"))), "reading is not writing");
        assert!(denied(std::fs::remove_file(folder.join("a"))));
    });
}

fn a_writable_folder_takes_files_but_no_links_and_nothing_runs() {
    let folder = folder();
    std::fs::copy("/bin/true", folder.join("true")).unwrap();
    inside(&Policy { write: vec![folder.clone()], ..Policy::default() });
    on_a_new_thread(move || {
        std::fs::create_dir(folder.join("deep")).unwrap();
        std::fs::write(folder.join("deep/a"), "long").unwrap();
        std::fs::write(folder.join("deep/a"), "s").unwrap();
        std::fs::rename(folder.join("deep/a"), folder.join("b")).unwrap();
        assert_eq!(std::fs::read_to_string(folder.join("b")).unwrap(), "s");
        assert!(denied(std::os::unix::fs::symlink("/etc/passwd", folder.join("link"))));
        assert!(denied(Command::new(folder.join("true")).status()));
        assert!(denied(Command::new("/bin/true").status()));
        std::fs::remove_dir_all(folder.join("deep")).unwrap();
        std::fs::remove_file(folder.join("true")).unwrap();
    });
}

fn a_rule_on_one_file_allows_that_file_only() {
    inside(&Policy { read: vec!["/etc/hostname".into()], ..Policy::default() });
    on_a_new_thread(|| {
        assert!(File::open("/etc/hostname").is_ok());
        assert!(denied(File::open("/etc/passwd")));
    });
}

fn ports_that_are_not_allowed_are_closed() {
    let allowed = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (to_allowed, to_other) = (allowed.local_addr().unwrap(), other.local_addr().unwrap());
    assert!(TcpStream::connect(to_other).is_ok(), "open before");
    inside(&Policy { connect_tcp: vec![to_allowed.port()], ..Policy::default() });
    on_a_new_thread(move || {
        assert!(denied(TcpStream::connect(to_other)));
        assert!(denied(TcpListener::bind("127.0.0.1:0")));
        let ours = TcpStream::connect(to_allowed).unwrap();
        let (theirs, _) = allowed.accept().unwrap();
        assert_eq!(ours.local_addr().unwrap(), theirs.peer_addr().unwrap());
    });
}

fn abstract_sockets_are_out_of_reach_and_path_sockets_are_not() {
    let folder = folder();
    let path = folder.join("s");
    let _listener = UnixListener::bind(&path).unwrap();
    // It belongs to the domain that made it: none, so it is outside of ours.
    let name = SocketAddr::from_abstract_name(format!("host-{}", std::process::id())).unwrap();
    let _outside = UnixListener::bind_addr(&name).unwrap();
    assert!(UnixStream::connect_addr(&name).is_ok(), "reachable before");
    inside(&Policy::default());
    on_a_new_thread(move || {
        assert!(denied(UnixStream::connect_addr(&name)));
        assert!(UnixStream::connect(&path).is_ok());
    });
}

fn a_path_that_is_missing_is_named() {
    let policy = Policy { read: vec!["/no/such/folder".into()], ..Policy::default() };
    let refused = enter(Sandbox::Required, &policy).unwrap_err();
    assert!(matches!(refused, SandboxError::Path(..)));
    assert!(refused.to_string().contains("/no/such/folder"), "{refused}");
}

fn off_lets_everything_through_and_still_proves_that_it_was_asked() {
    let _entered = enter(Sandbox::Off, &Policy::default()).unwrap().seal(&AUTHD).unwrap();
    assert!(Command::new("/bin/true").status().unwrap().success());
    assert!(File::open("/etc/passwd").is_ok());
}

fn w168_a_hardened_process_leaves_no_core_and_cannot_be_traced() {
    harden(MemoryLock::Off).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    let dumpable = dumpable_behavior().unwrap();
    assert_eq!(dumpable, DumpableBehavior::NotDumpable);
}

fn memory_is_locked_exactly_when_the_limit_allows_it() {
    let small = Rlimit { current: Some(1 << 20), maximum: getrlimit(Resource::Memlock).maximum };
    setrlimit(Resource::Memlock, small).unwrap();
    assert!(matches!(harden(MemoryLock::Required), Err(SandboxError::MemoryLimit(1_048_576))));
    harden(MemoryLock::Try).unwrap();
    let locked = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmLck:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(locked(), 0);
    // Only root may raise its own limit; for others the unit does.
    if setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None }).is_ok() {
        harden(MemoryLock::Required).unwrap();
        assert!(locked() > 0);
    }
}
