//! What a person takes back while it is being used (security.md, W33, W41, W44): two nodes on one database,
//! requests released together. Whatever wins, nothing of it is alive after the taking back was answered.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use e2e::{Browser, Racer, Response, Stand, race};
use support::account::*;
use support::racing::*;
use support::*;
use url::Url;

const ROUNDS: usize = 12;
const OTHER: &str = "five other words walk back again";

/// Two nodes, one test at a time: a race wants the machine to itself.
fn two_nodes() -> MutexGuard<'static, Stand> {
    static STAND: OnceLock<Mutex<Stand>> = OnceLock::new();
    STAND.get_or_init(|| Mutex::new(populated(2))).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ben, signed in with a password, at `/account`.
fn at_account(stand: &Stand, password: &str) -> Browser {
    let mut browser = stand.browser();
    browser.open(&format!("{}/account", stand.issuer()));
    let page = browser.submit(&[("username", BEN), ("password", password)]).clone();
    assert!(page.url.ends_with("/account"), "{}: {}", page.url, page.response.text());
    browser
}

/// The last step of a sign-in to an application, addressed to a node: it makes a code.
fn resuming(stand: &Stand, browser: &mut Browser, node: usize, ask: &Ask) -> Racer {
    let begun = browser.client().get(&ask.url(stand)).location().to_owned();
    let url = Url::parse(&format!("{}{begun}", stand.issuer())).unwrap();
    let bytes = browser.client().bytes("GET", &url, &[], b"");
    Racer { address: stand.client_of(node).address(&url), bytes }
}

/// Whatever a racer got is no longer good for anything.
fn assert_dead(stand: &Stand, ask: &Ask, answer: &Response) {
    if answer.status == 200 && answer.text().contains("access_token") {
        let tokens = Tokens::of(answer);
        assert_bearer_refused(&userinfo(stand, &tokens.access));
        assert_tok(&ask.app.refresh(stand, &tokens.refresh), "invalid_grant");
    }
    if answer.status == 303
        && let Ok(url) = Url::parse(answer.location())
        && let Some((_, code)) = url.query_pairs().find(|(name, _)| name == "code")
    {
        assert_tok(&ask.app.redeem(stand, &code, &ask.pkce.verifier), "invalid_grant");
    }
}

/// Ben's live grants for an application.
fn live_grants(stand: &Stand, app: App) -> String {
    let query = format!(
        "SELECT count(*) FROM live_grants g JOIN clients c ON c.id = g.client JOIN users u ON u.id = g.user_id
         WHERE c.client_id = '{}' AND u.email = '{BEN}'",
        app.id
    );
    sql(stand, &query)
}

/// A rotation of racers, so that each is first now and then.
fn turned<T>(mut racers: Vec<T>, round: usize) -> Vec<T> {
    let by = round % racers.len();
    racers.rotate_left(by);
    racers
}

#[test]
fn w41_w44_what_a_password_change_races_with_is_dead_after_it() {
    let stand = two_nodes();
    let (mut old, mut new) = (PASSWORD, OTHER);
    let mut beaten = 0;
    for round in 0..ROUNDS {
        let mut browser = at_account(&stand, old);
        let mut second = at_account(&stand, old);
        let ask = Ask::new(TWIN).scope("openid offline_access");
        let one = issue_in(&stand, &mut browser, &ask, BEN);
        let waiting = Ask::new(TWIN);
        let code = code_in(&stand, &mut browser, &waiting, BEN);
        let page = browser.open(&format!("{}/account", stand.issuer())).clone();
        let csrf = csrf_of(&page, "/account/password", "new_password");
        let form = [("csrf", csrf.as_str()), ("current_password", old), ("new_password", new)];
        let (own, others) = (Ask::new(TWIN), Ask::new(TWIN));
        let racers = vec![
            (None, pressing(&stand, &mut browser, round % 2, ("/account/password", &form))),
            (Some(&ask), refreshing(&stand, (round + 1) % 2, TWIN, &one.refresh)),
            (Some(&waiting), redeeming(&stand, (round + 1) % 2, &waiting, &code)),
            (Some(&own), resuming(&stand, &mut browser, round % 2, &own)),
            (Some(&others), resuming(&stand, &mut second, (round + 1) % 2, &others)),
        ];
        let racers = turned(racers, round);
        let bytes: Vec<Racer> = racers.iter().map(|(_, racer)| racer.clone()).collect();
        let answers = race(stand.trust(), &bytes);
        for ((ask, _), answer) in racers.iter().zip(&answers) {
            match ask {
                None => {
                    answer.expect(200);
                    assert!(
                        answer.text().contains("Your password is changed"),
                        "{}",
                        answer.text()
                    );
                    browser.client().keep(answer);
                }
                Some(ask) => {
                    beaten += usize::from(answer.status < 400);
                    assert_dead(&stand, ask, answer);
                }
            }
        }
        assert_eq!(live_grants(&stand, TWIN), "0", "round {round}");
        assert!(asks_password(second.open(&format!("{}/account", stand.issuer()))));
        assert!(!asks_password(browser.open(&format!("{}/account", stand.issuer()))));
        (old, new) = (new, old);
    }
    println!("{beaten} of {} were done before the password changed", ROUNDS * 4);
    stand.seed(&world());
}

#[test]
fn w44_a_password_that_is_changed_from_both_nodes_at_once_is_one_of_them() {
    let stand = two_nodes();
    let mut browser = at_account(&stand, PASSWORD);
    let csrf = csrf_of(browser.page(), "/account/password", "new_password");
    let passwords: Vec<String> = (0..12).map(|_| random()).collect();
    let racers: Vec<Racer> = passwords
        .iter()
        .enumerate()
        .map(|(number, new)| {
            let form =
                [("csrf", csrf.as_str()), ("current_password", PASSWORD), ("new_password", new)];
            pressing(&stand, &mut browser, number % 2, ("/account/password", &form))
        })
        .collect();
    let answers = race(stand.trust(), &racers);
    // Guesses are limited here as they are at a sign-in: so many race, the rest are told to wait.
    let raced = answers.iter().filter(|answer| answer.status != 429).count();
    assert!((2..=12).contains(&raced), "{raced}");
    let changed = |answer: &Response| answer.text().contains("Your password is changed");
    assert_eq!(answers.iter().filter(|answer| changed(answer)).count(), 1);
    for (password, answer) in passwords.iter().zip(&answers) {
        let mut fresh = stand.browser();
        fresh.open(&format!("{}/login", stand.issuer()));
        sql(&stand, "DELETE FROM throttles");
        let page = fresh.submit(&[("username", BEN), ("password", password)]).clone();
        page.response.expect(200);
        assert_eq!(!asks_password(&page), changed(answer));
    }
    stand.seed(&world());
}

#[test]
fn w33_w41_what_a_withdrawal_races_with_is_dead_after_it() {
    let stand = two_nodes();
    let mut beaten = 0;
    for round in 0..ROUNDS {
        let mut browser = signed_in(&stand, BEN);
        let ask = Ask::new(WEB).scope("openid offline_access");
        let one = issue_in(&stand, &mut browser, &ask, BEN);
        let waiting = ask.clone();
        let code = code_in(&stand, &mut browser, &waiting, BEN);
        let page = browser.open(&format!("{}/account", stand.issuer())).clone();
        let path = "/account/applications/withdraw";
        let csrf = csrf_of(&page, path, "\"web\"");
        let form = [("csrf", csrf.as_str()), ("client_id", "web")];
        let mut racers = vec![
            pressing(&stand, &mut browser, round % 2, (path, &form)),
            refreshing(&stand, (round + 1) % 2, WEB, &one.refresh),
            redeeming(&stand, round % 2, &waiting, &code),
        ];
        for number in 0..6 {
            racers.push(resuming(&stand, &mut browser, number % 2, &ask));
        }
        let answers = race(stand.trust(), &turned(racers, round));
        for answer in &answers {
            assert!(answer.status < 500, "{}", answer.text());
            beaten += usize::from(
                answer.status == 200
                    || answer.header("location").is_some_and(|to| to.contains("code=")),
            );
            assert_dead(&stand, &ask, answer);
        }
        assert_eq!(live_grants(&stand, WEB), "0", "round {round}");
        assert_eq!(audits(&stand, "consent.withdrawn", "web"), round + 1);
    }
    println!("{beaten} of {} were done before access was withdrawn", ROUNDS * 8);
}
