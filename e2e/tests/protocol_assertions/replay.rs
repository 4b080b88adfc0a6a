//! An assertion opens one door, once (W75).

use e2e::{Racer, Response, Stand, race};
use serde_json::json;
use url::Url;

use crate::support::*;
use crate::{DOORS, ITSELF, Rp, TYPE, form_of, now, post};

/// The request of a racer at a node.
fn racing(stand: &Stand, node: usize, door: &str, assertion: &str) -> Racer {
    let client = stand.client_of(node);
    let url = Url::parse(&format!("{}{door}", stand.issuer())).unwrap();
    let form = [&[TYPE, ("client_assertion", assertion)], &form_of(door)[..]].concat();
    let kind = [("content-type", "application/x-www-form-urlencoded".to_owned())];
    let bytes = client.bytes("POST", &url, &kind, e2e::query(&form).as_bytes());
    Racer { address: client.address(&url), bytes }
}

fn at(stand: &Stand, node: usize, assertion: &str) -> Response {
    let form = [TYPE, ("client_assertion", assertion), ITSELF[0]];
    stand.client_of(node).post(&format!("{}/oauth/token", stand.issuer()), &form)
}

#[test]
fn w75_an_assertion_is_good_once_at_one_endpoint() {
    let stand = together();
    let rp = Rp::seeded(&stand, "replay", "ES256");
    for first in DOORS {
        println!("{first}");
        let assertion = rp.assertion(&stand);
        let answer = post(&stand, first, &assertion, &form_of(first));
        // The fourth request for one person is one too many, whoever asks.
        assert!([200, 201, 429].contains(&answer.status), "{} {}", answer.status, answer.text());
        for again in DOORS {
            assert_client_refused(&post(&stand, again, &assertion, &form_of(again)), false);
        }
    }
    // It is used up though what was asked with it was refused.
    let assertion = rp.assertion(&stand);
    let bad = [("grant_type", "refresh_token"), ("refresh_token", "nothing")];
    assert_tok(&post(&stand, "/oauth/token", &assertion, &bad), "invalid_grant");
    assert_client_refused(&post(&stand, "/oauth/token", &assertion, &ITSELF), false);
    // The same `jti` in other claims, in another spelling of the JSON, or signed again.
    let mut claims = rp.claims(&stand);
    post(&stand, "/oauth/token", &rp.key.assertion(&claims), &ITSELF).expect(200);
    claims["exp"] = json!(now(&stand) + 200);
    assert!(!crate::comes_in(&stand, &rp.key.assertion(&claims)));
    let spelt = claims.to_string().replace("\"jti\":\"", "\"jti\" : \"");
    let header = rp.key.header().to_string();
    assert!(!crate::comes_in(&stand, &rp.key.jws(&header, spelt.as_bytes())));
    let bare = json!({ "alg": "ES256" }).to_string();
    assert!(!crate::comes_in(&stand, &rp.key.jws(&bare, spelt.as_bytes())));
    // A `jti` is one client's: another one may have the same.
    let other = Rp::seeded(&stand, "replay-too", "EdDSA");
    let mut same = other.claims(&stand);
    same["jti"] = claims["jti"].clone();
    assert!(crate::comes_in(&stand, &other.key.assertion(&same)));
    assert!(!crate::comes_in(&stand, &other.key.assertion(&same)));
}

#[test]
fn w75_w76_a_used_assertion_is_kept_as_a_hash_until_it_can_count_no_more() {
    let stand = together();
    let rp = Rp::seeded(&stand, "remembered", "ES256");
    let claims = rp.claims(&stand);
    let assertion = rp.key.assertion(&claims);
    assert!(crate::comes_in(&stand, &assertion));
    let jti = claims["jti"].as_str().unwrap();
    let row = format!(
        "SELECT extract(epoch FROM expires_at)::bigint, a::text LIKE '%{jti}%' FROM assertions a
         WHERE jti_hash = sha256('{jti}')"
    );
    assert_eq!(sql(&stand, &row), format!("{}|f", claims["exp"]));
    sql(&stand, "SELECT sweep_expired(1000)");
    assert!(!crate::comes_in(&stand, &assertion));
    sql(
        &stand,
        &format!(
            "UPDATE assertions SET expires_at = now() - interval '3 minutes' WHERE jti_hash = sha256('{jti}')"
        ),
    );
    sql(&stand, "SELECT sweep_expired(1000)");
    assert_eq!(sql(&stand, &row), "", "the table does not grow for ever");
}

#[test]
fn w75_neither_a_race_nor_another_node_nor_a_restart_gives_a_second_use() {
    let mut stand = populated(2);
    let rp = Rp::seeded(&stand, "racer", "ES256");
    for round in 0..3 {
        let assertion = rp.assertion(&stand);
        let racers: Vec<Racer> =
            (0..12).map(|n| racing(&stand, n % 2, DOORS[n * round % 6], &assertion)).collect();
        let answers = race(stand.trust(), &racers);
        let let_in = answers.iter().filter(|answer| answer.status < 400).count();
        // Who was believed may have to come back, and then the assertion is spent.
        let put_off = answers.iter().filter(|answer| answer.status == 503).count();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert!(let_in == 1 || (let_in == 0 && put_off > 0), "{statuses:?}");
        for answer in
            answers.iter().filter(|answer| ![200, 201, 302, 303, 503].contains(&answer.status))
        {
            assert_client_refused(answer, false);
        }
    }
    let assertion = rp.assertion(&stand);
    at(&stand, 1, &assertion).expect(200);
    assert_client_refused(&at(&stand, 0, &assertion), false);
    stand.node(0).kill9();
    stand.node(0).restart();
    assert_client_refused(&at(&stand, 0, &assertion), false);
    at(&stand, 0, &rp.assertion(&stand)).expect(200);
}
