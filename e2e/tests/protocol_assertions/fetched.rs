//! Keys that a client publishes at its `jwks_uri`, and that the courier fetches (W139).

use std::net::Ipv4Addr;
use std::time::Duration;

use e2e::authority::Certificates;
use e2e::bench::{bench, until};
use e2e::{Answer, Options, Response, Stand, Trap};
use serde_json::{Value, json};

use crate::key::Key;
use crate::support::*;
use crate::{DOORS, ITSELF, Rp, app, form_of, metadata, post};

/// Longer than anything that is waited for.
const SOON: Duration = Duration::from_secs(40);

fn trap() -> Trap {
    Trap::listen(Ipv4Addr::LOCALHOST.into(), &Certificates::copied().new_leaf("authd").folder)
}

/// An installation whose courier may ask the trap.
fn stand(trap: &Trap) -> Stand {
    let ca = bench().dir().join("tls/ca.pem");
    let set = vec![
        ("courier.courier_ports", &*format!("[\"{}\"]", trap.port()).leak()),
        ("courier.courier_ca", &*format!("{:?}", ca.display().to_string()).leak()),
        ("courier.courier_allow", "[\"127.0.0.0/8\"]"),
    ];
    let stand = Stand::start(&Options { set, courier: true, ..Options::default() });
    stand.seed(&world());
    stand.wait_for_keys();
    stand
}

fn publish(trap: &Trap, path: &str, keys: &Value) {
    let body = json!({ "keys": keys }).to_string();
    trap.answer(path, Answer::new(200, "content-type: application/jwk-set+json\r\n", &body));
}

/// A client that says where its keys are.
fn seed(stand: &Stand, app: App, url: &str) {
    let mut metadata = metadata(app, &Value::Null);
    metadata.as_object_mut().unwrap().remove("jwks");
    metadata["jwks_uri"] = url.into();
    stand.seed(&json!({ "clients": [metadata] }));
}

/// 503: nothing can be said of the assertion yet.
#[track_caller]
fn assert_later(answer: &Response) {
    answer.expect(503);
    assert_error_body(answer, "temporarily_unavailable");
    let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
}

fn client_key(app: App, column: &str) -> String {
    format!(
        "SELECT {column} FROM client_keys WHERE client = (SELECT id FROM clients WHERE client_id = '{}')",
        app.id
    )
}

/// As if so many seconds had passed since the client's keys were wanted, tried and fetched.
fn pass(stand: &Stand, app: App, seconds: u32) {
    let by = format!("interval '{seconds} seconds'");
    sql(
        stand,
        &format!(
            "UPDATE client_keys SET tried_at = tried_at - {by}, wanted_at = wanted_at - {by}, fetched_at = fetched_at - {by}
             WHERE client = (SELECT id FROM clients WHERE client_id = '{}')",
            app.id
        ),
    );
}

/// All that was due when this began was done when a client that comes now has its keys.
fn round(stand: &Stand, trap: &Trap, id: &'static str) {
    let path = format!("/{id}");
    publish(trap, &path, &json!([Key::new("EdDSA", "k").jwk()]));
    seed(stand, app(id), &trap.url(&path));
    until("a later client has its keys", SOON, || {
        (sql(stand, &client_key(app(id), "jwks IS NOT NULL")) == "t").then_some(())
    });
}

#[track_caller]
fn until_in(stand: &Stand, rp: &Rp) {
    until("its key is known", SOON, || {
        let answer = rp.call(stand, "/oauth/token", &ITSELF);
        assert!([200, 401, 503].contains(&answer.status), "{}", answer.text());
        (answer.status == 200).then_some(())
    });
}

#[test]
fn w139_a_first_assertion_is_asked_to_wait_and_an_unknown_kid_fetches_once_a_minute() {
    let trap = trap();
    let mut stand = stand(&trap);
    stand.courier().kill9();
    let rp = Rp { app: app("published"), key: Key::new("ES256", "one") };
    publish(&trap, "/keys", &json!([rp.key.jwk()]));
    seed(&stand, rp.app, &trap.url("/keys"));
    let before = digest_but_keys(&stand);
    for door in DOORS {
        assert_later(&post(&stand, door, &rp.assertion(&stand), &form_of(door)));
    }
    // What could not count anyway is refused now, and wants no key.
    let mut late = rp.claims(&stand);
    late["aud"] = json!("https://other.example");
    assert!(!crate::comes_in(&stand, &rp.key.assertion(&late)));
    assert_eq!(digest_but_keys(&stand), before);
    let early = rp.assertion(&stand);
    assert_later(&post(&stand, "/oauth/token", &early, &ITSELF));
    assert_eq!(trap.connections(), 0, "authd itself calls nobody");

    stand.courier().start();
    until_in(&stand, &rp);
    assert_eq!(trap.heard("/keys").len(), 1);
    assert!(crate::comes_in(&stand, &early), "it was not used up by being asked to wait");
    assert!(!crate::comes_in(&stand, &early));

    // A known name with a wrong signature wants nothing; an unknown name does, but not twice in a minute.
    let wanted = |stand: &Stand| sql(stand, &client_key(rp.app, "wanted_at > fetched_at"));
    let thief = Rp { app: rp.app, key: Key::new("ES256", "one") };
    assert!(!crate::comes_in(&stand, &thief.assertion(&stand)));
    assert_ne!(wanted(&stand), "t");
    pass(&stand, rp.app, 10);
    let next = Rp { app: rp.app, key: Key::new("EdDSA", "two") };
    publish(&trap, "/keys", &json!([rp.key.jwk(), next.key.jwk()]));
    for _ in 0..5 {
        assert!(!crate::comes_in(&stand, &next.assertion(&stand)));
    }
    round(&stand, &trap, "marker");
    assert_eq!(trap.heard("/keys").len(), 1, "sooner than a minute after the last time");
    pass(&stand, rp.app, 61);
    assert!(!crate::comes_in(&stand, &next.assertion(&stand)), "and this one wants it again");
    until_in(&stand, &next);
    assert_eq!(trap.heard("/keys").len(), 2);
    assert!(crate::comes_in(&stand, &rp.assertion(&stand)));
}

/// All that is stored, but for what the client's keys are noted by.
fn digest_but_keys(stand: &Stand) -> String {
    digest(stand).lines().filter(|line| !line.starts_with("client_keys|")).collect()
}

#[test]
fn w139_keys_that_we_cannot_use_stand_beside_those_that_we_can() {
    let trap = trap();
    let stand = stand(&trap);
    let rp = Rp { app: app("mixed-set"), key: Key::new("PS256", "sig") };
    let encrypting = {
        let mut jwk = Key::new("RS256", "enc").jwk();
        jwk["use"] = "enc".into();
        jwk["alg"] = "RSA-OAEP".into();
        jwk
    };
    let keys = json!([
        encrypting,
        { "kty": "EC", "crv": "P-521", "kid": "p521", "x": "AAAA", "y": "AAAA" },
        { "kty": "OKP", "crv": "X25519", "kid": "x", "x": "AAAA" },
        { "kty": "AKP", "alg": "ML-DSA-44", "kid": "later", "pub": "AAAA" },
        { "kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB" },
        rp.key.jwk(),
    ]);
    publish(&trap, "/keys", &keys);
    seed(&stand, rp.app, &trap.url("/keys"));
    until_in(&stand, &rp);
    let as_enc = rp.key.jws(
        &json!({ "alg": "PS256", "kid": "enc" }).to_string(),
        rp.claims(&stand).to_string().as_bytes(),
    );
    assert!(!crate::comes_in(&stand, &as_enc));

    // Withdrawn altogether: what it signs counts no more, and that is an answer.
    publish(&trap, "/keys", &json!([]));
    pass(&stand, rp.app, 1000);
    until("the empty set is known", SOON, || {
        (sql(&stand, &client_key(rp.app, "jwks = '{\"keys\": []}'")) == "t").then_some(())
    });
    assert!(!crate::comes_in(&stand, &rp.assertion(&stand)));
}

#[test]
fn w139_a_copy_serves_through_an_outage_for_a_day_and_a_new_place_ends_it_at_once() {
    let trap = trap();
    let stand = stand(&trap);
    let rp = Rp { app: app("moving"), key: Key::new("ES384", "k") };
    publish(&trap, "/old", &json!([rp.key.jwk()]));
    seed(&stand, rp.app, &trap.url("/old"));
    until_in(&stand, &rp);
    let private = {
        let mut jwk = rp.key.jwk();
        jwk["d"] = "AAAA".into();
        json!([jwk])
    };
    publish(&trap, "/old", &private);
    pass(&stand, rp.app, 23 * 3600);
    until("it is asked again", SOON, || (trap.heard("/old").len() == 2).then_some(()));
    assert!(crate::comes_in(&stand, &rp.assertion(&stand)));
    pass(&stand, rp.app, 3601);
    assert_later(&rp.call(&stand, "/oauth/token", &ITSELF));

    publish(&trap, "/old", &json!([rp.key.jwk()]));
    pass(&stand, rp.app, 61);
    until_in(&stand, &rp);
    let moved = Rp { app: rp.app, key: Key::new("ES384", "k") };
    trap.answer("/new", Answer::new(404, "", ""));
    seed(&stand, rp.app, &trap.url("/new"));
    assert_later(&rp.call(&stand, "/oauth/token", &ITSELF));
    publish(&trap, "/new", &json!([moved.key.jwk()]));
    until("the new place was asked", SOON, || {
        pass(&stand, rp.app, 61);
        (moved.call(&stand, "/oauth/token", &ITSELF).status == 200).then_some(())
    });
    assert!(!crate::comes_in(&stand, &rp.assertion(&stand)));
}

#[test]
fn w80_what_a_header_points_at_is_never_asked_for() {
    let trap = trap();
    let stand = stand(&trap);
    let rp = Rp::seeded(&stand, "pointing", "ES256");
    let thief = Key::new("ES256", "evil");
    publish(&trap, "/evil", &json!([thief.jwk()]));
    for name in ["jku", "x5u", "iss", "jwks_uri"] {
        let mut header = thief.header();
        header[name] = trap.url("/evil").into();
        let text = thief.jws(&header.to_string(), rp.claims(&stand).to_string().as_bytes());
        assert!(!crate::comes_in(&stand, &text), "{name}");
    }
    let mut claims = rp.claims(&stand);
    claims["jwks_uri"] = trap.url("/evil").into();
    claims["jku"] = trap.url("/evil").into();
    assert!(!crate::comes_in(&stand, &thief.assertion(&claims)));
    let mut named = thief.header();
    named["kid"] = trap.url("/evil").into();
    assert!(!crate::comes_in(
        &stand,
        &thief.jws(&named.to_string(), claims.to_string().as_bytes())
    ));
    round(&stand, &trap, "marker");
    assert!(trap.heard("/evil").is_empty());
    assert_eq!(trap.connections(), 1, "the marker's");
}
