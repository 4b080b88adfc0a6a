//! What happens at one instant to requests that wait (security.md, W55, W57, W61, W62): two nodes on one
//! database, 64 requests released together.

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use e2e::{Browser, Racer, Response, Stand, race};
use support::deferred::*;
use support::racing::*;
use support::*;

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
    pressing(stand, browser, node, (path, &form))
}

fn from_both(one: impl Fn(usize) -> Racer) -> Vec<Racer> {
    (0..PARALLEL).map(|number| one(number % 2)).collect()
}

#[track_caller]
fn assert_one_winner(stand: &Stand, answers: &[Response]) {
    let (won, lost): (Vec<&Response>, Vec<&Response>) =
        answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(won.len(), 1);
    for answer in lost {
        // A node that is busy says so, and has spent nothing.
        if answer.status != 503 {
            assert_tok(answer, "invalid_grant");
        }
    }
    // Nobody stole anything: what the winner got stays.
    for answer in won {
        assert_eq!(userinfo(stand, &Tokens::of(answer).access).status, 200);
    }
}

#[test]
fn w55_parallel_polls_of_an_approved_device_get_one_set_of_tokens() {
    let stand = two_nodes();
    for _ in 0..ROUNDS {
        let tv = device(&stand, TV, "openid");
        tv.decide(&stand, BEN, "approve");
        let form = [("grant_type", DEVICE), ("device_code", tv.secret.as_str())];
        let answers =
            race(stand.trust(), &from_both(|node| post(&stand, node, TV, ("/oauth/token", &form))));
        assert_one_winner(&stand, &answers);
        sql(&stand, "DELETE FROM deferred_requests");
    }
}

#[test]
fn w61_parallel_polls_of_an_approved_ciba_request_get_one_set_of_tokens() {
    let stand = two_nodes();
    for _ in 0..ROUNDS {
        let id = auth_req_id(&BANK.ask_for(&stand, BEN, &[]));
        at_page(&stand, "/ciba", BEN).submit(&[("decision", "approve")]);
        let form = [("grant_type", CIBA), ("auth_req_id", id.as_str())];
        let answers = race(
            stand.trust(),
            &from_both(|node| post(&stand, node, BANK, ("/oauth/token", &form))),
        );
        assert_one_winner(&stand, &answers);
        sql(&stand, "DELETE FROM deferred_requests");
    }
}

/// Whatever is pressed first is what the device hears; everybody else is told so.
#[test]
fn w55_approve_and_decline_at_one_instant_are_one_decision() {
    let stand = two_nodes();
    for kind in ["/device", "/ciba"] {
        for _ in 0..ROUNDS {
            let (tv, id) = match kind {
                "/device" => (Some(device(&stand, TV, "openid")), String::new()),
                _ => (
                    None,
                    auth_req_id(&SHOP.ask_for(
                        &stand,
                        BEN,
                        &[("client_notification_token", "a-token-of-36-characters-that-is-ours")],
                    )),
                ),
            };
            let mut browser = at_page(&stand, kind, BEN);
            if let Some(tv) = &tv {
                browser.submit(&[("user_code", &tv.user_code)]);
            }
            let racers: Vec<Racer> = (0..16)
                .map(|number| {
                    let decision = ["approve", "deny"][number / 2 % 2];
                    pressed(&stand, number % 2, &mut browser, kind, decision)
                })
                .collect();
            let answers = race(stand.trust(), &racers);
            let won: Vec<usize> =
                (0..answers.len()).filter(|number| answers[*number].status == 200).collect();
            assert_eq!(won.len(), 1, "{kind}");
            for (number, answer) in answers.iter().enumerate() {
                assert!(number == won[0] || answer.status == 409, "{kind}: {}", answer.status);
            }
            let polled = match &tv {
                Some(tv) => tv.poll(&stand),
                None => SHOP.poll_ciba(&stand, &id),
            };
            let approved = (won[0] / 2).is_multiple_of(2);
            if approved {
                Tokens::of(&polled);
            } else {
                assert_tok(&polled, "access_denied");
            }
            let grants =
                "SELECT count(*) FROM deferred_requests r JOIN grants g ON g.id = r.grant_id";
            assert_eq!(sql(&stand, grants), if approved { "1" } else { "0" });
            let pings = if kind == "/ciba" { "1" } else { "0" };
            assert_eq!(sql(&stand, "SELECT count(*) FROM outbox"), pings);
            sql(&stand, "DELETE FROM deferred_requests; DELETE FROM outbox");
        }
    }
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
                assert!([200, 429, 503].contains(&answer.status), "{}", answer.text());
            }
            // A node that is busy says so, and has taken nothing; what is left is taken one by one.
            for _ in taken..3 {
                BANK.ask_for(&stand, user, &[]).expect(200);
            }
            BANK.ask_for(&stand, user, &[]).expect(429);
            assert_eq!(sql(&stand, "SELECT count(*) FROM deferred_requests"), "3");
            sql(&stand, "DELETE FROM deferred_requests");
        }
    }
}
