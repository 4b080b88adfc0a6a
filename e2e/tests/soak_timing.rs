//! Who exists is not told by how long an answer takes (security.md, W89, W128, W129). A busy machine says
//! nothing about this, so it is measured by `make soak` alone; CI counts the work (`protocol_same_work`).
//!
//! `OPENTRUSTY_RACE_ROUNDS` requests of either kind, in turns, over one connection.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::time::{Duration, Instant};

use e2e::timing::Comparison;
use e2e::{Client, Psql, Stand, basic, rounds};
use support::*;

/// Answers that are this close together cannot be told apart over a network (W128).
const APART_MAX_US: f64 = 1_000.0;
/// The first requests warm up what is measured.
const WARM: usize = 50;
/// Failures are counted, and after five of one account it must wait. An odd number, so that neither kind is
/// always the first after the counters were emptied.
const EMPTIED_EVERY: usize = 3;

/// One of two kinds, sent in turns in an order that changes from pair to pair.
fn measured(what: &str, stand: &Stand, mut ask: impl FnMut(&mut Client, bool)) {
    let mut psql = Psql::connect(stand.database(), "opentrusty_owner");
    let mut client = stand.client().keeping();
    let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    for pair in 0..rounds() + WARM {
        if pair.is_multiple_of(EMPTIED_EVERY) {
            psql.run("DELETE FROM throttles;");
        }
        for turn in 0..2 {
            let kind = (pair + turn) % 2;
            let began = Instant::now();
            ask(&mut client, kind == 0);
            if pair >= WARM {
                times[kind].push(began.elapsed());
            }
        }
    }
    let found = Comparison::of(&times[0], &times[1]);
    println!("{what}: {found}, {} of each", times[0].len());
    assert!(found.apart_us() < APART_MAX_US, "{what}: {found}");
}

#[test]
#[ignore = "measures time, which wants a machine to itself: make soak"]
fn w128_an_unknown_person_and_a_wrong_password_take_as_long() {
    let stand = alone();
    let mut browser = stand.browser();
    let url = format!("{}/login", stand.issuer());
    let csrf = browser.open(&url).field("csrf").unwrap();
    let cookies = browser.client().cookies().clone();
    measured("unknown person, wrong password", &stand, |client, unknown| {
        for (name, value) in &cookies {
            client.put_cookie(name, value);
        }
        let user = if unknown { "bex@example.org" } else { BEN };
        let form = [("csrf", csrf.as_str()), ("username", user), ("password", "wrong")];
        client.post(&url, &form).expect(200);
    });
}

#[test]
#[ignore = "measures time, which wants a machine to itself: make soak"]
fn w129_an_unknown_client_and_a_wrong_secret_take_as_long() {
    let stand = alone();
    let url = format!("{}/oauth/token", stand.issuer());
    measured("unknown client, wrong secret", &stand, |client, unknown| {
        let id = if unknown { "twix" } else { TWIN.id };
        let form = [("grant_type", "refresh_token"), ("refresh_token", "nothing")];
        client.post_with(&url, &[basic(id, "wrong")], &form).expect(401);
    });
}

/// A secret that is wrong in its last byte takes no longer than one that is wrong in its first.
#[test]
#[ignore = "measures time, which wants a machine to itself: make soak"]
fn w89_how_much_of_a_secret_is_right_does_not_take_longer() {
    let stand = alone();
    let url = format!("{}/oauth/token", stand.issuer());
    let secret = TWIN.secret.unwrap();
    let (first, last) = (format!("x{}", &secret[1..]), format!("{}x", &secret[..secret.len() - 1]));
    measured("wrong first byte, wrong last byte", &stand, |client, is_first| {
        let wrong = if is_first { &first } else { &last };
        let form = [("grant_type", "refresh_token"), ("refresh_token", "nothing")];
        client.post_with(&url, &[basic(TWIN.id, wrong)], &form).expect(401);
    });
}

#[test]
#[ignore = "measures time, which wants a machine to itself: make soak"]
fn w128_an_unknown_token_and_a_token_of_others_take_as_long_at_introspection() {
    let stand = alone();
    let url = format!("{}/oauth/introspect", stand.issuer());
    let foreign = issue(&stand, &Ask::new(RIVAL).scope("openid"), DORA).refresh;
    let unknown = format!("otr_{}", random());
    measured("unknown token, foreign token", &stand, |client, is_unknown| {
        let token = if is_unknown { &unknown } else { &foreign };
        let header = basic(TWIN.id, TWIN.secret.unwrap());
        let answer = client.post_with(&url, &[header], &[("token", token)]);
        assert_eq!(answer.text(), r#"{"active":false}"#);
    });
}
