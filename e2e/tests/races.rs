//! What happens at one instant (security.md, W22, W28, W36, W41): two nodes on one database, 64 requests
//! released together.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use e2e::{Browser, Connection, Options, Racer, Stand, field, race, rounds};
use support::arena::*;
use support::racing::*;
use support::*;
use url::Url;

const PARALLEL: usize = 64;

/// Two nodes, one test at a time: a race wants the machine to itself.
fn two_nodes() -> MutexGuard<'static, Stand> {
    static STAND: OnceLock<Mutex<Stand>> = OnceLock::new();
    STAND.get_or_init(|| Mutex::new(populated(2))).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same request from everywhere.
fn from_both(one: impl Fn(usize) -> Racer) -> Vec<Racer> {
    (0..PARALLEL).map(|number| one(number % 2)).collect()
}

fn count(stand: &Stand, query: &str) -> usize {
    sql(stand, query).parse().unwrap()
}

/// Codes of which anything happened but: redeemed once, seen again, and nothing of it left.
const NOT_ONCE: &str = "
    SELECT count(*) FROM codes c JOIN grants g ON g.id = c.grant_id
    WHERE c.code_hash IN (LIST) AND NOT (g.revoked_at IS NOT NULL
      AND (SELECT count(*) FROM access_tokens a WHERE a.grant_id = g.id) = 1
      AND (SELECT count(*) FROM refresh_tokens r WHERE r.grant_id = g.id) = 1
      AND (SELECT count(*) FILTER (WHERE type = 'tokens.issued') = 1
              AND count(*) FILTER (WHERE type = 'code.reused') >= 1
           FROM audit_events e WHERE e.target = g.id::text));";

#[test]
fn w22_parallel_redemption_issues_once() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut hashes = Vec::new();
    for round in 0..rounds() {
        let app = [TWIN, SPA][round % 2];
        let ask = Ask::new(app).scope("openid offline_access");
        let code = arena.code(&ask);
        let answers =
            arena.race_same((round, field(round)), |node| redeeming(&stand, node, &ask, &code));
        // Reuse was seen: nothing of what the winner got is alive.
        arena.assert_dead(app, only_winner(&answers));
        hashes.push(format!("sha256('{code}')"));
    }
    for some in hashes.chunks(100) {
        assert_eq!(arena.psql.run(&NOT_ONCE.replace("LIST", &some.join(","))), "0");
    }
}

/// Families that have more than one successor, or of which a theft was not noticed.
const NOT_ENDED: &str = "
    SELECT count(*) FROM refresh_tokens t JOIN grants g ON g.id = t.grant_id
    WHERE t.token_hash IN (LIST) AND NOT (g.revoked_at IS NOT NULL
      AND (SELECT count(*) FROM refresh_tokens r WHERE r.grant_id = g.id) <= 2
      AND (SELECT count(*) FROM audit_events e
           WHERE e.target = g.id::text AND type = 'refresh.reused') >= 1);";

#[test]
fn w36_parallel_refresh_rotates_once_and_ends_the_family() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut hashes = Vec::new();
    for round in 0..rounds() {
        let app = [TWIN, SPA][round % 2];
        let one = arena.issue(&Ask::new(app));
        let answers = arena
            .race_same((round, field(round)), |node| refreshing(&stand, node, app, &one.refresh));
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(won <= 1, "round {round}: {won} won");
        for answer in &answers {
            if !arena.assert_dead(app, answer) {
                assert_tok(answer, "invalid_grant");
            }
        }
        assert_bearer_refused(&arena.userinfo(&one.access));
        hashes.push(format!("sha256('{}')", one.refresh));
    }
    for some in hashes.chunks(100) {
        assert_eq!(arena.psql.run(&NOT_ENDED.replace("LIST", &some.join(","))), "0");
    }
}

/// Within the retry window a repeat is not a theft; still there is one live token per family.
#[test]
fn w72_parallel_retries_leave_one_live_refresh_token() {
    let stand = two_nodes();
    let mut browser = signed_in(&stand, BEN);
    for _ in 0..6 {
        let one = issue_in(&stand, &mut browser, &Ask::new(RETRY), BEN);
        let answers =
            race(stand.trust(), &from_both(|node| refreshing(&stand, node, RETRY, &one.refresh)));
        // They queue for one row; who waited too long for it was told to come back, and got nothing.
        let served = answers.iter().filter(|answer| answer.status != 503);
        let given: Vec<Tokens> = served.map(Tokens::of).collect();
        let alive: Vec<&Tokens> =
            given.iter().filter(|tokens| userinfo(&stand, &tokens.access).status == 200).collect();
        assert_eq!(alive.len(), 1, "one access token of the race is alive");
        let next = Tokens::of(&RETRY.refresh(&stand, &alive[0].refresh));
        assert!(is_alive(&stand, RETRY, &next.access));
    }
}

#[test]
fn w41_what_a_revocation_races_with_is_dead_after_it() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut beaten = 0;
    for round in 0..rounds() {
        let one = arena.issue(&Ask::new(TWIN).scope("openid offline_access"));
        let mut racers = vec![
            refreshing(&stand, round % 2, TWIN, &one.refresh),
            post(&stand, (round + 1) % 2, TWIN, ("/oauth/revoke", &[("token", &one.refresh)])),
        ];
        if round % 3 == 0 {
            racers.reverse();
        }
        for answer in &arena.track.race(&racers) {
            beaten += usize::from(arena.assert_dead(TWIN, answer));
        }
        assert_bearer_refused(&arena.userinfo(&one.access));
        assert_tok(&arena.refresh(TWIN, &one.refresh), "invalid_grant");
    }
    println!("{beaten} refreshes were quicker than the revocation");
}

#[test]
fn w41_what_a_logout_races_with_is_dead_after_it() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut beaten = 0;
    for round in 0..rounds() {
        arena.renew_session(BEN);
        let one = arena.issue(&Ask::new(TWIN));
        let waiting = Ask::new(TWIN);
        let code = arena.code(&waiting);
        let page = arena.browser.open(&format!("{}/logout", stand.issuer())).clone();
        let csrf = page.field("csrf").unwrap();
        let racers = [
            pressing(&stand, &mut arena.browser, round / 2 % 2, ("/logout", &[("csrf", &csrf)])),
            refreshing(&stand, round % 2, TWIN, &one.refresh),
            redeeming(&stand, (round + 1) % 2, &waiting, &code),
        ];
        let answers = race_turned(&mut arena.track, &racers, round);
        assert!([200, 303].contains(&answers[0].status), "{}", answers[0].text());
        for answer in &answers[1..] {
            beaten += usize::from(arena.assert_dead(TWIN, answer));
        }
    }
    println!("{beaten} grants were quicker than the sign-out");
}

/// Two nodes that first start together on an empty token each find no key for forms, and each make one.
#[test]
fn a_form_of_one_node_is_taken_by_another_though_both_first_started_together() {
    // Six nodes that start would only be in the way of a race.
    let _alone = two_nodes();
    for _ in 0..3 {
        let mut stand = Stand::prepare(&Options { nodes: 2, ..Options::default() });
        for node in 0..2 {
            stand.node(node).keyd.start();
        }
        stand.begin_rest();
        for (from, to) in [(0, 1), (1, 0)] {
            let mut browser = Browser::new(stand.client_of(from));
            let page = browser.open(&format!("{}/login", stand.issuer())).clone();
            let form =
                [("csrf", page.field("csrf").unwrap()), ("username", "nobody@example.org".into())];
            let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let racer = pressing(&stand, &mut browser, to, ("/login", &form));
            let answers = race(stand.trust(), &[racer]);
            assert_eq!(
                answers[0].status,
                200,
                "a form of node {from} at node {to}: {}",
                answers[0].text()
            );
        }
    }
}

#[test]
fn w42_an_interaction_that_is_finished_from_both_nodes_gives_one_code() {
    let stand = two_nodes();
    let mut browser = signed_in(&stand, BEN);
    for _ in 0..6 {
        let start = browser.client().get(&Ask::new(TWIN).url(&stand));
        let url = Url::parse(&format!("{}{}", stand.issuer(), start.location())).unwrap();
        let bytes = browser.client().bytes("GET", &url, &[], b"");
        let address = |node| stand.client_of(node).address(&url);
        let racers = from_both(|node| Racer { address: address(node), bytes: bytes.clone() });
        let answers = race(stand.trust(), &racers);
        let codes =
            answers.iter().filter(|a| a.status == 303 && a.location().contains("code=")).count();
        assert_eq!(codes, 1);
        answers.iter().filter(|answer| answer.status != 303).for_each(assert_page);
    }
}

#[test]
fn w55_to_agree_and_to_decline_at_once_has_one_outcome() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    for round in 0..rounds() {
        let ask = Ask::new(WEB).with("prompt", "consent");
        let page = arena.browser.open(&ask.url(&stand)).clone();
        let (csrf, interaction) = (page.field("csrf").unwrap(), page.field("interaction").unwrap());
        let racers: Vec<Racer> = (0..field(round))
            .map(|number| {
                let decision = if (round + number) % 2 == 0 { "approve" } else { "deny" };
                let form = [
                    ("csrf", csrf.as_str()),
                    ("interaction", &interaction),
                    ("decision", decision),
                ];
                pressing(
                    &stand,
                    &mut arena.browser,
                    (round / 2 + number / 2) % 2,
                    ("/consent", &form),
                )
            })
            .collect();
        let answers = arena.track.race(&racers);
        let refused = answers
            .iter()
            .filter(|a| a.status == 303 && a.location().contains("error=access_denied"))
            .count();
        assert!(refused <= 1, "the client hears one no: {refused}");
        let url = format!("{}/oauth/authorize/{interaction}", stand.issuer());
        let page = arena.browser.open(&url).clone();
        let code = page.away.is_some() && page.away_parameter("code").is_some();
        assert!(!(refused == 1 && code), "a yes after a no");
        assert!(refused == 1 || code, "{:?}", page.away);
    }
}

#[test]
fn w44_an_enrolment_link_that_is_used_from_both_nodes_sets_one_password() {
    let stand = two_nodes();
    let token = format!("ote_{}", random());
    sql(
        &stand,
        &format!(
            "INSERT INTO enrolments (token_hash, user_id, expires_at)
         SELECT sha256('{token}'), id, now() + interval '1 hour' FROM users WHERE email = '{DORA}'"
        ),
    );
    let mut browser = stand.browser();
    let page = browser.open(&format!("{}/enroll?token={token}", stand.issuer())).clone();
    let csrf = page.field("csrf").unwrap();
    let passwords: Vec<String> = (0..16).map(|_| random()).collect();
    let racers: Vec<Racer> = passwords
        .iter()
        .enumerate()
        .map(|(number, password)| {
            let form = [("csrf", csrf.as_str()), ("token", &token), ("password", password)];
            pressing(&stand, &mut browser, number % 2, ("/enroll", &form))
        })
        .collect();
    let answers = race(stand.trust(), &racers);
    let set: Vec<usize> = (0..16).filter(|number| answers[*number].status == 200).collect();
    assert_eq!(set.len(), 1, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    for (number, password) in passwords.iter().enumerate() {
        // So many wrong ones are guessing, which is not what is asked here.
        sql(&stand, "DELETE FROM throttles");
        let mut browser = stand.browser();
        browser.open(&format!("{}/login", stand.issuer()));
        browser.submit(&[("username", DORA), ("password", password)]);
        assert_eq!(!asks_password(browser.page()), number == set[0]);
    }
    stand.seed(&world());
}

/// Half of a transaction, in any of the ways that there could be one.
const HALF_DONE: &str = "
    SELECT count(*) FROM codes c JOIN grants g ON g.id = c.grant_id
    LEFT JOIN LATERAL (SELECT count(*) AS n FROM access_tokens a WHERE a.grant_id = g.id) a ON true
    LEFT JOIN LATERAL (SELECT count(*) AS n FROM refresh_tokens r WHERE r.grant_id = g.id) r ON true
    LEFT JOIN LATERAL (SELECT count(*) AS n FROM audit_events e
        WHERE e.type = 'tokens.issued' AND e::text LIKE '%' || g.id || '%') e ON true
    WHERE c.code_hash IN (LIST)
      AND NOT ((c.redeemed_at IS NULL AND a.n = 0 AND r.n = 0 AND e.n = 0)
            OR (c.redeemed_at IS NOT NULL AND a.n = 1 AND r.n = 1 AND e.n = 1))";

#[test]
fn w28_a_client_that_hangs_up_gets_all_or_nothing() {
    let mut stand = two_nodes();
    let mut browser = signed_in(&stand, BEN);
    let mut hashes = Vec::new();
    let mut waiting = Vec::new();
    for number in 0..240 {
        let ask = Ask::new(TWIN);
        let code = code_in(&stand, &mut browser, &ask, BEN);
        let racer = redeeming(&stand, 0, &ask, &code);
        let mut connection = Connection::open(racer.address, stand.trust()).unwrap();
        // Some hang up in the middle of what they say, most right after it, some keep the line until later.
        let sent = match number % 4 {
            0 => racer.bytes.len() - (number * 7) % racer.bytes.len(),
            _ => racer.bytes.len(),
        };
        connection.send(&racer.bytes[..sent]).unwrap();
        hashes.push(format!("sha256('{code}')"));
        if number % 8 == 1 {
            waiting.push(connection);
        }
        if number % 16 == 15 {
            waiting.clear();
        }
    }
    drop(waiting);
    // SIGTERM lets what was begun end, so that there is nothing to wait for but the process itself.
    stand.node(0).authd.stop();
    let list = hashes.join(",");
    assert_eq!(sql(&stand, &HALF_DONE.replace("LIST", &list)), "0", "something is half done");
    let redeemed =
        count(&stand, &format!("SELECT count(redeemed_at) FROM codes WHERE code_hash IN ({list})"));
    println!("{redeemed} of {} were redeemed", hashes.len());
    assert!(redeemed > 0 && redeemed < hashes.len(), "both outcomes were seen: {redeemed}");
    stand.node(0).authd.start();
    stand.node(0).wait_ready();
    assert_unharmed(&mut stand);
}
