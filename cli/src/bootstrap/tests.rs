use super::*;

#[test]
fn the_clients_of_the_platform_are_public_first_party_and_for_the_management_api_alone() {
    let clients =
        platform_clients("https://console.example.com", "https://api.example.com").unwrap();
    for (id, metadata) in &clients {
        assert!(
            metadata.is_public() && metadata.require_pkce && metadata.skip_authorization,
            "{id}"
        );
        assert_eq!(metadata.audiences, ["https://api.example.com"], "{id}");
        assert!(metadata.scope.contains("opentrusty:admin"), "{id}");
        assert!(metadata.check_owner(None).is_ok(), "{id}");
    }
    let [(_, console), (_, command)] = &clients;
    assert!(console.redirect_uris[0].matches("https://console.example.com/callback"));
    assert_eq!(console.post_logout_redirect_uris[0].to_string(), "https://console.example.com/");
    assert!(command.redirect_uris[0].matches("http://127.0.0.1:49152/callback"));
    assert!(!command.redirect_uris[0].matches("http://localhost:49152/callback"));
}

#[test]
fn an_origin_that_no_browser_would_return_to_is_refused() {
    for origin in ["", "console.example.com", "http://console.example.com", "https://a b"] {
        let problem = platform_clients(origin, "https://api.example.com").unwrap_err().to_string();
        assert!(problem.starts_with("opentrusty-console: redirect_uris"), "{problem}");
    }
}

pub(super) fn wanted(email: &str) -> Wanted {
    Wanted {
        issuer: "https://auth.example.com".parse().unwrap(),
        address: Address::of(email).unwrap(),
        clients: platform_clients("https://console.example.com", "https://api.example.com")
            .unwrap(),
    }
}

/// Rows of everything that a bootstrap writes.
pub(super) async fn rows(pool: &PgPool) -> Vec<i64> {
    let mut counts = Vec::new();
    for sql in [
        "SELECT count(*) FROM installation",
        "SELECT count(*) FROM issuers",
        "SELECT count(*) FROM users",
        "SELECT count(*) FROM role_assignments",
        "SELECT count(*) FROM clients",
        "SELECT count(*) FROM enrolments",
        "SELECT count(*) FROM audit_events",
    ] {
        counts.push(sqlx::query_scalar(sql).fetch_one(pool).await.unwrap());
    }
    counts
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn of_two_at_once_one_wins_and_later_ones_change_nothing(pool: PgPool) {
    let (one, two) = (wanted("one@example.org"), wanted("two@example.org"));
    let (first, second) =
        tokio::join!(make(&pool, &one, |_| Ok(())), make(&pool, &two, |_| Ok(())));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    // Two events: the issuer's, and the bootstrap's.
    let after = [1, 1, 1, 1, 2, 1, 2];
    assert_eq!(rows(&pool).await, after);
    let problem = make(&pool, &wanted("three@example.org"), |_| Ok(())).await.unwrap_err();
    assert!(problem.to_string().contains("already"), "{problem}");
    assert_eq!(rows(&pool).await, after);
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn a_link_that_could_not_be_shown_was_never_given(pool: PgPool) {
    let broken =
        make(&pool, &wanted("a@example.org"), |_| Err(Failure::refused("no output"))).await;
    assert!(broken.is_err());
    assert_eq!(rows(&pool).await, [0; 7]);
    let mut link = String::new();
    let show = |done: &Done| {
        link = done.link.as_ref().unwrap().reveal().to_owned();
        Ok(())
    };
    make(&pool, &wanted("a@example.org"), show).await.unwrap();
    let stored: Vec<u8> =
        sqlx::query_scalar("SELECT token_hash FROM enrolments").fetch_one(&pool).await.unwrap();
    assert_eq!(stored, Plain::<Enrolment>::parse(&link).unwrap().hashed().as_bytes());
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn the_issuer_that_is_there_stays_and_an_account_with_a_password_needs_no_link(pool: PgPool) {
    sqlx::raw_sql(
        "INSERT INTO issuers (id, url) VALUES (gen_random_uuid(), 'https://auth.example.com');
         INSERT INTO users (id, email, email_key) VALUES (gen_random_uuid(), 'a@example.org', 'a@example.org');
         INSERT INTO credentials SELECT id, 'hash' FROM users",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut other = wanted("a@example.org");
    other.issuer = "https://other.example.com".parse().unwrap();
    assert!(make(&pool, &other, |_| Ok(())).await.is_err());
    assert_eq!(rows(&pool).await, [0, 1, 1, 0, 0, 0, 0]);
    let show = |done: &Done| {
        assert!(done.link.is_none() && !done.new_account);
        Ok(())
    };
    make(&pool, &wanted("a@example.org"), show).await.unwrap();
    assert_eq!(rows(&pool).await, [1, 1, 1, 1, 2, 0, 1]);
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn a_tenants_client_cannot_stand_in_for_one_of_the_platform(pool: PgPool) {
    sqlx::raw_sql(
        "INSERT INTO tenants (id, slug, name) VALUES (gen_random_uuid(), 'a', 'A');
         INSERT INTO clients (id, tenant_id, client_id, metadata)
             SELECT gen_random_uuid(), id, 'opentrusty-cli', '{}' FROM tenants",
    )
    .execute(&pool)
    .await
    .unwrap();
    let problem = make(&pool, &wanted("a@example.org"), |_| Ok(())).await.unwrap_err().to_string();
    assert!(problem.starts_with("opentrusty-cli.tenant"), "{problem}");
    assert_eq!(rows(&pool).await, [0, 0, 0, 0, 1, 0, 0]);
}

#[sqlx::test(migrator = "store::schema::MIGRATOR")]
async fn the_platforms_clients_follow_the_api_and_the_console_and_keep_the_rest(pool: PgPool) {
    make(&pool, &wanted("one@example.org"), |_| Ok(())).await.unwrap();
    let (console, api) = ("https://console.example.com", "https://api.example.com");
    let before = rows(&pool).await;
    assert!(!readdress(&pool, Some(console), api).await.unwrap());
    assert!(!readdress(&pool, None, api).await.unwrap(), "nobody said where the console is");
    assert_eq!(rows(&pool).await, before, "nothing was written, no audit row either");
    sqlx::raw_sql(
        "UPDATE clients SET metadata = jsonb_set(metadata, '{access_token_lifetime}', '60')",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert!(readdress(&pool, None, "https://new.example.com").await.unwrap());
    let clients: Vec<String> = sqlx::query_scalar(
        "SELECT client_id || (metadata -> 'audiences')::text || (metadata -> 'redirect_uris')::text
             || (metadata ->> 'access_token_lifetime') FROM clients ORDER BY 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let of = |id: &str, uri: &str| format!(r#"{id}["https://new.example.com"]["{uri}"]60"#);
    let callback = format!("{console}/callback");
    let expected = [of(CLI, "http://127.0.0.1/callback"), of(CONSOLE, &callback)];
    assert_eq!(clients, expected);
    assert!(readdress(&pool, Some("https://c2.example.com"), api).await.unwrap());
    assert_eq!(rows(&pool).await.last().unwrap() - before.last().unwrap(), 2);
}
