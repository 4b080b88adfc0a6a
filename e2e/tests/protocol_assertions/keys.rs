//! Which keys a client may register, which of them is meant, and what replaces them.

use std::time::Duration;

use e2e::Stand;
use e2e::bench::until;
use serde_json::{Value, json};

use crate::key::{ALGORITHMS, Key, b64};
use crate::support::*;
use crate::{ITSELF, Rp, comes_in, metadata, now, post};

fn register(stand: &Stand, app: App, keys: &[Value]) {
    stand.seed(&json!({ "clients": [metadata(app, &json!(keys))] }));
}

/// An assertion of a client by one of its keys, which it names as it likes.
fn by(stand: &Stand, app: App, key: &Key, kid: Option<&str>) -> String {
    let claims = json!({ "iss": app.id, "sub": app.id, "aud": stand.issuer(), "exp": now(stand) + 60,
        "jti": random() });
    let mut header = json!({ "alg": key.algorithm });
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    key.jws(&header.to_string(), claims.to_string().as_bytes())
}

#[test]
fn w80_w90_a_kid_names_one_key_and_without_one_there_must_be_no_choice() {
    let stand = together();
    let app = crate::app("two-keys");
    let (first, second) = (Key::new("ES256", "first"), Key::new("ES256", "second"));
    let third = Key::new("EdDSA", "third");
    register(&stand, app, &[first.jwk(), second.jwk(), third.jwk()]);
    for (key, kid, ok) in [
        (&first, Some("first"), true),
        (&second, Some("second"), true),
        (&third, Some("third"), true),
        (&third, None, true),
        (&first, None, false),
        (&second, None, false),
        (&first, Some("second"), false),
        (&second, Some("first"), false),
        (&first, Some("third"), false),
        (&third, Some("first"), false),
        (&first, Some("fourth"), false),
    ] {
        assert_eq!(comes_in(&stand, &by(&stand, app, key, kid)), ok, "{} as {kid:?}", key.kid);
    }
    // A name is a name within one client: the same one elsewhere is another key.
    let namesake = crate::app("namesake");
    let own = Key::new("ES256", "first");
    let mut rival = metadata(namesake, &json!([own.jwk()]));
    rival["tenant"] = "rival".into();
    rival["scope"] = "openid rival:read".into();
    rival["audiences"] = json!([]);
    stand.seed(&json!({ "clients": [rival] }));
    assert!(comes_in(&stand, &by(&stand, namesake, &own, Some("first"))));
    assert!(!comes_in(&stand, &by(&stand, namesake, &first, Some("first"))));
    assert!(!comes_in(&stand, &by(&stand, app, &own, Some("first"))));
    assert!(comes_in(&stand, &by(&stand, app, &first, Some("first"))));
    // A key that says what it is for serves nothing else.
    let app = crate::app("one-use");
    let rsa = Key::new("PS256", "rsa");
    let mut jwk = rsa.jwk();
    jwk["alg"] = "RS256".into();
    register(&stand, app, &[jwk]);
    assert!(!comes_in(&stand, &by(&stand, app, &rsa, Some("rsa"))));
}

#[test]
fn a_key_is_replaced_by_registering_the_client_again() {
    let stand = together();
    for algorithm in ALGORITHMS {
        let app = crate::app("rotating");
        let (old, new) = (Key::new(algorithm, "old"), Key::new(algorithm, "new"));
        let opens = |key: &Key| comes_in(&stand, &by(&stand, app, key, Some(key.kid)));
        register(&stand, app, &[old.jwk()]);
        assert!(opens(&old) && !opens(&new), "{algorithm}");
        register(&stand, app, &[old.jwk(), new.jwk()]);
        assert!(opens(&old) && opens(&new), "{algorithm}");
        let unused = by(&stand, app, &old, Some("old"));
        register(&stand, app, &[new.jwk()]);
        assert!(!opens(&old) && opens(&new), "{algorithm}");
        assert!(!comes_in(&stand, &unused), "made while its key counted, presented when not");
    }
}

#[test]
fn w82_w83_w90_a_key_that_nobody_could_use_safely_is_not_registered() {
    let stand = alone();
    let rp = Rp::seeded(&stand, "careful", "ES256");
    let before = digest(&stand);
    let (ec, rsa, ed) = (Key::new("ES256", "a"), Key::new("RS256", "b"), Key::new("EdDSA", "c"));
    let change = |key: &Key, name: &str, value: Value| {
        let mut jwk = key.jwk();
        jwk[name] = value;
        jwk
    };
    let x = ec.jwk()["x"].clone();
    let modulus = |bytes: usize| b64([vec![0xc1; bytes - 1], vec![0x01]].concat());
    for (what, keys) in [
        ("off its curve", json!([change(&ec, "y", x)])),
        ("P-256 as P-384", json!([change(&ec, "crv", json!("P-384"))])),
        ("P-521", json!([change(&ec, "crv", json!("P-521"))])),
        ("secp256k1", json!([change(&ec, "crv", json!("secp256k1"))])),
        ("zeros", json!([change(&ec, "x", json!(b64([0; 32])))])),
        ("of small order", json!([change(&ed, "x", json!(b64([0; 32])))])),
        ("512 bits", json!([change(&rsa, "n", json!(modulus(64)))])),
        ("1024 bits", json!([change(&rsa, "n", json!(modulus(128)))])),
        ("8192 bits", json!([change(&rsa, "n", json!(modulus(1024)))])),
        ("e = 1", json!([change(&rsa, "e", json!("AQ"))])),
        ("e = 3", json!([change(&rsa, "e", json!("Aw"))])),
        ("an even e", json!([change(&rsa, "e", json!("AQAA"))])),
        ("a long e", json!([change(&rsa, "e", json!(b64([0xff; 512])))])),
        ("private", json!([change(&ec, "d", json!("AAAA"))])),
        ("symmetric", json!([{ "kty": "oct", "k": "AAAA", "kid": "s" }])),
        ("for encryption", json!([change(&ec, "use", json!("enc"))])),
        ("for another algorithm", json!([change(&ec, "alg", json!("RS256"))])),
        ("alg none", json!([change(&ec, "alg", json!("none"))])),
        ("one name twice", json!([ec.jwk(), change(&rsa, "kid", json!("a"))])),
        ("none", json!([])),
        ("21", json!(vec![ec.jwk(); 21])),
        ("no object", json!([1])),
    ] {
        let file = stand.token().with_file_name("bad-key.json");
        let clients = json!({ "clients": [metadata(rp.app, &keys)] });
        std::fs::write(&file, clients.to_string()).unwrap();
        let output = stand.cli().arg("seed").arg(&file).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{what} is registered");
        assert!(words.contains("clients[0].jwks"), "{what}: {words}");
    }
    assert_eq!(digest(&stand), before);
    assert!(comes_in(&stand, &rp.assertion(&stand)));
}

#[test]
fn w73_w90_what_is_meant_for_one_issuer_counts_at_no_other() {
    let stand = alone();
    let key = || Key::new("ES256", "k");
    let here = Rp { app: crate::app("at-the-root"), key: key() };
    let there = Rp { app: crate::app("at-third"), key: key() };
    let mut of_third = metadata(there.app, &json!([there.key.jwk()]));
    of_third["tenant"] = "third".into();
    of_third["scope"] = "openid".into();
    of_third["audiences"] = json!([]);
    of_third["assertion_audience_endpoint"] = true.into();
    let mut lax = metadata(here.app, &json!([here.key.jwk()]));
    lax["assertion_audience_endpoint"] = true.into();
    stand.seed(&json!({ "tenants": [{ "slug": "third", "name": "Third" }],
        "issuers": [{ "tenant": "third" }], "clients": [of_third, lax] }));
    stand.wait_for_keys();
    let third = "/t/third/oauth/token";
    let ask = |rp: &Rp, door: &str, aud: &str| {
        let mut claims = rp.claims(&stand);
        claims["aud"] = format!("{}{aud}", stand.issuer()).into();
        post(&stand, door, &rp.key.assertion(&claims), &ITSELF)
    };
    until("the node serves the issuer", Duration::from_secs(60), || {
        (ask(&there, third, "/t/third").status == 200).then_some(())
    });
    ask(&there, third, third).expect(200);
    ask(&here, "/oauth/token", "").expect(200);
    for (rp, door, audiences) in [
        (&there, third, ["", "/oauth/token", "/t/rival", "/t/third/", "/t/Third"]),
        (&there, "/oauth/token", ["", "/oauth/token", "/t/third", third, "/t/acme"]),
        (&here, "/oauth/token", ["/t/third", third, "/t/acme", "/t/acme/oauth/token", "/"]),
        (&here, third, ["", "/oauth/token", "/t/third", third, "/t/acme"]),
    ] {
        for aud in audiences {
            println!("{} at {door} for {aud:?}", rp.app.id);
            assert_client_refused(&ask(rp, door, aud), false);
        }
    }
}
