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

use e2e::{Browser, Racer, Response, Stand, basic, query, race};
use support::*;
use url::Url;

const PARALLEL: usize = 64;
const ROUNDS: usize = 16;
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

/// A POST by an app, addressed to a node.
fn post(stand: &Stand, node: usize, app: App, (path, form): (&str, e2e::Form<'_>)) -> Racer {
    let client = stand.client_of(node);
    let url = Url::parse(&format!("{}{path}", stand.issuer())).unwrap();
    let headers = [
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        basic(app.id, app.secret.unwrap()),
    ];
    let bytes = client.bytes("POST", &url, &headers, query(form).as_bytes());
    Racer { address: client.address(&url), bytes }
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
    let bytes = browser.client().bytes("GET", &url, &[], b"");
    Racer { address: stand.client_of(node).address(&url), bytes }
}

/// A request that was pushed, as the address that a browser brings.
fn pushed(stand: &Stand, ask: &Ask) -> String {
    let answer = ask.app.call(stand, "/oauth/par", &ask.pairs());
    let uri = answer.expect(201).json()["request_uri"].as_str().unwrap().to_owned();
    let pairs = [("client_id", ask.app.id), ("request_uri", uri.as_str())];
    format!("{}/oauth/authorize?{}", stand.issuer(), query(&pairs))
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
    let mut browser = signed_in(&stand, BEN);
    for _ in 0..6 {
        let url = pushed(&stand, &Ask::new(TWIN));
        let start = browser.client().get(&url);
        let waiting = format!("{}{}", stand.issuer(), start.location());
        let racers: Vec<Racer> = (0..PARALLEL)
            .map(|number| visiting(&stand, &mut browser, number % 2, &waiting))
            .collect();
        let answers = race(stand.trust(), &racers);
        assert_eq!(codes(&answers).len(), 1);
        answers.iter().filter(|answer| answer.status != 303).for_each(assert_page);
        assert_page(&browser.client().get(&url));
    }
}

/// Many tabs of one browser open it at once: they share one interaction, whose handle only the last has.
#[test]
fn w49_many_openings_in_one_browser_still_give_one_code() {
    let stand = two_nodes();
    let mut browser = signed_in(&stand, BEN);
    // A browser that has its cookie already, as every tab but the first one's does.
    browser.client().get(&Ask::new(TWIN).url(&stand));
    for _ in 0..4 {
        let url = pushed(&stand, &Ask::new(TWIN));
        let racers: Vec<Racer> =
            (0..PARALLEL).map(|number| visiting(&stand, &mut browser, number % 2, &url)).collect();
        let opened = race(stand.trust(), &racers);
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
                visiting(&stand, &mut browser, number % 2, &url)
            })
            .collect();
        let answers = race(stand.trust(), &next);
        assert_eq!(codes(&answers).len(), 1, "{} handles", handles.len());
        assert_page(&browser.client().get(&url));
    }
}

#[test]
fn w49_of_many_browsers_one_gets_in() {
    let stand = two_nodes();
    for _ in 0..4 {
        let url = pushed(&stand, &Ask::new(TWIN));
        let mut browsers: Vec<Browser> = (0..PARALLEL).map(|_| stand.browser()).collect();
        let racers: Vec<Racer> = browsers
            .iter_mut()
            .enumerate()
            .map(|(number, browser)| visiting(&stand, browser, number % 2, &url))
            .collect();
        let answers = race(stand.trust(), &racers);
        let (got_in, turned_away): (Vec<_>, Vec<_>) =
            answers.iter().zip(&mut browsers).partition(|(answer, _)| answer.status == 303);
        assert_eq!(got_in.len(), 1);
        for (answer, _) in &turned_away {
            assert_page(answer);
        }
        for (answer, browser) in got_in {
            browser.client().keep(answer);
            let page = walk(browser, &url, BEN);
            assert!(page.away_parameter("code").is_some());
        }
    }
}

/// Nothing that an exchange gave is alive once the revocation of the subject has been acknowledged.
#[track_caller]
fn assert_dead(stand: &Stand, broker: App, answer: &Response, subject: &str) {
    if answer.status == 200 {
        let one = Tokens::of(answer);
        assert_bearer_refused(&userinfo(stand, &one.access));
        assert_inactive(&broker.introspect(stand, &one.access));
        let form = [
            ("grant_type", EXCHANGE),
            ("subject_token", one.access.as_str()),
            ("subject_token_type", ACCESS),
        ];
        assert_tok(&broker.call(stand, "/oauth/token", &form), "invalid_request");
    } else {
        assert_tok(answer, "invalid_request");
    }
    let form =
        [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", ACCESS)];
    assert_tok(&broker.call(stand, "/oauth/token", &form), "invalid_request");
}

#[test]
fn w41_what_an_exchange_gives_while_its_subject_is_revoked_is_dead_after_it() {
    let stand = two_nodes();
    let mut browser = signed_in(&stand, BEN);
    let mut won = 0;
    for round in 0..ROUNDS {
        let ask = Ask::new(TWIN).scope("openid offline_access");
        let subject = issue_in(&stand, &mut browser, &ask, BEN);
        let revoking =
            post(&stand, round % 2, TWIN, ("/oauth/revoke", &[("token", &subject.refresh)]));
        let mut racers: Vec<Racer> = (0..8)
            .map(|number| {
                let broker = if number < 4 { BROKER } else { MASK };
                exchanging(&stand, (round + number) % 2, broker, &subject.access)
            })
            .collect();
        racers.push(revoking);
        let answers = race(stand.trust(), &racers);
        answers.last().unwrap().expect(200);
        for (number, answer) in answers.iter().take(8).enumerate() {
            let broker = if number < 4 { BROKER } else { MASK };
            won += usize::from(answer.status == 200);
            assert_dead(&stand, broker, answer, &subject.access);
        }
    }
    println!("{won} exchanges were as quick as the revocation");
}

#[test]
fn w41_what_an_exchange_gives_while_its_person_signs_out_is_dead_after_it() {
    let stand = two_nodes();
    for round in 0..ROUNDS {
        let mut browser = signed_in(&stand, BEN);
        let subject = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
        let page = browser.open(&format!("{}/logout", stand.issuer())).clone();
        let csrf = page.field("csrf").unwrap();
        let url = Url::parse(&format!("{}/logout", stand.issuer())).unwrap();
        let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        let body = query(&[("csrf", csrf.as_str())]);
        let bytes = browser.client().bytes("POST", &url, &headers, body.as_bytes());
        let racers = [
            exchanging(&stand, round % 2, BROKER, &subject.access),
            Racer { address: stand.client_of(0).address(&url), bytes },
            exchanging(&stand, 1, BROKER, &subject.access),
        ];
        let answers = race(stand.trust(), &racers);
        assert!([200, 303].contains(&answers.get(1).unwrap().status));
        for answer in [answers.first().unwrap(), answers.get(2).unwrap()] {
            assert_dead(&stand, BROKER, answer, &subject.access);
        }
    }
}

/// A token that is presented is revoked by itself: no exchange that begins after the answer finds it.
#[test]
fn w41_a_subject_token_that_is_given_back_is_exchanged_by_nobody_afterwards() {
    let stand = two_nodes();
    let mut browser = signed_in(&stand, BEN);
    for round in 0..ROUNDS {
        let subject = issue_in(&stand, &mut browser, &Ask::new(TWIN), BEN);
        let racers = [
            exchanging(&stand, round % 2, BROKER, &subject.access),
            post(
                &stand,
                (round + 1) % 2,
                TWIN,
                ("/oauth/revoke", &[("token", subject.access.as_str())]),
            ),
        ];
        let answers = race(stand.trust(), &racers);
        answers.last().unwrap().expect(200);
        for node in 0..2 {
            let late = race(stand.trust(), &[exchanging(&stand, node, BROKER, &subject.access)]);
            assert_tok(late.first().unwrap(), "invalid_request");
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
