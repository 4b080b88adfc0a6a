//! What a request may be, over real TLS, in HTTP/1.1 and HTTP/2.

use std::sync::atomic::Ordering;

use crate::support::{PATIENCE, Stand, both, until};
use http_body_util::Full;
use tokio::io::AsyncWriteExt as _;
use web::Limits;

#[tokio::test]
async fn both_versions_are_answered_with_every_header() {
    let stand = Stand::start("answered");
    for mut client in both(&stand).await {
        let answer = client.post("/echo", "hello").await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
        for name in [
            "strict-transport-security",
            "x-content-type-options",
            "referrer-policy",
            "x-frame-options",
            "cross-origin-opener-policy",
            "cross-origin-resource-policy",
            "x-request-id",
            "date",
        ] {
            assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}");
        }
        assert_eq!(answer.headers["cache-control"], "no-store");
        let answer = client.get("/a/b?c=d%20e").await.unwrap();
        assert_eq!(answer.body, "\"/a/b c=d%20e\"");
    }
    stand.end().await;
}

#[tokio::test]
async fn w103_another_host_is_421_and_a_probe_is_answered_for_any() {
    let stand = Stand::start("hosts");
    let [mut one, mut two] = both(&stand).await;
    for host in ["evil.example", "localhost:8080", "127.0.0.1", "localhost."] {
        let request = |path: &str| {
            http::Request::builder().uri(path).header("host", host).body(Full::default()).unwrap()
        };
        assert_eq!(one.send(request("/a")).await.unwrap().status, 421, "{host}");
        assert_eq!(one.send(request("/healthz")).await.unwrap().status, 200, "{host}");
        assert_eq!(one.send(request("/readyz")).await.unwrap().status, 200, "{host}");
        let uri = format!("https://{host}/a");
        let request = http::Request::builder().uri(uri).body(Full::default()).unwrap();
        let answer = two.send(request).await.unwrap();
        assert_eq!(answer.status, 421, "{host}");
        assert!(answer.headers.contains_key("strict-transport-security"));
    }
    for header in ["x-forwarded-host", "forwarded", "x-original-host"] {
        let mut request = one.request("GET", "/a", "");
        request.headers_mut().insert(header, "evil.example".parse().unwrap());
        assert_eq!(one.send(request).await.unwrap().body, "\"/a \"");
    }
    assert_eq!(one.get("/a").await.unwrap().status, 200, "the connection is as good as before");
    stand.end().await;
}

#[tokio::test]
async fn w103_no_host_two_hosts_and_two_opinions_are_400() {
    let stand = Stand::start("nohost");
    for head in [
        "GET /healthz HTTP/1.1\r\n",
        "GET /a HTTP/1.0\r\n",
        "GET /a HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
        "GET /a HTTP/1.1\r\nHost: localhost\r\nhOST: evil.example\r\n",
        "GET https://localhost/a HTTP/1.1\r\nHost: evil.example\r\n",
        "GET https://evil.example/a HTTP/1.1\r\nHost: localhost\r\n",
        "GET https://localhost/a HTTP/1.1\r\n",
    ] {
        let said = stand.raw(format!("{head}Connection: close\r\n\r\n")).await;
        assert!(
            said.starts_with("HTTP/1.1 400 ") || said.starts_with("HTTP/1.0 400 "),
            "{head}{said}"
        );
    }
    let absolute =
        "GET https://localhost/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(stand.raw(absolute).await.starts_with("HTTP/1.1 200 "));
    let mut client = stand.http_2().await;
    let mut request = client.request("GET", "/a", "");
    request.headers_mut().insert("host", "evil.example".parse().unwrap());
    assert_eq!(client.send(request).await.unwrap().status, 400);
    stand.end().await;
}

#[tokio::test]
async fn w98_whatever_is_too_long_is_refused_by_its_own_code() {
    let stand = Stand::start("oversize");
    let refused_before = stand.app.handled.load(Ordering::SeqCst);
    for version in [1, 2] {
        let client =
            async || if version == 1 { stand.http_1().await } else { stand.http_2().await };
        let answer = client().await.post("/echo", vec![b'a'; 64 * 1024 + 1]).await.unwrap();
        assert_eq!(answer.status, 413, "HTTP/{version}");
        for length in [8 * 1024 + 1, 16 * 1024] {
            let path = format!("/{}", "a".repeat(length - 1));
            assert_eq!(client().await.get(&path).await.unwrap().status, 414, "HTTP/{version}");
        }
        for length in [16 * 1024, 32 * 1024] {
            let mut client = client().await;
            let mut request = client.request("GET", "/a", "");
            request.headers_mut().insert("x-long", "a".repeat(length).parse().unwrap());
            assert_eq!(client.send(request).await.unwrap().status, 431, "HTTP/{version}");
        }
        let mut many = client().await;
        let mut request = many.request("GET", "/a", "");
        for number in 0..101 {
            let name: http::HeaderName = format!("x-{number}").parse().unwrap();
            request.headers_mut().insert(name, "1".parse().unwrap());
        }
        assert_eq!(many.send(request).await.unwrap().status, 431, "HTTP/{version}");
    }
    assert_eq!(stand.app.handled.load(Ordering::SeqCst), refused_before, "no handler ran");

    for mut client in both(&stand).await {
        let most = vec![b'a'; 64 * 1024];
        assert_eq!(client.post("/echo", most.clone()).await.unwrap().body, most);
        let path = format!("/{}", "a".repeat(8 * 1024 - 1));
        assert_eq!(client.get(&path).await.unwrap().status, 200);
    }
    stand.end().await;
}

#[tokio::test]
async fn w98_a_declared_or_endless_body_is_refused_without_being_read() {
    let stand = Stand::start("endless");
    let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\n";
    let said = stand.raw(format!("{head}Content-Length: 1000000000000\r\n\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 413 ") && said.contains("connection: close"), "{said}");

    let mut chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    for _ in 0..16 {
        chunks.push_str("10000\r\n");
        chunks.push_str(&"a".repeat(0x10000));
        chunks.push_str("\r\n");
    }
    let said = stand.raw(format!("{chunks}0\r\n\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    // Whoever goes on for ever finds the connection closed, perhaps before reading why.
    let mut stream = stand.connect(b"http/1.1").await;
    let sending = async { while stream.write_all(chunks.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, sending).await.expect("it was closed");
    assert_eq!(stand.app.handled.load(Ordering::SeqCst), 0);
    stand.end().await;
}

#[tokio::test]
async fn bodies_that_would_fill_the_memory_are_503() {
    let limits = Limits { bodies_bytes: 1000, ..Limits::default() };
    let stand = Stand::with("bodies", limits);
    let mut client = stand.http_1().await;
    assert_eq!(client.post("/echo", vec![b'a'; 1000]).await.unwrap().status, 200);
    let answer = client.post("/echo", vec![b'a'; 1001]).await.unwrap();
    assert_eq!((answer.status, &answer.headers["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(client.post("/echo", vec![b'a'; 1000]).await.unwrap().status, 200, "given back");
    stand.end().await;
}

#[tokio::test]
async fn w102_methods_that_nobody_has_are_405() {
    let stand = Stand::start("methods");
    for method in ["TRACE", "get", "Post", "PURGE", "LINK"] {
        for mut client in both(&stand).await {
            let answer = client.send(client.request(method, "/a", "")).await.unwrap();
            assert_eq!(answer.status, 405, "{method}");
            assert!(answer.headers["allow"].to_str().unwrap().contains("DELETE"));
        }
    }
    for mut client in both(&stand).await {
        let mut request = client.request("GET", "/echo", "");
        request.headers_mut().insert("x-http-method-override", "POST".parse().unwrap());
        assert_eq!(client.send(request).await.unwrap().body, "\"/echo \"", "not the override");
        let answer = client.send(client.request("HEAD", "/a", "")).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.headers["content-length"], "5");
    }
    let said = stand.raw("CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 405 "), "{said}");
    assert_eq!(stand.app.handled.load(Ordering::SeqCst), 4);
    stand.end().await;
}

#[tokio::test]
async fn w105_a_path_has_no_second_spelling() {
    let stand = Stand::start("paths");
    for mut client in both(&stand).await {
        for path in ["//echo", "/./echo", "/%65cho", "/echo;x", "/echo/", "/x/../echo", "/echo//"] {
            let answer = client.post(path, "").await.unwrap();
            assert_eq!(answer.status, 404, "{path}");
        }
    }
    let said = stand.raw("POST /echo#x HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    stand.end().await;
}

#[tokio::test]
async fn w110_a_panic_is_one_500_and_the_next_request_works() {
    let stand = Stand::start("panic");
    for mut client in both(&stand).await {
        let answer = client.get("/panic").await.unwrap();
        assert_eq!(answer.status, 500);
        let id = answer.headers["x-request-id"].to_str().unwrap();
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(body.contains(id) && !body.contains("as asked"), "{body}");
        assert_eq!(client.get("/a").await.unwrap().status, 200);
    }
    stand.end().await;
}

#[tokio::test]
async fn w28_a_client_that_leaves_cancels_nothing() {
    let stand = Stand::start("leaves");
    for round in 1..=2 {
        if round == 1 {
            let mut stream = stand.connect(b"http/1.1").await;
            stream.write_all(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            stand.app.entered.notified().await;
            drop(stream);
        } else {
            let mut client = stand.http_2().await;
            let request = client.request("GET", "/wait", "");
            tokio::select! {
                _ = client.send(request) => panic!("nothing was released"),
                () = stand.app.entered.notified() => {}
            }
            client.driver.abort();
        }
        // Whoever answers now has noticed that the other one left.
        assert_eq!(stand.http_1().await.get("/a").await.unwrap().status, 200);
        stand.app.release.0.add_permits(1);
        until("finished", || stand.app.finished.load(Ordering::SeqCst) == round).await;
    }
    stand.end().await;
}
