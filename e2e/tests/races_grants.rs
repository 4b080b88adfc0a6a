//! What happens at one instant to requests that were pushed and tokens that are exchanged (security.md, W41, W49):
//! two nodes on one database.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use e2e::{Browser, Racer, Response, Stand, field, query, race, rounds};
use support::arena::*;
use support::racing::*;
use support::*;
use url::Url;

const PARALLEL: usize = 64;
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Two nodes, one test at a time: a race wants the machine to itself.
fn two_nodes() -> MutexGuard<'static, Stand> {
    static STAND: OnceLock<Mutex<Stand>> = OnceLock::new();
    let stand = STAND.get_or_init(|| {
        let stand = populated(2);
        stand.seed(&machines());
        Mutex::new(stand)
    });
    stand.lock().unwrap_or_else(PoisonError::into_inner)
}

fn exchanging(stand: &Stand, node: usize, broker: App, subject: &str) -> Racer {
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", subject),
        ("subject_token_type", ACCESS),
        ("audience", OTHER),
    ];
    post(stand, node, broker, ("/oauth/token", &form))
}

/// A GET as a browser makes it, addressed to a node.
fn visiting(stand: &Stand, browser: &mut Browser, node: usize, url: &str) -> Racer {
    let url = Url::parse(url).unwrap();
    let bytes = browser.client().kept_bytes("GET", &url, &[], b"");
    Racer { address: stand.client_of(node).address(&url), bytes }
}

/// A request that was pushed, as the address that a browser brings.
fn pushed(arena: &mut Arena<'_>, ask: &Ask) -> String {
    let issuer = arena.stand.issuer();
    let answer = ask.app.post(&mut arena.client, &format!("{issuer}/oauth/par"), &ask.pairs());
    let uri = answer.expect(201).json()["request_uri"].as_str().unwrap().to_owned();
    let pairs = [("client_id", ask.app.id), ("request_uri", uri.as_str())];
    format!("{issuer}/oauth/authorize?{}", query(&pairs))
}

fn codes(answers: &[Response]) -> Vec<String> {
    answers
        .iter()
        .filter(|answer| answer.status == 303 && answer.location().contains("code="))
        .map(|answer| answer.location().to_owned())
        .collect()
}

#[test]
fn w49_many_completions_of_a_pushed_request_give_one_code() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    for round in 0..rounds() {
        let url = pushed(&mut arena, &Ask::new(TWIN));
        let start = arena.browser.client().get(&url);
        let waiting = format!("{}{}", stand.issuer(), start.location());
        let racers: Vec<Racer> = (0..field(round))
            .map(|number| visiting(&stand, &mut arena.browser, (round + number) % 2, &waiting))
            .collect();
        let answers = arena.track.race(&racers);
        assert_eq!(codes(&answers).len(), 1);
        answers.iter().filter(|answer| answer.status != 303).for_each(assert_page);
        assert_page(&arena.browser.client().get(&url));
    }
}

/// Many tabs of one browser open it at once: they share one interaction, whose handle only the last has.
#[test]
fn w49_many_openings_in_one_browser_still_give_one_code() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    // A browser that has its cookie already, as every tab but the first one's does.
    arena.browser.client().get(&Ask::new(TWIN).url(&stand));
    for round in 0..rounds() {
        let url = pushed(&mut arena, &Ask::new(TWIN));
        let racers: Vec<Racer> = (0..field(round))
            .map(|number| visiting(&stand, &mut arena.browser, (round + number) % 2, &url))
            .collect();
        let opened = arena.track.race(&racers);
        let handles: BTreeSet<String> = opened
            .iter()
            .filter(|answer| answer.status == 303)
            .map(|answer| answer.location().to_owned())
            .collect();
        assert!(!handles.is_empty(), "somebody got in");
        opened.iter().filter(|answer| answer.status != 303).for_each(assert_page);
        let next: Vec<Racer> = handles
            .iter()
            .enumerate()
            .map(|(number, to)| {
                let url = format!("{}{to}", stand.issuer());
                visiting(&stand, &mut arena.browser, number % 2, &url)
            })
            .collect();
        let answers = arena.track.race(&next);
        assert_eq!(codes(&answers).len(), 1, "{} handles", handles.len());
        assert_page(&arena.browser.client().get(&url));
    }
}

/// Each is a browser of its own: none has a cookie yet, and each is given another.
#[test]
fn w49_of_many_browsers_one_gets_in() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let session = arena.browser.client().cookies().get(SESSION).unwrap().clone();
    for round in 0..rounds() {
        let url = pushed(&mut arena, &Ask::new(TWIN));
        let mut fresh = Browser::new(stand.client());
        let racers: Vec<Racer> = (0..field(round))
            .map(|number| visiting(&stand, &mut fresh, (round + number) % 2, &url))
            .collect();
        let answers = arena.track.race(&racers);
        let (got_in, turned_away): (Vec<&Response>, Vec<&Response>) =
            answers.iter().partition(|answer| answer.status == 303);
        assert_eq!(got_in.len(), 1);
        turned_away.into_iter().for_each(assert_page);
        // Whoever got in is asked to sign in; with a session they are through.
        fresh.client().keep(got_in[0]);
        fresh.client().put_cookie(SESSION, &session);
        let racer = visiting(
            &stand,
            &mut fresh,
            round % 2,
            &format!("{}{}", stand.issuer(), got_in[0].location()),
        );
        assert_eq!(codes(&arena.track.race(&[racer])).len(), 1);
    }
}

/// Nothing that an exchange gave is alive once the revocation of the subject has been acknowledged.
#[track_caller]
fn assert_nothing_left(
    arena: &mut Arena<'_>,
    broker: App,
    answer: &Response,
    subject: &str,
) -> bool {
    let issuer = arena.stand.issuer();
    let again = |arena: &mut Arena<'_>, token: &str| {
        let form =
            [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS)];
        assert_tok(&arena.token(broker, &form), "invalid_request");
    };
    let won = answer.status == 200;
    if won {
        let one = Tokens::of(answer);
        assert_bearer_refused(&arena.userinfo(&one.access));
        let asked = broker.post(
            &mut arena.client,
            &format!("{issuer}/oauth/introspect"),
            &[("token", &one.access)],
        );
        assert_inactive(&asked);
        again(arena, &one.access);
    } else {
        assert_tok(answer, "invalid_request");
    }
    again(arena, subject);
    won
}

#[test]
fn w41_what_an_exchange_gives_while_its_subject_is_revoked_is_dead_after_it() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut won = 0;
    for round in 0..rounds() {
        let subject = arena.issue(&Ask::new(TWIN).scope("openid offline_access"));
        let brokers = [BROKER, MASK];
        let mut racers: Vec<Racer> = brokers
            .iter()
            .enumerate()
            .map(|(number, broker)| {
                exchanging(&stand, (round + number) % 2, *broker, &subject.access)
            })
            .collect();
        let form = [("token", subject.refresh.as_str())];
        racers.push(post(&stand, round / 2 % 2, TWIN, ("/oauth/revoke", &form)));
        let answers = race_turned(&mut arena.track, &racers, round);
        answers[2].expect(200);
        for (answer, broker) in answers.iter().zip(brokers) {
            won += usize::from(assert_nothing_left(&mut arena, broker, answer, &subject.access));
        }
    }
    println!("{won} exchanges were as quick as the revocation");
}

#[test]
fn w41_what_an_exchange_gives_while_its_person_signs_out_is_dead_after_it() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut won = 0;
    for round in 0..rounds() {
        arena.renew_session(BEN);
        let subject = arena.issue(&Ask::new(TWIN));
        let page = arena.browser.open(&format!("{}/logout", stand.issuer())).clone();
        let csrf = page.field("csrf").unwrap();
        let form = [("csrf", csrf.as_str())];
        let racers = [
            exchanging(&stand, round % 2, BROKER, &subject.access),
            exchanging(&stand, (round + 1) % 2, BROKER, &subject.access),
            pressing(&stand, &mut arena.browser, round / 2 % 2, ("/logout", &form)),
        ];
        let answers = race_turned(&mut arena.track, &racers, round);
        assert!([200, 303].contains(&answers[2].status));
        for answer in &answers[..2] {
            won += usize::from(assert_nothing_left(&mut arena, BROKER, answer, &subject.access));
        }
    }
    println!("{won} exchanges were as quick as the sign-out");
}

/// A token that is presented is revoked by itself: no exchange that begins after the answer finds it.
#[test]
fn w41_a_subject_token_that_is_given_back_is_exchanged_by_nobody_afterwards() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    for round in 0..rounds() {
        let subject = arena.issue(&Ask::new(TWIN));
        let form = [("token", subject.access.as_str())];
        let racers = [
            exchanging(&stand, round % 2, BROKER, &subject.access),
            post(&stand, (round + 1) % 2, TWIN, ("/oauth/revoke", &form)),
        ];
        race_turned(&mut arena.track, &racers, round)[1].expect(200);
        for node in 0..2 {
            let late = arena.track.race(&[exchanging(&stand, node, BROKER, &subject.access)]);
            assert_tok(&late[0], "invalid_request");
        }
    }
}

#[test]
fn parallel_exchanges_of_one_token_are_as_many_tokens() {
    let stand = two_nodes();
    let subject = issue(&stand, &Ask::new(TWIN), BEN);
    let racers: Vec<Racer> = (0..PARALLEL)
        .map(|number| exchanging(&stand, number % 2, BROKER, &subject.access))
        .collect();
    let answers = race(stand.trust(), &racers);
    let all: BTreeSet<String> = answers.iter().map(|answer| Tokens::of(answer).access).collect();
    assert_eq!(all.len(), PARALLEL);
    TWIN.revoke(&stand, &subject.refresh).expect(200);
    for token in &all {
        assert_bearer_refused(&userinfo(&stand, token));
    }
}
