//! Who exists is not told by how much work an answer was (security.md, W128, W129): the same statements and the
//! same hashes, whether there is such a person, client, code or token or not. Signing in and asking for a link
//! have their statements counted in `protocol_login` and `protocol_account`; how long it takes, measured, is
//! `soak_timing`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::fs;

use e2e::{Browser, Options, Response, Stand, basic};
use support::deferred::*;
use support::statements::statements;
use support::*;

/// An answer without what differs from one request to the next.
type Shape = (u16, Vec<(String, String)>, String);

fn shape(answer: &Response) -> Shape {
    let varying = ["date", "x-request-id"];
    let headers =
        answer.headers.iter().filter(|(name, _)| !varying.contains(&name.as_str())).cloned();
    (answer.status, headers.collect(), answer.text())
}

/// The work that an act is, and what it was answered.
fn work(stand: &Stand, act: impl FnOnce() -> Response) -> (Vec<String>, Shape) {
    sql(stand, "DELETE FROM throttles; DELETE FROM deferred_requests WHERE kind = 'ciba'");
    let mut answer = None;
    let done = statements(stand, || answer = Some(act()));
    assert!(!done.is_empty(), "nothing was asked of PostgreSQL");
    (done, shape(&answer.unwrap()))
}

#[test]
fn w128_whom_a_ciba_request_means_is_the_same_work() {
    let stand = alone();
    sql(&stand, &format!("UPDATE users SET status = 'disabled' WHERE email = '{CLEO}'"));
    let asked = |hint: &str| {
        let (done, (status, headers, text)) = work(&stand, || BANK.ask_for(&stand, hint, &[]));
        (done, status, headers, text.len())
    };
    let known = asked(BEN);
    assert_eq!(known.1, 200);
    for hint in ["nobody@example.org", CLEO, DORA, "neither-a-sub-nor-an-address"] {
        assert_eq!(asked(hint), known, "{hint}");
    }
    sql(&stand, "UPDATE users SET status = 'active'; DELETE FROM deferred_requests");
}

/// A code that nobody was given, one that was decided, one that is over: each is looked for, none is told apart.
#[test]
fn w57_w128_whose_a_device_code_is_takes_the_same_work() {
    let stand = alone();
    let used = device(&stand, TV, "openid");
    used.decide(&stand, BEN, "approve");
    let over = device(&stand, TV, "openid");
    sql(
        &stand,
        "UPDATE deferred_requests SET expires_at = created_at + interval '1 ms' WHERE decided_at IS NULL",
    );
    let mut browser = at_device(&stand, BEN);
    let mut entered = |code: &str| {
        browser.open(&format!("{}/device", stand.issuer()));
        let (done, (status, _, text)) =
            work(&stand, || browser.submit(&[("user_code", code)]).response.clone());
        let spelt = format!("{}-{}", &code[..4], &code[code.len() - 4..]);
        (done, status, text.replace(code, "CODE").replace(&spelt, "CODE"))
    };
    let unknown = entered("BCDF-GHJK");
    assert!(unknown.2.contains("That code does not work"), "{}", unknown.2);
    for code in [&used.user_code, &over.user_code] {
        assert_eq!(entered(code), unknown, "{code}");
    }
    sql(&stand, "DELETE FROM deferred_requests");
}

#[test]
fn w128_a_token_that_is_nobodys_and_a_token_of_others_are_the_same_work_at_introspection() {
    let stand = alone();
    // Alive, but neither for this asker nor of its tenant; and the same that was given back.
    let foreign = issue(&stand, &Ask::new(RIVAL), DORA);
    let dead = issue(&stand, &Ask::new(RIVAL), DORA);
    RIVAL.revoke(&stand, &dead.refresh).expect(200);
    let asked = |token: &str| work(&stand, || TWIN.introspect(&stand, token));
    let unknown = asked("a token that nobody ever had");
    assert_eq!(unknown.1.2, r#"{"active":false}"#);
    for token in [&foreign.access, &foreign.refresh, &dead.access, &dead.refresh] {
        assert_eq!(asked(token), unknown, "{token}");
    }
}

#[test]
fn w129_an_unknown_client_and_a_wrong_secret_are_the_same_work() {
    let stand = alone();
    for (path, form) in [
        ("/oauth/token", [("grant_type", "client_credentials")]),
        ("/oauth/introspect", [("token", "whatever")]),
        ("/oauth/revoke", [("token", "whatever")]),
        ("/oauth/par", [("response_type", "code")]),
    ] {
        let url = format!("{}{path}", stand.issuer());
        let asked = |id: &str| {
            work(&stand, || {
                stand.client().post_with(&url, &[basic(id, "not the secret of anybody")], &form)
            })
        };
        let known = asked(TWIN.id);
        assert_eq!(known.1.0, 401, "{path}");
        for id in ["twix", RIVAL.id, "nobody"] {
            assert_eq!(asked(id), known, "{id} at {path}");
        }
    }
}

/// Processor time that a node's authd has used, in ticks of the kernel.
fn ticks(stand: &Stand) -> u64 {
    let pid = stand.nodes()[0].authd.pid().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // What follows the name, which may hold spaces: `utime` and `stime` are fields 14 and 15 of proc(5).
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [11, 12].iter().map(|field| fields[*field].parse::<u64>().unwrap()).sum()
}

/// A hash is made so dear here that the processor time counts hashes: a second of it each, against
/// milliseconds for all the rest.
#[test]
fn w128_every_wrong_sign_in_is_one_hash_with_the_parameters_of_today() {
    let set = vec![("authd.password_memory_kib", "65536"), ("authd.password_passes", "10")];
    let stand = Stand::start(&Options { set, ..Options::default() });
    stand.seed(&world());
    sql(
        &stand,
        "INSERT INTO users (id, email, email_key) VALUES (gen_random_uuid(), 'eve@example.org', 'eve@example.org')",
    );
    let sign_in = |user: &str, password: &str| {
        sql(&stand, "DELETE FROM throttles");
        let mut browser = Browser::new(stand.client());
        browser.open(&format!("{}/login", stand.issuer()));
        let before = ticks(&stand);
        browser.submit(&[("username", user), ("password", password)]);
        ticks(&stand) - before
    };
    // The seed hashed with its own parameters: whoever signs in is hashed anew.
    for user in [ANA, BEN, CLEO] {
        sign_in(user, PASSWORD);
    }
    sql(&stand, &format!("UPDATE users SET status = 'disabled' WHERE email = '{CLEO}'"));
    let right = sign_in(BEN, PASSWORD);
    assert!(right >= 20, "{right} ticks are too few to count by");
    for (user, password) in [
        (BEN, "wrong"),
        (ANA, "wrong"),
        ("nobody@example.org", "wrong"),
        ("no address at all", "wrong"),
        (CLEO, PASSWORD),
        (CLEO, "wrong"),
        ("eve@example.org", "wrong"),
        (BEN, ""),
        ("nobody@example.org", ""),
    ] {
        // One, and neither none nor two. What a busy neighbour makes of the ticks, it does not make each time.
        let seen: Vec<u64> = (0..4)
            .map(|_| sign_in(user, password))
            .take_while(|wrong| wrong * 10 <= right * 6 || wrong * 10 >= right * 16)
            .collect();
        assert!(seen.len() < 4, "{user} {password:?}: {seen:?} ticks, one hash is {right}");
    }
}
