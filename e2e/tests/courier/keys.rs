//! Clients' keys.

use std::net::Ipv4Addr;

use e2e::bench::until;
use e2e::{Answer, Stand, Trap};
use serde_json::{Value, json};

use crate::{LOOPBACK, SOON, client, leaf, sql, stand, trap, until_true};

fn keys_at(url: &str) -> Value {
    json!({ "client_name": "RP", "jwks_uri": url })
}

fn set(kid: &str) -> Answer {
    let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "a", "y": "b", "kid": kid }] });
    Answer::new(200, "content-type: application/jwk-set+json\r\n", &keys.to_string())
}

fn has_kid(stand: &Stand, client: &str, kid: &str) {
    let query = format!(
        "SELECT count(*) = 1 FROM client_keys WHERE client = '{client}' AND jwks->'keys'->0->>'kid' = '{kid}'"
    );
    until_true(stand, &query);
}

/// Everything that was due when this began has been looked at when a client that comes now has its keys.
fn round(stand: &Stand, trap: &Trap, name: &str) {
    let path = format!("/{name}");
    trap.answer(&path, set(name));
    let marker = client(stand, name, &keys_at(&trap.url(&path)));
    has_kid(stand, &marker, name);
}

/// As if a client's keys had last been tried so many seconds ago.
fn tried(stand: &Stand, client: &str, seconds: u32) {
    let past = format!("now() - interval '{seconds} seconds'");
    sql(stand, &format!("UPDATE client_keys SET tried_at = {past} WHERE client = '{client}'"));
}

#[test]
fn w139_keys_are_fetched_at_once_when_wanted_and_when_old_but_not_twice_in_a_minute() {
    let trap = trap();
    let stand = stand(&[&trap], &[("courier.courier_allow", "[\"127.0.0.1/32\"]")]);
    trap.answer("/keys?set=1", set("first"));
    let rp = client(&stand, "rp", &keys_at(&trap.url("/keys?set=1")));
    has_kid(&stand, &rp, "first");
    let heard = trap.heard("/keys?set=1");
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].line, "GET /keys?set=1");
    assert!(heard[0].head.contains(&format!("host: 127.0.0.1:{}\n", trap.port())), "{heard:?}");
    assert!(!heard[0].head.contains("authorization") && !heard[0].head.contains("cookie"));

    trap.answer("/keys?set=1", set("second"));
    sql(&stand, &format!("UPDATE client_keys SET wanted_at = now() WHERE client = '{rp}'"));
    round(&stand, &trap, "marker-1");
    assert_eq!(trap.heard("/keys?set=1").len(), 1, "wanted, but within the minute");

    sql(
        &stand,
        &format!(
            "UPDATE client_keys SET wanted_at = now() - interval '61 s' WHERE client = '{rp}'"
        ),
    );
    tried(&stand, &rp, 62);
    has_kid(&stand, &rp, "second");

    trap.answer("/keys?set=1", set("third"));
    tried(&stand, &rp, 62);
    sql(&stand, &format!("UPDATE client_keys SET wanted_at = NULL WHERE client = '{rp}'"));
    round(&stand, &trap, "marker-2");
    assert_eq!(trap.heard("/keys?set=1").len(), 2, "neither wanted nor old");
    let old = "fetched_at = now() - interval '16 minutes'";
    sql(&stand, &format!("UPDATE client_keys SET {old} WHERE client = '{rp}'"));
    has_kid(&stand, &rp, "third");
}

#[test]
fn w139_a_failure_keeps_the_former_copy_and_a_new_place_drops_it() {
    let trap = trap();
    let stand = stand(&[&trap], &[("courier.courier_allow", LOOPBACK)]);
    trap.answer("/keys", set("kept"));
    let rp = client(&stand, "rp", &keys_at(&trap.url("/keys")));
    has_kid(&stand, &rp, "kept");
    let copy = format!("SELECT jwks, fetched_at FROM client_keys WHERE client = '{rp}'");
    let before = sql(&stand, &copy);

    trap.answer("/keys", Answer::new(500, "", ""));
    sql(&stand, &format!("UPDATE client_keys SET wanted_at = now() WHERE client = '{rp}'"));
    tried(&stand, &rp, 61);
    until("it is asked again", SOON, || (trap.heard("/keys").len() == 2).then_some(()));
    round(&stand, &trap, "marker-1");
    assert_eq!(sql(&stand, &copy), before);
    assert_eq!(trap.heard("/keys").len(), 2, "not again within the minute");

    let elsewhere = keys_at(&trap.url("/elsewhere"));
    sql(&stand, &format!("UPDATE clients SET metadata = '{elsewhere}' WHERE id = '{rp}'"));
    until_true(
        &stand,
        &format!(
            "SELECT jwks IS NULL AND fetched_at IS NULL FROM client_keys WHERE client = '{rp}'"
        ),
    );
    trap.answer("/elsewhere", set("moved"));
    tried(&stand, &rp, 61);
    has_kid(&stand, &rp, "moved");

    sql(&stand, &format!("UPDATE clients SET status = 'disabled' WHERE id = '{rp}'"));
    sql(&stand, &format!("UPDATE client_keys SET wanted_at = now() WHERE client = '{rp}'"));
    tried(&stand, &rp, 61);
    round(&stand, &trap, "marker-2");
    assert_eq!(trap.heard("/elsewhere").len(), 1, "a disabled client's are left alone");
}

#[test]
fn w137_what_is_no_plain_small_quick_answer_is_not_kept_and_a_redirect_not_followed() {
    let trap = trap();
    let mut stand = stand(&[&trap], &[("courier.courier_allow", LOOPBACK)]);
    let to =
        |status: u16| Answer::new(status, &format!("location: {}\r\n", trap.url("/inside")), "");
    let body = |value: &Value| Answer::new(200, "", &value.to_string());
    let cases = [
        ("/301", to(301)),
        ("/302", to(302)),
        ("/307", to(307)),
        ("/204", Answer::new(204, "", "")),
        ("/500", Answer::new(500, "", "{\"keys\":[]}")),
        ("/oversize", body(&json!({ "keys": [], "x": "x".repeat(65_536) }))),
        ("/head", Answer::new(200, &format!("x: {}\r\n", "x".repeat(70_000)), "{\"keys\":[]}")),
        ("/silence", Answer::Silence),
        ("/drip", Answer::Drip),
        ("/html", Answer::new(200, "content-type: text/html\r\n", "<html>")),
        ("/many", body(&json!({ "keys": vec![json!({ "kty": "RSA" }); 21] }))),
        ("/private", body(&json!({ "keys": [{ "kty": "RSA", "d": "hunter2" }] }))),
        ("/twice", Answer::new(200, "", "{\"keys\":[],\"keys\":[]}")),
        (
            "/cut",
            Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"keys\":[]".to_vec()),
        ),
        ("/noise", Answer::Bytes(b"\x00\x01\x02 nothing of HTTP\r\n\r\n".to_vec())),
    ];
    trap.answer("/inside", set("inside"));
    let count = cases.len();
    for (path, answer) in cases {
        trap.answer(path, answer);
        client(&stand, path, &keys_at(&trap.url(path)));
    }
    let words = ["keys were not fetched", "gave no set", "publishes a private key"];
    until("each has failed", SOON, || {
        let log = stand.courier().log();
        let failed: usize = words.iter().map(|word| log.matches(word).count()).sum();
        (failed == count).then_some(())
    });
    assert_eq!(
        sql(
            &stand,
            "SELECT count(*) FROM client_keys WHERE jwks IS NOT NULL OR fetched_at IS NOT NULL"
        ),
        "0"
    );
    assert!(trap.heard("/inside").is_empty(), "a redirect was followed");
    assert_eq!(trap.heard_in_all(), count, "each is asked once");
    let log = stand.courier().log();
    for secret in ["/private", "hunter2", "text/html", "/inside"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    // All that did not spoil it for others.
    round(&stand, &trap, "after");
}

#[test]
fn w137_a_special_address_another_port_or_http_gets_no_connection() {
    let (trap, unlisted) = (trap(), trap());
    let mut stand = stand(&[&trap], &[]);
    for (name, url) in [
        ("address", trap.url("/keys")),
        ("name", format!("https://localhost:{}/keys", trap.port())),
        ("other", format!("https://127.9.9.9:{}/keys", trap.port())),
        ("zero", format!("https://0.0.0.0:{}/keys", trap.port())),
        ("http", format!("http://127.0.0.1:{}/keys", trap.port())),
        ("user", format!("https://x@localhost:{}/keys", trap.port())),
        ("port", unlisted.url("/keys")),
        ("six", format!("https://[::ffff:127.0.0.1]:{}/keys", trap.port())),
    ] {
        client(&stand, name, &keys_at(&url));
    }
    until("each was judged", SOON, || {
        (stand.courier().log().matches("were not fetched").count() == 8).then_some(())
    });
    let log = stand.courier().log();
    assert_eq!(log.matches("special address").count(), 4, "{log}");
    assert_eq!(log.matches("may not be asked").count(), 4, "{log}");
    assert_eq!((trap.connections(), unlisted.connections()), (0, 0));
}

#[test]
fn w137_a_server_that_does_not_prove_its_name_hears_no_request() {
    let wrong_name = Trap::listen(Ipv4Addr::new(127, 0, 0, 2).into(), &leaf().folder);
    let trap = trap();
    let mut stand = stand(&[&wrong_name, &trap], &[("courier.courier_allow", LOOPBACK)]);
    client(&stand, "name", &keys_at(&wrong_name.url("/keys")));
    until("it was refused", SOON, || {
        stand.courier().log().contains("did not prove its name").then_some(())
    });
    assert!(wrong_name.connections() == 1 && wrong_name.heard_in_all() == 0);
    round(&stand, &trap, "proven");

    // The bench's authority is nobody to the web's.
    let web = [("courier.courier_allow", LOOPBACK), ("courier.courier_ca", "\"\"")];
    let mut other = crate::stand(&[&trap], &web);
    let before = trap.heard_in_all();
    client(&other, "unknown", &keys_at(&trap.url("/proven")));
    until("it was refused", SOON, || {
        other.courier().log().contains("did not prove its name").then_some(())
    });
    assert_eq!(trap.heard_in_all(), before);
}
