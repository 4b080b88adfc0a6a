//! What an administrator takes away while it is being used (security.md, W41): two nodes on one database. The
//! statement is the acknowledgement: nothing that begins after it succeeds, and whatever was quicker is dead.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: a failure here is the failure of the test that asked"
)]

#[expect(dead_code, reason = "each binary of the protocol tests uses its part of the support")]
mod support;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use e2e::{Racer, Response, Stand, rounds};
use support::arena::*;
use support::racing::*;
use support::*;

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

/// One of these: whoever lost is told so in the protocol's own words.
#[track_caller]
fn assert_refused(answer: &Response, errors: &[&str]) {
    assert!([400, 401].contains(&answer.status), "{} {}", answer.status, answer.text());
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(errors.contains(&error.as_str()), "{error}");
}

/// A client of one's own, made as the seed makes `TWIN`.
fn copy_of_twin(arena: &mut Arena<'_>, round: usize) -> App {
    let id = format!("gone-{round}");
    arena.psql.run(&format!(
        "WITH copy AS (
             INSERT INTO clients (id, tenant_id, client_id, metadata)
             SELECT gen_random_uuid(), tenant_id, '{id}', metadata FROM clients WHERE client_id = '{}'
             RETURNING id
         )
         INSERT INTO client_secrets (id, client, secret_hash)
         SELECT gen_random_uuid(), copy.id, s.secret_hash
         FROM copy, client_secrets s JOIN clients c ON c.id = s.client WHERE c.client_id = '{}';",
        TWIN.id, TWIN.id
    ));
    App { id: id.leak(), ..TWIN }
}

/// A client's end, in the order in which the gates lock: what is presented first, its grant after it. The plain
/// `DELETE` cascades from the grant to its codes, and a redemption that holds the code waits for the grant: one
/// of the two would be ended as a deadlock.
fn deletion(app: App) -> String {
    let own = format!(
        "t USING grants g, clients c WHERE t.grant_id = g.id AND g.client = c.id AND c.client_id = '{}'",
        app.id
    );
    format!(
        "BEGIN; DELETE FROM codes {own}; DELETE FROM refresh_tokens {own};
         DELETE FROM clients WHERE client_id = '{}'; COMMIT;",
        app.id
    )
}

#[test]
fn w41_what_the_deletion_of_a_client_races_with_is_dead_after_it() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut beaten = 0;
    for round in 0..rounds() {
        let app = copy_of_twin(&mut arena, round);
        let one = arena.issue(&Ask::new(app));
        let waiting = Ask::new(app);
        let code = arena.code(&waiting);
        let racers = [
            refreshing(&stand, round % 2, app, &one.refresh),
            redeeming(&stand, (round + 1) % 2, &waiting, &code),
        ];
        for answer in arena.race_sql(round, &racers, &deletion(app)) {
            if answer.status == 200 {
                beaten += 1;
                let tokens = Tokens::of(&answer);
                assert_bearer_refused(&arena.userinfo(&tokens.access));
                assert_client_refused(&arena.refresh(app, &tokens.refresh), true);
            } else {
                assert_refused(&answer, &["invalid_client", "invalid_grant"]);
            }
        }
        assert_bearer_refused(&arena.userinfo(&one.access));
        for answer in arena.track.race(&racers) {
            assert_client_refused(&answer, true);
        }
    }
    println!("{beaten} of {} were quicker than the deletion", rounds() * 2);
    let left = "SELECT count(*) FROM clients WHERE client_id LIKE 'gone-%';";
    assert_eq!(arena.psql.run(left), "0");
}

#[test]
fn w41_what_the_disabling_of_a_person_races_with_is_dead_after_it() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut beaten = 0;
    for round in 0..rounds() {
        let one = arena.issue(&Ask::new(TWIN));
        let waiting = Ask::new(TWIN);
        let code = arena.code(&waiting);
        let racers = [
            redeeming(&stand, round % 2, &waiting, &code),
            refreshing(&stand, (round + 1) % 2, TWIN, &one.refresh),
        ];
        let set =
            |status: &str| format!("UPDATE users SET status = '{status}' WHERE email = '{BEN}';");
        for answer in arena.race_sql(round, &racers, &set("disabled")) {
            if arena.assert_dead(TWIN, &answer) {
                beaten += 1;
            } else {
                assert_refused(&answer, &["invalid_grant"]);
            }
        }
        assert_bearer_refused(&arena.userinfo(&one.access));
        for answer in arena.track.race(&racers) {
            assert_tok(&answer, "invalid_grant");
        }
        arena.psql.run(&set("active"));
    }
    println!("{beaten} of {} were quicker than the disabling", rounds() * 2);
}

#[test]
fn w41_what_the_suspension_of_a_tenant_races_with_is_dead_after_it() {
    let stand = two_nodes();
    let mut arena = Arena::open(&stand, BEN);
    let mut beaten = 0;
    for round in 0..rounds() {
        arena.forgive(round);
        let subject = arena.issue(&Ask::new(TWIN));
        let itself = [("grant_type", "client_credentials"), ("scope", "orders:read")];
        let exchange = [
            ("grant_type", EXCHANGE),
            ("subject_token", subject.access.as_str()),
            ("subject_token_type", ACCESS),
            ("audience", OTHER),
        ];
        let asks: [(App, e2e::Form<'_>); 3] =
            [(ROBOT, &itself), (BROKER, &exchange), (ROBOT, &itself)];
        let racers: Vec<Racer> = asks
            .iter()
            .enumerate()
            .map(|(number, (app, form))| {
                post(&stand, (round + number) % 2, *app, ("/oauth/token", form))
            })
            .collect();
        let set =
            |status: &str| format!("UPDATE tenants SET status = '{status}' WHERE slug = 'acme';");
        let answers = arena.race_sql(round, &racers, &set("suspended"));
        for answer in &answers {
            if answer.status == 200 {
                beaten += 1;
                assert_bearer_refused(&arena.userinfo(&Tokens::of(answer).access));
            } else {
                assert_refused(
                    answer,
                    &["invalid_client", "invalid_request", "unauthorized_client"],
                );
            }
        }
        assert_bearer_refused(&arena.userinfo(&subject.access));
        for answer in arena.track.race(&racers) {
            assert_client_refused(&answer, true);
        }
        let alive = "SELECT count(*) FROM live_grants g JOIN clients c ON c.id = g.client
                     JOIN tenants t ON t.id = c.tenant_id WHERE t.slug = 'acme';";
        assert_eq!(arena.psql.run(alive), "0", "round {round}");
        arena.psql.run(&set("active"));
    }
    println!("{beaten} of {} were quicker than the suspension", rounds() * 3);
}
