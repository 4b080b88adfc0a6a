use proptest::prelude::*;

use super::*;

fn registered(text: &str) -> RedirectUri {
    RedirectUri::try_from(text.to_owned()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_seeds_004_lists_can_be_registered() {
    for good in [
        "https://myapp.com/auth/callback",
        "http://localhost:3000/callback",
        "http://localhost:8765/callback",
        "http://127.0.0.1:9999/callback",
        "http://[::1]/cb",
        "com.myapp.auth://callback",
        "com.myapp:/oauth/redirect",
        "https://app.example.com:8443/cb?tenant=a",
        "https://app.example.com",
    ] {
        registered(good);
    }
}

#[test]
fn w2_w3_w4_w6_what_parsers_disagree_about_cannot_be_registered() {
    for bad in [
        "",
        "/cb",
        "https:",
        "https://",
        "https:///cb",
        "//app.example.com/cb",
        "https://user@app.example.com/cb",
        "https://app.example.com\\@evil.example/cb",
        "https://app.example.com%40evil.example/cb",
        "https://app.example.com/cb#x",
        "https://app.example.com/../cb",
        "https://app.example.com/a/./b",
        "https://app.example.com/cb/..;/x",
        "https://app.example.com/%2e%2e/cb",
        "https://app.example.com/%2E/cb",
        "https://app.example.com/a%2fb",
        "https://app.example.com/%00",
        "https://app.example.com/%",
        "https://app.example.com/%zz",
        "https://app.example.com/%252e",
        "https://app.example.com/a b",
        "https://app.example.com/\t",
        "https://APP.example.com/cb",
        "HTTPS://app.example.com/cb",
        "https://app.example.com./cb",
        "https://app.example.com:0443/cb",
        "https://app.example.com:/cb",
        "https://app.example.com:70000/cb",
        "https://app..example.com/cb",
        "https://-a.example.com/",
        "https://\u{430}pp.example.com/cb",
        "https://0x7f.1/cb",
        "https://2130706433/cb",
        "https://127.1/cb",
        "https://[::1]/cb",
        "https://[fe80::1%25eth0]/cb",
        "http://app.example.com/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://localhost.evil.example/",
        "http://0.0.0.0/",
        "http://[::ffff:127.0.0.1]/",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://a",
        "myapp://cb",
        "ftp://a.b/",
        "about:blank",
        "com.example.app://user@host",
        ".com:/x",
        "com..x:/y",
        "1.a:/",
        "Com.Example:/",
        "intent://a.b#Intent;end",
    ] {
        assert!(RedirectUri::try_from(bad.to_owned()).is_err(), "{bad}");
    }
    assert!(RedirectUri::try_from(format!("https://a.example/{}", "x".repeat(2000))).is_err());
}

#[test]
fn w5_only_a_literal_loopback_address_has_a_free_port() {
    let four = registered("http://127.0.0.1/cb");
    for good in ["http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb"] {
        assert!(four.matches(good), "{good}");
    }
    for bad in [
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:65536/cb",
        "http://127.0.0.1:080/cb",
        "http://127.0.0.1:/cb",
        "http://127.0.0.1:80/cb/",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://localhost/cb",
        "https://127.0.0.1/cb",
        "http://127.0.0.1:1/x/cb",
        "http://127.0.0.1:1/cb?x",
        "http://0x7f.1/cb",
        "http://[::ffff:127.0.0.1]/cb",
        "http://127.0.0.1:1:2/cb",
    ] {
        assert!(!four.matches(bad), "{bad}");
    }
    assert!(registered("http://[::1]:4000/cb").matches("http://[::1]:5000/cb"));
    assert!(!registered("http://localhost:3000/cb").matches("http://localhost:3001/cb"));
    assert!(!registered("https://a.example/cb").matches("https://a.example:443/cb"));
}

#[test]
fn csp_names_the_origin_or_the_scheme() {
    assert_eq!(RedirectUri::csp_source("https://a.example:8443/cb?x=1"), "https://a.example:8443");
    assert_eq!(RedirectUri::csp_source("http://[::1]:1/"), "http://[::1]:1");
    assert_eq!(RedirectUri::csp_source("com.example.app:/cb"), "com.example.app:");
    assert_eq!(RedirectUri::csp_source("com.example.app://cb"), "com.example.app:");
    assert_eq!(RedirectUri::csp_source("com.example.app:/cb?next=https://a"), "com.example.app:");
    assert_eq!(RedirectUri::csp_source("com.example.app:/cb;x://a"), "com.example.app:");
}

const INSERTS: [&str; 39] = [
    ".evil.example",
    "@evil.example",
    "%40evil.example",
    "@@",
    "\\",
    "%5c",
    "/%2e%2e/",
    "..;/",
    "%252e",
    ";",
    "//",
    ".",
    "/",
    "?",
    "#",
    "%23",
    "%00",
    "%0d%0a",
    "\t",
    " ",
    "+",
    "%20",
    "\u{ff0f}",
    "\u{2025}",
    ":443",
    ":0443",
    ":80",
    "&x=1",
    "*",
    "%2f",
    "%c0%af",
    "\u{0}",
    "\r\n",
    "'",
    "\"",
    "<",
    ">",
    "evil.example/",
    "0",
];

/// The mutations of research/security.md §2 over several registered URIs: thousands, and none may match.
#[test]
fn w1_no_mutation_of_a_registered_uri_matches() {
    let mut count = 0_u32;
    for base in [
        "https://app.example.com/cb",
        "https://app.example.com/cb?tenant=a",
        "https://app.example.com:8443/a/b",
        "http://localhost:3000/cb",
        "com.example.app:/cb",
    ] {
        let uri = registered(base);
        let mut check = |mutant: String| {
            if mutant != base {
                count += 1;
                assert!(!uri.matches(&mutant), "{base} matched {mutant}");
            }
        };
        for at in 0..=base.len() {
            for insert in INSERTS {
                check(format!("{}{insert}{}", &base[..at], &base[at..]));
            }
        }
        for (at, c) in base.char_indices() {
            check(format!("{}{}", &base[..at], &base[at + 1..]));
            check(format!("{}{}{}", &base[..at], c.to_ascii_uppercase(), &base[at + 1..]));
            check(format!("{}%{:02x}{}", &base[..at], c as u8, &base[at + 1..]));
        }
        check(base.repeat(2));
        check(format!("{base}{}", "x".repeat(8192)));
        check(format!("[\"{base}\"]"));
    }
    assert!(count >= 5000, "only {count} mutations");
}

proptest! {
    #[test]
    fn only_itself_matches_unless_loopback(text in "\\PC{0,60}") {
        let uri = registered("https://app.example.com/cb");
        prop_assert_eq!(uri.matches(&text), text == "https://app.example.com/cb");
        let _ = RedirectUri::try_from(text);
    }
}
