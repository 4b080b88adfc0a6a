//! The two things that systemd and a service exchange, without systemd: a socket passed down as
//! descriptor 3, and a notification sent up.
#![expect(clippy::unwrap_used, reason = "a test: a failed step is a failed case")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

const CHILD: &str = "HOST_TEST_CHILD";

/// What the started process does: everything through `host::systemd`.
fn serve_once() {
    assert!(host::systemd::inherited_tcp("private").unwrap().is_none());
    assert!(host::systemd::inherited_unix("public").is_err(), "it is a TCP socket");
    let listener = host::systemd::inherited_tcp("public").unwrap().unwrap();
    assert!(host::systemd::inherited_tcp("public").unwrap().is_none(), "taken once");
    host::systemd::ready();
    assert_eq!(host::systemd::watchdog(), Some(std::time::Duration::from_secs(3)));
    host::systemd::alive();
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"inherited").unwrap();
    host::systemd::stopping();
}

#[test]
fn a_socket_comes_down_by_name_and_readiness_goes_up() {
    if std::env::var_os(CHILD).is_some() {
        return serve_once();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let notify = std::env::temp_dir().join(format!("host-notify-{}", std::process::id()));
    // Of a run that was cut off, by a process of the same number.
    let _ = std::fs::remove_file(&notify);
    let heard = UnixDatagram::bind(&notify).unwrap();
    heard.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();

    let script = "exec env LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=public \"$@\" 3<&0 </dev/null";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_socket_comes_down_by_name_and_readiness_goes_up", "--nocapture"])
        .env(CHILD, "1")
        .env("NOTIFY_SOCKET", &notify)
        .env("WATCHDOG_USEC", "3000000")
        .env_remove("WATCHDOG_PID")
        .stdin(OwnedFd::from(listener))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();

    let said = || {
        let mut buffer = [0; 64];
        let length = heard.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    assert_eq!(said(), "READY=1");
    assert_eq!(said(), "WATCHDOG=1");
    let mut text = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "inherited");
    assert_eq!(said(), "STOPPING=1");
    assert!(child.wait().unwrap().success());
    std::fs::remove_file(notify).unwrap();
}
