//! What happens at one instant to requests that wait (security.md, W55, W57, W61, W62): two nodes on one
//! database, 64 requests released together.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use e2e::{Browser, Racer, Response, Stand, field, query, race, rounds};
use support::account::csrf_of;
use support::arena::*;
use support::deferred::*;
use support::racing::*;
use support::*;
use url::Url;

const PARALLEL: usize = 64;
const ROUNDS: usize = 10;

/// Two nodes, one test at a time: a race wants the machine to itself.
fn two_nodes() -> MutexGuard<'static, Stand> {
    static STAND: OnceLock<Mutex<Stand>> = OnceLock::new();
    STAND.get_or_init(|| Mutex::new(populated(2))).lock().unwrap_or_else(PoisonError::into_inner)
}

/// A decision at a page, from the browser that shows it, addressed to a node.
fn pressed(stand: &Stand, node: usize, browser: &mut Browser, path: &str, decision: &str) -> Racer {
    let page = browser.page().clone();
    let field = |name: &str| page.field(name).map(|value| (name.to_owned(), value));
    let fields: Vec<(String, String)> =
        ["csrf", "user_code", "handle"].into_iter().filter_map(field).collect();
    let mut form: Vec<(&str, &str)> =
        fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    form.push(("decision", decision));
    let url = Url::parse(&format!("{}{path}", stand.issuer())).unwrap();
    let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
    let bytes = browser.client().kept_bytes("POST", &url, &headers, query(&form).as_bytes());
    Racer { address: stand.client_of(node).address(&url), bytes }
}

fn from_both(one: impl Fn(usize) -> Racer) -> Vec<Racer> {
    (0..PARALLEL).map(|number| one(number % 2)).collect()
}

/// Nobody stole anything: what the winner got stays.
#[track_caller]
fn assert_one_winner(arena: &mut Arena<'_>, answers: &[Response]) {
    let tokens = Tokens::of(only_winner(answers));
    assert_eq!(arena.userinfo(&tokens.access).status, 200);
}

/// Deciding wants a recent sign-in, and what was decided long ago only makes the tables longer.
fn tidy(arena: &mut Arena<'_>, round: usize) {
    if round.is_multiple_of(50) {
        arena.psql.run(
            "UPDATE sessions SET auth_time = now(); DELETE FROM outbox;
             DELETE FROM deferred_requests; DELETE FROM throttles;",
        );
    }
}

/// A device asks.
fn begun(arena: &mut Arena<'_>) -> (String, String) {
    let url = format!("{}/oauth/device_authorization", arena.stand.issuer());
    let reply = TV.post(&mut arena.client, &url, &[("scope", "openid")]).expect(200).json();
    let text = |name: &str| reply[name].as_str().unwrap().to_owned();
    (text("device_code"), text("user_code"))
}

/// A client asks for a person; its `auth_req_id`.
fn asked(arena: &mut Arena<'_>, app: App, more: e2e::Form<'_>) -> String {
    let url = format!("{}/oauth/bc-authorize", arena.stand.issuer());
    let form = [&[("scope", "openid"), ("login_hint", BEN)], more].concat();
    auth_req_id(&app.post(&mut arena.client, &url, &form))
}

/// The page that decides about what was asked last.
fn at_decision(arena: &mut Arena<'_>, kind: &str, user_code: &str) {
    arena.browser.open(&format!("{}{kind}", arena.stand.issuer()));
    if kind == "/device" {
        arena.browser.submit(&[("user_code", user_code)]);
    }
    let page = arena.browser.page();
    assert!(asks_consent(page), "{} {}", page.url, page.response.text());
}

#[test]
fn w55_parallel_polls_of_an_approved_device_get_one_set_of_tokens() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    for round in 0..rounds() {
        tidy(&mut arena, round);
        let (device_code, user_code) = begun(&mut arena);
        at_decision(&mut arena, "/device", &user_code);
        arena.browser.submit(&[("decision", "approve")]);
        let form = [("grant_type", DEVICE), ("device_code", device_code.as_str())];
        let answers = arena.race_same((round, field(round)), |node| {
            post(&stand, node, TV, ("/oauth/token", &form))
        });
        assert_one_winner(&mut arena, &answers);
    }
    sql(&stand, "DELETE FROM deferred_requests");
}

#[test]
fn w61_parallel_polls_of_an_approved_ciba_request_get_one_set_of_tokens() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    for round in 0..rounds() {
        tidy(&mut arena, round);
        let id = asked(&mut arena, BANK, &[]);
        at_decision(&mut arena, "/ciba", "");
        arena.browser.submit(&[("decision", "approve")]);
        let form = [("grant_type", CIBA), ("auth_req_id", id.as_str())];
        let answers = arena.race_same((round, field(round)), |node| {
            post(&stand, node, BANK, ("/oauth/token", &form))
        });
        assert_one_winner(&mut arena, &answers);
    }
    sql(&stand, "DELETE FROM deferred_requests");
}

/// Whatever is pressed first is what the client hears; everybody else is told so. True for a yes.
fn decided_at_once(arena: &mut Arena<'_>, kind: &str, round: usize) -> bool {
    let stand = arena.stand;
    tidy(arena, round);
    let ping = ("client_notification_token", "a-token-of-36-characters-that-is-ours");
    let (form, app) = if kind == "/device" {
        let (device_code, user_code) = begun(arena);
        at_decision(arena, kind, &user_code);
        ([("grant_type", DEVICE), ("device_code", device_code.leak())], TV)
    } else {
        let id = asked(arena, SHOP, &[ping]);
        at_decision(arena, kind, "");
        ([("grant_type", CIBA), ("auth_req_id", id.leak())], SHOP)
    };
    // A pair is a yes and a no; in a larger field both are at both nodes.
    let decision = |number: usize| ["approve", "deny"][(round + number) % 2];
    let racers: Vec<Racer> = (0..field(round))
        .map(|number| {
            let node = (round / 2 + number + number / 2) % 2;
            pressed(stand, node, &mut arena.browser, kind, decision(number))
        })
        .collect();
    let answers = arena.track.race(&racers);
    let won: Vec<usize> =
        (0..answers.len()).filter(|number| answers[*number].status == 200).collect();
    assert_eq!(won.len(), 1, "{kind}");
    for (number, answer) in answers.iter().enumerate() {
        assert!(number == won[0] || answer.status == 409, "{kind}: {}", answer.status);
    }
    let polled = arena.token(app, &form);
    let approved = decision(won[0]) == "approve";
    if approved {
        drop(Tokens::of(&polled));
    } else {
        assert_tok(&polled, "access_denied");
    }
    let counted = arena.psql.run(
        "SELECT (SELECT count(*) FROM deferred_requests r JOIN grants g ON g.id = r.grant_id),
                (SELECT count(*) FROM outbox);
         DELETE FROM deferred_requests; DELETE FROM outbox;",
    );
    let pings = usize::from(kind == "/ciba");
    assert_eq!(counted, format!("{}|{pings}", usize::from(approved)));
    approved
}

/// How many of the rounds ended in a yes.
fn many_decisions(kind: &str) -> usize {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    sql(&stand, "DELETE FROM deferred_requests; DELETE FROM outbox");
    let agreed = (0..rounds()).filter(|round| decided_at_once(&mut arena, kind, *round)).count();
    assert!(0 < agreed && agreed < rounds(), "both outcomes were seen");
    agreed
}

#[test]
fn w55_approve_and_decline_of_a_device_at_one_instant_are_one_decision() {
    println!("{} times yes", many_decisions("/device"));
}

#[test]
fn w55_approve_and_decline_of_a_ciba_request_at_one_instant_are_one_decision() {
    println!("{} times yes", many_decisions("/ciba"));
}

/// Password change and approval: whatever comes first, nothing outlives the change.
#[test]
fn w59_a_person_who_is_disabled_while_a_device_polls_lets_nobody_in_afterwards() {
    let stand = two_nodes();
    for _ in 0..ROUNDS {
        let tv = device(&stand, TV, "openid");
        tv.decide(&stand, BEN, "approve");
        let form = [("grant_type", DEVICE), ("device_code", tv.secret.as_str())];
        let racers: Vec<Racer> =
            (0..8).map(|number| post(&stand, number % 2, TV, ("/oauth/token", &form))).collect();
        let answers = std::thread::scope(|scope| {
            let off = scope.spawn(|| {
                sql(&stand, &format!("UPDATE users SET status = 'disabled' WHERE email = '{BEN}'"))
            });
            let answers = race(stand.trust(), &racers);
            off.join().unwrap();
            answers
        });
        for answer in &answers {
            if answer.status == 200 {
                assert_bearer_refused(&userinfo(&stand, &Tokens::of(answer).access));
            } else {
                let error = answer.json()["error"].clone();
                assert!(error == "access_denied" || error == "invalid_grant", "{error}");
            }
        }
        sql(&stand, "UPDATE users SET status = 'active'; DELETE FROM deferred_requests");
    }
}

#[test]
fn w62_parallel_requests_for_one_person_are_three() {
    let stand = two_nodes();
    for user in [BEN, "nobody@example.org"] {
        for _ in 0..ROUNDS {
            let form = [("scope", "openid"), ("login_hint", user)];
            let answers = race(
                stand.trust(),
                &from_both(|node| post(&stand, node, BANK, ("/oauth/bc-authorize", &form))),
            );
            let taken = answers.iter().filter(|answer| answer.status == 200).count();
            for answer in &answers {
                assert!([200, 429].contains(&answer.status), "{}", answer.text());
            }
            assert_eq!(taken, 3, "{user}");
            assert_eq!(sql(&stand, "SELECT count(*) FROM deferred_requests"), "3");
            sql(&stand, "DELETE FROM deferred_requests");
        }
    }
}

/// No consent is behind what a device was allowed, so no row of one makes the two wait for each other.
#[test]
fn w33_w41_what_was_approved_before_a_withdrawal_is_dead_after_it() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut quicker = 0;
    for round in 0..ROUNDS {
        tidy(&mut arena, round);
        // What makes the application appear on the page.
        let (_, user_code) = begun(&mut arena);
        at_decision(&mut arena, "/device", &user_code);
        arena.browser.submit(&[("decision", "approve")]);
        let path = "/account/applications/withdraw";
        let page = arena.browser.open(&format!("{}/account", stand.issuer())).clone();
        let csrf = csrf_of(&page, path, &format!("\"{}\"", TV.id));
        let form = [("csrf", csrf.as_str()), ("client_id", TV.id)];
        let withdrawal = pressing(&stand, &mut arena.browser, round % 2, (path, &form));
        let (_, user_code) = begun(&mut arena);
        at_decision(&mut arena, "/device", &user_code);
        let mut racers = vec![withdrawal];
        for number in 0..3 {
            racers.push(pressed(&stand, number % 2, &mut arena.browser, "/device", "approve"));
        }
        for answer in race_turned(&mut arena.track, &racers, round) {
            assert!(answer.status < 500, "{}", answer.text());
        }
        // Both hold the person's credential, so their rows are numbered in the order in which they happened.
        let before = "SELECT count(*), count(*) FILTER (WHERE g.revoked_at IS NULL)
             FROM audit_events a JOIN grants g ON g.id::text = a.target
             WHERE a.type = 'request.approved' AND a.data ->> 'client_id' = 'tv'
               AND a.id < (SELECT max(id) FROM audit_events WHERE type = 'consent.withdrawn' AND target = 'tv')";
        let counts = sql(&stand, before);
        let (approved, alive) = counts.split_once('|').unwrap();
        assert_eq!(alive, "0", "round {round}: {approved} were approved before");
        quicker = approved.parse::<usize>().unwrap() - round - 1;
    }
    println!("{quicker} of {ROUNDS} approvals came before the withdrawal");
}
