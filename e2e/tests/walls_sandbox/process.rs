//! What each daemon gave up, as the kernel tells it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use e2e::Options;
use e2e::Stand;
use e2e::bench::require_root;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{DAEMONS, as_user, id, pid, user};

fn field(status: &str, name: &str) -> String {
    let begin = format!("{name}:");
    let line = status.lines().find_map(|line| line.strip_prefix(&begin));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}

#[test]
fn w168_each_daemon_is_its_own_user_and_gives_up_privileges_in_every_thread() {
    let mut uids = Vec::new();
    for daemon in DAEMONS {
        let pid = pid(daemon);
        let (uid, gid) = (id(&user(daemon), "-u"), id(&user(daemon), "-g"));
        assert_ne!(uid, 0);
        uids.push(uid);
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let mut threads = 0;
        for task in tasks {
            // A thread that served a connection may be gone.
            let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else {
                continue;
            };
            let all = |id: u32| [id; 4].map(|id| id.to_string()).join("\t");
            assert_eq!(field(&status, "Uid"), all(uid), "{daemon}");
            assert_eq!(field(&status, "Gid"), all(gid), "{daemon}");
            assert_eq!(field(&status, "NoNewPrivs"), "1", "{daemon}");
            assert_eq!(field(&status, "Seccomp"), "2", "{daemon}: a filter in every thread");
            let groups = field(&status, "Groups");
            assert!(groups.is_empty() || groups == gid.to_string(), "{daemon}: {groups}");
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert_eq!(field(&status, set), "0000000000000000", "{daemon} {set}");
            }
            threads += 1;
        }
        assert!(threads > 1, "{daemon} has workers");
    }
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), 3, "three daemons, three users");
}

#[test]
fn w175_no_daemon_leaves_a_core_or_lets_its_own_user_look_inside() {
    for daemon in DAEMONS {
        let pid = pid(daemon);
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let values: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
        assert_eq!(values, ["0", "0"], "{daemon}: {core}");
        // proc(5): the files of a process that is not dumpable belong to root.
        for name in ["environ", "maps", "mem", "auxv"] {
            let owner = fs::metadata(format!("/proc/{pid}/{name}")).unwrap().uid();
            assert_eq!(owner, 0, "{daemon}: /proc/PID/{name} belongs to its own user");
            let read = as_user(&user(daemon), "head")
                .args(["-c", "1"])
                .arg(format!("/proc/{pid}/{name}"))
                .output()
                .unwrap();
            assert!(!read.status.success(), "{daemon}'s user reads /proc/PID/{name}");
        }
        let open = as_user(&user(daemon), "ls").arg(format!("/proc/{pid}/fd")).output().unwrap();
        assert!(!open.status.success(), "{daemon}'s user lists what it has open");
    }
}

#[test]
fn w177_no_secret_stands_in_arguments_or_environment() {
    let pin = fs::read_to_string(crate::stand().token().join("pin")).unwrap();
    let pin = pin.trim();
    assert!(pin.len() >= 32);
    for daemon in DAEMONS {
        for name in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{}/{name}", pid(daemon))).unwrap();
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains(pin), "{daemon}: the PIN is in {name}");
            assert!(!text.to_ascii_lowercase().contains("secret"), "{daemon} {name}: {text}");
        }
    }
}

/// The inodes of TCP and UDP sockets that a process holds.
fn network_sockets(pid: u32) -> Vec<String> {
    let held: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|target| {
            let target = target.to_string_lossy().into_owned();
            Some(target.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    ["tcp", "tcp6", "udp", "udp6", "raw", "packet"]
        .iter()
        .flat_map(|table| {
            let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
            text.lines().map(|line| format!("{table} {line}")).collect::<Vec<_>>()
        })
        .filter(|line| held.iter().any(|inode| line.split_whitespace().any(|word| word == inode)))
        .collect()
}

#[test]
fn keyd_has_no_network_and_the_planes_hold_one_listener_each() {
    assert_eq!(network_sockets(pid("keyd")), Vec::<String>::new());
    for (daemon, port) in
        [("authd", crate::stand().nodes()[0].port()), ("admind", crate::stand().admin_port())]
    {
        // `0A` is LISTEN; connections of other tests of this binary may be under way.
        let listening: Vec<String> =
            network_sockets(pid(daemon)).into_iter().filter(|line| line.contains(" 0A ")).collect();
        assert_eq!(listening.len(), 1, "{daemon}: {listening:?}");
        let address = format!("0100007F:{port:04X}");
        assert!(listening[0].contains(&address), "{daemon} on {address}: {listening:?}");
    }
}

#[test]
fn keyd_keeps_its_pin_file_closed_once_it_is_logged_in() {
    for daemon in DAEMONS {
        for entry in fs::read_dir(format!("/proc/{}/fd", pid(daemon))).unwrap() {
            let Ok(target) = fs::read_link(entry.unwrap().path()) else { continue };
            let target = target.to_string_lossy().into_owned();
            assert!(
                !target.ends_with("/pin") && !target.ends_with("key.pem"),
                "{daemon}: {target}"
            );
        }
    }
}

/// Root may raise the limit, unless whatever this machine runs in keeps root from it; then the other half of
/// the promise is what can be seen.
#[test]
fn memory_is_locked_exactly_where_the_limit_allows_it() {
    require_root();
    let before = getrlimit(Resource::Memlock);
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    let allows = getrlimit(Resource::Memlock).current.is_none_or(|bytes| bytes >= 64 << 20);
    let stand = Stand::start(&Options::default());
    setrlimit(Resource::Memlock, before).unwrap();
    let node = &stand.nodes()[0];
    for daemon in [&node.keyd, &node.authd, stand.admind_here()] {
        let name = daemon.name();
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid().unwrap())).unwrap();
        let kilobytes = |field_: &str| -> u64 {
            field(&status, field_).trim_end_matches(" kB").parse().unwrap()
        };
        let says = daemon.log().contains("memory is not locked");
        if allows {
            let (locked, resident) = (kilobytes("VmLck"), kilobytes("VmRSS"));
            assert!(locked >= resident / 2 && locked > 1024, "{name}: {locked} of {resident} kB");
        } else {
            assert_eq!(kilobytes("VmLck"), 0, "{name}");
        }
        assert_eq!(says, !allows, "{name}: {}", daemon.log());
    }
}

#[test]
fn a_daemon_that_must_lock_its_memory_and_may_not_does_not_start() {
    for daemon in DAEMONS {
        let config = crate::node().join(format!("config/{daemon}.toml"));
        let text = fs::read_to_string(config).unwrap();
        let text = text.replace("memory_lock = \"try\"", "memory_lock = \"required\"");
        let required = crate::node().join(format!("config/{daemon}-required.toml"));
        fs::write(&required, text).unwrap();
        let output = as_user(&user(daemon), "prlimit")
            .arg("--memlock=1048576:1048576")
            .arg(e2e::bench::bench().dir().join("bin").join(daemon))
            .arg("--config")
            .arg(required)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && stderr.contains("RLIMIT_MEMLOCK"),
            "{daemon}: {stderr}"
        );
    }
}
