//! Requests as bytes (security.md, group F): what no well-meaning client would send.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;

use e2e::{Connection, Response, Stand, Trust, basic};
use support::*;
use url::Url;

const FORM_TYPE: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const ENDPOINTS: [&str; 3] = ["/oauth/token", "/oauth/introspect", "/oauth/revoke"];
const FORMS: [&str; 7] = [
    "/oauth/token",
    "/oauth/introspect",
    "/oauth/revoke",
    "/login",
    "/consent",
    "/logout",
    "/enroll",
];

fn twin() -> (&'static str, String) {
    basic(TWIN.id, TWIN.secret.unwrap())
}

/// Every answer that comes until the server closes.
fn raw(address: SocketAddr, trust: &Trust, bytes: &[u8]) -> Vec<Response> {
    let mut connection = Connection::open(address, trust).unwrap();
    // The server may refuse and close before it has read everything.
    let _ = connection.send(bytes);
    let mut answers = Vec::new();
    while let Ok(answer) = connection.receive(false) {
        answers.push(answer);
    }
    answers
}

fn address(stand: &Stand) -> SocketAddr {
    stand.client().address(&Url::parse(stand.issuer()).unwrap())
}

fn host(stand: &Stand) -> String {
    stand.issuer().replace("https://", "")
}

#[test]
fn w92_what_stands_in_the_query_is_never_read_and_never_logged() {
    let mut stand = alone();
    let live = issue(&stand, &Ask::new(POST), BEN);
    let before = digest(&stand);
    let secret = POST.secret.unwrap();
    let mut wire = Line::open(&stand);
    for endpoint in ENDPOINTS {
        let all = [
            ("grant_type", "refresh_token"),
            ("refresh_token", live.refresh.as_str()),
            ("token", &live.access),
            ("client_id", POST.id),
            ("client_secret", secret),
        ];
        for split in 0..all.len() {
            let (query, body) = (&all[split..], &all[..split]);
            let target = format!("{endpoint}?{}", e2e::query(query));
            assert_tok(&wire.post(&target, &[], body), "invalid_request");
        }
        let target = format!("{endpoint}?x=1");
        assert_tok(&wire.post(&target, &[], &all), "invalid_request");
    }
    let target = format!("/login?username={BEN}&password=q-{secret}");
    assert_own_page(&wire.post(&target, &[], &[("username", BEN)]));
    assert_eq!(digest(&stand), before);
    for secret in [secret, &live.refresh, &live.access] {
        assert!(!stand.node(0).authd.log().contains(secret));
    }
}

#[test]
fn w93_only_a_form_is_a_form() {
    let stand = alone();
    let live = issue(&stand, &Ask::new(TWIN), BEN);
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let (name, value) = twin();
    let body =
        format!("grant_type=refresh_token&refresh_token={}&token={}", live.refresh, live.access);
    for kind in [
        "",
        "text/plain",
        "text/html",
        "application/json",
        "application/json; charset=utf-8",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/octet-stream",
        "application/x-www-form-urlencoded2",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded; charset=utf-7",
        "application/x-www-form-urlencoded; charset=iso-8859-1",
        "application/x-www-form-urlencoded; boundary=x",
        "application/x-www-form-urlencoded; charset=utf-8; charset=utf-16",
        "application/x-www-form-urlencoded, text/plain",
        "text/plain, application/x-www-form-urlencoded",
        "x-www-form-urlencoded",
        "application/",
        "/x-www-form-urlencoded",
        "application/x-www-form-urlencoded application/json",
        "application/jwt",
        "application/graphql",
        "*/*",
        "application/*",
        "application/x-www-form-urlencoded;charset",
        "application/x-www-form-urlencoded;=utf-8",
        "form",
        "\"application/x-www-form-urlencoded\"",
    ] {
        for endpoint in FORMS {
            let headers = [(name, value.as_str()), ("content-type", kind)];
            let answer = wire.ask("POST", endpoint, &headers, body.as_bytes());
            assert_eq!(answer.status, 415, "{kind:?} at {endpoint}: {}", answer.text());
            assert_no_token(&answer);
        }
        let asked = wire.ask(
            "POST",
            "/oauth/authorize",
            &[("content-type", kind)],
            &Ask::new(TWIN).target().into_bytes(),
        );
        assert!(
            [400, 415].contains(&asked.status) && asked.header("location").is_none(),
            "{kind:?}"
        );
        let token = format!("access_token={}", live.access);
        let info = wire.ask("POST", "/oauth/userinfo", &[("content-type", kind)], token.as_bytes());
        assert!([400, 401, 415].contains(&info.status), "{kind:?}: {}", info.status);
    }
    for endpoint in FORMS {
        let none = wire.ask("POST", endpoint, &[(name, &value)], body.as_bytes());
        assert_eq!(none.status, 415, "{endpoint}");
        let two = wire.ask(
            "POST",
            endpoint,
            &[(name, &value), FORM_TYPE, ("content-type", "text/plain")],
            body.as_bytes(),
        );
        assert!([400, 415].contains(&two.status), "{endpoint}: {}", two.status);
    }
    assert_eq!(digest(&stand), before);
    for kind in [
        "application/x-www-form-urlencoded;charset=UTF-8",
        "Application/X-WWW-Form-URLEncoded ; charset=utf-8",
    ] {
        let headers = [(name, value.as_str()), ("content-type", kind)];
        let body = format!("token={}", live.access);
        assert_eq!(
            wire.ask("POST", "/oauth/introspect", &headers, body.as_bytes()).json()["active"],
            true,
            "{kind}"
        );
    }
}

#[test]
fn w94_w95_a_repeated_parameter_is_an_error_and_an_empty_one_is_absent() {
    let stand = alone();
    let live = issue(&stand, &Ask::new(TWIN).scope("openid email"), BEN);
    let before = digest(&stand);
    let (name, value) = twin();
    let headers = [(name, value.as_str())];
    let mut wire = Line::open(&stand);
    let good = [
        ("grant_type", "refresh_token"),
        ("refresh_token", live.refresh.as_str()),
        ("token", &live.access),
    ];
    for endpoint in ENDPOINTS {
        for twice in [
            ("grant_type", "refresh_token"),
            ("grant_type", "x"),
            ("refresh_token", "x"),
            ("token", "x"),
            ("token", &live.access),
            ("scope", "openid"),
            ("client_id", TWIN.id),
            ("unheard_of", "1"),
            ("", "1"),
            ("code", "1"),
            ("token_type_hint", "x"),
        ] {
            let mut form = good.to_vec();
            if !form.iter().any(|(n, _)| *n == twice.0) {
                form.push(twice);
            }
            form.push(twice);
            assert_tok(&wire.post(endpoint, &headers, &form), "invalid_request");
        }
    }
    for missing in ["grant_type", "refresh_token"] {
        let empty: Vec<(&str, &str)> =
            good.iter().map(|(n, v)| (*n, if *n == missing { "" } else { *v })).collect();
        let without: Vec<(&str, &str)> =
            good.iter().filter(|(n, _)| *n != missing).copied().collect();
        let (one, two) = (
            wire.post("/oauth/token", &headers, &empty),
            wire.post("/oauth/token", &headers, &without),
        );
        assert_tok(&one, "invalid_request");
        assert_eq!(one.body, two.body);
    }
    assert_eq!(digest(&stand), before);
    let form =
        [good[0], good[1], ("scope", ""), ("resource", ""), ("audience", ""), ("client_id", "")];
    assert_eq!(
        Tokens::of(&wire.post("/oauth/token", &headers, &form)).reply["scope"],
        "email openid"
    );
}

const FIELDS: &str = "grant_type code redirect_uri code_verifier refresh_token scope token client_id \
                      username password csrf interaction decision unheard_of";
/// Bad percent-encoding, NUL, and what decodes to bytes that are no UTF-8.
const NO_TEXT: &str = "%00 a%00b % %4 %zz %u0041 %%41 %C0%AF %c1%81 %e0%80%af %ed%a0%80 %ed%b0%80 \
                       %f4%90%80%80 %ff %80 %f8%88%80%80%80 %fe%fe%ff%ff";

#[test]
fn w96_w97_what_is_no_text_is_refused_before_anything_reads_it() {
    let mut stand = alone();
    let before = digest(&stand);
    let (name, value) = twin();
    let mut wire = Line::open(&stand);
    let raw: [&[u8]; 6] = [b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\x00", b"a\x00", b"\x80"];
    let bad: Vec<&[u8]> = NO_TEXT.split(' ').map(str::as_bytes).chain(raw).collect();
    for endpoint in FORMS {
        for field in FIELDS.split(' ') {
            for bytes in &bad {
                let body = [b"grant_type=refresh_token&", field.as_bytes(), b"=", *bytes].concat();
                let body = if field == "grant_type" { body[25..].to_vec() } else { body };
                let answer = wire.ask("POST", endpoint, &[(name, &value), FORM_TYPE], &body);
                let shown = String::from_utf8_lossy(&body).into_owned();
                assert!(
                    (400..=403).contains(&answer.status),
                    "{endpoint} {shown}: {}",
                    answer.status
                );
                if ENDPOINTS.contains(&endpoint) {
                    assert_tok(&answer, "invalid_request");
                }
            }
        }
    }
    // What is text, though strange, is only unknown.
    for odd in
        ["%EF%BB%BFx", "%E2%80%AEx", "%F0%9F%98%80", "%2541", "%25%30%30", "+", "%7f", "%1b[31m"]
    {
        let body = format!("grant_type=refresh_token&refresh_token={odd}");
        let answer =
            wire.ask("POST", "/oauth/token", &[(name, &value), FORM_TYPE], body.as_bytes());
        assert_tok(&answer, "invalid_grant");
    }
    assert_eq!(digest(&stand), before);
    assert_unharmed(&mut stand);
}

#[test]
fn w98_what_is_too_much_is_refused_at_once() {
    let mut stand = alone();
    let before = digest(&stand);
    let (name, value) = twin();
    let mut wire = Line::open(&stand);
    let headers = [(name, value.as_str()), FORM_TYPE];
    let mut post = |endpoint: &str, body: &[u8]| wire.ask("POST", endpoint, &headers, body).status;
    for endpoint in FORMS {
        assert_eq!(post(endpoint, &vec![b'a'; 64 * 1024 + 1]), 413, "{endpoint}");
        assert!((400..=403).contains(&post(endpoint, &vec![b'a'; 64 * 1024])), "{endpoint}");
        let many: Vec<String> = (0..10_000).map(|n| format!("{n}=1")).collect();
        assert!([400, 403, 413].contains(&post(endpoint, many.join("&").as_bytes())), "{endpoint}");
    }
    let (to, trust, host) = (address(&stand), stand.trust(), host(&stand));
    let status =
        |bytes: &str| raw(to, trust, bytes.as_bytes()).first().map_or(0, |answer| answer.status);
    let get = |target: &str, more: &str| {
        status(&format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n{more}connection: close\r\n\r\n"))
    };
    let long = "a".repeat(16 * 1024);
    assert_eq!(get(&format!("/login?x={long}"), ""), 414);
    assert_eq!(get(&format!("/{long}"), ""), 414);
    assert_eq!(get("/healthz", &format!("x: {long}{long}\r\n")), 431);
    assert_eq!(get("/healthz", &"x: y\r\n".repeat(1000)), 431);
    assert_eq!(get("/login", &format!("cookie: {long}{long}\r\n")), 431);
    // A length that is only announced is answered without waiting for it.
    let announced = format!(
        "POST /oauth/token HTTP/1.1\r\nhost: {host}\r\ncontent-length: 99999999999\r\n\r\n"
    );
    assert_eq!(status(&announced), 413);
    // Without a length, the bytes themselves are counted.
    let chunk = format!("4000\r\n{}\r\n", "a".repeat(0x4000));
    let chunked = format!(
        "POST /oauth/token HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(5)
    );
    assert_eq!(status(&chunked), 413);
    assert_eq!(digest(&stand), before);
    assert_unharmed(&mut stand);
}

#[test]
fn w100_a_head_that_is_not_exactly_http_is_refused() {
    let mut stand = alone();
    let before = digest(&stand);
    let (to, trust, host) = (address(&stand), stand.trust(), host(&stand));
    let rest = format!("host: {host}\r\nconnection: close\r\n\r\n");
    for head in [
        "GET /healthz HTTP/1.1\r\nx: a\r\n b\r\n",
        "GET /healthz HTTP/1.1\r\nx: a\r\n\tb\r\n",
        "GET /healthz HTTP/1.1\r\n x: a\r\n",
        "GET /healthz HTTP/1.1\nx: a\n",
        "GET /healthz HTTP/1.1\r\nx: a\n",
        "GET /healthz HTTP/1.1\r\nx: a\rb: c\r\n",
        "GET /healthz HTTP/1.1\r\nx : a\r\n",
        "GET /healthz HTTP/1.1\r\nx\t: a\r\n",
        "GET /healthz HTTP/1.1\r\nx: a\0b\r\n",
        "GET /healthz HTTP/1.1\r\nx\0: a\r\n",
        "GET /healthz HTTP/1.1\r\n: a\r\n",
        "GET /healthz HTTP/1.1\r\nx\r\n",
        "GET /healthz HTTP/1.1\r\nx: a\u{1}\r\n",
        "GET /healthz HTTP/1.1\r\n\u{e9}: a\r\n",
        "GET /healthz HTTP/1.1\r\nx(y): a\r\n",
        "GET  /healthz HTTP/1.1\r\n",
        "GET /healthz  HTTP/1.1\r\n",
        "GET\t/healthz HTTP/1.1\r\n",
        "GET /healthz\r\n",
        "GET /heal thz HTTP/1.1\r\n",
        "GET /healthz HTTP/1.2\r\n",
        "GET /healthz HTTP/2.0\r\n",
        "GET /healthz http/1.1\r\n",
        "GET /healthz HTTP/1.1 x\r\n",
        "G\0T /healthz HTTP/1.1\r\n",
        "GET healthz HTTP/1.1\r\n",
        "GET /healthz#x HTTP/1.1\r\n",
        "GET /\u{e9} HTTP/1.1\r\n",
        "GET /h\u{7f} HTTP/1.1\r\n",
        "GET * HTTP/1.1\r\n",
        "GET ?x HTTP/1.1\r\n",
        "GET \\healthz HTTP/1.1\r\n",
        "\r\n\r\n\0GET /healthz HTTP/1.1\r\n",
    ] {
        let answers = raw(to, trust, format!("{head}{rest}").as_bytes());
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        println!("{head:?}: {statuses:?}");
        assert!(statuses.len() == 1 && [400, 404, 505].contains(&statuses[0]));
    }
    for (hosts, allowed) in [("", 400), ("host: \r\n", 400), ("host: a\r\nhost: b\r\n", 400)] {
        let request = format!("GET /oauth/authorize HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let answers = raw(to, trust, request.as_bytes());
        assert!(
            answers.len() == 1 && [allowed, 421].contains(&answers[0].status),
            "{hosts:?}: {answers:?}"
        );
    }
    let twice =
        raw(to, trust, format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n{rest}").as_bytes());
    assert!(twice.len() == 1 && twice[0].status == 400, "{twice:?}");
    assert_eq!(digest(&stand), before);
    assert_unharmed(&mut stand);
}

/// Ways to say how long a body is, of which at least two disagree or one is malformed.
fn lengths(body: usize) -> Vec<String> {
    let mut all = Vec::new();
    let codings = [
        "chunked",
        "Chunked",
        " chunked",
        "chunked ",
        "\tchunked",
        "xchunked",
        "chunked, identity",
        "identity, chunked",
        "identity",
        "gzip, chunked",
        "chunked, chunked",
        "chunked;x=1",
        "\"chunked\"",
        "x",
        ",chunked",
        "chunked,",
        "chu\u{0}nked",
        "chunked\u{b}",
        "chunk\u{212a}ed",
    ];
    let sizes = [
        "0".to_owned(),
        body.to_string(),
        format!("+{body}"),
        format!("-{body}"),
        format!("0{body}"),
        format!("{body}, {body}"),
        format!("0x{body:x}"),
        format!("{body} "),
        format!("{body}.0"),
        "18446744073709551616".into(),
        String::new(),
        format!("{body};"),
    ];
    for coding in codings {
        for size in &sizes {
            all.push(format!("content-length: {size}\r\ntransfer-encoding: {coding}\r\n"));
            all.push(format!("transfer-encoding:{coding}\r\ncontent-length: {size}\r\n"));
        }
        all.push(format!("transfer-encoding: {coding}\r\ntransfer-encoding: identity\r\n"));
        all.push(format!("transfer-encoding : {coding}\r\ncontent-length: 4\r\n"));
        all.push(format!("x: y\r\n transfer-encoding: {coding}\r\ncontent-length: 4\r\n"));
        all.push(format!("x: y\ntransfer-encoding: {coding}\r\ncontent-length: 4\r\n"));
    }
    // The same size twice (RFC 9110 §8.6 lets a server take it as one) is no ambiguity.
    for size in sizes.iter().filter(|size| size.trim().parse() != Ok(body)) {
        all.push(format!("content-length: {body}\r\ncontent-length: {size}\r\n"));
        all.push(format!("content-length: 0\r\ncontent-length: {size}\r\n"));
    }
    all
}

#[test]
fn w101_no_ambiguous_length_lets_a_second_request_through() {
    let mut stand = alone();
    let before = digest(&stand);
    let (to, trust, host) = (address(&stand), stand.trust(), host(&stand));
    let smuggled =
        format!("GET /static/style.css HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let bodies =
        [format!("0\r\n\r\n{smuggled}"), format!("5;a=\n\r\nhello\r\n0\r\n\r\n{smuggled}")];
    let mut vectors = Vec::new();
    for body in &bodies {
        for length in lengths(body.len())
            .into_iter()
            .skip(vectors.len().min(1))
            .step_by(1 + vectors.len().min(1))
        {
            let head = format!(
                "POST /oauth/token HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-www-form-urlencoded\r\n"
            );
            vectors.push(format!("{head}{length}\r\n{body}"));
        }
    }
    assert!(vectors.len() >= 500, "{}", vectors.len());
    let (next, through) = (Mutex::new(vectors.iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                loop {
                    let Some(vector) = next.lock().unwrap().next() else { break };
                    let answers = raw(to, trust, vector.as_bytes());
                    let css = answers
                        .iter()
                        .any(|a| a.header("content-type").is_some_and(|kind| kind.contains("css")));
                    if css || answers.iter().any(|answer| answer.status < 400) {
                        through.lock().unwrap().push(vector.clone());
                    }
                }
            });
        }
    });
    let through = through.into_inner().unwrap();
    assert!(through.is_empty(), "{} get through, such as {:?}", through.len(), through.first());
    assert_eq!(digest(&stand), before);
    assert_unharmed(&mut stand);
}
