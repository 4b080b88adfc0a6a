//! Paths, methods and hosts (security.md, group F): one spelling of each, and no other way in.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::basic;
use support::endpoints::{ENDPOINTS, assert_complete};
use support::*;

const FORM_TYPE: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

#[test]
fn w102_every_route_has_a_row() {
    assert_complete();
}

#[test]
fn w102_a_path_has_its_methods_and_says_which() {
    let stand = alone();
    let live = issue(&stand, &Ask::new(TWIN), BEN);
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let (name, value) = basic(TWIN.id, TWIN.secret.unwrap());
    let body =
        format!("grant_type=refresh_token&refresh_token={}&token={}", live.refresh, live.access);
    for (path, methods) in ENDPOINTS {
        let tried = [
            "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "SEARCH", "FOO", "get", "post", "Post",
            "GET", "POST",
        ];
        for method in tried {
            if methods.contains(&method) {
                continue;
            }
            for overriding in [
                &[][..],
                &[
                    ("x-http-method-override", "POST"),
                    ("x-method-override", "POST"),
                    ("x-http-method", "POST"),
                ],
            ] {
                let headers = [&[(name, value.as_str()), FORM_TYPE], overriding].concat();
                let answer = wire.ask(method, path, &headers, body.as_bytes());
                // A verb that is none at all may be refused as a bad request.
                assert!(
                    [400, 405, 501].contains(&answer.status),
                    "{method} {path}: {}",
                    answer.status
                );
                assert_no_token(&answer);
                if answer.status == 405 {
                    let allow = answer.header("allow").unwrap_or_default();
                    for own in methods {
                        assert!(
                            allow.split(", ").any(|word| word == *own),
                            "{method} {path}: {allow}"
                        );
                    }
                }
            }
        }
    }
    for (query, form) in [("?_method=POST", ""), ("", "_method=DELETE")] {
        let answer = wire.ask(
            "GET",
            &format!("/oauth/token{query}"),
            &[(name, &value), FORM_TYPE],
            form.as_bytes(),
        );
        assert_eq!(answer.status, 405);
    }
    assert_eq!(digest(&stand), before);
    assert!(is_alive(&stand, TWIN, &live.access));
}

#[test]
fn w102_head_and_options_never_change_state() {
    let stand = alone();
    let mut browser = signed_in(&stand, BEN);
    let live = issue_in(&stand, &mut browser, &Ask::new(WEB), BEN);
    browser.client().get(&Ask::new(WEB).url(&stand));
    let waiting = browser.client().get(&Ask::new(WEB).url(&stand)).location().to_owned();
    let before = digest(&stand);
    let cookies: Vec<String> =
        browser.client().cookies().iter().map(|(n, v)| format!("{n}={v}")).collect();
    let cookie = ("cookie", cookies.join("; "));
    let hint = format!("/oauth/logout?id_token_hint={}", live.id);
    let mut wire = Line::open(&stand);
    for method in ["HEAD", "OPTIONS"] {
        for target in [
            Ask::new(WEB).target(),
            waiting.clone(),
            hint.clone(),
            "/logout".into(),
            "/login".into(),
        ] {
            wire.ask(method, &target, &[(cookie.0, &cookie.1)], b"");
            let changed = digest(&stand) != before;
            assert!(!changed, "{method} {target} has changed something");
        }
    }
    assert!(is_alive(&stand, WEB, &live.access));
}

/// Other spellings of a path, which a proxy or a careless router might take for it.
fn aliases(path: &str) -> Vec<String> {
    let last = path.rsplit_once('/').unwrap();
    let encoded: String = path
        .bytes()
        .skip(1)
        .flat_map(|b| format!("%{b:02x}").into_bytes())
        .map(char::from)
        .collect();
    let mut all = vec![
        format!("/{path}"),
        format!("//{path}"),
        format!("/.{path}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("{path}/."),
        format!("{path}/.."),
        format!("{path};x"),
        format!("{path};"),
        format!("{path}.json"),
        format!("{path}%20"),
        format!("{path}%00"),
        format!("{path}%2f"),
        format!("{path}%3f"),
        format!("{path}%23x"),
        format!("{path}."),
        format!("{path}~"),
        format!("{}//{}", last.0, last.1),
        format!("{}/./{}", last.0, last.1),
        format!("{}/x/../{}", last.0, last.1),
        format!("{}/%2e/{}", last.0, last.1),
        format!("{}%2f{}", last.0, last.1),
        format!("{}\\{}", last.0, last.1),
        format!(
            "{}/{}%{:02x}",
            last.0,
            &last.1[..last.1.len() - 1],
            last.1.bytes().last().unwrap()
        ),
        format!("/{encoded}"),
        path.to_uppercase(),
        format!("/t/acme{path}"),
        format!("/x/..{path}"),
        format!("/..{path}"),
        format!("{path}/x.css"),
        format!("/%2e%2e{path}"),
        format!("/api/v1{path}"),
        format!("{path}\u{2044}"),
        format!("{path}%e2%81%84"),
    ];
    all.retain(|alias| alias.starts_with('/'));
    all
}

#[test]
fn w105_a_path_has_one_spelling() {
    let mut stand = alone();
    let live = issue(&stand, &Ask::new(TWIN), BEN);
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let (name, value) = basic(TWIN.id, TWIN.secret.unwrap());
    let body =
        format!("grant_type=refresh_token&refresh_token={}&token={}", live.refresh, live.access);
    // The front page has no other spelling than none.
    for (path, methods) in ENDPOINTS.into_iter().filter(|(path, _)| *path != "/") {
        for alias in aliases(path) {
            let method = if methods.contains(&"POST") && !alias.contains("authorize") {
                "POST"
            } else {
                "GET"
            };
            let answer = wire.ask(method, &alias, &[(name, &value), FORM_TYPE], body.as_bytes());
            assert!([400, 404].contains(&answer.status), "{method} {alias}: {}", answer.status);
            assert_no_token(&answer);
        }
    }
    for path in [
        "/api/v1/me",
        "/api/v1/keys",
        "/metrics",
        "/index.html",
        "/.env",
        "/static/",
        "/static/../login",
        "/oauth",
        "/oauth/",
    ] {
        assert!([400, 404].contains(&wire.get(path).status), "{path}");
    }
    assert_eq!(digest(&stand), before);
    assert_unharmed(&mut stand);
}

/// A GET that names a host, with more headers.
fn named(stand: &e2e::Stand, target: &str, host: &str, more: &str) -> e2e::Response {
    let address = stand.client().address(&url::Url::parse(stand.issuer()).unwrap());
    let mut connection = e2e::Connection::open(address, stand.trust()).unwrap();
    let bytes = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n{more}connection: close\r\n\r\n");
    connection.send(bytes.as_bytes()).unwrap();
    connection.receive(false).unwrap()
}

#[test]
fn w103_only_the_issuers_own_name_is_served() {
    let stand = alone();
    let before = digest(&stand);
    let port = stand.issuer().rsplit_once(':').unwrap().1.to_owned();
    let ask = |target: &str, host: &str| named(&stand, target, host, "");
    let own = format!("localhost:{port}");
    let targets =
        ["/login", "/.well-known/openid-configuration", "/nothing", &Ask::new(WEB).target()];
    for host in [
        "evil.example".into(),
        format!("evil.example:{port}"),
        "localhost".into(),
        format!("localhost.:{port}"),
        "localhost:1".into(),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("{own}.evil.example"),
        format!("evil.example, {own}"),
        format!("x@{own}"),
        format!("{own}@evil.example"),
        format!("{own}/x"),
        format!("{own}#"),
        format!("{own}?"),
        format!("localhost:0{port}"),
        "localhost:".into(),
    ] {
        for target in targets {
            let answer = ask(target, &host);
            assert!([400, 421].contains(&answer.status), "{host} {target}: {}", answer.status);
            assert!(
                answer.header("location").is_none() && !answer.text().contains("evil"),
                "{}",
                answer.text()
            );
        }
        // Whoever looks after our health need not know our name.
        let probe = ask("/healthz", &host);
        assert!([200, 400].contains(&probe.status), "{host}: {}", probe.status);
    }
    for target in
        ["https://evil.example/login", "http://evil.example/login", "https://evil.example:1/login"]
    {
        let answer = ask(target, &own);
        assert!([400, 421].contains(&answer.status), "{target}: {}", answer.status);
    }
    assert_eq!(digest(&stand), before);
}

/// Every answer is the same to the byte but for its numbers.
#[test]
fn w103_what_a_proxy_might_say_is_not_listened_to() {
    let stand = together();
    let own = stand.issuer().replace("https://", "");
    let ask = |target: &str, more: &str| named(&stand, target, &own, more);
    let refused = Ask::new(WEB).without("response_type").target();
    for target in [
        refused.as_str(),
        "/.well-known/openid-configuration",
        "/nothing",
        "/oauth/userinfo",
        "/logout",
    ] {
        let plain = fixed(&ask(target, ""));
        for more in [
            "x-forwarded-host: evil.example",
            "x-forwarded-proto: http",
            "x-forwarded-for: 203.0.113.7",
            "x-forwarded-port: 80",
            "forwarded: for=203.0.113.7;host=evil.example;proto=http",
            "x-forwarded-server: evil.example",
            "x-host: evil.example",
            "x-original-host: evil.example",
            "x-rewrite-url: /login",
            "x-original-url: /login",
            "x-real-ip: 127.0.0.1",
            "via: 1.1 evil.example",
        ] {
            assert_eq!(fixed(&ask(target, &format!("{more}\r\n"))), plain, "{more} at {target}");
        }
    }
}

/// An answer without what differs from one request to the next.
fn fixed(answer: &e2e::Response) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id").unwrap_or("none").to_owned();
    let headers =
        answer.headers.iter().filter(|(n, _)| !["date", "x-request-id"].contains(&n.as_str()));
    (answer.status, headers.cloned().collect(), answer.text().replace(&id, "ID"))
}

#[test]
fn w106_no_value_becomes_a_header() {
    let stand = alone();
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let hostile = [
        "a\r\nset-cookie: evil=1",
        "a\r\n\r\n<script>",
        "a\nlocation: https://evil.example",
        "a\rx-evil: 1",
        "a\u{85}x-evil: 1",
        "a\u{2028}x",
    ];
    for value in hostile {
        for name in [
            "state",
            "nonce",
            "scope",
            "client_id",
            "redirect_uri",
            "response_type",
            "prompt",
            "login_hint",
            "max_age",
            "x",
        ] {
            let target = Ask::new(WEB).without("response_type").with(name, value).target();
            assert_clean(&wire.get(&target));
        }
        for path in [
            "/oauth/token",
            "/oauth/introspect",
            "/oauth/revoke",
            "/login",
            "/oauth/logout",
            "/reset",
        ] {
            let form = [
                ("grant_type", value),
                ("token", value),
                ("client_id", value),
                ("state", value),
                ("username", value),
            ];
            assert_clean(&wire.post(path, &[], &form));
        }
        let query =
            e2e::query(&[("state", value), ("post_logout_redirect_uri", value), ("token", value)]);
        for path in ["/oauth/logout", "/enroll", "/login", "/consent", "/reset"] {
            assert_clean(&wire.get(&format!("{path}?{query}")));
        }
    }
    assert_eq!(digest(&stand), before);
}

#[track_caller]
fn assert_clean(answer: &e2e::Response) {
    for (name, value) in &answer.headers {
        assert!(!name.contains("evil") && !value.contains("evil=1"), "{name}: {value}");
        let ours = value.starts_with(WEB.redirect) || value.starts_with("/oauth/logout?");
        assert!(name != "location" || ours, "{value}");
    }
    assert!(answer.status < 500);
}

/// Whoever shares a connection with a refused request is not harmed by it.
#[test]
fn w110_one_bad_request_does_not_end_the_good_ones_beside_it() {
    let mut stand = alone();
    let mut wire = Line::open(&stand);
    let pid = stand.node(0).authd.pid();
    for bad in [
        "/%",
        "/oauth/authorize?%",
        "/oauth/authorize/%ff",
        "/login?interaction=%00",
        "/enroll?token=%ed%a0%80",
    ] {
        let answer = wire.get(bad);
        assert!((400..500).contains(&answer.status), "{bad}: {}", answer.status);
        assert_eq!(wire.get("/healthz").status, 200);
    }
    assert_eq!(stand.node(0).authd.pid(), pid);
    issue(&stand, &Ask::new(TWIN), BEN);
    assert_unharmed(&mut stand);
}

#[test]
fn w121_no_origin_is_reflected_and_pages_answer_none() {
    let stand = together();
    let mut wire = Line::open(&stand);
    let console = "https://localhost:8082";
    for origin in [
        "https://evil.example",
        "null",
        "https://localhost:8082.evil.example",
        "http://localhost:8082",
        stand.issuer(),
        "",
    ] {
        for path in [
            "/oauth/token",
            "/oauth/userinfo",
            "/oauth/revoke",
            "/oauth/introspect",
            "/oauth/authorize",
            "/login",
            "/consent",
        ] {
            for method in ["GET", "POST", "OPTIONS"] {
                let headers = [("origin", origin), ("access-control-request-method", "POST")];
                let answer = wire.ask(method, path, &headers, b"");
                let allowed = answer.header("access-control-allow-origin");
                assert_eq!(allowed, None, "{method} {path} from {origin}");
                assert_eq!(answer.header("access-control-allow-credentials"), None);
            }
        }
    }
    for path in ["/oauth/token", "/oauth/userinfo", "/oauth/revoke"] {
        let answer = wire.ask(
            "OPTIONS",
            path,
            &[("origin", console), ("access-control-request-method", "POST")],
            b"",
        );
        assert_eq!(answer.header("access-control-allow-origin"), Some(console), "{path}");
        assert!(answer.values("vary").any(|v| v.eq_ignore_ascii_case("origin")));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    for path in
        ["/oauth/authorize", "/login", "/consent", "/logout", "/enroll", "/reset", "/account"]
    {
        let answer = wire.ask("GET", path, &[("origin", console)], b"");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
}
