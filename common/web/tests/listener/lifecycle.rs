//! Time and change: slow peers, new certificates, the end of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Pair, Stand, both, read_all, until, write_secret};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use web::{Limits, Tls, TlsError};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn f29_a_slow_handshake_head_or_body_is_cut_off() {
    let begun = Instant::now();
    let limits = Limits { handshake: SHORT, ..Limits::default() };
    let stand = Stand::with("slow-handshake", limits);

    let mut tcp = TcpStream::connect(stand.address).await.unwrap();
    tcp.write_all(&[22, 3, 1]).await.unwrap();
    let end = tokio::time::timeout(PATIENCE, tcp.read(&mut [0; 64])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    stand.end().await;

    let limits = Limits { header_read: SHORT, body_read: SHORT, ..Limits::default() };
    let stand = Stand::with("slow", limits);
    assert_eq!(stand.raw("GET /a HTTP/1.1\r\nHost: localh").await, "", "half a head");

    let mut trickle = stand.connect(b"http/1.1").await;
    let dripping = async {
        while trickle.write_all(b"\r\n").await.is_ok() && trickle.flush().await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    tokio::time::timeout(PATIENCE, dripping).await.expect("a dripping head was cut off");

    let post = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf";
    let said = stand.raw(post).await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("connection: close"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(4), "nobody waited for the default limits");
    assert_eq!(stand.app.handled.load(Ordering::SeqCst), 0);
    stand.end().await;
}

#[tokio::test]
async fn f29_a_peer_that_does_not_read_loses_its_connection_only() {
    let limits = Limits { write_stall: SHORT, response_total: SHORT, ..Limits::default() };
    let stand = Stand::with("stall", limits);
    let mut stalled = stand.connect(b"http/1.1").await;
    stalled.write_all(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // HTTP/2: a window that never opens.
    let mut frames = stand.connect(b"h2").await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    frames.write_all(preface).await.unwrap();
    // HEADERS, END_STREAM|END_HEADERS: GET, https, /big as literals, :authority localhost.
    let block = b"\x82\x87\x04\x04/big\x01\x09localhost";
    let mut headers = vec![0, 0, u8::try_from(block.len()).unwrap(), 1, 5, 0, 0, 0, 1];
    headers.extend_from_slice(block);
    frames.write_all(&headers).await.unwrap();
    until("both run", || stand.app.handled.load(Ordering::SeqCst) == 2).await;

    assert_eq!(stand.http_2().await.get("/a").await.unwrap().status, 200, "others are served");
    let said = read_all(&mut frames).await;
    assert!(said.len() < 1 << 20, "no more than its window: {}", said.len());
    let said = read_all(&mut stalled).await;
    assert!(said.len() < 16 << 20, "cut off: {}", said.len());
    stand.end().await;
}

#[tokio::test]
async fn f28_an_idle_connection_is_closed_after_a_while() {
    let limits = Limits { idle: 5 * SHORT, header_read: SHORT, ..Limits::default() };
    let stand = Stand::with("idle", limits);
    let mut never_used = stand.connect(b"http/1.1").await;
    assert_eq!(read_all(&mut never_used).await, "");
    for two in [false, true] {
        let mut client = if two { stand.http_2().await } else { stand.http_1().await };
        assert_eq!(client.get("/a").await.unwrap().status, 200);
        tokio::time::timeout(PATIENCE, client.driver).await.unwrap().unwrap();
    }
    stand.end().await;
}

#[tokio::test]
async fn f29_one_source_has_so_many_connections() {
    let limits = Limits { source_connections: 3, ..Limits::default() };
    let stand = Stand::with("source", limits);
    let held = [stand.http_1().await, stand.http_1().await, stand.http_2().await];
    assert!(stand.try_connect(b"http/1.1").await.is_err(), "the fourth is closed");
    let [mut one, two, three] = held;
    assert_eq!(one.get("/a").await.unwrap().status, 200, "those that are there work");
    drop((one, two, three));
    let connecting = async {
        while stand.try_connect(b"http/1.1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, connecting).await.expect("places are given back");
    stand.end().await;
}

#[tokio::test]
async fn f25_more_connections_than_places_wait_their_turn() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let stand = Stand::with("places", limits);
    let (mut one, two) = (stand.http_1().await, stand.http_1().await);
    let mut third = Box::pin(stand.try_connect(b"http/1.1"));
    let waited = tokio::time::timeout(SHORT, third.as_mut()).await;
    assert!(waited.is_err(), "there is no place");
    assert_eq!(one.get("/a").await.unwrap().status, 200);
    drop(two);
    tokio::time::timeout(PATIENCE, third).await.unwrap().expect("now there is");
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_a_new_certificate_is_served_under_load_and_old_connections_live() {
    let stand = Arc::new(Stand::start("swap"));
    let watching = stand.tls.reload_on_change(Duration::from_millis(5));
    let (mut one, mut two) = (stand.http_1().await, stand.http_2().await);
    let new = Pair::make();
    stand.trusted.lock().unwrap().push(new.certificate.clone());

    // All the while new connections ask: each must find one pair or the other, whole.
    let (loaded, swapped) = (stand.clone(), Arc::new(AtomicBool::new(false)));
    let until_swapped = swapped.clone();
    let load = tokio::spawn(async move {
        let mut count = 0;
        while !until_swapped.load(Ordering::SeqCst) {
            assert_eq!(loaded.http_1().await.get("/a").await.unwrap().status, 200);
            count += 1;
        }
        count
    });
    // The certificate alone first: what is on disk fits together only after the key.
    std::fs::write(stand.folder.join("cert.pem"), &new.certificate_pem).unwrap();
    let handled = stand.app.handled.load(Ordering::SeqCst);
    until("load", || stand.app.handled.load(Ordering::SeqCst) > handled + 10).await;
    assert_ne!(served(&stand).await, new.certificate);
    write_secret(&stand.folder.join("key.pem"), &new.key_pem);
    let swapping = async {
        while served(&stand).await != new.certificate {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, swapping).await.expect("the new certificate is served");
    swapped.store(true, Ordering::SeqCst);
    assert!(load.await.unwrap() > 10);
    for client in [&mut one, &mut two] {
        assert_eq!(client.get("/a").await.unwrap().status, 200, "older than the certificate");
    }
    watching.abort();
    Arc::into_inner(stand).unwrap().end().await;
}

async fn served(stand: &Stand) -> CertificateDer<'static> {
    let stream = stand.connect(b"h2").await;
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn tls_is_1_3_with_the_hybrid_exchange() {
    let stand = Stand::start("hybrid");
    let stream = stand.connect(b"h2").await;
    let tls = stream.get_ref().1;
    assert_eq!(tls.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = tls.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]));
    drop(stream);
    stand.end().await;
}

#[tokio::test]
async fn f22_a_pair_that_is_half_written_changes_nothing() {
    let stand = Stand::start("half");
    let (certificate, key) = (stand.folder.join("cert.pem"), stand.folder.join("key.pem"));
    let (good_certificate, good_key) =
        (std::fs::read(&certificate).unwrap(), std::fs::read_to_string(&key).unwrap());

    write_secret(&key, &Pair::make().key_pem);
    assert!(matches!(stand.tls.reload(), Err(TlsError::Pair(_))), "new key, old certificate");
    write_secret(&key, &good_key[..good_key.len() / 2]);
    assert!(matches!(stand.tls.reload(), Err(TlsError::NoKey(_))), "half a key");
    write_secret(&key, &good_key);
    std::fs::write(&certificate, &good_certificate[..good_certificate.len() / 2]).unwrap();
    assert!(matches!(stand.tls.reload(), Err(TlsError::NoCertificate(_))));
    std::fs::write(&certificate, b"").unwrap();
    assert!(matches!(stand.tls.reload(), Err(TlsError::NoCertificate(_))), "an empty file");
    std::fs::remove_file(&certificate).unwrap();
    assert!(matches!(stand.tls.reload(), Err(TlsError::Read(..))), "no file");

    std::fs::write(&certificate, &good_certificate).unwrap();
    assert_eq!(stand.http_1().await.get("/a").await.unwrap().status, 200, "still the old pair");
    stand.tls.reload().unwrap();
    stand.end().await;
}

#[tokio::test]
async fn w181_a_key_that_everybody_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let stand = Stand::start("exposed");
    let (certificate, key) = (stand.folder.join("cert.pem"), stand.folder.join("key.pem"));
    let load = |mode: u32| {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        Tls::load(&certificate, &key, true)
    };
    assert!(matches!(load(0o644), Err(TlsError::Exposed(_))));
    assert!(load(0o640).is_ok());
    let folders = Tls::folders(&certificate, &key).unwrap();
    assert_eq!(folders, [stand.folder.canonicalize().unwrap()]);
    stand.end().await;
}

#[tokio::test]
async fn f33_a_request_in_flight_finishes_and_connections_are_told() {
    let mut stand = Stand::start("drain");
    let (mut one, mut two) = (stand.http_1().await, stand.http_2().await);
    let idle = stand.http_2().await;
    let (first, second) = (one.request("GET", "/wait", ""), two.request("GET", "/wait", ""));
    let first = tokio::spawn(async move { one.send(first).await.map(|answer| (answer, one)) });
    stand.app.entered.notified().await;
    let second = tokio::spawn(async move { two.send(second).await.map(|answer| (answer, two)) });
    stand.app.entered.notified().await;
    // Accepted before the signal, asks after it.
    let mut late = stand.http_1().await;

    stand.stop();
    let address = stand.address;
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("nothing new is accepted");
    assert_eq!(late.get("/a").await.unwrap().status, 200);
    stand.app.release.0.add_permits(2);
    let (answer, one) = first.await.unwrap().unwrap();
    assert_eq!((answer.status, &answer.headers["connection"]), (200, &"close".parse().unwrap()));
    let (answer, two) = second.await.unwrap().unwrap();
    assert_eq!(answer.status, 200);
    for client in [one, two, idle, late] {
        tokio::time::timeout(PATIENCE, client.driver).await.unwrap().unwrap();
    }
    stand.stopped().await;
}

#[tokio::test]
async fn f33_a_request_that_never_finishes_does_not_hold_the_process() {
    let mut stand = Stand::with("stuck", Limits { drain: SHORT, ..Limits::default() });
    let mut client = stand.http_1().await;
    let request = client.request("GET", "/wait", "");
    let asking = tokio::spawn(async move { client.send(request).await.map(|_| ()) });
    stand.app.entered.notified().await;
    stand.stop();
    stand.stopped().await;
    assert!(asking.await.unwrap().is_err());
}

#[tokio::test]
async fn f36_a_handler_that_takes_too_long_is_503_and_goes_on() {
    let stand = Stand::with("slow", Limits { handler: SHORT, ..Limits::default() });
    for mut client in both(&stand).await {
        let answer = client.get("/wait").await.unwrap();
        assert_eq!((answer.status, &answer.headers["retry-after"]), (503, &"1".parse().unwrap()));
    }
    assert_eq!(stand.app.finished.load(Ordering::SeqCst), 0);
    stand.app.release.0.add_permits(2);
    until("both came to their end", || stand.app.finished.load(Ordering::SeqCst) == 2).await;
    stand.end().await;
}
