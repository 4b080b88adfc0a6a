use serde_json::{Value, json};

use super::*;

const API: &str = "https://localhost:8081";

fn declared() -> Value {
    json!({
        "tenants": [{"slug": "acme", "name": "Acme"}, {"slug": "other", "name": "Other"}],
        "users": [
            {"email": "ana@example.org", "password": "first", "name": "Ana", "platform_roles": ["platform_admin"],
             "memberships": [{"tenant": "acme", "roles": ["tenant_owner", "tenant_admin"]}]},
            {"email": "bob@example.org", "memberships": [{"tenant": "acme"}]}
        ],
        "scopes": [{"tenant": "acme", "name": "orders:read", "description": "Read", "default": true}],
        "audiences": [{"tenant": "acme", "identifier": "https://orders.example.org", "name": "Orders"}],
        "clients": [
            {"tenant": "acme", "client_id": "web", "client_secret": "s".repeat(32),
             "redirect_uris": ["https://a.example/cb"]},
            {"tenant": null, "client_id": "tool", "token_endpoint_auth_method": "none",
             "redirect_uris": ["http://127.0.0.1/cb"], "audiences": [API], "scope": "openid opentrusty:admin"}
        ]
    })
}

async fn seed(pool: &PgPool, declared: &Value) -> Result<Tally, Failure> {
    let plan = Plan::of(file::parse(declared.to_string().as_bytes())?, API)?;
    apply(pool, &"https://localhost:8080".parse().unwrap(), &plan).await
}

/// Every row of what a seed writes, as text.
async fn rows(pool: &PgPool) -> Vec<String> {
    let mut all = Vec::new();
    for table in [
        "tenants",
        "users",
        "credentials",
        "memberships",
        "role_assignments",
        "scopes",
        "audiences",
        "clients",
        "client_secrets",
        "invitations",
        "audit_events",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t ORDER BY 1"));
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(pool).await.unwrap();
        all.extend(rows.into_iter().map(|row| format!("{table} {row}")));
    }
    all
}

async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn the_same_file_again_changes_no_row(pool: PgPool) {
    assert!(seed(&pool, &declared()).await.unwrap().changed());
    let before = rows(&pool).await;
    assert_eq!(
        count(&pool, "SELECT count(*) FROM audit_events WHERE type = 'platform.seeded'").await,
        1
    );
    let again = seed(&pool, &declared()).await.unwrap();
    assert!(!again.changed(), "{again:?}");
    assert_eq!(rows(&pool).await, before);
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn two_at_once_do_not_get_in_each_others_way(pool: PgPool) {
    let file = declared();
    let (one, two) = tokio::join!(seed(&pool, &file), seed(&pool, &file));
    assert!(one.unwrap().changed() != two.unwrap().changed());
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn a_changed_file_updates_what_it_names_and_takes_nothing_away(pool: PgPool) {
    seed(&pool, &declared()).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO sessions (id, secret_hash, user_id, amr, expires_at)
             SELECT gen_random_uuid(), sha256('x'), id, '{pwd}', now() + interval '1 hour' FROM users
             WHERE email_key = 'ana@example.org'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let old: String =
        sqlx::query_scalar("SELECT password_hash FROM credentials").fetch_one(&pool).await.unwrap();
    let mut file = declared();
    file["tenants"][0]["name"] = json!("Acme Ltd");
    file["users"][0] = json!({"email": "Ana@example.org", "password": "second"});
    file["clients"][0]["client_secret"] = json!("t".repeat(32));
    file["clients"][1]["skip_authorization"] = json!(true);
    assert!(seed(&pool, &file).await.unwrap().changed());

    let new: String =
        sqlx::query_scalar("SELECT password_hash FROM credentials").fetch_one(&pool).await.unwrap();
    assert_ne!(old, new);
    assert_eq!(
        count(&pool, "SELECT count(*) FROM sessions WHERE ended_at IS NULL").await,
        0,
        "W44"
    );
    assert_eq!(
        count(&pool, "SELECT count(*) FROM users WHERE name IS NULL AND email LIKE 'Ana%'").await,
        1
    );
    assert_eq!(count(&pool, "SELECT count(*) FROM memberships").await, 2, "none was taken away");
    assert_eq!(
        count(&pool, "SELECT count(*) FROM role_assignments").await,
        3,
        "none was taken away"
    );
    assert_eq!(count(&pool, "SELECT count(*) FROM tenants WHERE name = 'Acme Ltd'").await, 1);
    let secrets: Vec<Vec<u8>> = sqlx::query_scalar("SELECT secret_hash FROM client_secrets")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(
        secrets,
        [oauth::Hashed::<oauth::secret::Client>::of(&"t".repeat(32)).as_bytes().to_vec()]
    );
}

async fn somebody_waits_for_a_lock(pool: &PgPool) {
    while count(
        pool,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    .await
        == 0
    {}
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn w44_a_changed_password_ends_what_was_begun_beside_it(pool: PgPool) {
    seed(&pool, &declared()).await.unwrap();
    // A sign-in under way, under the weakest lock there is.
    let mut signing_in = pool.begin().await.unwrap();
    sqlx::raw_sql(
        "SELECT FROM credentials FOR KEY SHARE;
         INSERT INTO sessions (id, secret_hash, user_id, amr, expires_at)
             SELECT gen_random_uuid(), sha256('x'), user_id, '{pwd}', now() + interval '1 hour' FROM credentials;
         INSERT INTO subjects (sub, user_id) SELECT 'sub', user_id FROM credentials;
         INSERT INTO grants (id, client, user_id, sub, scopes, audiences, offline, auth_time, amr, expires_at)
             SELECT gen_random_uuid(), c.id, s.user_id, s.sub, '{}', '{}', true, now(), '{pwd}',
                 now() + interval '1 hour' FROM subjects s, clients c WHERE c.client_id = 'web'",
    )
    .execute(&mut *signing_in)
    .await
    .unwrap();
    let mut file = declared();
    file["users"][0]["password"] = json!("second");
    let mut changing = std::pin::pin!(seed(&pool, &file));
    tokio::select! {
        done = &mut changing => panic!("did not wait: {done:?}"),
        () = somebody_waits_for_a_lock(&pool) => {}
    }
    signing_in.commit().await.unwrap();
    changing.await.unwrap();
    assert_eq!(count(&pool, "SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL").await, 1);
    let killed = "SELECT count(*) FROM grants WHERE revoke_reason = 'password_change'";
    assert_eq!(count(&pool, killed).await, 1);
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn of_two_secrets_side_by_side_a_file_keeps_both_or_replaces_both(pool: PgPool) {
    seed(&pool, &declared()).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO client_secrets (id, client, secret_hash)
             SELECT gen_random_uuid(), id, sha256('x') FROM clients WHERE client_id = 'web'",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert!(!seed(&pool, &declared()).await.unwrap().changed());
    assert_eq!(count(&pool, "SELECT count(*) FROM client_secrets").await, 2);
    let mut file = declared();
    file["clients"][0]["client_secret"] = json!("t".repeat(32));
    assert!(seed(&pool, &file).await.unwrap().changed());
    assert_eq!(count(&pool, "SELECT count(*) FROM client_secrets").await, 1, "never a third");
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn nothing_is_written_unless_all_of_it_can_be(pool: PgPool) {
    seed(&pool, &declared()).await.unwrap();
    let before = rows(&pool).await;
    for (list, one, path) in [
        (
            "users",
            json!({"email": "c@d", "memberships": [{"tenant": "none"}]}),
            "users[0].memberships[0].tenant: ",
        ),
        (
            "users",
            json!({"email": "c@d", "memberships": [{"tenant": "acme", "roles": ["boss"]}]}),
            "users[0].memberships[0].roles[0]: \"boss\" is no role",
        ),
        (
            "users",
            json!({"email": "c@d", "memberships": [{"tenant": "acme", "roles": ["tenant_owner"]}]}),
            "users[0].memberships[0].roles[0]: the tenant has another owner",
        ),
        (
            "users",
            json!({"email": "c@d", "memberships": [{"tenant": "acme", "roles": ["platform_admin"]}]}),
            "users[0].memberships[0].roles[0]: \"platform_admin\" is a role of the platform",
        ),
        (
            "users",
            json!({"email": "c@d", "platform_roles": ["tenant_admin"]}),
            "users[0].platform_roles[0]: \"tenant_admin\" is a role of a tenant",
        ),
        (
            "invitations",
            json!({"tenant": "acme", "email": "Bob@example.org"}),
            "invitations[0].email: is a member of this tenant already",
        ),
        (
            "invitations",
            json!({"tenant": "acme", "email": "nobody@example.org"}),
            "invitations[0].email: no such account",
        ),
        (
            "invitations",
            json!({"tenant": "none", "email": "bob@example.org"}),
            "invitations[0].tenant: ",
        ),
        ("scopes", json!({"tenant": "none", "name": "x"}), "scopes[0].tenant: "),
        ("audiences", json!({"tenant": "none", "identifier": "x"}), "audiences[0].tenant: "),
        (
            "clients",
            json!({"tenant": "other", "client_id": "web", "token_endpoint_auth_method": "none",
                "redirect_uris": ["https://b.example/cb"]}),
            "clients[0].tenant: this client belongs to another tenant",
        ),
        (
            "clients",
            json!({"tenant": "acme", "client_id": "new", "token_endpoint_auth_method": "none",
                "redirect_uris": ["https://b.example/cb"], "scope": "openid opentrusty:admin"}),
            "clients[0].scope: ",
        ),
    ] {
        let file = json!({"tenants": [{"slug": "fresh", "name": "Fresh"}], list: [one]});
        let problem = seed(&pool, &file).await.map(|_| ()).unwrap_err().to_string();
        assert!(problem.starts_with(path), "{problem}");
        assert_eq!(rows(&pool).await, before, "{path}");
    }
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn an_invitation_is_made_once_and_stays_as_it_was_answered(pool: PgPool) {
    seed(&pool, &declared()).await.unwrap();
    let file = json!({"invitations": [{"tenant": "other", "email": "bob@example.org"}]});
    assert!(seed(&pool, &file).await.unwrap().changed());
    let invited = "SELECT count(*) FROM audit_events WHERE type = 'membership.invited'";
    assert_eq!(count(&pool, invited).await, 1);
    sqlx::raw_sql("UPDATE invitations SET accepted_at = now(); SELECT join_invited(10)")
        .execute(&pool)
        .await
        .unwrap();
    let before = rows(&pool).await;
    assert!(!seed(&pool, &file).await.unwrap().changed(), "a member by this very invitation");
    assert_eq!(rows(&pool).await, before);
}

/// As admind calls it; that the function runs with the owner's rights is tried in e2e.
#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn who_accepted_joins_once_with_the_roles_of_the_invitation_but_never_as_owner(pool: PgPool) {
    seed(&pool, &declared()).await.unwrap();
    let invite = |email: &str, tenant: &str, over: &str| {
        sqlx::AssertSqlSafe(format!(
            "INSERT INTO invitations (tenant_id, user_id, roles, accepted_at, declined_at)
             SELECT t.id, u.id, {over} FROM tenants t, users u
             WHERE t.slug = '{tenant}' AND u.email_key = '{email}'"
        ))
    };
    for text in [
        invite(
            "ana@example.org",
            "other",
            "ARRAY['tenant_owner', 'tenant_admin', 'platform_admin', 'boss'], now(), NULL",
        ),
        invite("bob@example.org", "other", "'{}', NULL, now()"),
    ] {
        sqlx::raw_sql(text).execute(&pool).await.unwrap();
    }
    assert_eq!(count(&pool, "SELECT join_invited(0)").await, 1);
    assert_eq!(count(&pool, "SELECT join_invited(100)").await, 0);
    let of_other = "FROM tenants t WHERE t.slug = 'other' AND t.id =";
    let text = |sql: String| sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql));
    let roles = format!(
        "SELECT string_agg(role, ' ') FROM role_assignments r WHERE EXISTS (SELECT {of_other} r.tenant_id)"
    );
    assert_eq!(text(roles).fetch_one(&pool).await.unwrap(), "tenant_admin");
    let members = format!(
        "SELECT string_agg(u.email_key, ' ') FROM memberships m JOIN users u ON u.id = m.user_id
         WHERE EXISTS (SELECT {of_other} m.tenant_id)"
    );
    assert_eq!(text(members).fetch_one(&pool).await.unwrap(), "ana@example.org");
    let joined =
        "SELECT count(*) FROM audit_events WHERE type = 'membership.joined' AND plane = 'admin'";
    assert_eq!(count(&pool, joined).await, 1);
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn a_message_keeps_its_body_only_until_it_is_sent_or_too_old(pool: PgPool) {
    let row = |name: &str, over: &str| {
        format!(
            "INSERT INTO outbox (id, kind, url, bearer, body, created_at, done_at, failed_at)
             VALUES (gen_random_uuid(), 'reset_mail', '{name}', 'b', '{{\"link\": \"x\"}}', {over});"
        )
    };
    let rows = [
        row("waiting", "now() - interval '59 minutes', NULL, NULL"),
        row("late", "now() - interval '61 minutes', NULL, NULL"),
        row("done", "now(), NULL, NULL"),
        row("failed", "now(), NULL, NULL"),
        row("old", "now() - interval '9 days', NULL, now() - interval '8 days'"),
    ];
    let over = "UPDATE outbox SET done_at = now() WHERE url = 'done';
                UPDATE outbox SET failed_at = now() WHERE url = 'failed'";
    sqlx::raw_sql(sqlx::AssertSqlSafe(rows.concat() + over)).execute(&pool).await.unwrap();
    count(&pool, "SELECT sweep_expired(100)").await;
    let left: Vec<(String, bool, bool)> = sqlx::query_as(
        "SELECT url, body = '{}' AND bearer IS NULL, failed_at IS NOT NULL FROM outbox ORDER BY url",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let expected = [
        ("done", true, false),
        ("failed", true, true),
        ("late", true, true),
        ("waiting", false, false),
    ];
    assert_eq!(left, expected.map(|(name, empty, failed)| (name.to_owned(), empty, failed)));
}
