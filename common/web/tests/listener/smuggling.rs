//! Where one request ends and the next begins, as raw bytes over TLS (W100, W101).

use std::sync::atomic::Ordering;

use crate::support::Stand;

const HOST: &str = "Host: localhost\r\n";
/// What an attacker wants to be read as a request.
const SECOND: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends a vector followed by [`SECOND`]; the answers' status codes, after asserting that the
/// second request was never interpreted.
async fn answers(stand: &Stand, vector: &str) -> Vec<u16> {
    let said = stand.raw(format!("{vector}{SECOND}")).await;
    assert!(!said.contains("smuggled"), "{vector:?}\n{said}");
    let statuses = said.split("HTTP/1.1 ").skip(1);
    statuses.map(|answer| answer[..3].parse().unwrap()).collect()
}

#[tokio::test]
async fn w100_a_head_that_parsers_read_differently_is_400_and_the_end() {
    let stand = Stand::start("heads");
    let before = stand.app.handled.load(Ordering::SeqCst);
    for vector in [
        // obs-fold
        format!("GET /a HTTP/1.1\r\n{HOST}X: a\r\n b\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\n{HOST}\tX: a\r\n\r\n"),
        // bare LF, bare CR
        format!("GET /a HTTP/1.1\n{HOST}\r\n"),
        "GET /a HTTP/1.1\r\nHost: localhost\n\n".to_owned(),
        format!("GET /a HTTP/1.1\r\n{HOST}X: a\n\r\n"),
        format!("GET /a HTTP/1.1\r\n{HOST}X: a\rY: b\r\n\r\n"),
        // space before the colon, no colon, empty name, NUL
        format!("GET /a HTTP/1.1\r\n{HOST}X : a\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\n{HOST}Content-Length : 5\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\n{HOST}X\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\n{HOST}: a\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\n{HOST}X: a\0b\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\n{HOST}X\0: a\r\n\r\n"),
        // request lines
        format!("GET  /a HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET /a  HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET /a HTTP/1.1 \r\n{HOST}\r\n"),
        format!("GET /a HTTP/1.2\r\n{HOST}\r\n"),
        format!("GET /a HTTP/2.0\r\n{HOST}\r\n"),
        format!("GET /a\r\n{HOST}\r\n"),
        format!(" GET /a HTTP/1.1\r\n{HOST}\r\n"),
        format!("GET a HTTP/1.1\r\n{HOST}\r\n"),
        format!("G\u{e9}T /a HTTP/1.1\r\n{HOST}\r\n"),
    ] {
        assert_eq!(answers(&stand, &vector).await, [400], "{vector:?}");
    }
    assert_eq!(stand.app.handled.load(Ordering::SeqCst), before, "no handler ran");
    stand.end().await;
}

#[tokio::test]
async fn w101_two_lengths_never_hide_a_second_request() {
    let stand = Stand::start("lengths");
    let post = format!("POST /echo HTTP/1.1\r\n{HOST}");
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length:\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\u{b}chunked\r\n",
    ] {
        let vector = format!("{post}{headers}\r\n0\r\n\r\n");
        let statuses = answers(&stand, &vector).await;
        // hyper closes without a word where it cannot tell what it would be answering.
        assert!(matches!(statuses[..], [] | [400]), "{headers:?} {statuses:?}");
    }
    assert_eq!(stand.app.handled.load(Ordering::SeqCst), 0, "no handler ran");
    stand.end().await;
}

#[tokio::test]
async fn w101_chunks_end_the_connection_whatever_follows_them() {
    let stand = Stand::start("chunks");
    let post = format!("POST /echo HTTP/1.1\r\n{HOST}");
    for headers in [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: Chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n",
    ] {
        let vector = format!("{post}{headers}\r\n3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(answers(&stand, &vector).await, [200], "{headers:?}");
    }
    for chunks in [
        "3\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
    ] {
        let vector = format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        let statuses = answers(&stand, &vector).await;
        assert!(matches!(statuses[..], [] | [400]), "{chunks:?} {statuses:?}");
    }
    stand.end().await;
}

#[tokio::test]
async fn w101_a_body_is_as_long_as_it_says_and_pipelining_is_in_order() {
    let stand = Stand::start("pipeline");
    let post = |body: &str| {
        let length = body.len();
        format!("POST /echo HTTP/1.1\r\n{HOST}Content-Length: {length}\r\n\r\n{body}")
    };
    let inner = "GET /inner HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = format!("GET /last HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
    let said = stand.raw(format!("{}{}\r\n{last}", post(inner), post("a\n\n\0#"))).await;
    let bodies: Vec<&str> = said.split("HTTP/1.1 200 OK").skip(1).collect();
    assert_eq!(bodies.len(), 3, "{said}");
    assert!(bodies[0].ends_with(inner) && bodies[1].ends_with("\r\n\r\na\n\n\0#"), "{said}");
    assert!(bodies[2].ends_with("\"/last \""), "{said}");
    assert_eq!(stand.app.handled.load(Ordering::SeqCst), 3);
    stand.end().await;
}

#[tokio::test]
async fn w101_a_get_with_a_body_does_not_become_two_requests() {
    let stand = Stand::start("getbody");
    let length = SECOND.len();
    let vector = format!("GET /a HTTP/1.1\r\n{HOST}Content-Length: {length}\r\n\r\n");
    let last = format!("GET /last HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
    let said = stand.raw(format!("{vector}{SECOND}{last}")).await;
    assert!(!said.contains("smuggled") && said.contains("/last"), "{said}");
    assert_eq!(stand.app.handled.load(Ordering::SeqCst), 2);
    stand.end().await;
}
