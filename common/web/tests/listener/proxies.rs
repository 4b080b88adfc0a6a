//! Who is asking when proxies stand between: `X-Forwarded-For` and the PROXY protocol.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use web::{Limits, Network, Networks, Proxies};

use crate::support::{Client, PATIENCE, Stand};

/// On loopback everybody has millions of addresses to connect from.
const PROXY: [u8; 4] = [127, 0, 0, 2];
const STRANGER: [u8; 4] = [127, 0, 0, 3];
const CLIENT: [u8; 4] = [198, 51, 100, 7];

fn networks(text: &str) -> Networks {
    text.split_whitespace().map(|text| text.parse::<Network>().unwrap()).collect()
}

fn trusting(trusted: &str, protocol: &str) -> Proxies {
    Proxies { trusted: networks(trusted), protocol: networks(protocol) }
}

async fn from(stand: &Stand, address: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    socket.connect(stand.address).await.unwrap()
}

/// HTTP/1.1 over TLS, after these bytes.
async fn after(stand: &Stand, address: [u8; 4], bytes: &[u8]) -> std::io::Result<Client> {
    let mut stream = from(stand, address).await;
    stream.write_all(bytes).await?;
    Ok(Stand::http_1_over(stand.secure(stream, b"http/1.1").await?).await)
}

async fn whoami(client: &mut Client, forwarded_for: Option<&str>) -> String {
    let mut request = client.request("GET", "/whoami", "");
    if let Some(value) = forwarded_for {
        request.headers_mut().insert("x-forwarded-for", value.parse().unwrap());
        request.headers_mut().insert("forwarded", "for=192.0.2.66".parse().unwrap());
        request.headers_mut().insert("x-real-ip", "192.0.2.66".parse().unwrap());
    }
    let answer = client.send(request).await.unwrap();
    String::from_utf8(answer.body.to_vec()).unwrap().replace('"', "")
}

fn announce(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(source);
    header.extend([192, 0, 2, 1, 0x1f, 0x90, 1, 0xbb]);
    header
}

const ITSELF: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[tokio::test]
async fn w103_only_a_trusted_proxy_says_who_is_asking() {
    let stand = Stand::behind("forwarded", Limits::default(), trusting("127.0.0.2", ""));
    for alpn in [&b"http/1.1"[..], b"h2"] {
        for (address, said, expected) in [
            (PROXY, Some("198.51.100.7"), "198.51.100.7 by 127.0.0.2"),
            (PROXY, Some("192.0.2.1, 198.51.100.7, 127.0.0.2"), "198.51.100.7 by 127.0.0.2"),
            (PROXY, Some("198.51.100.7, nonsense"), "127.0.0.2 by 127.0.0.2"),
            (PROXY, None, "127.0.0.2 by 127.0.0.2"),
            (STRANGER, Some("198.51.100.7"), "127.0.0.3 by 127.0.0.3"),
            (STRANGER, Some("127.0.0.2"), "127.0.0.3 by 127.0.0.3"),
            (STRANGER, None, "127.0.0.3 by 127.0.0.3"),
        ] {
            let stream = stand.secure(from(&stand, address).await, alpn).await.unwrap();
            let mut client = match alpn {
                b"h2" => Stand::http_2_over(stream).await,
                _ => Stand::http_1_over(stream).await,
            };
            assert_eq!(whoami(&mut client, said).await, expected, "{said:?}");
        }
    }
    stand.end().await;
}

#[tokio::test]
async fn w103_nobody_is_believed_unless_somebody_is_named() {
    let stand = Stand::start("unnamed");
    let mut client = stand.http_1().await;
    assert_eq!(whoami(&mut client, Some("198.51.100.7")).await, "127.0.0.1 by 127.0.0.1");
    stand.end().await;
}

#[tokio::test]
async fn a_proxy_header_before_tls_names_the_client_of_the_whole_connection() {
    let stand = Stand::behind("announced", Limits::default(), trusting("", "127.0.0.2"));
    let mut client = after(&stand, PROXY, &announce(CLIENT)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(whoami(&mut client, None).await, "198.51.100.7 by 127.0.0.2");
    }
    // The client speaks through the proxy; nobody has said that its headers are to be believed.
    assert_eq!(whoami(&mut client, Some("192.0.2.1")).await, "198.51.100.7 by 127.0.0.2");
    let mut probe = after(&stand, PROXY, ITSELF).await.unwrap();
    assert_eq!(whoami(&mut probe, None).await, "127.0.0.2 by 127.0.0.2");

    // Byte by byte, as a network may deliver it.
    let mut stream = from(&stand, PROXY).await;
    stream.set_nodelay(true).unwrap();
    for byte in announce(CLIENT) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut slow = Stand::http_1_over(stand.secure(stream, b"http/1.1").await.unwrap()).await;
    assert_eq!(whoami(&mut slow, None).await, "198.51.100.7 by 127.0.0.2");
    stand.end().await;
}

#[tokio::test]
async fn w103_a_header_is_believed_for_the_one_who_is_announced_not_for_who_announces() {
    // The balancer in front announces both a trusted proxy and a stranger; only one may forward.
    let proxies = trusting("127.0.0.2 198.51.100.0/24", "127.0.0.2");
    let stand = Stand::behind("chained", Limits::default(), proxies);
    let mut trusted = after(&stand, PROXY, &announce(CLIENT)).await.unwrap();
    assert_eq!(whoami(&mut trusted, Some("192.0.2.1")).await, "192.0.2.1 by 127.0.0.2");
    let mut stranger = after(&stand, PROXY, &announce([203, 0, 113, 9])).await.unwrap();
    assert_eq!(whoami(&mut stranger, Some("192.0.2.1")).await, "203.0.113.9 by 127.0.0.2");
    stand.end().await;
}

/// Whether the server hangs up on this peer after these bytes, without a word.
async fn hangs_up(stand: &Stand, address: [u8; 4], bytes: &[u8]) -> bool {
    let mut stream = from(stand, address).await;
    stream.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    match tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await {
        Ok(_) => said.is_empty(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_proxy_without_a_proper_header_is_hung_up_on() {
    let stand = Stand::behind("improper", Limits::default(), trusting("", "127.0.0.2"));
    let mut unix = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8".to_vec();
    unix.extend([0; 216]);
    for bytes in [
        &b"PROXY TCP4 198.51.100.7 192.0.2.1 1 2\r\n"[..],
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0",
        &unix,
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x02\x09",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\xc6\x33\x64\x07",
    ] {
        assert!(hangs_up(&stand, PROXY, bytes).await, "{bytes:?}");
    }
    assert!(after(&stand, PROXY, b"").await.is_err(), "TLS without a header");
    stand.end().await;
}

#[tokio::test]
async fn a_header_from_somebody_else_is_not_read() {
    let stand = Stand::behind("uninvited", Limits::default(), trusting("", "127.0.0.2"));
    assert!(after(&stand, STRANGER, &announce(CLIENT)).await.is_err());
    let mut client = after(&stand, STRANGER, b"").await.unwrap();
    assert_eq!(whoami(&mut client, None).await, "127.0.0.3 by 127.0.0.3");
    stand.end().await;
}

#[tokio::test]
async fn a_header_has_a_deadline() {
    let limits = Limits { handshake: Duration::from_millis(200), ..Limits::default() };
    let stand = Stand::behind("late", limits, trusting("", "127.0.0.2"));
    assert!(hangs_up(&stand, PROXY, &announce(CLIENT)[..27]).await);
    assert!(hangs_up(&stand, PROXY, b"").await);
    stand.end().await;
}

#[tokio::test]
async fn f29_connections_count_for_whom_they_are_announced() {
    let limits = Limits { source_connections: 2, ..Limits::default() };
    let stand = Stand::behind("counted", limits, trusting("", "127.0.0.2"));
    let mut open = Vec::new();
    for source in [CLIENT, CLIENT, [203, 0, 113, 9], [203, 0, 113, 9]] {
        let mut client = after(&stand, PROXY, &announce(source)).await.unwrap();
        let seen = whoami(&mut client, None).await;
        assert_eq!(seen, format!("{} by 127.0.0.2", IpAddr::from(source)));
        open.push(client);
    }
    assert!(hangs_up(&stand, PROXY, &announce(CLIENT)).await, "a third of one source");
    let mut probe = after(&stand, PROXY, ITSELF).await.unwrap();
    assert_eq!(whoami(&mut probe, None).await, "127.0.0.2 by 127.0.0.2");
    drop(open);
    drop(probe);
    // The places are given back once the server has seen them leave.
    let again = async {
        loop {
            if let Ok(mut client) = after(&stand, PROXY, &announce(CLIENT)).await {
                return whoami(&mut client, None).await;
            }
        }
    };
    let seen = tokio::time::timeout(PATIENCE, again).await.unwrap();
    assert_eq!(seen, "198.51.100.7 by 127.0.0.2");
    stand.end().await;
}
