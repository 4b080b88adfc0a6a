//! Redirect URIs against a corpus of mutations (security.md, W1–W6): byte equality with a registered one,
//! but for the port of a literal loopback address, or a page of our own.

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::collections::BTreeSet;

use serde_json::json;
use support::*;

/// What is put in at every position of a registered URI.
const INSERTED: [&str; 62] = [
    ".evil.tld",
    "@evil.tld",
    "evil.tld@",
    "%40",
    "%40evil.tld",
    "@",
    "@@",
    "\\",
    "\\@evil.tld",
    "%5c",
    "/",
    "//",
    "/%2e%2e/",
    "/../",
    "/./",
    "..;/",
    ";",
    ";x=1",
    "%252e",
    "%2f",
    "%2F",
    "%3a",
    ".",
    "..",
    "?",
    "?next=",
    "&",
    "=",
    "#",
    "#x",
    "%23",
    "%00",
    "%0d%0a",
    "%0a",
    "\t",
    "\n",
    "\r",
    " ",
    "%20",
    "+",
    "*",
    ":",
    ":443",
    ":0443",
    ":0",
    ":65536",
    ":-1",
    "user:pw@",
    "[",
    "]",
    "%25eth0",
    "xn--",
    "\u{ff0e}",
    "\u{ff0f}",
    "\u{3002}",
    "\u{202e}",
    "\u{200b}",
    "\u{feff}",
    "\u{430}",
    "a",
    "\"",
    "<>",
];

const ELSEWHERE: [&str; 60] = [
    "https://evil.tld/cb",
    "https://evil.tld",
    "//evil.tld/cb",
    "///evil.tld",
    "https:evil.tld",
    "https:/web.example.org/cb",
    "https:\\\\web.example.org\\cb",
    "https:///web.example.org/cb",
    "/cb",
    "cb",
    "",
    "https://",
    "http://web.example.org/cb",
    "HTTPS://web.example.org/cb",
    "https://WEB.example.org/cb",
    "https://web.example.org/CB",
    "https://web.example.org",
    "https://web.example.org/",
    "https://example.org/cb",
    "https://web.example.org/cb%",
    "https://web.example.org:443/cb",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://web.example.org/1",
    "about:blank",
    "mailto:a@b.example",
    "ftp://web.example.org/cb",
    "ws://web.example.org/cb",
    "intent://x#Intent;end",
    "view-source:https://web.example.org/cb",
    "com.example.app://cb",
    "com.example.app:cb",
    "com.example.app:/CB",
    "COM.example.app:/cb",
    "com.example.app:/cb/..",
    "com.example.apps:/cb",
    "example.app:/cb",
    "http://127.0.0.1.evil.tld/cb",
    "http://localhost/cb",
    "http://localhost:7778/cb",
    "http://localhost.:7777/cb",
    "http://LOCALHOST:7777/cb",
    "http://127.1/cb",
    "http://0x7f.1/cb",
    "http://2130706433/cb",
    "http://0177.0.0.1/cb",
    "http://127.0.0.2/cb",
    "http://127.0.0.1:1:2/cb",
    "http://[::ffff:127.0.0.1]/cb",
    "http://[0:0:0:0:0:0:0:1]/cb",
    "http://[::1%25lo]/cb",
    "http://[::2]/cb",
    "http://::1/cb",
    "https://127.0.0.1/cb",
    "http://127.0.0.1:80a/cb",
    "http://127.0.0.1:/cb",
];

/// Every mutation of one URI, without the URI itself.
fn mutations(uri: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let characters: Vec<char> = uri.chars().collect();
    let text = |parts: &[&[char]]| -> String { parts.concat().into_iter().collect() };
    for at in 0..=characters.len() {
        let (before, after) = characters.split_at(at);
        for inserted in INSERTED {
            all.insert(text(&[before, &inserted.chars().collect::<Vec<_>>(), after]));
        }
        all.insert(text(&[before]));
        all.insert(text(&[after]));
        let Some((c, rest)) = after.split_first() else { continue };
        let swapped =
            if c.is_ascii_uppercase() { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
        all.insert(text(&[before, &[swapped], rest]));
        all.insert(text(&[before, rest]));
        all.insert(text(&[before, &[*c, *c], rest]));
        for spelt in [
            format!("%{:02x}", u32::from(*c)),
            format!("%25{:02X}", u32::from(*c)),
            "\u{fffd}".into(),
        ] {
            all.insert(text(&[before, &spelt.chars().collect::<Vec<_>>(), rest]));
        }
    }
    for tail in ["/..", "/../evil", "?x=1", "&x=1", "/cb", ".", "%2e", "\0", "\0.evil.tld"] {
        all.insert(format!("{uri}{tail}"));
    }
    all.insert(uri.to_uppercase());
    all.insert(format!("{uri},{uri}"));
    all.insert(format!("{uri} {uri}"));
    all.insert(format!("[\"{uri}\"]"));
    all.insert(format!("{uri}/{}", "a".repeat(6000)));
    all.remove(uri);
    all
}

/// RFC 8252 §7.3: the port of a literal loopback address may vary. Nothing else may.
fn is_loopback_port(registered: &str, uri: &str) -> bool {
    let Some((start, path)) = registered.rsplit_once("/cb").map(|(start, _)| (start, "/cb")) else {
        return false;
    };
    if !["http://127.0.0.1", "http://[::1]"].contains(&start) {
        return false;
    }
    let port = uri
        .strip_prefix(start)
        .and_then(|u| u.strip_suffix(path))
        .and_then(|u| u.strip_prefix(':'));
    port.is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

#[test]
fn w1_w2_w3_w5_no_mutation_of_a_registered_uri_is_ever_redirected_to() {
    let stand = alone();
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let registered = [
        (WEB, WEB.redirect),
        (NATIVE, "http://127.0.0.1/cb"),
        (NATIVE, "http://[::1]/cb"),
        (NATIVE, "http://localhost:7777/cb"),
        (NATIVE, "com.example.app:/cb"),
        (QUERY, QUERY.redirect),
    ];
    let (mut tried, mut ports) = (0, 0);
    for (app, uri) in registered {
        for bad in mutations(uri) {
            if is_loopback_port(uri, &bad) || bad == QUERY.redirect {
                ports += 1;
                continue;
            }
            // The error itself is provoked in every second one: neither kind may leave.
            let mut ask = Ask::new(app).with("redirect_uri", &bad);
            if tried % 2 == 1 {
                ask = ask.with("prompt", "none").with("scope", "nonsense");
            }
            let answer = wire.get(&ask.target());
            assert!(
                answer.status == 400 && answer.header("location").is_none(),
                "{bad:?} is answered {} {:?}",
                answer.status,
                answer.headers
            );
            assert_page(&answer);
            tried += 1;
        }
    }
    for bad in ELSEWHERE {
        for app in [WEB, NATIVE, SPA] {
            assert_page(&wire.get(&Ask::new(app).with("redirect_uri", bad).target()));
        }
    }
    println!("{tried} mutations, {ports} left out because they only change a loopback port");
    assert!(tried >= 5000, "{tried}");
    assert!(ports < 40, "{ports}");
    assert_eq!(digest(&stand), before);
}

/// The same URIs written into the query as they are, as a browser would send a link of a foreign page.
#[test]
fn w1_no_raw_spelling_in_the_query_changes_where_an_answer_goes() {
    let stand = alone();
    let before = digest(&stand);
    let mut wire = Line::open(&stand);
    let rest = Ask::new(WEB).without("redirect_uri").target();
    let mut tried = 0;
    for bad in mutations(WEB.redirect) {
        // What a request line cannot hold, and what decodes to the registered URI, is another test's.
        let sent = bad.bytes().all(|b| b.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&b));
        let decoded: Vec<_> = url::form_urlencoded::parse(bad.as_bytes()).collect();
        if !sent
            || bad.contains('&')
            || decoded.first().is_some_and(|(text, _)| text == WEB.redirect)
        {
            continue;
        }
        let answer = wire.get(&format!("{rest}&redirect_uri={bad}"));
        assert!(answer.header("location").is_none(), "{bad:?}: {:?}", answer.headers);
        assert_own_page(&answer);
        tried += 1;
    }
    assert!(tried > 1000, "{tried}");
    assert_eq!(digest(&stand), before);
}

#[test]
fn w5_the_port_of_a_literal_loopback_address_is_free_and_nothing_else() {
    let stand = together();
    let mut wire = Line::open(&stand);
    for good in [
        "http://127.0.0.1/cb",
        "http://127.0.0.1:1/cb",
        "http://127.0.0.1:80/cb",
        "http://127.0.0.1:65535/cb",
        "http://[::1]:49152/cb",
        "http://[::1]/cb",
        "http://localhost:7777/cb",
        "com.example.app:/cb",
    ] {
        let ask = Ask::new(NATIVE).with("redirect_uri", good);
        assert_accepted(&wire.get(&ask.target()));
        // The answer goes to the very address that was asked for, port and all.
        let wrong = wire.get(&ask.without("response_type").target());
        let mut app = NATIVE;
        app.redirect = good;
        assert_eq!(redirected(&wrong, &app)["error"], "invalid_request");
    }
    // Not registered for this client, though loopback.
    for bad in ["http://127.0.0.1:8080/cb", "http://[::1]/cb", "http://localhost/cb"] {
        assert_page(&wire.get(&Ask::new(SPA).with("redirect_uri", bad).target()));
    }
}

#[test]
fn a_registered_query_is_kept_and_only_the_very_one_is_taken() {
    let stand = together();
    let ask = Ask::new(QUERY);
    let page = walk(&mut stand.browser(), &ask.url(&stand), BEN);
    let away = page.away.clone().unwrap();
    assert!(away.starts_with(&format!("{}&", QUERY.redirect)), "{away}");
    let code = page.away_parameter("code").unwrap();
    Tokens::of(&QUERY.redeem(&stand, &code, &ask.pkce.verifier));
    for other in [
        "https://query.example.org/cb?b=x%20y&a=1",
        "https://query.example.org/cb?a=1&b=x+y",
        "https://query.example.org/cb?a=1",
        "https://query.example.org/cb",
        "https://query.example.org/cb?a=1&b=x%20y&",
        "https://query.example.org/other?a=1&b=x%20y",
    ] {
        assert_page(&Ask::new(QUERY).with("redirect_uri", other).send(&stand));
    }
}

#[test]
fn w2_w4_w6_what_no_browser_may_be_sent_to_cannot_be_registered() {
    let stand = alone();
    let before = digest(&stand);
    let schemes = [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:x",
        "about:blank",
        "ftp://a.example/",
        "ws://a.example/",
        "http://a.example/cb",
        "http://localhost.evil.example/cb",
        "https://user@a.example/cb",
        "https://user:pw@a.example/cb",
        "https://a.example/cb#x",
        "https://a.example\\cb",
        "https://a.example/../cb",
        "https://a.example/./cb",
        "https://a.example/%2e%2e/cb",
        "https://a.example/a%2fb",
        "https://a.example/%00",
        "https://a.example/a b",
        "https://a.example/\u{e9}",
        "https://\u{430}pp.example/cb",
        "https://A.example/cb",
        "https://*.example/cb",
        "https://a.example/*",
        "https://",
        "https:///cb",
        "//a.example/cb",
        "/cb",
        "",
        "myapp:/cb",
        "https://xn--/cb",
        "https://xn--a/cb",
        "https://a..example/cb",
        "https://a.example:0/cb",
        "https://a.example:99999/cb",
        "http://127.1/cb",
        "http://0x7f.0.0.1/cb",
        "https://a.example/\r\nx",
    ];
    for bad in schemes {
        for field in ["redirect_uris", "post_logout_redirect_uris"] {
            let mut over = json!({ "redirect_uris": ["https://new.example.org/cb"] });
            over[field] = json!([bad]);
            let app = App { id: "new", ..WEB };
            let file = stand.token().with_file_name("bad.json");
            std::fs::write(&file, json!({ "clients": [client(app, &over)] }).to_string()).unwrap();
            let output = stand.cli().arg("seed").arg(&file).output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{field} {bad:?} is registered");
            assert!(words.contains(field), "{bad:?}: {words}");
        }
    }
    assert_eq!(digest(&stand), before);
}
