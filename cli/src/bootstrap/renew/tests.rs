use super::super::tests::{rows, wanted};
use super::super::{Done, make};
use super::*;

/// What a link may touch, as text.
async fn digest(pool: &PgPool) -> Vec<String> {
    let sql = "SELECT u::text FROM users u UNION ALL SELECT e::text FROM enrolments e
        UNION ALL SELECT a::text FROM audit_events a UNION ALL SELECT r::text FROM role_assignments r
        UNION ALL SELECT c::text FROM credentials c ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

async fn run(pool: &PgPool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
}

/// The one link that can still be used, and for how many seconds at most.
async fn open(pool: &PgPool) -> Vec<(Vec<u8>, bool)> {
    let sql = "SELECT token_hash, expires_at BETWEEN now() + interval '59 minutes' AND now() + interval '1 hour'
        FROM enrolments WHERE used_at IS NULL AND expires_at > now()";
    sqlx::query_as(sql).fetch_all(pool).await.unwrap()
}

async fn bootstrapped(pool: &PgPool) {
    make(pool, &wanted("ana@example.org"), |_: &Done| Ok(())).await.unwrap();
}

async fn renewed(pool: &PgPool, email: Option<&str>) -> Result<(String, Vec<u8>), Failure> {
    let address = email.map(Address::of).transpose()?;
    let mut shown = None;
    let show = |done: &Renewed| {
        assert_eq!(done.issuer, "https://auth.example.com");
        shown = Some((done.email.clone(), done.link.hashed().as_bytes().to_vec()));
        Ok(())
    };
    renew(pool, address.as_ref(), show).await?;
    Ok(shown.unwrap())
}

/// Refused with this in the reason, and nothing is different.
async fn refused(pool: &PgPool, email: Option<&str>, reason: &str) {
    let before = digest(pool).await;
    let problem = renewed(pool, email).await.unwrap_err().to_string();
    assert!(problem.contains(reason), "{problem}");
    assert_eq!(digest(pool).await, before, "{problem}");
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn a_new_link_takes_the_place_of_every_earlier_one(pool: PgPool) {
    bootstrapped(&pool).await;
    run(&pool, "UPDATE enrolments SET expires_at = now() - interval '1 hour'").await;
    for _ in 0..2 {
        let (email, hash) = renewed(&pool, None).await.unwrap();
        assert_eq!(email, "ana@example.org");
        assert_eq!(open(&pool).await, [(hash, true)]);
    }
    // Nothing else is new but the audit rows.
    assert_eq!(rows(&pool).await, [1, 1, 1, 1, 2, 3, 4]);
    let unspent: i64 = sqlx::query_scalar("SELECT count(*) FROM enrolments WHERE used_at IS NULL")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(unspent, 1, "the expired one is spent too");
    let audited: (String, String, bool, serde_json::Value) = sqlx::query_as(
        "SELECT plane, type, target = (SELECT id::text FROM users), data FROM audit_events ORDER BY id DESC LIMIT 1",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let event = Event::Bootstrapped.as_str().to_owned();
    assert_eq!(audited, ("owner".to_owned(), event, true, json!({ "renewed": true })));
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn of_two_new_links_at_once_one_can_be_used(pool: PgPool) {
    bootstrapped(&pool).await;
    let (one, two) = tokio::join!(renewed(&pool, None), renewed(&pool, None));
    let open = open(&pool).await;
    assert_eq!(open.len(), 1);
    assert!([one.unwrap().1, two.unwrap().1].contains(&open[0].0));
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn a_mistyped_address_is_corrected_unless_it_is_somebody_elses(pool: PgPool) {
    bootstrapped(&pool).await;
    run(
        &pool,
        "UPDATE users SET email_verified = true;
         INSERT INTO users (id, email, email_key) VALUES (gen_random_uuid(), 'Bob@example.org', 'bob@example.org')",
    )
    .await;
    refused(&pool, Some("BOB@example.org"), "--email: this address belongs to another").await;
    let administrator = async |sql: &'static str| -> (String, String, bool) {
        sqlx::query_as(sql).fetch_one(&pool).await.unwrap()
    };
    let sql = "SELECT email, email_key, email_verified FROM users u
        WHERE EXISTS (SELECT FROM role_assignments r WHERE r.user_id = u.id)";
    // The same address in another spelling is no other address.
    let (shown, _) = renewed(&pool, Some("Ana@Example.org")).await.unwrap();
    assert_eq!(shown, "Ana@Example.org");
    assert_eq!(administrator(sql).await, (shown, "ana@example.org".to_owned(), true));
    let (shown, hash) = renewed(&pool, Some("Anna@example.org")).await.unwrap();
    assert_eq!(shown, "Anna@example.org");
    assert_eq!(administrator(sql).await, (shown, "anna@example.org".to_owned(), false));
    assert_eq!(open(&pool).await, [(hash, true)]);
    assert_eq!(renewed(&pool, None).await.unwrap().0, "Anna@example.org");
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn with_the_first_password_of_an_administrator_it_is_over(pool: PgPool) {
    bootstrapped(&pool).await;
    let again = async || {
        let before = digest(&pool).await;
        let problem = make(&pool, &wanted("eve@example.org"), |_| Ok(())).await.unwrap_err();
        assert_eq!(digest(&pool).await, before);
        problem.to_string()
    };
    let problem = again().await;
    assert!(problem.contains("already") && problem.contains("--renew-link"), "{problem}");
    // Not that of the one who waits for a link, and not one who is active: anybody's.
    run(
        &pool,
        "INSERT INTO users (id, email, email_key, status)
             VALUES (gen_random_uuid(), 'bob@example.org', 'bob@example.org', 'disabled');
         INSERT INTO credentials SELECT id, 'hash' FROM users WHERE status = 'disabled'",
    )
    .await;
    renewed(&pool, None).await.unwrap();
    run(
        &pool,
        "INSERT INTO role_assignments (id, user_id, role, scope)
             SELECT gen_random_uuid(), id, 'platform_admin', 'platform' FROM users WHERE status = 'disabled'",
    )
    .await;
    for email in [None, Some("ana@example.org"), Some("anna@example.org")] {
        refused(&pool, email, "has a password already").await;
    }
    let problem = again().await;
    assert!(problem.contains("already") && !problem.contains("--renew-link"), "{problem}");
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn a_password_that_is_being_set_is_waited_for(pool: PgPool) {
    bootstrapped(&pool).await;
    let mut enrolling = pool.begin().await.unwrap();
    sqlx::raw_sql(
        "UPDATE enrolments SET used_at = now();
         INSERT INTO credentials SELECT id, 'hash' FROM users",
    )
    .execute(&mut *enrolling)
    .await
    .unwrap();
    let waits = async || {
        let sql = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap() == 0 {}
    };
    let mut renewing = std::pin::pin!(renewed(&pool, Some("anna@example.org")));
    tokio::select! {
        done = &mut renewing => panic!("did not wait: {done:?}"),
        () = waits() => {}
    }
    enrolling.commit().await.unwrap();
    let before = digest(&pool).await;
    let problem = renewing.await.unwrap_err().to_string();
    assert!(problem.contains("has a password already"), "{problem}");
    assert_eq!(digest(&pool).await, before);
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn a_new_link_that_could_not_be_shown_leaves_the_old_one(pool: PgPool) {
    bootstrapped(&pool).await;
    let before = digest(&pool).await;
    let address = Address::of("anna@example.org").unwrap();
    let broken = renew(&pool, Some(&address), |_| Err(Failure::refused("no output"))).await;
    assert!(broken.is_err());
    assert_eq!(digest(&pool).await, before);
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn it_is_for_the_administrator_of_a_bootstrapped_installation(pool: PgPool) {
    refused(&pool, Some("ana@example.org"), "not bootstrapped yet").await;
    bootstrapped(&pool).await;
    run(
        &pool,
        "INSERT INTO users (id, email, email_key) VALUES (gen_random_uuid(), 'bob@example.org', 'bob@example.org');
         INSERT INTO role_assignments (id, user_id, role, scope)
             SELECT gen_random_uuid(), id, 'platform_admin', 'platform' FROM users WHERE email_key LIKE 'bob%'",
    )
    .await;
    // Of two, it cannot guess whose link was lost or whose address is wrong.
    for email in [None, Some("anna@example.org")] {
        refused(&pool, email, "--email: name one").await;
    }
    assert_eq!(renewed(&pool, Some("bob@example.org")).await.unwrap().0, "bob@example.org");
    assert_eq!(open(&pool).await.len(), 2, "the other's link is not touched");
    run(&pool, "UPDATE users SET status = 'disabled' WHERE email_key LIKE 'bob%'").await;
    assert_eq!(renewed(&pool, None).await.unwrap().0, "ana@example.org");
    run(&pool, "UPDATE users SET status = 'disabled'").await;
    refused(&pool, None, "no active account").await;
}
