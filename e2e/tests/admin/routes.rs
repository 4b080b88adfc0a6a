//! The routes of both planes, read from their routers, and that neither serves the other's.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use e2e::{Client, Response, routes};

use crate::{admin_token, discreet, stand};

pub(crate) fn admin_routes() -> BTreeSet<String> {
    routes("admind")
}

pub(crate) fn concrete(route: &str) -> String {
    route.replace('*', "AAAAAAAAAAAAAAAAAAAAAA")
}

const SHARED: [&str; 2] = ["/healthz", "/readyz"];

/// A request with what each plane's own endpoints would want.
fn ask(client: &mut Client, method: &str, url: &str, token: &str) -> Response {
    let headers =
        [e2e::bearer(token), ("content-type", "application/x-www-form-urlencoded".to_owned())];
    client.send(method, url, &headers, b"")
}

#[test]
fn w154_the_routes_are_those_of_the_matrix() {
    let mut actual =
        String::from("# The routes of each plane, read from its router: tests/admin/routes.rs.\n");
    for plane in ["authd", "admind"] {
        for route in routes(plane) {
            writeln!(actual, "{plane} {route}").unwrap();
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("matrix/routes.txt");
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    if actual != expected {
        let found = Path::new(env!("CARGO_TARGET_TMPDIR")).join("routes.txt");
        std::fs::write(&found, &actual).unwrap();
        panic!(
            "other routes than e2e/matrix/routes.txt lists. If that is meant: cp {} e2e/matrix/routes.txt\n{actual}",
            found.display()
        );
    }
}

#[test]
fn a_planes_routes_are_absent_on_the_other_plane() {
    let (auth, admin) = (routes("authd"), routes("admind"));
    assert!(auth.len() >= 18 && admin.len() >= 6, "{auth:?} {admin:?}");
    let token = admin_token(stand());
    let mut client = stand().client();
    for (own, others, plane) in [(&auth, &admin, stand().api()), (&admin, &auth, stand().issuer())]
    {
        for route in own.iter().filter(|route| !SHARED.contains(&route.as_str())) {
            assert!(!others.contains(route), "{route} is on both planes");
            for method in ["GET", "POST", "DELETE", "OPTIONS"] {
                let url = format!("{plane}{}", concrete(route));
                let response = ask(&mut client, method, &url, &token);
                // A preflight of the management API is answered before anything is looked up.
                let preflight =
                    method == "OPTIONS" && response.status == 204 && route.starts_with("/api/");
                assert!(response.status == 404 || preflight, "{method} {url}: {}", response.status);
                discreet(&response);
            }
        }
    }
}

#[test]
fn every_route_of_a_plane_is_there() {
    let token = admin_token(stand());
    let mut client = stand().client();
    for (plane, base) in [("authd", stand().issuer()), ("admind", stand().api())] {
        for route in routes(plane) {
            let url = format!("{base}{}", concrete(&route));
            let statuses =
                ["GET", "POST"].map(|method| ask(&mut client, method, &url, &token).status);
            let there = statuses.iter().any(|status| *status != 404);
            // An unknown key is 404 as well: then the methods tell.
            let known = ask(&mut client, "DELETE", &url, &token).status == 405;
            assert!(there || known, "{url}: {statuses:?}");
        }
    }
}

#[test]
fn w182_nothing_but_what_is_meant_for_it_is_served_on_a_listener() {
    let mut client = stand().client();
    for base in [stand().issuer(), stand().api()] {
        for path in [
            "/metrics",
            "/debug",
            "/debug/pprof",
            "/openapi.json",
            "/api/v1/openapi.json",
            "/api",
            "/api/v1",
            "/api/v2/me",
            "/status",
            "/health",
            "/server-status",
            "/.git/config",
            "/.env",
            "/console",
            "/static/",
            "/static/../Cargo.toml",
            "/api/v1/health",
            "/admin",
            "/api/v1/keys/x",
            "/api/v1/me/x",
            "/api/v1/tenants",
        ] {
            let response = client.get(&format!("{base}{path}"));
            assert!(matches!(response.status, 400 | 404), "{base}{path}: {}", response.status);
            discreet(&response);
        }
        for probe in SHARED {
            let response = client.get(&format!("{base}{probe}"));
            assert_eq!(
                response.expect(200).body,
                b"",
                "{base}{probe} says more than that it is there"
            );
            client.send("HEAD", &format!("{base}{probe}"), &[], b"").expect(200);
        }
        let head = client.get(&format!("{base}/healthz"));
        for name in ["server", "x-powered-by", "via"] {
            assert_eq!(head.header(name), None, "{base} names its software");
        }
    }
}

#[test]
fn w103_a_plane_answers_to_its_own_name_alone() {
    let token = admin_token(stand());
    let mut client = stand().client();
    for host in ["evil.example", "localhost", "localhost:1", "127.0.0.1", &stand().issuer()[8..]] {
        let url = url::Url::parse(&format!("{}/api/v1/me", stand().api())).unwrap();
        let bytes = client.bytes("GET", &url, &[e2e::bearer(&token)], b"");
        let text = String::from_utf8(bytes).unwrap();
        let own = format!("host: {}", &stand().api()[8..]);
        assert!(text.contains(&own), "{text}");
        let text = text.replace(&own, &format!("host: {host}"));
        let mut connection = e2e::Connection::open(client.address(&url), stand().trust()).unwrap();
        connection.send(text.as_bytes()).unwrap();
        let response = connection.receive(false).unwrap();
        assert_eq!(response.status, 421, "{host}: {}", response.text());
    }
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("x-forwarded-proto", "http"),
    ] {
        let url = format!("{}/api/v1/me", stand().api());
        let response =
            client.send("GET", &url, &[e2e::bearer(&token), (name, value.to_owned())], b"");
        assert!(!response.expect(200).text().contains("evil"), "{name}");
    }
}
