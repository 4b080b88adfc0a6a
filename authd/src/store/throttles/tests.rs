use std::sync::Arc;

use oauth::Timestamp;
use oauth::throttle::{Counter, Door, Verdict, released, verdict};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinSet;

use super::*;

fn key(door: Door, subject: &str) -> Key {
    Key::of(door, &[7; 32], subject)
}

/// What a stranger's attempt at `account` from `network` takes.
fn stranger(account: &str, network: &str) -> [Key; 3] {
    [
        key(Door::Password, &format!("{network} {account}")),
        key(Door::Account, account),
        key(Door::Address, network),
    ]
}

/// A node of its own on the same database.
fn node(pool: &PgPool) -> Arc<Store> {
    let options: PgConnectOptions = pool.connect_options().as_ref().clone();
    Arc::new(Store::new(PgPoolOptions::new().max_connections(16).connect_lazy_with(options)))
}

async fn attempts(pool: &PgPool, key: &Key) -> i32 {
    sqlx::query_scalar("SELECT attempts FROM throttles WHERE key = $1")
        .bind(key.as_bytes().as_slice())
        .fetch_optional(pool)
        .await
        .unwrap()
        .unwrap_or(0)
}

/// As if so many seconds had passed.
async fn pass(executor: impl PgExecutor<'_>, seconds: u32) {
    sqlx::query(
        "UPDATE throttles SET last_at = last_at - make_interval(secs => $1),
                blocked_until = blocked_until - make_interval(secs => $1)",
    )
    .bind(f64::from(seconds))
    .execute(executor)
    .await
    .unwrap();
}

/// All at once, by turns on two nodes; how many were admitted.
async fn at_once(pool: &PgPool, attempts: impl Iterator<Item = Vec<Key>>) -> usize {
    let nodes = [node(pool), node(pool)];
    let mut running = JoinSet::new();
    for (index, keys) in attempts.enumerate() {
        let node = Arc::clone(&nodes[index % 2]);
        running.spawn(async move { node.reserve(&keys).await.unwrap() });
    }
    running.join_all().await.iter().filter(|outcome| **outcome == Admission::Admitted).count()
}

#[sqlx::test(migrator = "::store::schema::MIGRATOR")]
async fn w130_of_64_parallel_attempts_on_two_nodes_exactly_the_budget_begins(pool: PgPool) {
    let keys = stranger("ana@example.org", "192.0.2.1");
    assert_eq!(at_once(&pool, (0..64).map(|_| keys.to_vec())).await, 5);
    for key in &keys {
        assert_eq!(attempts(&pool, key).await, 5, "the refused took something of {key:?}");
    }
    // Time opens the door by one place, whoever is first.
    pass(&pool, 31).await;
    assert_eq!(at_once(&pool, (0..64).map(|_| keys.to_vec())).await, 1);
}

/// Whoever was turned away before anything was verified has lost nothing, and washed nothing away.
#[sqlx::test(migrator = "::store::schema::MIGRATOR")]
async fn w132_an_attempt_that_was_not_made_is_given_back_and_no_other(pool: PgPool) {
    let (node, keys) = (node(&pool), stranger("ana@example.org", "192.0.2.1"));
    for _ in 0..2 {
        assert_eq!(node.reserve(&keys).await.unwrap(), Admission::Admitted);
    }
    for _ in 0..20 {
        assert_eq!(node.reserve(&keys).await.unwrap(), Admission::Admitted);
        node.refund(&keys).await.unwrap();
    }
    for key in &keys {
        assert_eq!(attempts(&pool, key).await, 2, "{key:?}");
    }
}

#[sqlx::test(migrator = "::store::schema::MIGRATOR")]
async fn w130_many_sources_at_once_share_the_budget_of_the_account(pool: PgPool) {
    let from = |n: usize| stranger("ana@example.org", &format!("192.0.2.{n}")).to_vec();
    assert_eq!(at_once(&pool, (0..64).map(from)).await, 50);
    // Nobody else pays for it.
    let other = stranger("bob@example.org", "192.0.2.1");
    assert_eq!(node(&pool).reserve(&other).await.unwrap(), Admission::Admitted);
}

#[sqlx::test(migrator = "::store::schema::MIGRATOR")]
async fn w132_strangers_leave_the_places_of_a_known_browser_alone(pool: PgPool) {
    let store = node(&pool);
    let keys = stranger("ana@example.org", "192.0.2.1");
    assert_eq!(at_once(&pool, (0..64).map(|_| keys.to_vec())).await, 5);
    let known =
        [key(Door::PasswordKnown, "browser ana@example.org"), key(Door::Address, "192.0.2.1")];
    assert_eq!(store.reserve(&known).await.unwrap(), Admission::Admitted);
}

#[sqlx::test(migrator = "::store::schema::MIGRATOR")]
async fn keys_in_any_order_with_releases_between_do_not_wait_for_each_other(pool: PgPool) {
    let nodes = [node(&pool), node(&pool)];
    let mut running = JoinSet::new();
    for index in 0..400_usize {
        let node = Arc::clone(&nodes[index % 2]);
        let (account, network) =
            (format!("a{}@example.org", index % 7), format!("192.0.2.{}", index % 3));
        let mut keys = stranger(&account, &network);
        keys.rotate_left(index % 3);
        if index % 2 == 0 {
            keys.reverse();
        }
        running.spawn(async move {
            if node.reserve(&keys).await.unwrap() == Admission::Admitted && index % 5 != 0 {
                keys.reverse();
                node.release(&keys).await.unwrap();
            }
        });
    }
    assert_eq!(running.join_all().await.len(), 400);
}

#[sqlx::test(migrator = "::store::schema::MIGRATOR")]
async fn a_key_that_is_shut_keeps_the_others_whole_and_names_the_longest_wait(pool: PgPool) {
    let store = node(&pool);
    let [password, account, address] = stranger("ana@example.org", "192.0.2.1");
    for _ in 0..5 {
        assert_eq!(store.reserve(&[password]).await.unwrap(), Admission::Admitted);
    }
    let reset = [key(Door::Reset, "ana@example.org")];
    for _ in 0..3 {
        assert_eq!(store.reserve(&reset).await.unwrap(), Admission::Admitted);
    }
    let Admission::Wait(short) = store.reserve(&[address, password, account]).await.unwrap() else {
        panic!("a shut door let somebody through");
    };
    assert!((1..=30).contains(&short), "{short}");
    let Admission::Wait(long) = store.reserve(&[password, reset[0], account]).await.unwrap() else {
        panic!("a shut door let somebody through");
    };
    assert!((3500..=3600).contains(&long), "{long}");
    assert_eq!((attempts(&pool, &account).await, attempts(&pool, &address).await), (0, 0));
}

#[sqlx::test(migrator = "::store::schema::MIGRATOR")]
async fn success_resets_a_password_and_gives_its_network_one_back(pool: PgPool) {
    let store = node(&pool);
    let keys = stranger("ana@example.org", "192.0.2.1");
    for _ in 0..5 {
        assert_eq!(store.reserve(&keys).await.unwrap(), Admission::Admitted);
    }
    store.release(&keys).await.unwrap();
    let [password, account, address] = &keys;
    assert_eq!(attempts(&pool, password).await, 0);
    assert_eq!((attempts(&pool, account).await, attempts(&pool, address).await), (4, 4));
    assert_eq!(store.reserve(&keys).await.unwrap(), Admission::Admitted);

    let reset = [key(Door::Reset, "ana@example.org")];
    assert_eq!(store.reserve(&reset).await.unwrap(), Admission::Admitted);
    store.release(&reset).await.unwrap();
    assert_eq!(attempts(&pool, &reset[0]).await, 1, "a link that was sent stays counted");
}

#[sqlx::test(migrator = "::store::schema::MIGRATOR")]
async fn a_count_that_cannot_be_made_is_an_error_and_admits_nobody(pool: PgPool) {
    let store = node(&pool);
    let keys = stranger("ana@example.org", "192.0.2.1");
    assert!(matches!(store.reserve(&[]).await, Err(StoreError::Inconsistent(_))));
    assert!(matches!(store.reserve(&[keys[0], keys[0]]).await, Err(StoreError::Database(_))));
    assert_eq!(attempts(&pool, &keys[0]).await, 0);
    sqlx::query("ALTER TABLE throttles RENAME TO elsewhere").execute(&pool).await.unwrap();
    assert!(store.reserve(&keys).await.is_err());
    store.pool.close().await;
    let Err(StoreError::Database(error)) = store.reserve(&keys).await else {
        panic!("admitted without a database");
    };
    assert!(::store::is_outage(&error), "503: {error}");
}

/// The statement and the pure function, side by side over a long life. One transaction: `now()` stands still.
#[sqlx::test(migrator = "::store::schema::MIGRATOR")]
async fn the_gate_keeps_the_rule_of_the_pure_function(pool: PgPool) {
    const SECONDS: [u32; 9] = [1, 29, 30, 31, 120, 899, 900, 3599, 3600];
    let mut transaction = pool.begin().await.unwrap();
    let mut state = 0x9E37_79B9_u32;
    let mut draw = move |below: usize| {
        // xorshift32: the same life every time.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    for door in Door::ALL {
        let keys = [key(door, "somebody")];
        let (mut counter, mut now) = (None, Timestamp(1_800_000_000));
        let mut waits = 0;
        for step in 0..400 {
            if draw(20) == 0 {
                let passed = SECONDS[draw(SECONDS.len())];
                pass(&mut *transaction, passed).await;
                now = now.plus(passed);
            }
            if draw(10) == 0 {
                release_in(&mut *transaction, &keys).await.unwrap();
                counter = counter.map(|counter: Counter| released(door, counter));
                continue;
            }
            let expected = match verdict(&door.budget(), counter, now) {
                Verdict::Admitted(next) => {
                    counter = Some(next);
                    Admission::Admitted
                }
                Verdict::Wait(seconds) => {
                    waits += 1;
                    Admission::Wait(seconds)
                }
            };
            let outcome = reserve_in(&mut *transaction, &keys).await.unwrap();
            assert_eq!(outcome, expected, "{door:?}, step {step}: {counter:?} at {now}");
        }
        assert!(waits > 0, "{door:?} was never shut");
    }
}
