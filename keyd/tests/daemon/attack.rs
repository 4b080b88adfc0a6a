//! Peers that are not whom they should be, or do not do what they should.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use wire::{Algorithm, Class, FRAME_MAX, Refused, Reply, Request, TokenState};

use crate::bed::{Bed, Client, access, until};

/// Connects, sends the given bytes and exits with 0 if an answer came, 4 if the connection was closed.
const PROBE: &str = r"
use Socket;
$SIG{PIPE} = 'IGNORE';
socket(my $s, PF_UNIX, SOCK_STREAM, 0) or exit 2;
connect($s, sockaddr_un($ARGV[0])) or exit 3;
syswrite($s, pack('C*', split(/,/, $ARGV[1])));
my $n = sysread($s, my $answer, 1);
exit($n ? 0 : 4);
";

fn ask_as(uid: u32, socket: &std::path::Path) -> Option<i32> {
    let frame = wire::encode(1, &Request::Health, FRAME_MAX).unwrap();
    let bytes: Vec<String> = frame.iter().map(u8::to_string).collect();
    let mut probe = Command::new("/usr/bin/perl");
    probe
        .args(["-e", PROBE])
        .arg(socket)
        .arg(bytes.join(","))
        .uid(uid)
        .gid(uid.max(1))
        .current_dir("/");
    probe.status().expect("needs perl and root").code()
}

#[test]
fn w170_only_the_configured_uid_is_heard() {
    assert!(rustix::process::getuid().is_root(), "other uids can only be tried by root");
    let mut bed = Bed::new();
    bed.set("authd_user", "61001");
    bed.set("admind_user", "0");
    bed.start();
    let (sign, manage) = (bed.path("sign"), bed.path("manage"));
    let mode = fs::metadata(&sign).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(ask_as(61001, &sign), Some(3), "the file's mode is a check of its own");
    // With the mode out of the way, the uid decides.
    for socket in [&sign, &manage] {
        fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
    }
    assert_eq!(ask_as(61001, &sign), Some(0));
    assert_eq!(ask_as(0, &manage), Some(0));
    for uid in [0, 1, 33, 1000, 61000, 65534] {
        assert_eq!(ask_as(uid, &sign), Some(4), "uid {uid}");
    }
    for uid in [1, 33, 1000, 61000, 61001, 65534] {
        assert_eq!(ask_as(uid, &manage), Some(4), "uid {uid}");
    }
    assert_eq!(bed.log().matches("ALARM: a stranger was turned away").count(), 12);
}

#[test]
fn w171_malformed_frames_close_their_connection_and_no_other() {
    let bed = Bed::started();
    let mut good = bed.sign_socket();
    assert_eq!(good.call(&Request::Health), Reply::Health(TokenState::Ready));
    let health = wire::encode(1, &Request::Health, FRAME_MAX).unwrap();
    let length = |n: u32| n.to_le_bytes().to_vec();
    let mut trailing = health.clone();
    trailing.push(0);
    trailing[0] += 1;
    let mut version = health.clone();
    version[4] = 9;
    let mut unknown = health.clone();
    *unknown.last_mut().unwrap() = 99;
    for (what, bytes) in [
        ("length 0", length(0)),
        ("length 8", length(8)),
        ("length 2^32-1", length(u32::MAX)),
        ("one too long", length(u32::try_from(FRAME_MAX).unwrap() + 1)),
        ("trailing byte", trailing),
        ("version", version),
        ("unknown request", unknown),
        ("noise", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let mut bad = bed.sign_socket();
        bad.stream.write_all(&bytes).unwrap();
        let began = Instant::now();
        assert_eq!(bad.stream.read(&mut [0; 1]).unwrap_or(0), 0, "{what}");
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        assert_eq!(good.call(&Request::Health), Reply::Health(TokenState::Ready), "{what}");
    }
    // Cut short by the peer.
    let mut short = bed.sign_socket();
    short.stream.write_all(&health[..5]).unwrap();
    drop(short);
    assert_eq!(good.call(&Request::Health), Reply::Health(TokenState::Ready));
    assert!(bed.log().contains("malformed frame"));
}

#[test]
fn w171_a_frame_that_trickles_in_is_cut_off_after_two_seconds() {
    let bed = Bed::started();
    let mut slow = bed.sign_socket();
    let frame = wire::encode(1, &access(wire::Kid([0; 16])), FRAME_MAX).unwrap();
    let began = Instant::now();
    let writer = slow.stream.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        for byte in frame {
            if (&writer).write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    assert!(slow.receive().is_none());
    let took = began.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(8)).contains(&took), "{took:?}");
    trickle.join().unwrap();
    // A connection that is merely idle stays.
    let mut idle = bed.sign_socket();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(idle.call(&Request::Health), Reply::Health(TokenState::Ready));
}

#[test]
fn w171_a_peer_that_does_not_read_is_dropped_and_costs_no_memory() {
    let bed = Bed::started();
    bed.active_key(Algorithm::Rs256, Class::Token);
    let before = bed.resident_kib();
    let mut deaf = bed.sign_socket();
    deaf.stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let frames = wire::encode(1, &Request::PublicKeys, FRAME_MAX).unwrap().repeat(100);
    let began = Instant::now();
    let mut written = 0;
    while deaf.stream.write_all(&frames).is_ok() {
        written += 100;
        assert!(written < 1_000_000, "keyd reads without end");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "closed by keyd, not by our timeout: {took:?}");
    assert!(bed.resident_kib() < before + 4096, "{before} -> {}", bed.resident_kib());
    assert_eq!(bed.sign_socket().call(&Request::Health), Reply::Health(TokenState::Ready));
}

#[test]
fn w172_more_than_the_queue_holds_is_told_busy_and_admin_stays_responsive() {
    let bed = Bed::started();
    let (key, _) = bed.active_key(Algorithm::Rs256, Class::Token);
    let mut crowd: Vec<Client> = (0..16).map(|_| bed.sign_socket()).collect();
    for client in &mut crowd {
        for _ in 0..64 {
            client.send(&access(key.kid));
        }
    }
    let began = Instant::now();
    bed.manage_socket().generate(Algorithm::Es256, Class::Token);
    let admin = began.elapsed();
    let (mut signed, mut busy) = (0, 0);
    for client in &mut crowd {
        for _ in 0..64 {
            let reply = client.receive().unwrap().1;
            let is_busy = reply == Reply::Refused(Refused::Busy);
            assert!(is_busy || matches!(reply, Reply::Signed(_)), "{reply:?}");
            *(if is_busy { &mut busy } else { &mut signed }) += 1;
        }
    }
    assert_eq!(signed + busy, 1024);
    assert!(signed >= 128 && busy > 0, "{signed} signed, {busy} busy");
    assert!(admin < Duration::from_secs(5), "admin waited {admin:?}");
    assert!(matches!(crowd[0].call(&access(key.kid)), Reply::Signed(_)));
}

#[test]
fn w172_connections_are_bounded_and_places_come_back() {
    let bed = Bed::started();
    let mut crowd: Vec<Client> = (0..32).map(|_| bed.sign_socket()).collect();
    for client in &mut crowd {
        assert_eq!(client.call(&Request::Health), Reply::Health(TokenState::Ready));
    }
    assert_eq!(bed.sign_socket().try_call(&Request::Health), None);
    assert!(bed.manage_socket().try_call(&Request::Health).is_some(), "the other socket is free");
    crowd.truncate(31);
    until("a place comes back", || bed.sign_socket().try_call(&Request::Health).is_some());
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let mut bed = Bed::new();
    drop(UnixListener::bind(bed.path("sign")).unwrap());
    bed.start();
    assert_eq!(bed.sign_socket().call(&Request::Health), Reply::Health(TokenState::Ready));
    let code = bed.command("").status().unwrap().code();
    assert_eq!(code, Some(78), "a second keyd must not take over the sockets of the first");
    assert_eq!(bed.sign_socket().call(&Request::Health), Reply::Health(TokenState::Ready));
    assert!(bed.log().contains("somebody listens there"));
}
