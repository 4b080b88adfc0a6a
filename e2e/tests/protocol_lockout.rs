//! Guessing (security.md, W130–W133, I19): how many attempts a door takes, from whom, on which node, and that
//! nobody is locked out by a stranger.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use e2e::{Browser, Options, Racer, Response, Stand, basic, query, race};
use support::*;
use url::Url;

/// What an account takes from one stranger's network before it makes them wait.
const FREE: usize = 5;

fn stand(nodes: usize) -> Stand {
    let stand = Stand::start(&Options { nodes, ..Options::default() });
    stand.seed(&world());
    stand
}

/// One attempt in a browser; the status that it ends with.
fn attempt(browser: &mut Browser, stand: &Stand, user: &str, password: &str) -> u16 {
    browser.open(&format!("{}/login", stand.issuer()));
    browser.submit(&[("username", user), ("password", password)]);
    browser.page().response.status
}

fn guess(stand: &Stand, user: &str) -> u16 {
    attempt(&mut stand.browser(), stand, user, "not the password at all")
}

fn failures(stand: &Stand) -> usize {
    sql(stand, "SELECT count(*) FROM audit_events WHERE type = 'user.sign_in_failed'")
        .parse()
        .unwrap()
}

/// As if so many seconds had passed for every counter.
fn pass(stand: &Stand, seconds: u32) {
    sql(
        stand,
        &format!(
            "UPDATE throttles SET last_at = last_at - interval '{seconds} s',
                blocked_until = blocked_until - interval '{seconds} s'"
        ),
    );
}

#[test]
fn w130_sixty_four_guesses_at_once_on_two_nodes_are_five() {
    let stand = stand(2);
    let login = Url::parse(&format!("{}/login", stand.issuer())).unwrap();
    let racers: Vec<Racer> = (0..64)
        .map(|number| {
            let mut browser = Browser::new(stand.client_of(number % 2));
            browser.open(login.as_str());
            let csrf = browser.page().field("csrf").unwrap();
            let form = query(&[("csrf", csrf.as_str()), ("username", BEN), ("password", "wrong")]);
            let cookies: Vec<String> =
                browser.client().cookies().iter().map(|(n, v)| format!("{n}={v}")).collect();
            let headers = [
                ("content-type", "application/x-www-form-urlencoded".to_owned()),
                ("cookie", cookies.join("; ")),
            ];
            let client = stand.client_of(number % 2);
            let bytes = client.bytes("POST", &login, &headers, form.as_bytes());
            Racer { address: client.address(&login), bytes }
        })
        .collect();
    let answers = race(stand.trust(), &racers);
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!((admitted, refused), (FREE, 64 - FREE));
    assert_eq!(failures(&stand), FREE, "a refused attempt was verified");
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        // A statement that began before the door was shut counts from its own beginning.
        assert!((1..=31).contains(&wait), "{wait}");
    }
}

#[test]
fn i19_a_shut_door_stays_shut_over_a_restart_and_opens_when_it_said() {
    let mut stand = stand(1);
    for _ in 0..FREE {
        assert_eq!(guess(&stand, BEN), 200);
    }
    assert_eq!(attempt(&mut stand.browser(), &stand, BEN, PASSWORD), 429);
    stand.node(0).kill9();
    stand.node(0).restart();
    assert_eq!(attempt(&mut stand.browser(), &stand, BEN, PASSWORD), 429);
    // Another account is nobody's concern.
    signed_in(&stand, CLEO);
    pass(&stand, 30);
    signed_in(&stand, BEN);
    // Success gave everything back.
    for _ in 0..FREE {
        assert_eq!(guess(&stand, BEN), 200);
    }
    assert_eq!(guess(&stand, BEN), 429);
}

#[test]
fn each_attempt_beyond_the_free_ones_doubles_the_wait() {
    let stand = stand(1);
    for _ in 0..FREE {
        guess(&stand, BEN);
    }
    for wait in [30, 60, 120, 240, 480, 900] {
        pass(&stand, wait / 2);
        assert_eq!(guess(&stand, BEN), 429, "{wait}");
        pass(&stand, wait - wait / 2);
        assert_eq!(guess(&stand, BEN), 200, "{wait}");
    }
}

#[test]
fn w131_every_spelling_of_an_address_is_one_account() {
    let stand = stand(1);
    for spelling in ["ben@example.org", "BEN@EXAMPLE.ORG", " Ben@Example.Org ", "bEN@example.org"] {
        assert_eq!(guess(&stand, spelling), 200);
    }
    assert_eq!(guess(&stand, "Ben@example.org"), 200);
    assert_eq!(guess(&stand, "ben@EXAMPLE.org"), 429);
}

#[test]
fn w128_an_unknown_account_is_shut_like_a_known_one() {
    let stand = stand(1);
    let bodies = ["nobody@example.org", BEN].map(|user| {
        for _ in 0..FREE {
            assert_eq!(guess(&stand, user), 200, "{user}");
        }
        let mut browser = stand.browser();
        assert_eq!(attempt(&mut browser, &stand, user, PASSWORD), 429, "{user}");
        let response = &browser.page().response;
        let id = response.header("x-request-id").unwrap().to_owned();
        response.text().replace(&id, "ID")
    });
    assert_eq!(bodies[0], bodies[1]);
}

#[test]
fn w132_a_stranger_locks_out_neither_a_session_nor_a_browser_that_was_there_before() {
    let stand = stand(1);
    let mut own = signed_in(&stand, BEN);
    for _ in 0..FREE {
        guess(&stand, BEN);
    }
    assert_eq!(guess(&stand, BEN), 429);
    // The open session goes on.
    let ask = Ask::new(TWIN);
    code_in(&stand, &mut own, &ask, BEN);
    // And so does a new sign-in where Ben has been before.
    own.open(&format!("{}/login?to=account", stand.issuer()));
    own.submit(&[("username", BEN), ("password", PASSWORD)]);
    assert_ne!(own.page().response.status, 429);
    assert!(own.page().field("password").is_none() || own.page().url.ends_with("/account"));
    // The browser is closed and opened again: no session any more, and still no stranger.
    own.client().close();
    own.open(&format!("{}/login?to=account", stand.issuer()));
    assert!(own.page().field("password").is_some());
    assert_eq!(guess(&stand, BEN), 429);
    own.submit(&[("username", BEN), ("password", PASSWORD)]);
    assert!(own.page().url.ends_with("/account"), "{}", own.page().url);
}

/// Whoever reads the account's mail gets in by a link, in a browser that has never been here.
#[test]
fn w132_a_link_from_the_mail_opens_what_strangers_have_shut() {
    let set = vec![("authd.password_reset", "true")];
    let stand = Stand::start(&Options { set, ..Options::default() });
    stand.seed(&world());
    let mut fresh = stand.browser();
    fresh.open(&format!("{}/reset", stand.issuer()));
    fresh.submit(&[("username", BEN)]).response.expect(200);
    let link = sql(&stand, "SELECT body ->> 'link' FROM outbox WHERE kind = 'reset_mail'");
    for _ in 0..FREE {
        guess(&stand, BEN);
    }
    assert_eq!(guess(&stand, BEN), 429);
    fresh.open(&link);
    let password = "another four words for the road";
    fresh.submit(&[("password", password)]).response.expect(200);
    assert_eq!(guess(&stand, BEN), 429);
    fresh.open(&format!("{}/login?to=account", stand.issuer()));
    fresh.submit(&[("username", BEN), ("password", password)]);
    assert!(fresh.page().url.ends_with("/account"), "{}", fresh.page().url);
}

/// Every endpoint at which a client authenticates takes from one budget; the list is that of the routes.
#[test]
fn w133_no_door_is_left_without_the_throttle() {
    let stand =
        Stand::start(&Options { set: vec![("authd.client_attempts", "3")], ..Options::default() });
    stand.seed(&world());
    let doors = support::endpoints::client_doors();
    let mut client = stand.client();
    let mut wrong = |path: &str, id: &str| {
        let form = [("grant_type", "client_credentials"), ("token", "x")];
        let secret = "wrong secret, but as long as a secret has to be here";
        client.post_with(&format!("{}{path}", stand.issuer()), &[basic(id, secret)], &form).status
    };
    for (number, door) in doors.iter().enumerate() {
        sql(&stand, "DELETE FROM throttles");
        for _ in 0..3 {
            assert_eq!(wrong(door, WEB.id), 401, "{door}");
        }
        for other in doors.iter().cycle().skip(number).take(doors.len()) {
            assert_eq!(wrong(other, WEB.id), 429, "{door} and then {other}");
        }
        // Another client at the same address, and one that does not exist.
        assert_eq!(wrong(door, TWIN.id), 401);
        for expected in [401, 401, 401, 429] {
            assert_eq!(wrong(door, "nobody"), expected, "W129 {door}");
        }
    }
    // A right credential is never refused for somebody's failures.
    assert_inactive(&WEB.introspect(&stand, "x"));
}

#[test]
fn w136_a_network_that_proves_nothing_leaves_so_many_rows_behind_at_every_door_and_no_more() {
    let set = vec![("authd.anonymous_burst", "3"), ("authd.anonymous_per_s", "1")];
    let stand = Stand::start(&Options { set, ..Options::default() });
    stand.seed(&world());
    let push = |app: App| {
        let ask = Ask::new(app).without("client_id");
        ask.app.call(&stand, "/oauth/par", &ask.pairs())
    };
    let rows = |table: &str| sql(&stand, &format!("SELECT count(*) FROM {table}"));
    let doors: [(&str, &dyn Fn() -> Response); 3] = [
        ("interactions", &|| Ask::new(SPA).send(&stand)),
        ("pushed_requests", &|| push(SPA)),
        ("deferred_requests", &|| {
            TV.call(&stand, "/oauth/device_authorization", &[("scope", "openid")])
        }),
    ];
    for (table, door) in doors {
        // One grows back each second, and no second is needed for so many.
        let refused = (0..20).find_map(|_| {
            let before = rows(table);
            let answer = door();
            (answer.status == 429).then_some((answer, before))
        });
        let (answer, before) = refused.unwrap_or_else(|| panic!("{table}: never refused"));
        assert_eq!(answer.header("retry-after"), Some("1"), "{table}");
        assert_eq!(rows(table), before, "{table}");
    }
    // Who proves who they are does not pay for those who do not.
    for _ in 0..5 {
        push(WEB).expect(201);
    }
}

/// A name that is made up anew each time has a counter of its own each time; the network's is one.
#[test]
fn w136_made_up_clients_leave_so_many_counters_behind_at_every_door_and_no_more() {
    let set = vec![("authd.sign_in_attempts_network", "5")];
    let stand = Stand::start(&Options { set, ..Options::default() });
    stand.seed(&world());
    let secret = "wrong secret, but as long as a secret has to be here";
    let rows = || sql(&stand, "SELECT count(*) FROM throttles");
    for door in support::endpoints::client_doors() {
        sql(&stand, "DELETE FROM throttles");
        let ask = |name: &str| {
            let form = [("grant_type", "client_credentials"), ("token", "x")];
            let url = format!("{}{door}", stand.issuer());
            stand.client().post_with(&url, &[basic(name, secret)], &form)
        };
        for number in 0..5 {
            ask(&format!("made-up-{number}")).expect(401);
        }
        assert_eq!(rows(), "6", "{door}: five names, one network");
        for number in 5..20 {
            let refused = ask(&format!("made-up-{number}"));
            refused.expect(429);
            assert!(refused.header("retry-after").is_some());
        }
        // W129: a client that exists is told the same, and nothing is written for either.
        ask(TWIN.id).expect(429);
        assert_eq!(rows(), "6", "{door}");
    }
    assert_inactive(&WEB.introspect(&stand, "x"));
}
