//! The same acts free and inside a daemon's sandbox, as the daemon's user, from a thread that was started
//! after it was entered. What is denied inside and possible outside is Landlock's doing.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Stdio};

use e2e::bench::{bench, free_port};

use crate::{DAEMONS, allowed, as_user, denied, node, pid, stand, user};

fn acts(list: &[&str]) -> Vec<String> {
    list.iter().map(|act| (*act).to_owned()).collect()
}

#[test]
fn a_sandboxed_daemon_reads_nothing_that_it_has_no_use_for() {
    // Readable by everybody on the machine.
    let open = [
        "read:/etc/passwd",
        "read:/etc/ssl/openssl.cnf",
        "list:/etc",
        "list:/tmp",
        "read:/proc/version",
    ];
    let config = format!("read:{}", node().join("config/keyd.toml").display());
    let open = [acts(&open), vec![config, format!("list:{}", bench().dir().join("bin").display())]]
        .concat();
    for daemon in DAEMONS {
        allowed(daemon, false, &open);
        denied(daemon, true, &open);
    }
}

#[test]
fn w138_a_sandboxed_daemon_opens_none_of_the_secrets_of_the_others() {
    let tls = bench().dir().join("tls");
    let token = stand().token();
    let read = |path: std::path::PathBuf| format!("read:{}", path.display());
    let everything = vec![
        "read:/etc/shadow".to_owned(),
        read(tls.join("ca.key")),
        read(bench().dir().join("pg/data/postgresql.conf")),
        format!("list:{}", bench().dir().join("pg/data").display()),
    ];
    let of_keyd = vec![
        read(token.join("pin")),
        read(token.join("softhsm2.conf")),
        format!("list:{}", token.join("tokens").display()),
    ];
    let keys = |daemon: &str| read(tls.join(daemon).join("key.pem"));
    let without = |daemon: &str| -> Vec<String> {
        DAEMONS[1..].iter().filter(|other| **other != daemon).map(|other| keys(other)).collect()
    };
    for inside in [false, true] {
        for daemon in DAEMONS {
            denied(daemon, inside, &everything);
            denied(daemon, inside, &without(daemon));
            if daemon != "keyd" {
                denied(daemon, inside, &of_keyd);
                allowed(daemon, inside, &[keys(daemon)]);
            }
        }
        allowed("keyd", inside, &of_keyd[1..]);
    }
    // The PIN was read before; keyd itself cannot read it again.
    allowed("keyd", false, &of_keyd[..1]);
    denied("keyd", true, &of_keyd[..1]);
}

#[test]
fn a_sandboxed_daemon_writes_nowhere_but_keyd_in_its_token_and_runs_nothing() {
    let free = bench().dir().join("open");
    std::fs::create_dir_all(&free).unwrap();
    std::fs::set_permissions(&free, std::fs::Permissions::from_mode(0o777)).unwrap();
    for daemon in DAEMONS {
        let new = |place: &str| {
            vec![
                format!("create:{}/{daemon}-{place}", free.display()),
                format!("link:{}/{daemon}-{place}-link", free.display()),
                format!("create:/dev/shm/{daemon}-{place}-{}", std::process::id()),
            ]
        };
        denied(daemon, true, &new("inside"));
        allowed(daemon, false, &new("outside"));
        std::fs::remove_file(format!("/dev/shm/{daemon}-outside-{}", std::process::id())).unwrap();
        let programs = vec![
            "run:/bin/true".to_owned(),
            format!("run:{}", bench().dir().join("bin/opentrusty").display()),
        ];
        allowed(daemon, false, &programs[..1]);
        denied(daemon, true, &programs);
        let devices = acts(&["write:/dev/null"]);
        allowed(daemon, false, &devices);
        denied(daemon, true, &devices);
    }
    let inside = stand().token().join("tokens/probe");
    allowed("keyd", true, &[format!("create:{}", inside.display())]);
    std::fs::remove_file(inside).unwrap();
    denied("keyd", true, &[format!("link:{}", stand().token().join("tokens/link").display())]);
}

/// Landlock learnt of TCP in Linux 6.7 and of signals and abstract sockets in 6.12. Where the kernel cannot
/// do it, every daemon must say so in its log; where it can, there is no way around it.
fn kernel_has(what: &str, since: (u32, u32)) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    let has = (numbers.next().unwrap(), numbers.next().unwrap()) >= since;
    let node = &stand().nodes()[0];
    for log in [node.keyd.log(), node.authd.log(), stand().admind_here().log()] {
        assert!(log.contains(&format!("{what}={has}")), "on Linux {release}: {log}");
    }
    has
}

#[test]
fn w138_a_sandboxed_daemon_reaches_no_tcp_port_and_binds_none() {
    if !kernel_has("tcp", (6, 7)) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap();
    for daemon in DAEMONS {
        let out = vec![
            format!("connect:{there}"),
            format!("connect:127.0.0.1:{}", stand().nodes()[0].port()),
            format!("connect:127.0.0.1:{}", stand().admin_port()),
            format!("bind:127.0.0.1:{}", free_port()),
            "bind:127.0.0.1:0".to_owned(),
        ];
        allowed(daemon, false, &out);
        denied(daemon, true, &out);
        denied(
            daemon,
            true,
            &acts(&["connect:192.0.2.1:443", "connect:[::1]:443", "connect:169.254.169.254:80"]),
        );
    }
}

/// A process of a daemon's user, outside of any sandbox.
struct Bystander(Child);

impl Bystander {
    fn of(daemon: &str) -> Self {
        // It ends when its standard input does.
        let mut child = as_user(&user(daemon), "cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Until it has answered, the process may still be root's, on its way to that user.
        child.stdin.as_mut().unwrap().write_all(b"?").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Self(child)
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_sandboxed_daemon_signals_nobody_not_even_another_process_of_its_user() {
    if !kernel_has("signals_and_abstract_sockets", (6, 12)) {
        return;
    }
    for daemon in DAEMONS {
        let bystander = Bystander::of(daemon);
        let to = vec![format!("signal:{}", bystander.0.id()), format!("signal:{}", pid(daemon))];
        allowed(daemon, false, &to);
        denied(daemon, true, &to);
        denied(daemon, true, &acts(&["signal:1"]));
    }
}

#[test]
fn a_sandboxed_daemon_finds_its_sockets_by_path_and_none_by_abstract_name() {
    let name = format!("opentrusty-walls-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let abstract_ = vec![format!("abstract:{name}")];
    let scoped = kernel_has("signals_and_abstract_sockets", (6, 12));
    for daemon in DAEMONS {
        allowed(daemon, false, &abstract_);
        if scoped {
            denied(daemon, true, &abstract_);
        }
    }
    let database = format!("unix:{}", bench().sockets().join(".s.PGSQL.5432").display());
    allowed(
        "authd",
        true,
        &[format!("unix:{}", stand().keyd_sign_socket(0).display()), database.clone()],
    );
    allowed(
        "admind",
        true,
        &[format!("unix:{}", stand().keyd_manage_socket(0).display()), database],
    );
    denied("authd", true, &[format!("unix:{}", stand().keyd_manage_socket(0).display())]);
    denied("admind", true, &[format!("unix:{}", stand().keyd_sign_socket(0).display())]);
}
